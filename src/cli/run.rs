//! `portcullis run`: the gate.

use super::{ConfigFile, Console, Exit, Failure};
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    file: ConfigFile,
}

impl Run {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let (config, warnings) = Config::open(&self.file.config, console.env).map_err(Failure::Config)?;
        for warning in warnings {
            console.note(format_args!("warning: {warning}"));
        }
        run(config)
    }
}

/// Runs the gate until it is told to stop. NOT WIRED: the gate starts here.
///
/// # Errors
/// It could not start.
pub fn run(config: Config) -> Result<Exit, Failure> {
    drop(config);
    Err(Failure::not_wired("run"))
}
