//! `portcullis policy canary`, `promote` and `rollback`: the steps of a candidate policy.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::super::admin::{self, Admin, Asked};
use super::super::run::runtime;
use super::super::{ConfigFile, Console, Exit, Failure};
use crate::config::Config;
use crate::decide::Decide;
use crate::gateway::Standing;

use crate::run::rollout::rolled_back;
use crate::store;

/// For whom the candidate decides.
#[derive(Debug, Args)]
pub(in crate::cli) struct Canary {
    #[command(flatten)]
    file: ConfigFile,
    /// For so many of a hundred tenants; a larger share has all tenants of a smaller one
    #[arg(long, value_name = "N", required_unless_present = "tenant", value_parser = clap::value_parser!(u8).range(0..=100))]
    percent: Option<u8>,
    /// For this tenant; repeat for more
    #[arg(long, value_name = "T")]
    tenant: Vec<String>,
}

/// Which candidate is to serve.
#[derive(Debug, Args)]
pub(in crate::cli) struct Promote {
    #[command(flatten)]
    file: ConfigFile,
    /// The revision that you looked at; another one is not promoted
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
}

/// The way back.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rollback {
    #[command(flatten)]
    file: ConfigFile,
}

impl Canary {
    pub(in crate::cli) fn run(&self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let body = json!({"tenants": self.tenant, "percent": self.percent.unwrap_or_default()});
        let now = asked(console, &self.file, Method::POST, "/v1/policy/canary", Some(&body))?;
        console.data(&now, &told(&now));
        Ok(Exit::Done)
    }
}

impl Promote {
    pub(in crate::cli) fn run(&self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let body = json!({"revision": self.revision});
        let now = asked(console, &self.file, Method::POST, "/v1/policy/promote", Some(&body))?;
        console.data(&now, &told(&now));
        console.note(
            "put the candidate's files into the configured directory: a change there ends the promotion",
        );
        Ok(Exit::Done)
    }
}

impl Rollback {
    /// Through the running gate; where none runs, in its store.
    pub(in crate::cli) fn run(&self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let config = console.config(&self.file.config)?;
        let asked = match Admin::of(&config)? {
            Some(admin) => admin.ask(Method::POST, "/v1/policy/rollback", Some(&json!({})))?,
            None => Asked::NotRunning,
        };
        match asked {
            Asked::Answer(now) => console.data(&now, &told(&now)),
            Asked::NotRunning => {
                in_store(&config)?;
                let done = "rolled back: the configured policy decides for everyone when the gate starts";
                console.data(&json!({"rolled_back": true}), &done);
            }
        }
        Ok(Exit::Done)
    }
}

fn in_store(config: &Config) -> Result<(), Failure> {
    let failed = |error: crate::store::StoreError| Failure::new(error.to_string(), admin::BUSY);
    let candidate = config.candidate.as_ref().and_then(|it| Decide::revision_of(&it.policy.directory));
    runtime(1)?.block_on(async {
        let store = store::open(&config.state).await.map_err(failed)?;
        let standing = rolled_back(&Standing::read(store.as_ref()).await.unwrap_or_default(), candidate);
        standing.write(store.as_ref()).await.map_err(failed)
    })
}

/// Asks the running gate.
pub(super) fn asked(
    console: &mut Console<'_>,
    file: &ConfigFile,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let config = console.config(&file.config)?;
    let asked = match Admin::of(&config)? {
        Some(admin) => admin.ask(method, path, body)?,
        None => Asked::NotRunning,
    };
    match asked {
        Asked::Answer(answer) => Ok(answer),
        Asked::NotRunning => {
            let hint = "start it; where it has no `admin` listener, give it one";
            Err(Failure::new("no gate runs with this configuration that could be asked", hint))
        }
    }
}

/// What serves and what is tried, in words.
pub(super) fn told(status: &Value) -> String {
    let word = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let is = |pointer: &str| status.pointer(pointer).and_then(Value::as_bool) == Some(true);
    let mut text = match is("/live/promoted") {
        false => format!("serves     {} of {}", word("/live/revision"), word("/live/directory/path")),
        true => format!(
            "serves     {}, the candidate that was promoted over {} of {}",
            word("/live/revision"),
            word("/live/directory/revision"),
            word("/live/directory/path")
        ),
    };
    if status.get("candidate").is_some_and(Value::is_object) {
        let stage = match word("/candidate/stage") {
            "shadow" => "in shadow: it is compared, and decides for nobody".to_owned(),
            "canary" => canary(status.pointer("/candidate/canary").unwrap_or(&Value::Null)),
            _ => "the same as what serves".to_owned(),
        };
        let place = word("/candidate/directory");
        text.push_str(&format!(
            "\ncandidate  {} of {place}\n           {stage}",
            word("/candidate/revision")
        ));
    } else {
        text.push_str("\ncandidate  none");
    }
    if is("/candidate/suspended") {
        text.push_str("\nsuspended  it is too slow, and is not compared until it changes");
    }
    if !word("/problem").is_empty() {
        text.push_str(&format!("\nbroken     the candidate's directory: {}", word("/problem")));
    }
    text
}

fn canary(canary: &Value) -> String {
    let tenants = canary.get("tenants").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let tenants: Vec<&str> = tenants.iter().filter_map(Value::as_str).collect();
    let percent = canary.get("percent").and_then(Value::as_u64).unwrap_or_default();
    let share = (percent > 0).then(|| format!("{percent} of 100 tenants"));
    let whom: Vec<String> =
        (!tenants.is_empty()).then(|| tenants.join(", ")).into_iter().chain(share).collect();
    format!("canary: it decides for {}, and is compared for the others", whom.join(" and "))
}
