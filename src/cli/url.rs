//! `portcullis url`: scoped URLs.

use std::fmt::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::admin::{Admin, Asked};
use super::{ConfigFile, Console, Exit, Failure};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum UrlCommand {
    /// Make a scoped URL; it is shown once
    Create(Create),
    /// List a tenant's scoped URLs
    List(List),
    /// Revoke a scoped URL at once
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant
    #[arg(long)]
    tenant: String,
    /// The server that it leads to
    #[arg(long)]
    server: String,
    /// A class (read, write, custom) or an operation that it admits; repeat for more [default: any]
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// A tag, one of which a tool must have; repeat for more [default: any]
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// When it ends, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "expires_in")]
    expires_at: Option<jiff::Timestamp>,
    /// After which time it ends, such as 7d
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    expires_in: Option<Duration>,
    /// Whether a JWT or an API key is needed as well
    #[arg(long)]
    second_factor: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant
    #[arg(long)]
    tenant: String,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant
    #[arg(long)]
    tenant: String,
    /// The id of the URL, as `url list` shows it
    id: String,
}

/// What is asked of the gate, or of its store.
pub(super) enum Request {
    /// Make one from this body of `POST /v1/urls`.
    Create(Value),
    /// Those of a tenant.
    List { tenant: String },
    /// Revoke one.
    Revoke { tenant: String, id: String },
}

impl UrlCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Create(create) => {
                let config = console.config(&create.file.config)?;
                let made = ask(&config, Request::Create(create.body(console)?))?;
                let url = made.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
                console.data(&made, &url);
                console.note("the URL is not shown again: whoever has it can use it");
            }
            Self::List(List { file, tenant }) => {
                let config = console.config(&file.config)?;
                let urls = ask(&config, Request::List { tenant })?;
                let text = table(&urls);
                console.data(&urls, &text);
            }
            Self::Revoke(Revoke { file, tenant, id }) => {
                let config = console.config(&file.config)?;
                ask(&config, Request::Revoke { tenant, id: id.clone() })?;
                console.data(&json!({"revoked": id}), &format_args!("revoked {id}"));
            }
        }
        Ok(Exit::Done)
    }
}

impl Create {
    fn body(&self, console: &Console<'_>) -> Result<Value, Failure> {
        let ends_in = self.expires_in.map(|after| {
            let after = jiff::SignedDuration::try_from(after).ok();
            after.and_then(|after| console.env.now().checked_add(after).ok())
        });
        let expires_at = match ends_in {
            None => self.expires_at,
            Some(Some(end)) => Some(end),
            Some(None) => {
                return Err(Failure::new(
                    "`--expires-in` is too far away",
                    "give a shorter time, such as `7d`",
                ));
            }
        };
        if expires_at.is_some_and(|end| end <= console.env.now()) {
            return Err(Failure::new("the URL would have ended already", "give a time that is to come"));
        }
        Ok(json!({
            "tenant": self.tenant,
            "server": self.server,
            "methods": self.methods,
            "tags": self.tags,
            "expires_at": expires_at.map(|end| end.to_string()),
            "second_factor": self.second_factor,
        }))
    }
}

/// Through the running gate; where none runs, on its store.
fn ask(config: &Config, request: Request) -> Result<Value, Failure> {
    let Some(admin) = Admin::of(config)? else { return on_store(config, request) };
    let asked = match &request {
        Request::Create(body) => admin.ask(Method::POST, "/v1/urls", Some(body))?,
        Request::List { tenant } => {
            admin.ask(Method::GET, &format!("/v1/urls?tenant={}", escaped(tenant)), None)?
        }
        Request::Revoke { tenant, id } => {
            let path = format!("/v1/urls/{}?tenant={}", escaped(id), escaped(tenant));
            admin.ask(Method::DELETE, &path, None)?
        }
    };
    match asked {
        Asked::Answer(answer) => Ok(answer),
        Asked::NotRunning => on_store(config, request),
    }
}

/// Does it on the store of a gate that does not run. NOT WIRED: `ScopedUrls` over the file store answers here, with the
/// bodies of the admin API.
fn on_store(config: &Config, request: Request) -> Result<Value, Failure> {
    let _ = (config, request);
    Err(Failure::new(
        "no gate runs with this configuration",
        "start it with `portcullis run`, then try again",
    ))
}

/// Percent-encoding of all but unreserved characters (RFC 3986 section 2.3).
pub(super) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

fn table(urls: &Value) -> String {
    let mut text = format!("{:<28}{:<20}{:<20}{:<20}{}", "ID", "SERVER", "METHODS", "TAGS", "EXPIRES");
    for url in urls.as_array().into_iter().flatten() {
        let word = |key: &str| url.get(key).and_then(Value::as_str).unwrap_or("never").to_owned();
        let words = |key: &str| {
            let list = url.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let joined = list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
            if joined.is_empty() { "any".to_owned() } else { joined }
        };
        let (methods, tags) = (words("methods"), words("tags"));
        let _ = write!(
            text,
            "\n{:<28}{:<20}{methods:<20}{tags:<20}{}",
            word("id"),
            word("server"),
            word("expires_at")
        );
    }
    text
}
