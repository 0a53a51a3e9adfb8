//! `portcullis completions`: completions for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Console, Exit};

#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, console: &mut Console<'_>) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "portcullis", &mut script);
        // Whoever closed the pipe has read enough.
        let _ = console.out.write_all(&script);
        Exit::Done
    }
}
