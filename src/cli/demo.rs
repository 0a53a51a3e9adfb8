//! `portcullis demo`: a gate before a sample server, with an allowed and a refused call.

use super::{Exit, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Show it and exit
    #[arg(long)]
    once: bool,
}

impl Demo {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        demo(self.once)
    }
}

/// Runs the demonstration. NOT WIRED: it starts here.
///
/// # Errors
/// It could not be shown.
pub fn demo(once: bool) -> Result<Exit, Failure> {
    let _ = once;
    Err(Failure::not_wired("demo"))
}
