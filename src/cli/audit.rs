//! `portcullis audit`: prove that the chain is whole, and read it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Console, Exit, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Find a changed, missing, reordered or cut-off line, and say which
    Verify {
        /// The audit directory
        directory: PathBuf,
    },
    /// Print lines of the audit
    Show(Show),
}

/// Which lines are printed: those that fit everything that is given.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The audit directory
    pub(super) directory: PathBuf,
    /// Of one invocation
    #[arg(long, value_name = "ID")]
    pub(super) invocation: Option<String>,
    /// Of one tenant
    #[arg(long, value_name = "T")]
    pub(super) tenant: Option<String>,
    /// Of one tool
    #[arg(long, value_name = "T")]
    pub(super) tool: Option<String>,
    /// The last so many
    #[arg(long, value_name = "N")]
    pub(super) last: Option<NonZeroUsize>,
}

impl AuditCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Verify { directory } => {
                is_directory(&directory)?;
                verify(&directory, console)
            }
            Self::Show(wanted) => {
                is_directory(&wanted.directory)?;
                show(&wanted, console)
            }
        }
    }
}

fn is_directory(directory: &Path) -> Result<(), Failure> {
    match directory.is_dir() {
        true => Ok(()),
        false => Err(Failure::new(
            format!("there is no directory `{}`", directory.display()),
            "name the directory that `audit.directory` names in the configuration",
        )),
    }
}

/// Verifies the chain; `Exit::Invalid` where it is broken. NOT WIRED: the record's verification answers here.
fn verify(directory: &Path, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let _ = (directory, console);
    Err(Failure::not_wired("audit verify"))
}

/// Prints the lines that are wanted. NOT WIRED: the record's reader answers here.
fn show(wanted: &Show, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let _ = (wanted, console);
    Err(Failure::not_wired("audit show"))
}
