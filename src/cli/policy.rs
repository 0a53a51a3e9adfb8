//! `portcullis policy`: test policies, ask them, and see them as a whole.

mod diff;
mod explain;
mod matrix;
mod pull;
mod replay;
mod rollout;
mod running;
mod shadow;
mod test;

pub(super) use pull::kept;

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use super::{Console, Exit, Failure};
use crate::config::Policy;
use crate::decide::PolicyProblem;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Run the tests and cases in a policy directory
    Test(test::Test),
    /// Ask whether a call would be allowed, and by which rules; exit 2 when denied
    Explain(Box<explain::Explain>),
    /// Fetch the policies from their source once, verify and check them, and serve nothing
    Pull(pull::Pull),
    /// Show who may do what: every role or caller against every tool
    Matrix(Box<matrix::MatrixCommand>),
    /// Show what a change of policy lets whom do; exit 2 where that is more than was expected
    Diff(Box<diff::Diff>),
    /// Show what the candidate policy would change on live traffic
    #[command(subcommand)]
    Shadow(shadow::ShadowCommand),
    /// Let the candidate policy decide for some tenants
    Canary(rollout::Canary),
    /// Let the candidate policy serve
    Promote(rollout::Promote),
    /// Take the candidate policy back: the configured one decides for everyone at once
    Rollback(rollout::Rollback),
    /// Judge recorded decisions again by another policy; exit 2 where something is newly allowed
    Replay(Box<replay::ReplayCommand>),
}

impl PolicyCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Matrix(command) => command.run(console),
            Self::Diff(command) => command.run(console),
            Self::Pull(command) => command.run(console),
            Self::Replay(command) => command.run(console),
            Self::Test(test) => test.run(console),
            Self::Explain(question) => question.run(console),
            Self::Shadow(command) => command.run(console),
            Self::Canary(command) => command.run(console),
            Self::Promote(command) => command.run(console),
            Self::Rollback(command) => command.run(console),
        }
    }
}

/// A policy directory by itself.
pub(super) fn alone(directory: PathBuf) -> Policy {
    Policy { directory, timeout: Duration::from_millis(20), cache: 0 }
}

fn invalid(problems: &[PolicyProblem], console: &mut Console<'_>) -> Exit {
    for problem in problems {
        console.note(format_args!("error: {problem}"));
    }
    Exit::Invalid
}
