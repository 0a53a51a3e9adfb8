//! `portcullis check`: all mistakes at once.

use std::path::PathBuf;

use serde_json::json;

use super::policy::{alone, kept};
use super::{Console, Exit};
use crate::catalogue::Pins;
use crate::config::{BadConfig, Config, Policy, Warning};
use crate::decide::Decide;

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
    pins: Option<String>,
    doubts: Vec<String>,
    notes: Vec<String>,
}

impl Check {
    pub(super) fn run(self, console: &mut Console<'_>) -> Exit {
        let mut found = Found::default();
        let file = match (self.config, &self.policies) {
            (None, Some(_)) => None,
            (Some(file), _) => Some(file),
            (None, None) => Some(PathBuf::from("portcullis.yaml")),
        };
        let (mut servers, mut candidate) = (None, None);
        let mut policy = self.policies.map(alone);
        let mut copy = None;
        if let Some(file) = file {
            match Config::load(&file, console.env) {
                Ok((config, warnings)) => {
                    found.pins = Pins::load(&config).err().map(|bad| bad.to_string());
                    if policy.is_none() {
                        match kept(&config) {
                            Ok(kept) => {
                                policy.clone_from(&kept.policy);
                                found.notes.clone_from(&kept.notes);
                                copy = Some(kept);
                            }
                            Err(problems) => found.policies = problems,
                        }
                    }
                    candidate = config.candidate.map(|candidate| candidate.policy);
                    servers = Some(config.servers);
                    found.warnings = warnings;
                }
                Err(errors) => found.errors = errors,
            }
        }
        if let Some(policy) = policy {
            found.policies.extend(policies(&policy));
            // One that is not there yet is warned of already.
            let there = candidate.filter(|candidate| candidate.directory.is_dir());
            found.policies.extend(there.iter().flat_map(policies));
            let doubts = Decide::lint(&policy.directory, servers.as_ref());
            found.doubts = doubts.iter().map(ToString::to_string).collect();
        }
        drop(copy);
        found.tell(console)
    }
}

impl Found {
    fn tell(self, console: &mut Console<'_>) -> Exit {
        for warning in &self.warnings {
            console.note(format_args!("warning: {warning}"));
        }
        for note in &self.notes {
            console.note(format_args!("note: {note}"));
        }
        for doubt in &self.doubts {
            console.note(format_args!("warning: {doubt}"));
        }
        for error in &self.errors {
            console.note(format_args!("error: {error}"));
        }
        for problem in &self.policies {
            console.note(format_args!("error: {problem}"));
        }
        if let Some(problem) = &self.pins {
            console.note(format_args!("error: {problem}"));
        }
        let mistakes = self.errors.len() + self.policies.len() + usize::from(self.pins.is_some());
        let value = json!({
            "valid": mistakes == 0,
            "errors": self.errors,
            "warnings": self.warnings,
            "policies": self.policies,
            "pins": self.pins,
            "policy_warnings": self.doubts,
            "notes": self.notes,
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

/// The mistakes in a policy directory, as `file:line:column: what; fix`; its tests are run as well.
fn policies(policy: &Policy) -> Vec<String> {
    let loaded = Decide::load(policy);
    loaded.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}
