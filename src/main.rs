use std::process::ExitCode;

fn main() -> ExitCode {
    sefa_studio::cli::main()
}
