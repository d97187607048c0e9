//! Tables of results, in the formats that people go on with. Each says by which parameters it was made.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

/// A table, and what it was made with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// In files, in this order: "model" -> "FFHQ".
    pub parameters: Vec<(&'static str, Value)>,
    pub columns: Vec<Column>,
    /// As many cells each as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// In files for programs: "length_sd".
    pub key: String,
    /// For people: "spread".
    pub title: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text(String),
    Whole(i64),
    Number(f64),
    /// In JSON; other formats leave its column out.
    Numbers(Vec<f64>),
    /// What could not be measured.
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// For a terminal.
    Text,
    Json,
    /// RFC 4180. Parameters are columns that are the same in all rows.
    Csv,
    Markdown,
    /// A `tabular` of the package booktabs; parameters are remarks.
    Latex,
}

impl TableFormat {
    /// By the name of a file.
    pub fn of(path: &Path) -> Option<TableFormat> {
        let extension = path.extension()?.to_string_lossy().to_lowercase();
        Some(match extension.as_str() {
            "txt" => TableFormat::Text,
            "json" => TableFormat::Json,
            "csv" => TableFormat::Csv,
            "md" => TableFormat::Markdown,
            "tex" => TableFormat::Latex,
            _ => return None,
        })
    }
}

/// Digits after the point, for people.
const DIGITS: usize = 4;

impl Column {
    pub fn new(key: &str, title: &str) -> Self {
        Column { key: key.into(), title: title.into() }
    }
}

impl From<f64> for Cell {
    /// What is no number is missing.
    fn from(number: f64) -> Self {
        if number.is_finite() { Cell::Number(number) } else { Cell::Missing }
    }
}

impl From<Option<f64>> for Cell {
    fn from(number: Option<f64>) -> Self {
        number.map_or(Cell::Missing, Cell::from)
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Cell::Whole(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.into())
    }
}

impl Cell {
    fn json(&self) -> Value {
        match self {
            Cell::Text(text) => json!(text),
            Cell::Whole(number) => json!(number),
            Cell::Number(number) => json!(number),
            Cell::Numbers(numbers) => json!(numbers),
            Cell::Missing => Value::Null,
        }
    }

    /// For programs: every digit.
    fn exact(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Whole(number) => number.to_string(),
            Cell::Number(number) => number.to_string(),
            Cell::Numbers(_) | Cell::Missing => String::new(),
        }
    }

    /// For people, on one line.
    fn shown(&self) -> String {
        match self {
            Cell::Text(text) => text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect(),
            Cell::Number(number) => format!("{number:.DIGITS$}"),
            Cell::Missing => "-".into(),
            Cell::Whole(_) | Cell::Numbers(_) => self.exact(),
        }
    }
}

/// A parameter as text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Table {
    /// The table as the text of a file.
    pub fn text(&self, format: TableFormat) -> String {
        match format {
            TableFormat::Text => self.to_text(),
            TableFormat::Json => self.to_json(),
            TableFormat::Csv => self.to_csv(),
            TableFormat::Markdown => self.to_markdown(),
            TableFormat::Latex => self.to_latex(),
        }
    }

    /// The rows as JSON, a map each.
    pub fn json_rows(&self) -> Value {
        let row = |row: &Vec<Cell>| -> Value {
            let cells = self.columns.iter().zip(row).map(|(column, cell)| (column.key.clone(), cell.json()));
            Value::Object(cells.collect())
        };
        self.rows.iter().map(row).collect()
    }

    /// Parameters, and the rows under `rows`.
    pub fn json(&self) -> Map<String, Value> {
        let mut all: Map<String, Value> =
            self.parameters.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        all.insert("rows".into(), self.json_rows());
        all
    }

    fn to_json(&self) -> String {
        Value::Object(self.json()).to_string() + "\n"
    }

    fn to_csv(&self) -> String {
        let mut text = String::new();
        let fixed = || self.parameters.iter().map(|(key, value)| (*key, plain(value)));
        let heads = self.shown_columns().map(|at| self.columns[at].key.clone());
        line(&mut text, heads.chain(fixed().map(|(key, _)| key.to_owned())));
        for row in &self.rows {
            let cells = self.shown_columns().map(|at| row[at].exact());
            line(&mut text, cells.chain(fixed().map(|(_, value)| value)));
        }
        text
    }

    fn to_markdown(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.parameters {
            let _ = writeln!(text, "* {key}: {}", escaped_markdown(&plain(value)));
        }
        let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let heads = self.shown_columns().map(|at| escaped_markdown(&self.columns[at].title));
        text.push('\n');
        text.push_str(&row(heads.collect()));
        let rule = self.shown_columns().map(|at| if self.is_text(at) { "---".to_owned() } else { "---:".to_owned() });
        text.push_str(&row(rule.collect()));
        for cells in &self.rows {
            text.push_str(&row(self.shown_columns().map(|at| escaped_markdown(&cells[at].shown())).collect()));
        }
        text
    }

    fn to_latex(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.parameters {
            let _ = writeln!(text, "% {key}: {}", plain(value).replace(['\n', '\r'], " "));
        }
        let kinds: String = self.shown_columns().map(|at| if self.is_text(at) { 'l' } else { 'r' }).collect();
        let _ = writeln!(text, "% \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{kinds}}}\n\\toprule");
        let row = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
        text.push_str(&row(self.shown_columns().map(|at| escaped_latex(&self.columns[at].title)).collect()));
        text.push_str("\\midrule\n");
        for cells in &self.rows {
            text.push_str(&row(self.shown_columns().map(|at| escaped_latex(&cells[at].shown())).collect()));
        }
        text.push_str("\\bottomrule\n\\end{tabular}\n");
        text
    }

    fn to_text(&self) -> String {
        let columns: Vec<usize> = self.shown_columns().collect();
        let heads = columns.iter().map(|&at| self.columns[at].title.clone()).collect();
        let cells = |row: &Vec<Cell>| columns.iter().map(|&at| row[at].shown()).collect();
        let lines: Vec<Vec<String>> = std::iter::once(heads).chain(self.rows.iter().map(cells)).collect();
        let width = |at: usize| lines.iter().map(|cells| cells[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        let mut text = String::new();
        for cells in &lines {
            let cells = cells.iter().zip(&widths).zip(&columns).map(|((cell, &width), &at)| {
                if self.is_text(at) { format!("{cell:width$}") } else { format!("{cell:>width$}") }
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            let _ = writeln!(text, "  {}", line.trim_end());
        }
        text
    }

    /// Those of which a cell is one value.
    fn shown_columns(&self) -> impl Iterator<Item = usize> {
        (0..self.columns.len()).filter(|&at| !self.rows.iter().any(|row| matches!(row[at], Cell::Numbers(_))))
    }

    fn is_text(&self, column: usize) -> bool {
        self.rows.iter().any(|row| matches!(row[column], Cell::Text(_)))
    }
}

fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    let quoted = |cell: String| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    };
    let cells: Vec<String> = cells.map(quoted).collect();
    let _ = write!(text, "{}\r\n", cells.join(","));
}

fn escaped_markdown(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if matches!(letter, '|' | '\\' | '*' | '_' | '`' | '<' | '[') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

fn escaped_latex(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', letter]),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            parameters: vec![("model", json!("a_b, \"c\"")), ("seeds", json!([0, 1]))],
            columns: vec![
                Column::new("name", "name"),
                Column::new("length", "length %"),
                Column::new("curve", "curve"),
                Column::new("index", "index"),
            ],
            rows: vec![
                vec!["smile & more".into(), 0.125.into(), Cell::Numbers(vec![0.5, 0.25]), 3_usize.into()],
                vec!["x|y\n".into(), f64::NAN.into(), Cell::Numbers(Vec::new()), 12_usize.into()],
            ],
        }
    }

    #[test]
    fn json_has_every_parameter_and_every_cell() {
        let found: Value = serde_json::from_str(&table().text(TableFormat::Json)).unwrap();
        let expected = json!({
            "model": "a_b, \"c\"", "seeds": [0, 1],
            "rows": [
                {"name": "smile & more", "length": 0.125, "curve": [0.5, 0.25], "index": 3},
                {"name": "x|y\n", "length": null, "curve": [], "index": 12},
            ],
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn csv_quotes_what_it_must() {
        let expected = "name,length,index,model,seeds\r\n\
            smile & more,0.125,3,\"a_b, \"\"c\"\"\",\"[0,1]\"\r\n\
            \"x|y\n\",,12,\"a_b, \"\"c\"\"\",\"[0,1]\"\r\n";
        assert_eq!(table().text(TableFormat::Csv), expected);
    }

    #[test]
    fn markdown_latex_and_text_are_for_people() {
        let markdown = table().text(TableFormat::Markdown);
        assert!(
            markdown.starts_with("* model: a\\_b, \"c\"\n* seeds: \\[0,1]\n\n| name | length % | index |\n"),
            "{markdown}"
        );
        assert!(
            markdown.ends_with("| --- | ---: | ---: |\n| smile & more | 0.1250 | 3 |\n| x\\|y  | - | 12 |\n"),
            "{markdown}"
        );
        let latex = table().text(TableFormat::Latex);
        assert!(
            latex.contains("\\begin{tabular}{lrr}\n\\toprule\nname & length \\% & index \\\\\n\\midrule\n"),
            "{latex}"
        );
        assert!(latex.contains("smile \\& more & 0.1250 & 3 \\\\\n") && latex.starts_with("% model: a_b"), "{latex}");
        let text = table().text(TableFormat::Text);
        assert_eq!(
            text,
            "  name          length %  index\n  smile & more    0.1250      3\n  x|y                  -     12\n"
        );
    }

    #[test]
    fn an_empty_table_has_its_heads() {
        let empty = Table { rows: Vec::new(), ..table() };
        assert_eq!(empty.text(TableFormat::Csv), "name,length,curve,index,model,seeds\r\n");
        assert!(empty.text(TableFormat::Latex).contains("name & length"));
    }
}
