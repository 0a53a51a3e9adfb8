//! The command line: parse it, run one command.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Half of what the gate does for a call is small values that live for a moment.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let (mut input, mut out, mut err) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let console =
        portcullis::cli::Console::new(&mut input, &mut out, &mut err, &portcullis::config::ProcessEnv);
    portcullis::cli::main(std::env::args_os(), console).into()
}
