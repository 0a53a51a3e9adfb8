//! `portcullis check`: all mistakes at once.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Console, Exit};
use crate::config::{BadConfig, Config, Warning};

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The configuration [default: portcullis.yaml, unless --policies is given alone]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The policies, instead of those that the configuration names
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
}

/// What a check found.
#[derive(Default)]
struct Found {
    errors: Vec<BadConfig>,
    warnings: Vec<Warning>,
    policies: Vec<String>,
}

impl Check {
    pub(super) fn run(self, console: &mut Console<'_>) -> Exit {
        let mut found = Found::default();
        let file = match (self.config, &self.policies) {
            (None, Some(_)) => None,
            (Some(file), _) => Some(file),
            (None, None) => Some(PathBuf::from("portcullis.yaml")),
        };
        let mut directory = self.policies;
        if let Some(file) = file {
            match Config::load(&file, console.env) {
                Ok((config, warnings)) => {
                    directory = directory.or(Some(config.policy.directory));
                    found.warnings = warnings;
                }
                Err(errors) => found.errors = errors,
            }
        }
        if let Some(directory) = directory {
            found.policies = policies(&directory);
        }
        found.tell(console)
    }
}

impl Found {
    fn tell(self, console: &mut Console<'_>) -> Exit {
        for warning in &self.warnings {
            console.note(format_args!("warning: {warning}"));
        }
        for error in &self.errors {
            console.note(format_args!("error: {error}"));
        }
        for problem in &self.policies {
            console.note(format_args!("error: {problem}"));
        }
        let mistakes = self.errors.len() + self.policies.len();
        let value = json!({
            "valid": mistakes == 0,
            "errors": self.errors,
            "warnings": self.warnings,
            "policies": self.policies,
        });
        let text = match mistakes {
            0 => "valid".to_owned(),
            1 => "1 mistake".to_owned(),
            more => format!("{more} mistakes"),
        };
        console.data(&value, &text);
        if mistakes == 0 { Exit::Done } else { Exit::Invalid }
    }
}

/// The mistakes in a policy directory, as `file:line:column: what; fix`. NOT WIRED: `Decide::load` answers here; until then
/// only what can be seen from outside is said.
fn policies(directory: &Path) -> Vec<String> {
    match directory.is_dir() {
        true => Vec::new(),
        false => vec![format!(
            "{}: there is no such directory; name the directory of the policies",
            directory.display()
        )],
    }
}
