//! Sheets of directions: the engine's own pictures, on a page that needs nothing else and on a picture.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sefa_studio::directions::DirectionSet;
use sefa_studio::edit::{Edit, Weighting};
use sefa_studio::export::{ExportError, SheetError, SheetPlan, SheetRow, SheetRun, Shot, render_sheet, sweep_values};
use sefa_studio::generator::{Group, ModelInfo};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::progress::{self, Cancelled};
use sefa_studio::render::{Engine, Example, Pixels, RenderError, Source, ViewId};
use sefa_studio::tasks::{DirectionSheet, Outcome, Step, Task};
use sefa_studio::worker::{Background, EventKind, Job, ModelId, Worker};
use tempfile::TempDir;

use super::cli::Shell;
use super::engine::{moved, sample, toy_heads};
use crate::support::{pixels_of, stylegan2_of_256};

const HOSTILE: &str =
    "</th></table><script>alert('x')</script><img src=http://evil.example onerror=\"alert(1)\">&amp;\u{202e}\r\n\0";

fn rows(engine: &mut Engine, group: Group, indices: &[usize], range: f32) -> Vec<SheetRow> {
    let layers = engine.info().unwrap().group(group).unwrap();
    let set = DirectionSet::from(&*engine.factorize(&layers, Weighting::RowNormalised).unwrap());
    let row = |&index: &usize| SheetRow {
        direction: set.directions[index].clone(),
        name: String::new(),
        score: Some(set.scores.values()[index]),
        range,
        is_starred: false,
    };
    indices.iter().map(row).collect()
}

fn shot(label: &str, edit: Edit) -> Shot {
    Shot { label: label.into(), edit }
}

fn plan(path: &Path, samples: Vec<Shot>, rows: Vec<SheetRow>) -> SheetPlan {
    let (about, score_name) = ("layers 0-1, rows normalised".into(), "eigenvalue".into());
    SheetPlan { about, samples, rows, score_name, steps: 5, side: 50, previews: false, path: path.into() }
}

fn info(engine: &Engine) -> Arc<ModelInfo> {
    engine.info().unwrap()
}

fn write(engine: &mut Engine, plan: SheetPlan) {
    let run = SheetRun::new(plan, &info(engine)).unwrap();
    render_sheet(engine, run, &mut progress::silent).unwrap();
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The edits of a plan's cells, sample by sample, row by row.
fn edits(plan: &SheetPlan) -> Vec<Edit> {
    let mut edits = Vec::new();
    for sample in &plan.samples {
        for row in &plan.rows {
            for value in sweep_values(-row.range, row.range, plan.steps) {
                let mut edit = sample.edit.clone();
                edit.set_along(&row.direction, value).enabled = true;
                edits.push(edit);
            }
        }
    }
    edits
}

/// A tag of a page, read strictly: every attribute is quoted, or has no value.
#[derive(Debug)]
struct Tag {
    name: String,
    attributes: BTreeMap<String, String>,
    /// Text up to the next tag.
    text: String,
    depth: usize,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

fn unescape(text: &str) -> String {
    assert!(!text.contains(['<', '>', '"', '\'']), "{text:?} is not escaped");
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    text.replace("&amp;", "&")
}

/// All opening tags of a page, each of which is closed.
#[track_caller]
fn parse(page: &str) -> Vec<Tag> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").expect("a document");
    let (mut tags, mut open): (Vec<Tag>, Vec<String>) = (Vec::new(), Vec::new());
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        if let Some(last) = tags.last_mut() {
            let is_code = matches!(open.last().map(String::as_str), Some("style" | "script"));
            last.text.push_str(&if is_code { text.to_owned() } else { unescape(text) });
        }
        let end = start + rest[start..].find('>').expect("a tag ends");
        let inside = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "</{name}>");
            continue;
        }
        let (name, mut left) = inside.split_once(' ').unwrap_or((inside, ""));
        let mut attributes = BTreeMap::new();
        while !left.trim().is_empty() {
            left = left.trim_start();
            let (key, after) = match left.find(['=', ' ']) {
                Some(at) if left[at..].starts_with('=') => {
                    let value = left[at + 1..].strip_prefix('"').expect("a quoted value");
                    let (value, after) = value.split_once('"').expect("the value ends");
                    let key = left[..at].to_owned();
                    // The policy of the page quotes words within its value.
                    let plain = if key == "content" { value.to_owned() } else { unescape(value) };
                    assert!(attributes.insert(key.clone(), plain).is_none(), "{key} twice");
                    (key, after)
                }
                at => {
                    let key = left[..at.unwrap_or(left.len())].to_owned();
                    attributes.insert(key.clone(), String::new());
                    (key, at.map_or("", |at| &left[at..]))
                }
            };
            assert!(!key.starts_with("on") && !key.is_empty(), "{key}");
            left = after;
        }
        tags.push(Tag { name: name.to_owned(), attributes, text: String::new(), depth: open.len() });
        if !matches!(name, "meta" | "img") {
            open.push(name.to_owned());
        }
        if matches!(name, "style" | "script") {
            let code = rest.find(&format!("</{name}>")).expect("the code ends");
            tags.last_mut().unwrap().text.push_str(&rest[..code]);
            rest = &rest[code..];
        }
    }
    assert!(open.is_empty(), "{open:?} are open");
    tags
}

fn from_base64(text: &str) -> Vec<u8> {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let codes: Vec<u32> = text.trim_end_matches('=').chars().map(|c| letters.find(c).unwrap() as u32).collect();
    let bits = codes.chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0, |bits, code| bits << 6 | code) << (6 * (4 - four.len()));
        [bits >> 16, bits >> 8, bits].map(|byte| byte as u8).into_iter().take(four.len() - 1).collect::<Vec<_>>()
    });
    bits.collect()
}

/// The pictures of a page's first table, in their order.
fn pictures(tags: &[Tag]) -> Vec<Vec<u8>> {
    let images = tags.iter().filter(|tag| tag.name == "img" && tag.attribute("src").is_some());
    let data = images.map(|tag| tag.attribute("src").unwrap().strip_prefix("data:image/png;base64,").unwrap());
    data.map(|data| pixels_of(&from_base64(data))).collect()
}

#[test]
fn a_page_holds_the_pictures_of_the_engine_in_both_tables() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sheet.html");
    let mut engine = toy_heads();
    let step = moved(&mut engine, Group::Bottom, 1.5);
    let elsewhere = Edit { moves: vec![moved(&mut engine, Group::Top, 4.0)], ..sample(8) };
    // One that has moved along a row's direction already: the row's value takes the place of that.
    let samples =
        vec![shot("seed 3", sample(3)), shot("moved", Edit { moves: vec![step], ..sample(4) }), shot("lit", elsewhere)];
    let rows = rows(&mut engine, Group::Bottom, &[0, 2, 1], 3.0);
    let mut plan = plan(&path, samples, rows);
    for side in [50, 4096] {
        plan.side = side;
        write(&mut engine, plan.clone());
        let tags = parse(&fs::read_to_string(&path).unwrap());
        let found = pictures(&tags);
        let edits = edits(&plan);
        assert_eq!(found.len(), 3 * 3 * 5);
        let tiles = engine.exact_tiles(&edits, side, None).unwrap();
        for (cell, (found, tile)) in found.iter().zip(tiles).enumerate() {
            assert!(*found == tile.unwrap().pixels.data, "cell {cell} of {side} pixels");
        }
        if side == 4096 {
            for (cell, edit) in edits.iter().enumerate() {
                let picture = engine.render(edit).unwrap().to_pixels().unwrap();
                assert!(found[cell] == picture.data, "cell {cell} is another picture");
            }
        }
        let ids: Vec<&str> =
            tags.iter().filter_map(|tag| tag.attribute("id")).filter(|id| id.starts_with('p')).collect();
        assert_eq!(ids, (0..45).map(|at| format!("p{at}")).collect::<Vec<_>>());
        let other: Vec<&str> = tags.iter().filter_map(|tag| tag.attribute("data-of")).collect();
        let cell = |row: usize, sample: usize, step: usize| format!("p{}", sample * 15 + row * 5 + step);
        let by_direction = (0..3).flat_map(|row| (0..15).map(move |at| cell(row, at / 5, at % 5)));
        assert_eq!(other, by_direction.collect::<Vec<_>>(), "direction by direction");
        let tables: Vec<&str> =
            tags.iter().filter(|tag| tag.name == "table").filter_map(|tag| tag.attribute("id")).collect();
        assert_eq!(tables, ["by-sample", "by-direction"]);
        assert_eq!(names_in(folder.path()), ["sheet.html"]);
    }
    assert!(engine.exact_tiles(&edits(&plan)[17..18], 50, None).unwrap()[0].is_ok());
}

#[test]
fn whatever_files_say_is_text_and_nothing_comes_from_outside() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sheet.html");
    let mut engine = toy_heads();
    let mut rows = rows(&mut engine, Group::Bottom, &[0, 1], 2.5);
    rows[0] = SheetRow { name: HOSTILE.into(), is_starred: true, range: 1.25, ..rows[0].clone() };
    rows[1].name = "größer ".repeat(100_000);
    let mut plan = plan(&path, vec![shot(HOSTILE, sample(1)), shot("", sample(2))], rows);
    (plan.about, plan.score_name) = (HOSTILE.into(), HOSTILE.into());
    let mut hostile = (*info(&engine)).clone();
    hostile.name = HOSTILE.into();
    let run = SheetRun::new(plan, &hostile).unwrap();
    render_sheet(&mut engine, run, &mut progress::silent).unwrap();
    let page = fs::read_to_string(&path).unwrap();
    let tags = parse(&page);
    let known = [
        "html", "head", "meta", "title", "style", "body", "header", "h1", "nav", "button", "p", "code", "main",
        "table", "thead", "tbody", "tr", "th", "td", "img", "bdi", "div", "small", "span", "dialog", "footer",
        "script",
    ];
    for tag in &tags {
        assert!(known.contains(&tag.name.as_str()), "{tag:?}");
        assert!(tag.attribute("src").is_none_or(|source| source.starts_with("data:image/png;base64,")), "{}", tag.name);
        assert!(tag.attribute("href").is_none() && tag.attribute("style").is_none());
    }
    let code: Vec<&Tag> = tags.iter().filter(|tag| matches!(tag.name.as_str(), "style" | "script")).collect();
    assert_eq!(code.iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>(), ["style", "script"]);
    let outside = ["http:", "https:", "//www", "url(", "@import", "fetch(", "import(", "XMLHttp", "innerHTML", "eval("];
    for word in outside {
        assert!(code.iter().all(|tag| !tag.text.contains(word)), "{word} in the code of the page");
    }
    assert!(!page.contains(['\u{202e}', '\0', '\r']));
    let shown = "</th></table><script>alert('x')</script><img src=http://evil.example onerror=\"alert(1)\">&amp;";
    let named = |name: &str| tags.iter().filter(|tag| tag.name == name && tag.text.contains(shown)).count();
    assert_eq!((named("title"), named("h1"), named("p")), (1, 1, 1));
    assert!(named("bdi") >= 2 + 2, "the direction and the sample, in both tables");
    assert!(page.len() < 2_000_000, "a name of a megabyte is cut: {}", page.len());
    assert!(tags.iter().any(|tag| tag.name == "small" && tag.text.trim() == "a = 1.25"), "ranges of rows that differ");
    let heads: Vec<&str> = tags
        .iter()
        .filter(|tag| tag.name == "th" && tag.attribute("class").is_some_and(|class| class.starts_with("step")))
        .map(|tag| tag.text.trim())
        .collect();
    assert_eq!(heads[..5], ["\u{2212}1.00 a", "\u{2212}0.50 a", "0", "+0.50 a", "+1.00 a"]);
    let policy = tags.iter().find(|tag| tag.attribute("http-equiv").is_some()).unwrap();
    assert!(policy.attribute("content").unwrap().contains("default-src 'none'"));
    assert!(tags.iter().all(|tag| tag.depth < 16));
}

#[test]
fn a_page_tells_names_scores_values_and_the_model() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sheet.html");
    let mut engine = toy_heads();
    let mut rows = rows(&mut engine, Group::Bottom, &[0, 3], 3.0);
    rows[0].name = "smile & <wink>".into();
    let score = rows[0].score.unwrap();
    write(&mut engine, plan(&path, vec![shot("seed 5", sample(5))], rows));
    let tags = parse(&fs::read_to_string(&path).unwrap());
    let texts: Vec<&str> = tags.iter().map(|tag| tag.text.trim()).collect();
    let info = info(&engine);
    let values = ["\u{2212}3.00", "\u{2212}1.50", "0", "+1.50", "+3.00"];
    let said = ["smile & <wink>", "Direction 4", "seed 5", "Eigenvalue", &info.identity];
    for text in said.iter().chain(&values) {
        assert!(texts.contains(text), "{text} in {texts:?}");
    }
    let row = tags.iter().find(|tag| tag.name == "tr" && tag.attribute("data-number") == Some("0")).unwrap();
    assert_eq!(
        (row.attribute("data-name"), row.attribute("data-score")),
        (Some("smile & <wink>"), Some(&*score.to_string()))
    );
    let picture = tags.iter().find(|tag| tag.attribute("id") == Some("p1")).unwrap();
    assert_eq!(picture.attribute("alt"), Some("smile & <wink> \u{2212}1.50, seed 5"));
    assert_eq!((picture.attribute("width"), picture.attribute("height")), (Some("50"), Some("50")));
}

/// Where a picture lies in a larger one, left and top.
fn find(page: &Pixels, cell: &Pixels) -> Vec<[usize; 2]> {
    let row = |pixels: &Pixels, left: usize, top: usize, width: usize| {
        let start = (top * pixels.width + left) * 3;
        pixels.data[start..start + width * 3].to_vec()
    };
    let is_there = |left: usize, top: usize| {
        (0..cell.height).all(|y| row(page, left, top + y, cell.width) == row(cell, 0, y, cell.width))
    };
    let mut places = Vec::new();
    for top in 0..=page.height - cell.height {
        places.extend((0..=page.width - cell.width).filter(|&left| is_there(left, top)).map(|left| [left, top]));
    }
    places
}

#[test]
fn a_picture_holds_every_cell_in_its_row_and_column() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sheet.png");
    let mut engine = toy_heads();
    let rows = rows(&mut engine, Group::Bottom, &[0, 1], 3.0);
    let mut plan = plan(&path, vec![shot("seed 3", sample(3)), shot("seed 4", sample(4))], rows);
    plan.side = 64;
    write(&mut engine, plan.clone());
    let bytes = fs::read(&path).unwrap();
    let size = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let page = Pixels { width: size(16), height: size(20), channels: 3, data: pixels_of(&bytes) };
    let tiles = engine.exact_tiles(&edits(&plan), 64, None).unwrap();
    let places: Vec<Vec<[usize; 2]>> = tiles.iter().map(|tile| find(&page, &tile.as_ref().unwrap().pixels)).collect();
    for (cell, found) in places.iter().enumerate() {
        // The middle is the sample itself, in both rows.
        assert_eq!(found.len(), if cell % 5 == 2 { 2 } else { 1 }, "cell {cell}: {found:?}");
    }
    let place =
        |sample: usize, row: usize, step: usize| places[sample * 10 + row * 5 + step][if step == 2 { row } else { 0 }];
    for (sample, row) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let [left, top] = place(sample, row, 0);
        for step in 0..5 {
            assert_eq!(place(sample, row, step), [left + step * 66, top], "cell {step} of row {row}, sample {sample}");
        }
        assert_eq!(left, place(sample, 0, 0)[0]);
    }
    assert_eq!(place(0, 1, 0)[1], place(0, 0, 0)[1] + 66);
    let (first, second) = (place(0, 0, 0), place(1, 0, 0));
    assert!(second[0] > first[0] + 5 * 66 || second[1] > first[1] + 2 * 66, "blocks do not overlap");
    assert!(page.width < 2000 && page.height < 1000 && names_in(folder.path()) == ["sheet.png"]);
}

#[test]
fn a_row_runs_the_stages_of_its_sample_once_and_the_sample_itself_is_made_once() {
    let folder = TempDir::new().unwrap();
    let mut engine = toy_heads();
    let rows = rows(&mut engine, Group::Top, &[0, 1, 2], 4.0);
    let samples = vec![shot("a", sample(1)), shot("b", sample(2))];
    let before = engine.stages_run();
    write(&mut engine, plan(&folder.path().join("sheet.html"), samples, rows));
    // Of six stages the last three read the top layers. Each sample: three once, then three for 4 cells of 3 rows and once
    // for the middle.
    assert_eq!(engine.stages_run() - before, 2 * (3 + 3 * (4 * 3 + 1)));
    let views = engine.stages_run();
    engine.render_view(ViewId::PICTURE, &sample(9), || false).unwrap();
    assert_eq!(engine.stages_run() - views, 6);
}

#[test]
fn a_sheet_that_cannot_be_is_refused_before_anything_is_made() {
    let folder = TempDir::new().unwrap();
    let mut engine = toy_heads();
    let info = info(&engine);
    let rows = rows(&mut engine, Group::Bottom, &[0, 1], 3.0);
    let good = plan(&folder.path().join("sheet.html"), vec![shot("seed 1", sample(1))], rows);
    let refusal = |change: &dyn Fn(&mut SheetPlan)| {
        let mut plan = good.clone();
        change(&mut plan);
        SheetRun::new(plan, &info).err().expect("a refusal").to_string()
    };
    let contains = |text: String, words: &[&str]| {
        for word in words {
            assert!(text.contains(word), "{word} in {text:?}");
        }
    };
    contains(refusal(&|plan| plan.rows.clear()), &["without directions"]);
    contains(refusal(&|plan| plan.samples.clear()), &["without samples"]);
    for steps in [0, 1, 4, 103] {
        contains(refusal(&|plan| plan.steps = steps), &[&format!("{steps} steps"), "odd number from 3 to 101"]);
    }
    for side in [0, 5000] {
        contains(refusal(&|plan| plan.side = side), &[&format!("{side} pixels"), "1 to 4096"]);
    }
    for range in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        contains(refusal(&|plan| plan.rows[1].range = range), &["Direction 2", "more than 0"]);
    }
    contains(refusal(&|plan| plan.path = folder.path().join("sheet.jpg")), &["sheet.jpg", ".html or .png"]);
    let many = refusal(&|plan| plan.samples = vec![shot("seed", sample(1)); 10_000]);
    contains(many, &["10000 x 2 x 5", "100000 cells of 50 x 50", "250 megapixels", "at most 100"]);
    let long = refusal(&|plan| {
        plan.path = folder.path().join("sheet.png");
        plan.side = 128;
        plan.samples = vec![shot("seed", sample(1)); 600];
    });
    contains(long, &["a picture of", "a side", ".html"]);
    contains(
        refusal(&|plan| plan.samples[0].edit.truncation.psi = f32::NAN),
        &["seed 1 does not fit Toy heads", "psi is NaN"],
    );
    let far = |plan: &mut SheetPlan| {
        let mut direction = (*plan.rows[0].direction).clone();
        direction.layers = "40".parse().unwrap();
        plan.rows[0].direction = direction.into();
    };
    contains(refusal(&far), &["Direction 1 does not fit", "layers 40"]);
    contains(refusal(&|plan| plan.path = folder.path().join("missing/sheet.html")), &["cannot write", "missing"]);
    fs::create_dir(folder.path().join("folder.png")).unwrap();
    contains(refusal(&|plan| plan.path = folder.path().join("folder.png")), &["cannot write"]);
    assert_eq!(names_in(folder.path()), ["folder.png"]);
    assert!(matches!(SheetRun::new(plan_without_format(&good), &info), Err(ExportError::Sheet(SheetError::Format(_)))));
}

fn plan_without_format(plan: &SheetPlan) -> SheetPlan {
    SheetPlan { path: "sheet".into(), ..plan.clone() }
}

#[test]
fn a_sheet_that_is_stopped_leaves_what_was_there() {
    let mut engine = toy_heads();
    let info = info(&engine);
    for name in ["sheet.html", "sheet.png"] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, "older").unwrap();
        let rows = rows(&mut engine, Group::Bottom, &[0, 1, 2, 3], 3.0);
        let plan = plan(&path, vec![shot("seed 1", sample(1))], rows);
        let mut left = 3;
        let mut stop = |_| {
            left -= 1;
            if left == 0 { Err(Cancelled) } else { Ok(()) }
        };
        let run = SheetRun::new(plan.clone(), &info).unwrap();
        let stopped = render_sheet(&mut engine, run, &mut stop);
        assert!(matches!(stopped, Err(ExportError::Cancelled(_))), "{stopped:?}");
        assert_eq!((names_in(folder.path()), fs::read(&path).unwrap()), (vec![name.to_owned()], b"older".to_vec()));
        // The same as a task that somebody cancels, at every step.
        for steps in 0..40 {
            let mut task = DirectionSheet::new(plan.clone(), &info).unwrap();
            assert_eq!(task.name(), format!("Exporting {name}"));
            let mut is_done = false;
            for _ in 0..steps {
                if let Step::Done(outcome) = task.step(&mut engine).unwrap() {
                    assert_eq!(outcome, Outcome::Written(path.clone()));
                    is_done = true;
                    break;
                }
            }
            drop(task);
            assert_eq!(names_in(folder.path()), [name], "after {steps} steps");
            if is_done {
                break;
            }
            let now = fs::read(&path).unwrap();
            assert!(now == b"older" || steps > 8, "replaced after {steps} steps");
        }
    }
}

#[test]
fn a_task_gives_way_between_stages_and_ends_with_the_same_file() {
    let folder = TempDir::new().unwrap();
    let mut engine = toy_heads();
    let rows = rows(&mut engine, Group::Top, &[0, 1], 3.0);
    let plan = plan(&folder.path().join("sheet.html"), vec![shot("seed 1", sample(1))], rows);
    write(&mut engine, plan.clone());
    let expected = fs::read(&plan.path).unwrap();
    fs::remove_file(&plan.path).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    engine.interrupt_when(move || counter.fetch_add(1, Ordering::Relaxed) % 7 == 3);
    let mut task = DirectionSheet::new(plan.clone(), &info(&engine)).unwrap();
    let (mut interrupted, mut last) = (0, 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "it never ended");
        match task.step(&mut engine) {
            Ok(Step::Nearer(..) | Step::Measured(..)) => unreachable!("a sheet is no search"),
            Ok(Step::More(progress)) => {
                assert!(progress.done >= last && progress.total == 10);
                last = progress.done;
                // Another picture in between takes the trace.
                engine.interrupt_when(|| false);
                engine.render(&sample(7)).unwrap();
                let counter = asked.clone();
                engine.interrupt_when(move || counter.fetch_add(1, Ordering::Relaxed) % 7 == 3);
            }
            Ok(Step::Done(_)) => break,
            Err(error) if matches!(error.render(), Some(RenderError::Interrupted)) => interrupted += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(interrupted > 0 && last == 10);
    assert!(fs::read(&plan.path).unwrap() == expected);
}

#[test]
fn the_worker_writes_a_sheet_and_a_cancelled_one_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let worker = Worker::spawn(|| RenderDevice::cpu(None), || ()).unwrap();
    let model = ModelId::opened_by(worker.send(Job::Open { source: Source::Example(Example::ToyHeads), recipe: None }));
    let mut engine = toy_heads();
    let info = info(&engine);
    let rows = rows(&mut engine, Group::Bottom, &[0, 1, 2, 3, 4, 5], 3.0);
    let task = |name: &str, samples: u64| {
        let samples = (0..samples).map(|seed| shot(&format!("seed {seed}"), sample(seed))).collect();
        Box::new(DirectionSheet::new(plan(&folder.path().join(name), samples, rows.clone()), &info).unwrap())
    };
    let short = worker.send(Job::Run { model, task: task("short.html", 1) });
    let long = worker.send(Job::Run { model, task: task("long.html", 100) });
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut done, mut cancelled) = (false, false);
    while !(done && cancelled) {
        assert!(Instant::now() < deadline, "no answer");
        for event in worker.events(Duration::from_millis(5)) {
            match event.kind {
                EventKind::Progress(_) if event.job == long => worker.cancel(long),
                EventKind::Done(outcome) => {
                    assert_eq!((event.job, outcome), (short, Outcome::Written(folder.path().join("short.html"))));
                    done = true;
                }
                EventKind::Cancelled => cancelled = event.job == long,
                EventKind::Failed(failure) => panic!("{failure:?}"),
                _ => {}
            }
        }
    }
    drop(worker);
    let deadline = Instant::now() + Duration::from_secs(10);
    while names_in(folder.path()) != ["short.html"] {
        assert!(Instant::now() < deadline, "{:?} are left", names_in(folder.path()));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_cell_that_overflows_stays_empty_and_the_others_are_there() {
    for name in ["sheet.html", "sheet.png"] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(name);
        let mut engine = toy_heads();
        let mut rows = rows(&mut engine, Group::Bottom, &[0, 1], 3.0);
        rows[1].range = f32::MAX;
        write(&mut engine, plan(&path, vec![shot("seed 1", sample(1))], rows));
        if name == "sheet.html" {
            let tags = parse(&fs::read_to_string(&path).unwrap());
            let empty = tags.iter().filter(|tag| tag.attribute("class") == Some("nothing")).count();
            assert_eq!((pictures(&tags).len(), empty), (10 - empty, empty));
            assert!((1..=4).contains(&empty), "{empty}");
        }
    }
}

#[test]
fn previews_are_the_networks_own_smaller_pictures_and_the_page_says_so() {
    let file = stylegan2_of_256();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sheet.html");
    let mut engine = toy_heads();
    engine.open(&Source::File(file.path().into()), &mut progress::silent).unwrap();
    let rows = rows(&mut engine, Group::Bottom, &[0], 3.0);
    let mut plan = plan(&path, vec![shot("seed 1", sample(1))], rows);
    plan.previews = true;
    write(&mut engine, plan.clone());
    let page = fs::read_to_string(&path).unwrap();
    let tiles = engine.tiles(&edits(&plan), 50, None).unwrap();
    for (cell, (found, tile)) in pictures(&parse(&page)).iter().zip(tiles).enumerate() {
        let tile = tile.unwrap();
        assert!(!tile.is_exact, "cell {cell}");
        assert!(tile.pixels.data == *found, "cell {cell}");
    }
    assert!(page.contains("<p>previews: "));
    plan.previews = false;
    write(&mut engine, plan);
    assert!(!fs::read_to_string(&path).unwrap().contains("previews"));
}

#[test]
fn the_command_line_writes_sheets_with_what_the_library_knows() {
    use sefa_studio::library::{self, Library, LibraryModel};
    use sefa_studio::store::Folders;
    let shell = Shell::new();
    let mut engine = toy_heads();
    let known = rows(&mut engine, Group::Bottom, &[0, 1, 2, 3], 3.0);
    let mut own = Library::new(LibraryModel::from(&*info(&engine)));
    own.change(&known[1].direction, |known| (known.name, known.range) = ("wink <3".into(), Some(7.5)));
    own.change(&known[2].direction, |known| known.hidden = true);
    own.change(&known[3].direction, |known| known.star = true);
    let kept = own.to_keep(&Library::new(own.model.clone()), 5).unwrap();
    library::update(&Folders::below(&shell.path("home")).libraries(), &kept).unwrap();

    let line = "sheet --layers bottom --directions 0-3 --steps 3 --seeds 0-1 --side 32";
    let printed = shell.ok(&format!("{line} --out sheet.html"));
    assert!(printed.contains("18 pictures in sheet.html") && printed.contains("CPU"), "{printed}");
    let page = fs::read_to_string(shell.path("sheet.html")).unwrap();
    let tags = parse(&page);
    assert_eq!(pictures(&tags).len(), 2 * 3 * 3);
    let texts: Vec<&str> = tags.iter().map(|tag| tag.text.trim()).collect();
    for text in ["wink <3", "a = 7.50", "\u{2605}", "seed 1", "turn"] {
        assert!(texts.contains(&text), "{text}");
    }
    shell.ok(&format!("{line} --hidden --range 2 --out sheet.html"));
    let tags = parse(&fs::read_to_string(shell.path("sheet.html")).unwrap());
    assert_eq!(pictures(&tags).len(), 2 * 4 * 3, "an older sheet is replaced");
    assert!(tags.iter().any(|tag| tag.text.trim() == "\u{2212}2.00") && !tags.iter().any(|tag| tag.name == "small"));
    shell.ok(&format!("{line} --out SHEET.PNG"));
    assert_eq!(&fs::read(shell.path("SHEET.PNG")).unwrap()[..4], b"\x89PNG");
    shell.ok("sheet --steps 3 --side 16 --out ten.html");
    assert_eq!(pictures(&parse(&fs::read_to_string(shell.path("ten.html")).unwrap())).len(), 10 * 3);

    shell.ok("render --out frames --seeds 9 --layers top --direction 0 --from 5 --to 5 --steps 1");
    shell.ok("sheet --layers bottom --directions 0 --steps 3 --edit frames/frame_0000.png --side 4096 --out edit.html");
    let found = pictures(&parse(&fs::read_to_string(shell.path("edit.html")).unwrap()));
    let frame = pixels_of(&fs::read(shell.path("frames/frame_0000.png")).unwrap());
    assert!(found[1] == frame, "the sample in the middle, with its moves");

    let message = shell.fails("sheet --layers bottom --directions 2 --out none.html", 1);
    assert!(message.contains("hidden") && message.contains("--hidden"), "{message}");
}

#[test]
fn the_command_line_says_what_makes_no_sheet() {
    let shell = Shell::new();
    let says = |line: &str, code: i32, words: &[&str]| {
        let message = shell.fails(line, code);
        for word in words {
            assert!(message.contains(word), "{word} in {message}");
        }
    };
    says("sheet", 2, &["--out"]);
    says("sheet --out sheet.jpg", 2, &["sheet.jpg", ".html or .png"]);
    says("sheet --out sheet", 2, &[".html or .png"]);
    says("sheet --steps 4 --out s.html", 2, &["--steps", "odd number from 3 to 101"]);
    says("sheet --steps 1 --out s.html", 2, &["odd"]);
    says("sheet --steps 1000001 --out s.html", 2, &["odd"]);
    says("sheet --range 0 --out s.html", 2, &["--range", "above 0"]);
    says("sheet --range NaN --out s.html", 2, &["--range"]);
    says("sheet --side 0 --out s.html", 2, &["--side"]);
    says("sheet --directions x --out s.html", 2, &["--directions"]);
    says("sheet --layers 99 --out s.html", 1, &["expected layers from 0 to"]);
    says("sheet --directions 0-5000 --out s.html", 1, &["--directions: expected 0 to", "Toy heads"]);
    says("sheet --seeds 0-9999 --out s.html", 1, &["10000 x 10 x 7", "megapixels", "at most 100"]);
    says("sheet --seeds 0-99999999 --out s.html", 2, &["at most 100000"]);
    says("sheet --seeds 0-70 --out s.png", 1, &["a picture of", "smaller side"]);
    says("sheet --out missing/s.html", 1, &["cannot write missing/s.html"]);
    says("sheet --edit none.png --out s.html", 1, &["none.png"]);
    says("sheet missing.pkl --out s.html", 1, &["missing.pkl"]);
    fs::write(shell.path("kept.html"), "kept").unwrap();
    let mut permissions = fs::metadata(shell.path("kept.html")).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(shell.path("kept.html"), permissions).unwrap();
    says("sheet --out kept.html", 1, &["cannot write kept.html", "read-only"]);
    assert_eq!(fs::read(shell.path("kept.html")).unwrap(), b"kept");
    assert!(names_in(&shell.path(".")).iter().all(|name| name == "home" || name == "kept.html"));
}
