//! The command line: parse it, run one command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let (mut input, mut out, mut err) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let console =
        portcullis::cli::Console::new(&mut input, &mut out, &mut err, &portcullis::config::ProcessEnv);
    portcullis::cli::main(std::env::args_os(), console).into()
}
