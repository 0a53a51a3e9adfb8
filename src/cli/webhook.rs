//! `portcullis webhook`: signed notices that were not taken yet, and those that are dead.

use std::fmt::Write;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::admin::{Admin, Asked, BUSY};
use super::run::runtime;
use super::{ConfigFile, Console, Exit, Failure};
use crate::admin::{Connects, DeskError};
use crate::config::Config;
use crate::run::connect::ConnectDesk;

#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    /// List the notices that were not taken yet; those without a next attempt are dead
    List(ConfigFile),
    /// Send a notice again, as if it were new
    Replay(Replay),
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    file: ConfigFile,
    /// The notice's id
    id: String,
}

impl WebhookCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::List(file) => {
                let config = console.config(&file.config)?;
                let notices: Vec<Value> = all(console, &config, &file)?.iter().map(shown).collect();
                let text = table(&notices);
                console.data(&notices, &text);
            }
            Self::Replay(replay) => {
                let config = console.config(&replay.file.config)?;
                replay.send(console, &config)?;
                console.data(&json!({"replayed": replay.id}), &format_args!("{} is sent again", replay.id));
            }
        }
        Ok(Exit::Done)
    }
}

impl Replay {
    fn send(&self, console: &Console<'_>, config: &Config) -> Result<(), Failure> {
        let is_id = self.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if let Some(admin) = Admin::of(config)?.filter(|_| is_id) {
            let path = format!("/v1/webhooks/{}/replay", self.id);
            if let Asked::Answer(_) = admin.ask(Method::POST, &path, None)? {
                return Ok(());
            }
        }
        let (config, _) = Config::open(&self.file.config, console.env).map_err(Failure::Config)?;
        let done = runtime(1)?.block_on(async { ConnectDesk::open(&config).await?.replay(&self.id).await });
        match done.map_err(failed)? {
            true => Ok(()),
            false => Err(Failure::new(
                format!("there is no notice `{}`", self.id),
                "see `portcullis webhook list`",
            )),
        }
    }
}

fn all(console: &Console<'_>, config: &Config, file: &ConfigFile) -> Result<Vec<Value>, Failure> {
    if let Some(admin) = Admin::of(config)?
        && let Asked::Answer(answer) = admin.ask(Method::GET, "/v1/webhooks", None)?
    {
        return Ok(answer.get("notices").and_then(Value::as_array).cloned().unwrap_or_default());
    }
    let (config, _) = Config::open(&file.config, console.env).map_err(Failure::Config)?;
    let asked = runtime(1)?.block_on(async { ConnectDesk::open(&config).await?.notices().await });
    asked.map_err(failed)
}

fn failed(error: DeskError) -> Failure {
    Failure::new(error.to_string(), BUSY)
}

fn table(notices: &[Value]) -> String {
    let mut text = format!(
        "{:<38}{:<20}{:<24}{:<10}{:<30}{}",
        "ID", "TENANT", "TYPE", "ATTEMPTS", "NEXT", "LAST FAILURE"
    );
    for notice in notices {
        let word = |key: &str| match notice.get(key) {
            Some(Value::String(word)) => word.clone(),
            Some(Value::Null) | None => "-".to_owned(),
            Some(other) => other.to_string(),
        };
        let next =
            if notice.get("next_at").is_some_and(Value::is_string) { word("next_at") } else { "dead".into() };
        let _ = write!(
            text,
            "\n{:<38}{:<20}{:<24}{:<10}{next:<30}{}",
            word("id"),
            word("tenant"),
            word("type"),
            word("attempts"),
            word("last_failure")
        );
    }
    text
}

/// A notice for people: its body read.
fn shown(notice: &Value) -> Value {
    let of = |key: &str| notice.get(key).cloned().unwrap_or_default();
    let body: Value =
        of("body").as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    json!({
        "id": of("id"),
        "tenant": of("tenant"),
        "type": body.get("type").cloned().unwrap_or_default(),
        "data": body.get("data").cloned().unwrap_or_default(),
        "made_at": of("made_at"),
        "attempts": of("attempts"),
        "next_at": of("next_at"),
        "last_failure": of("last_failure"),
    })
}
