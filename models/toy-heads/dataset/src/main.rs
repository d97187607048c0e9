//! Renders the toy-heads data set: small clay heads of which every factor is known.

mod arguments;
mod factors;
mod lanes;
mod output;
mod render;
mod scene;
mod shade;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match arguments::parse(&words).and_then(|task| output::run(&task)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
