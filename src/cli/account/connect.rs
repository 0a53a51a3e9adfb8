//! `portcullis account connect` and `status`: accounts that a person connects.

use std::fmt::Write;

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::admin::{Connects, DeskError};
use crate::cli::admin::{Admin, Asked, BUSY};
use crate::cli::run::runtime;
use crate::cli::{ConfigFile, Console, Exit, Failure};
use crate::config::Config;
use crate::name::TenantId;
use crate::run::connect::ConnectDesk;

#[derive(Debug, Args)]
pub(in crate::cli) struct Connect {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant
    tenant: String,
    /// The server
    server: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant; without it every one
    tenant: Option<String>,
}

impl Connect {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let config = console.config(&self.file.config)?;
        let not_running = || {
            let hint = "start it: whoever opens the URL comes back to the gate";
            Failure::new("no gate runs with this configuration that has an `admin` listener", hint)
        };
        let admin = Admin::of(&config)?.ok_or_else(not_running)?;
        let path = format!("/v1/accounts/{}/{}/connect", segment(&self.tenant), segment(&self.server));
        let Asked::Answer(consent) = admin.ask(Method::POST, &path, None)? else {
            return Err(not_running());
        };
        let word = |key: &str| consent.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        console.note(format_args!(
            "open this URL as somebody who may connect {} to {}, until {}:",
            self.tenant,
            self.server,
            word("expires_at")
        ));
        console.data(&consent, &word("url"));
        Ok(Exit::Done)
    }
}

impl Status {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let config = console.config(&self.file.config)?;
        let tenant = self.tenant.as_deref().map(TenantId::parse).transpose();
        let tenant = tenant.map_err(|why| Failure::new(format!("this is no tenant: {why}"), "name one"))?;
        let grants = self.ask(console, &config, tenant.as_ref())?;
        let text = table(&grants);
        console.data(&grants, &text);
        Ok(Exit::Done)
    }

    fn ask(
        &self,
        console: &Console<'_>,
        config: &Config,
        tenant: Option<&TenantId>,
    ) -> Result<Vec<Value>, Failure> {
        if let Some(admin) = Admin::of(config)? {
            let whose = tenant.map_or_else(String::new, |it| format!("?tenant={}", segment(it.as_str())));
            if let Asked::Answer(answer) = admin.ask(Method::GET, &format!("/v1/grants{whose}"), None)? {
                return Ok(answer.get("grants").and_then(Value::as_array).cloned().unwrap_or_default());
            }
        }
        let (config, _) = Config::open(&self.file.config, console.env).map_err(Failure::Config)?;
        let asked = runtime(1)?.block_on(async { ConnectDesk::open(&config).await?.grants(tenant).await });
        asked.map_err(|error: DeskError| Failure::new(error.to_string(), BUSY))
    }
}

fn segment(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn table(grants: &[Value]) -> String {
    let mut text = format!(
        "{:<20}{:<20}{:<15}{:<12}{:<12}{:<14}{}",
        "TENANT", "SERVER", "STATE", "AGE", "ENDS IN", "REFRESHED", "FAILURES"
    );
    let now = jiff::Timestamp::now();
    for grant in grants {
        let word = |key: &str| grant.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
        let time = |key: &str| grant.get(key).and_then(Value::as_str).and_then(|text| text.parse().ok());
        let since = |key: &str| span(time(key).map(|at: jiff::Timestamp| now.as_second() - at.as_second()));
        let until = span(time("expires_at").map(|at: jiff::Timestamp| at.as_second() - now.as_second()));
        let refreshes = grant.get("refreshes").and_then(Value::as_u64).unwrap_or_default();
        let failures = match (grant.get("failures").and_then(Value::as_u64), word("last_failure").as_str()) {
            (None | Some(0), _) => "-".to_owned(),
            (Some(count), why) => format!("{count} ({why})"),
        };
        let _ = write!(
            text,
            "\n{:<20}{:<20}{:<15}{:<12}{until:<12}{:<14}{failures}",
            word("tenant"),
            word("server"),
            word("state"),
            since("connected_at"),
            format!("{refreshes}x, {}", since("refreshed_at")),
        );
    }
    text
}

fn span(seconds: Option<i64>) -> String {
    match seconds.map(u64::try_from) {
        None => "-".to_owned(),
        Some(Err(_)) => "ended".to_owned(),
        Some(Ok(seconds)) => {
            let coarse = if seconds > 3600 { seconds - seconds % 60 } else { seconds };
            humantime::format_duration(std::time::Duration::from_secs(coarse)).to_string().replace(' ', "")
        }
    }
}
