//! The sheet as a page: two tables of the same pictures, sample by sample and direction by direction. It needs no server and
//! nothing from outside; the pictures are in the first table, and the script puts them into the second when that is shown.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};

use super::super::{ExportError, png};
use super::writer::{Cells, Stoppable};
use super::{Cell, Place, Sheet, SheetRow, distance, length, shown};
use crate::files::{WriteError, write_atomically};
use crate::project::PROGRAM;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Smaller pictures are shown enlarged to this width, pixel by pixel.
const READABLE_WIDTH: usize = 96;

/// Writes the page as its cells come, into `spool`, and at last to its file.
pub(super) fn write(sheet: &Sheet, spool: File, cells: &Cells) -> Result<(), ExportError> {
    let path = &sheet.plan.path;
    let failed = |source| match cells.stop.check() {
        Err(cancelled) => ExportError::Cancelled(cancelled),
        Ok(()) => WriteError { path: path.clone(), source }.into(),
    };
    let mut page = BufWriter::with_capacity(1 << 20, Stoppable { file: spool, stop: &cells.stop });
    page.write_all(head(sheet).as_bytes()).map_err(failed)?;
    let mut at = 0;
    while at < sheet.cells() {
        let batch = cells.next()?;
        let encode = |cell: &Cell| cell.as_ref().map(|pixels| png::encode(pixels, None)).transpose();
        let pictures: Vec<_> = batch
            .par_iter()
            .map(encode)
            .collect::<Result<_, _>>()
            .map_err(|source| ExportError::Encode { path: path.clone(), source })?;
        for picture in pictures {
            page.write_all(by_sample(sheet, at, picture.as_deref()).as_bytes()).map_err(failed)?;
            at += 1;
        }
    }
    page.write_all(by_direction(sheet).as_bytes()).map_err(failed)?;
    page.flush().map_err(failed)?;
    let mut spool = page.into_inner().map_err(|error| failed(error.into_error()))?.file;
    spool.rewind().map_err(failed)?;
    write_atomically(path, |file| {
        io::copy(&mut spool, &mut Stoppable { file, stop: &cells.stop }).map(drop).map_err(failed)
    })
}

/// Everything before the cells of the first table.
fn head(sheet: &Sheet) -> String {
    let title = format!("Directions of {}", escape(&sheet.model));
    let facts: Vec<String> = sheet.facts("\u{2212}").iter().map(|fact| format!("<p>{}</p>", escape(fact))).collect();
    let facts = facts.join("\n");
    let (family, identity) = (escape(&sheet.family), escape(&sheet.identity));
    let steps = sheet.plan.steps;
    let [width, height] = sheet.cell;
    let widest = width.max(READABLE_WIDTH);
    let rendering = if width < READABLE_WIDTH / 2 { "pixelated" } else { "auto" };
    let columns = columns(sheet);
    let score = escape(&capital(&shown(&sheet.plan.score_name))).into_owned();
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="{PROGRAM}">
<title>{title}</title>
<style>
:root {{ --steps: {steps}; --widest: {widest}px; --shape: {width} / {height}; --rendering: {rendering} }}
{STYLE}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<nav hidden>
<button type="button" value="by-sample" aria-pressed="true">By sample</button>
<button type="button" value="by-direction" aria-pressed="false">By direction</button>
</nav>
{facts}
<p class="model">{family} <code title="Identity of the model: a hash of its weights">{identity}</code></p>
</header>
<main>
<table id="by-sample">
<thead>
<tr>
<th data-key="sample" class="sample">Sample</th>
<th data-key="number" class="number" title="Number of the direction, the strongest first">#</th>
<th data-key="name" class="name">Direction</th>
<th data-key="score" class="score">{score}</th>
{columns}
</tr>
</thead>
"#
    )
}

/// A cell of the first table, with what begins and ends around it. `picture` is a PNG file.
fn by_sample(sheet: &Sheet, at: usize, picture: Option<&[u8]>) -> String {
    let place = sheet.place(at);
    let (rows, steps) = (sheet.plan.rows.len(), sheet.plan.steps);
    let mut text = String::new();
    if place.step == 0 {
        if place.row == 0 {
            text.push_str(&format!("<tbody data-sample=\"{}\">\n", place.sample));
        }
        text.push_str(&format!("<tr{}>\n", keys(sheet, place.row)));
        if place.row == 0 {
            text.push_str(&sample_header(sheet, place.sample, Some(rows)));
        }
        text.push_str(&direction_headers(sheet, place.row, None));
    }
    let [width, height] = sheet.cell;
    let called = escape(&called(sheet, place)).into_owned();
    match picture {
        Some(png) => {
            text.push_str(&format!(
                "<td{}><img id=\"p{at}\" width=\"{width}\" height=\"{height}\" decoding=\"async\" alt=\"{called}\" \
                 title=\"{called}\" src=\"data:image/png;base64,",
                middle(sheet, place.step),
            ));
            BASE64_STANDARD.encode_string(png, &mut text);
            text.push_str("\"></td>\n");
        }
        None => text.push_str(&format!("<td class=\"nothing\" title=\"{called}\">not finite</td>\n")),
    }
    if place.step + 1 == steps {
        text.push_str("</tr>\n");
        if place.row + 1 == rows {
            text.push_str("</tbody>\n");
        }
    }
    text
}

/// The end of the first table, the second one and the rest of the page.
fn by_direction(sheet: &Sheet) -> String {
    let (samples, steps) = (sheet.plan.samples.len(), sheet.plan.steps);
    let score = escape(&capital(&shown(&sheet.plan.score_name))).into_owned();
    let mut text = format!(
        "</table>\n<table id=\"by-direction\" hidden>\n<thead>\n<tr>\n<th data-key=\"number\" class=\"number\">#</th>\n\
         <th data-key=\"name\" class=\"name\">Direction</th>\n<th data-key=\"score\" class=\"score\">{score}</th>\n\
         <th data-key=\"sample\" class=\"sample\">Sample</th>\n{}\n</tr>\n</thead>\n",
        columns(sheet)
    );
    for row in 0..sheet.plan.rows.len() {
        text.push_str(&format!("<tbody{}>\n", keys(sheet, row)));
        for sample in 0..samples {
            text.push_str(&format!("<tr data-sample=\"{sample}\">\n"));
            if sample == 0 {
                text.push_str(&direction_headers(sheet, row, Some(samples)));
            }
            text.push_str(&sample_header(sheet, sample, None));
            for step in 0..steps {
                let at = sample * sheet.cells_of_sample() + row * steps + step;
                text.push_str(&format!("<td{} data-of=\"p{at}\"></td>\n", middle(sheet, step)));
            }
            text.push_str("</tr>\n");
        }
        text.push_str("</tbody>\n");
    }
    text.push_str("</table>\n</main>\n<dialog><img alt=\"\"><p></p></dialog>\n<footer>Made with ");
    text.push_str(PROGRAM);
    text.push_str(". Click a picture to see it larger, the head of a column to sort; Tab, arrow keys and Enter do the same.</footer>\n<script>\n");
    text.push_str(SCRIPT);
    text.push_str("</script>\n</body>\n</html>\n");
    text
}

fn columns(sheet: &Sheet) -> String {
    let column = |step| {
        format!(
            "<th class=\"step{}\">{}</th>",
            if is_middle(sheet, step) { " middle" } else { "" },
            minus(&sheet.column(step))
        )
    };
    (0..sheet.plan.steps).map(column).collect::<Vec<_>>().join("\n")
}

/// What rows of a direction are sorted by.
fn keys(sheet: &Sheet, row: usize) -> String {
    let SheetRow { name, score, .. } = &sheet.plan.rows[row];
    let name = escape(&shown(name)).into_owned();
    let score = score.map_or(String::new(), |score| score.to_string());
    format!(" data-number=\"{row}\" data-name=\"{name}\" data-score=\"{score}\"")
}

/// The header cell of a sample, over several rows or one.
fn sample_header(sheet: &Sheet, sample: usize, rows: Option<usize>) -> String {
    let name = shown(&sheet.plan.samples[sample].label);
    header("sample", &format!("<bdi>{}</bdi>", escape(&name)), rows)
}

/// The header cells of a direction, over several rows or one.
fn direction_headers(sheet: &Sheet, row: usize, rows: Option<usize>) -> String {
    let direction = &sheet.plan.rows[row];
    let star = if direction.is_starred { "<span class=\"star\" title=\"starred\">\u{2605}</span> " } else { "" };
    let range = match sheet.range {
        None => format!(" <small>a = {}</small>", length(direction.range)),
        Some(_) => String::new(),
    };
    let name = format!("{star}<bdi>{}</bdi>{range}", escape(&direction.title()));
    let score = direction.score().unwrap_or_default();
    let cells = [("number", (row + 1).to_string()), ("name", name), ("score", minus(&score).into_owned())];
    cells.iter().map(|(class, content)| header(class, content, rows)).collect()
}

/// What heads several rows stays in sight as long as one of them is.
fn header(class: &str, content: &str, rows: Option<usize>) -> String {
    match rows {
        Some(rows) => {
            format!("<th class=\"{class} group\" scope=\"rowgroup\" rowspan=\"{rows}\"><div>{content}</div></th>\n")
        }
        None => format!("<th class=\"{class}\" scope=\"row\">{content}</th>\n"),
    }
}

fn is_middle(sheet: &Sheet, step: usize) -> bool {
    2 * step + 1 == sheet.plan.steps
}

fn middle(sheet: &Sheet, step: usize) -> &'static str {
    if is_middle(sheet, step) { " class=\"middle\"" } else { "" }
}

/// What a picture shows, in words.
fn called(sheet: &Sheet, place: Place) -> String {
    let row = &sheet.plan.rows[place.row];
    let value = minus(&distance(sheet.value(place.row, place.step), row.range)).into_owned();
    format!("{} {value}, {}", row.title(), shown(&sheet.plan.samples[place.sample].label))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A number with the minus of typesetters.
fn minus(number: &str) -> Cow<'_, str> {
    if number.contains('-') { number.replace('-', "\u{2212}").into() } else { number.into() }
}

/// Text that is none of the page's own, between tags and in quoted attributes.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_files_is_text_on_the_page() {
        assert_eq!(escape("smile"), "smile");
        assert_eq!(escape(r#"</th><script>alert('"&')"#), "&lt;/th&gt;&lt;script&gt;alert(&#39;&quot;&amp;&#39;)");
    }
}
