//! Tables of results: how they are printed and saved.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use super::print;
use crate::export::{Table, TableFormat};
use crate::files;

/// The form of a table.
#[derive(Args)]
#[group(multiple = false)]
pub struct FormatArguments {
    /// Print JSON instead of a table: everything that was measured, and what it was measured with
    #[arg(long)]
    json: bool,

    /// Print comma-separated values
    #[arg(long)]
    csv: bool,

    /// Print a table in Markdown
    #[arg(long)]
    markdown: bool,

    /// Print a table in LaTeX (booktabs)
    #[arg(long)]
    latex: bool,
}

#[derive(Args)]
pub struct TableArguments {
    #[command(flatten)]
    format: FormatArguments,

    /// Also save the table as .json, .csv, .md, .tex or .txt
    #[arg(long, value_name = "FILE", value_parser = table_file)]
    out: Option<PathBuf>,
}

fn table_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    TableFormat::of(&path)
        .map(|_| path)
        .ok_or_else(|| "expected a name ending in .json, .csv, .md, .tex or .txt".into())
}

pub fn png_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    is_png.then_some(path).ok_or_else(|| "expected a name ending in .png".into())
}

impl FormatArguments {
    fn chosen(&self) -> TableFormat {
        let formats = [
            (self.json, TableFormat::Json),
            (self.csv, TableFormat::Csv),
            (self.markdown, TableFormat::Markdown),
            (self.latex, TableFormat::Latex),
        ];
        formats.into_iter().find(|(is_chosen, _)| *is_chosen).map_or(TableFormat::Text, |(_, format)| format)
    }
}

impl TableArguments {
    /// Prints and saves a table. `long`: the same with a row for each value, for programs; `more`: what JSON has besides. `title`
    /// stands over it on a terminal.
    pub fn show(
        &self,
        title: &str,
        table: &Table,
        long: Option<&Table>,
        more: Map<String, Value>,
    ) -> anyhow::Result<()> {
        let text = |format| match format {
            TableFormat::Json => {
                let mut all = long.unwrap_or(table).json();
                all.extend(more.clone());
                Value::Object(all).to_string() + "\n"
            }
            TableFormat::Csv => long.unwrap_or(table).text(format),
            TableFormat::Text => format!("{title}\n{}", table.text(format)),
            TableFormat::Markdown | TableFormat::Latex => table.text(format),
        };
        if let Some(path) = &self.out {
            let format = TableFormat::of(path).unwrap_or(TableFormat::Text);
            files::write_bytes(path, text(format).as_bytes())?;
        }
        print(&text(self.format.chosen()))
    }
}
