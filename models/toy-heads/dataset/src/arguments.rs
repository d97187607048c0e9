//! The command line.

use std::path::PathBuf;

/// How to call the program.
pub const USAGE: &str = "usage:
  toy-heads-dataset --count N --out FOLDER [--size 128] [--seed 1] [--threads T]
  toy-heads-dataset --factors FILE.npy --out FOLDER [--size 128] [--threads T]
  toy-heads-dataset --sheet FILE.png [--rows 4] [--columns 8] [--size 128] [--seed 1]
  toy-heads-dataset --sweep FACTOR --sheet FILE.png [--rows 4] [--columns 8] [--size 128] [--seed 1]";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
pub struct Task {
    /// Number of pictures of a data set.
    pub count: Option<usize>,
    /// File of the factors that the heads of a data set are to have, in place of a count and a seed.
    pub factors: Option<PathBuf>,
    /// Folder of a data set.
    pub out: Option<PathBuf>,
    /// File of a contact sheet.
    pub sheet: Option<PathBuf>,
    /// The factor a sheet goes through from left to right.
    pub sweep: Option<String>,
    /// Height and width of a picture.
    pub size: usize,
    /// Seed of the data set.
    pub seed: u64,
    /// Rows of a sheet.
    pub rows: usize,
    /// Columns of a sheet.
    pub columns: usize,
    /// Threads; 0 for one a core.
    pub threads: usize,
}

/// Reads the words of a command line.
pub fn parse(words: &[String]) -> Result<Task, String> {
    let mut task = Task { size: 128, seed: 1, rows: 4, columns: 8, ..Task::default() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if matches!(word.as_str(), "--help" | "-h") {
            return Err(USAGE.to_owned());
        }
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value\n{USAGE}"));
        match word.as_str() {
            "--count" => task.count = Some(number(word, value()?, 1, 10_000_000)?),
            "--factors" => task.factors = Some(value()?.into()),
            "--out" => task.out = Some(value()?.into()),
            "--sheet" => task.sheet = Some(value()?.into()),
            "--sweep" => task.sweep = Some(value()?.clone()),
            "--size" => task.size = number(word, value()?, 8, 2048)?,
            "--seed" => {
                task.seed = value()?.parse().map_err(|_| "--seed wants a whole number, 0 or more".to_owned())?
            }
            "--rows" => task.rows = number(word, value()?, 1, 100)?,
            "--columns" => task.columns = number(word, value()?, 1, 100)?,
            "--threads" => task.threads = number(word, value()?, 0, 1024)?,
            _ => return Err(format!("{word} is not an option\n{USAGE}")),
        }
    }
    let heads = usize::from(task.count.is_some()) + usize::from(task.factors.is_some());
    match (heads, &task.out, &task.sheet) {
        (1, Some(_), None) if task.sweep.is_none() => Ok(task),
        (0, None, Some(_)) => Ok(task),
        _ => Err(format!("either --count or --factors, with --out, or --sheet\n{USAGE}")),
    }
}

fn number(word: &str, value: &str, low: usize, high: usize) -> Result<usize, String> {
    let wrong = || format!("{word} wants a whole number from {low} to {high}, not {value}");
    value.parse().ok().filter(|n| (low..=high).contains(n)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Task, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_command_line_says_one_thing() {
        assert_eq!(read("--count 5 --out x --seed 7").unwrap().seed, 7);
        assert_eq!(read("--sheet x.png --rows 2").unwrap().rows, 2);
        assert!(read("--factors x.npy --out x").unwrap().factors.is_some());
        for wrong in [
            "",
            "--count 5",
            "--factors x.npy",
            "--factors x.npy --count 5 --out x",
            "--count 0 --out x",
            "--count 5 --out x --sheet y",
            "--size",
            "--what 3",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
