//! `portcullis vault`: the keys that seal credentials.

use std::fmt::Write;

use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

use super::admin::{Admin, Asked, BUSY};
use super::run::runtime;
use super::{ConfigFile, Console, Exit, Failure};
use crate::admin::DataKeys;
use crate::config::Config;
use crate::run::vault::VaultDesk;

#[derive(Debug, Subcommand)]
pub(super) enum VaultCommand {
    /// Tell which sealing keys are still needed
    Status(ConfigFile),
    /// Wrap every tenant's data key under the current sealing key; what is broken off is begun again
    Rekey(ConfigFile),
}

impl VaultCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Status(file) => {
                let used = ask(console, &file, Asks::Status)?;
                console.data(&used, &status(&used));
                Ok(Exit::Done)
            }
            Self::Rekey(file) => {
                let done = ask(console, &file, Asks::Rekey)?;
                console.data(&done, &rekeyed(&done));
                match number(&done, "failed") {
                    0 => Ok(Exit::Done),
                    _ => {
                        console.note("write the keys that they need under `state.retired_sealing_keys`, then rekey again");
                        Ok(Exit::Failed)
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Asks {
    Status,
    Rekey,
}

/// Through the running gate, which has the store; where none runs, on the store itself.
fn ask(console: &mut Console<'_>, file: &ConfigFile, what: Asks) -> Result<Value, Failure> {
    let config = console.config(&file.config)?;
    if let Some(admin) = Admin::of(&config)? {
        let (method, path) = match what {
            Asks::Status => (Method::GET, "/v1/vault"),
            Asks::Rekey => (Method::POST, "/v1/vault/rekey"),
        };
        match admin.ask(method, path, None)? {
            Asked::Answer(answer) => return Ok(answer),
            Asked::NotRunning => {}
        }
    }
    let (config, _) = Config::open(&file.config, console.env).map_err(Failure::Config)?;
    let done = runtime(1)?.block_on(async {
        let desk = VaultDesk::open(&config).await?;
        match what {
            Asks::Status => desk.in_use().await,
            Asks::Rekey => desk.rekey().await,
        }
    });
    done.map_err(|error| Failure::new(error.to_string(), BUSY))
}

fn status(used: &Value) -> String {
    let current = used.get("current").and_then(Value::as_str).unwrap_or_default();
    let mut text = format!("current sealing key: {current}");
    for (members, what) in [
        ("data_keys", "data keys"),
        ("direct", "values that an older version sealed: set their secrets again"),
    ] {
        for (id, count) in used.get(members).and_then(Value::as_object).into_iter().flatten() {
            let _ = write!(text, "\nunder {id}: {count} {what}");
        }
    }
    text
}

fn rekeyed(done: &Value) -> String {
    let mut text = format!(
        "wrapped again: {}; current already: {}; failed: {}",
        number(done, "rewrapped"),
        number(done, "current"),
        number(done, "failed")
    );
    for because in done.get("because").and_then(Value::as_array).into_iter().flatten() {
        let word = |index: usize| because.get(index).and_then(Value::as_str).unwrap_or_default();
        let tenant = if word(0).is_empty() { "the gate's own" } else { word(0) };
        let _ = write!(text, "\n{tenant}: {}", word(1));
    }
    text
}

fn number(done: &Value, member: &str) -> u64 {
    done.get(member).and_then(Value::as_u64).unwrap_or_default()
}
