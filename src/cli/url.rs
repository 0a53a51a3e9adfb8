//! `portcullis url`: scoped URLs.

use std::fmt::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::admin::{Admin, Asked};
use super::run::runtime;
use super::{ConfigFile, Console, Exit, Failure, admin};
use crate::admin::{NewUrl, UrlError, Urls};
use crate::config::Config;
use crate::name::{TenantId, UrlId};
use crate::run::desk::Desk;

#[derive(Debug, Subcommand)]
pub(super) enum UrlCommand {
    /// Make a scoped URL; it is shown once
    Create(Box<Create>),
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
    /// The user that its holder acts for
    #[arg(long)]
    user: Option<String>,
    /// The agent that holds it
    #[arg(long)]
    agent: Option<String>,
    /// A role of its holder; repeat for more [default: the tenant's `scoped-url`]
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A group of its holder; repeat for more
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// An attribute of its holder: a name and a text or JSON; repeat for more
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, Value)>,
    /// Classes (read, write, custom) or operations that it admits, with commas [default: any]
    #[arg(long, alias = "method", value_name = "METHODS", value_delimiter = ',')]
    methods: Vec<String>,
    /// Tags, one of which a tool must have, with commas [default: any]
    #[arg(long, alias = "tag", value_name = "TAGS", value_delimiter = ',')]
    tags: Vec<String>,
    /// When it ends: 7d, or 2027-01-01T00:00:00Z [default: when it is revoked]
    #[arg(long, value_name = "TIME", value_parser = end)]
    expires: Option<End>,
    /// A JWT or an API key is needed as well [default: as the configuration says]
    #[arg(long)]
    second_factor: bool,
    /// What it is for, in words
    #[arg(long)]
    note: Option<String>,
}

/// When a URL ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// So much later than now.
    In(Duration),
    /// Then.
    At(jiff::Timestamp),
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
                let body = create.body(console)?;
                let made = ask(console, &create.file, Request::Create(body))?;
                let url = made.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
                console.data(&made, &url);
                console.note("the URL is not shown again: whoever has it can use it");
            }
            Self::List(List { file, tenant }) => {
                let answer = ask(console, &file, Request::List { tenant })?;
                let urls = answer.get("urls").unwrap_or(&Value::Null);
                console.data(urls, &table(urls));
            }
            Self::Revoke(Revoke { file, tenant, id }) => {
                ask(console, &file, Request::Revoke { tenant, id: id.clone() })?;
                console.data(&json!({"revoked": id}), &format_args!("revoked {id}"));
            }
        }
        Ok(Exit::Done)
    }
}

impl Create {
    /// The body of `POST /v1/urls`; what was not given is not in it.
    fn body(&self, console: &Console<'_>) -> Result<Value, Failure> {
        let attributes: Map<String, Value> = self.attributes.iter().cloned().collect();
        let mut body = json!({
            "tenant": self.tenant,
            "server": self.server,
            "user": self.user,
            "agent": self.agent,
            "roles": self.roles,
            "groups": self.groups,
            "attributes": attributes,
            "methods": Some(&self.methods).filter(|methods| !methods.is_empty()),
            "tags": Some(&self.tags).filter(|tags| !tags.is_empty()),
            "expires_at": self.expires_at(console.env.now())?.map(|end| end.to_string()),
            "second_factor": Some(true).filter(|_| self.second_factor),
            "note": self.note,
        });
        if let Value::Object(members) = &mut body {
            members.retain(|_, value| !value.is_null());
        }
        Ok(body)
    }

    fn expires_at(&self, now: jiff::Timestamp) -> Result<Option<jiff::Timestamp>, Failure> {
        let end = match self.expires {
            None => return Ok(None),
            Some(End::At(end)) => Some(end),
            Some(End::In(after)) => {
                jiff::SignedDuration::try_from(after).ok().and_then(|after| now.checked_add(after).ok())
            }
        };
        match end.and_then(|end| end.round(jiff::Unit::Second).ok()) {
            Some(end) if end > now => Ok(Some(end)),
            Some(_) => Err(Failure::new("the URL would have ended already", "give a time that is to come")),
            None => Err(Failure::new("`--expires` is too far away", "give a shorter time, such as `7d`")),
        }
    }
}

fn end(text: &str) -> Result<End, String> {
    let after = humantime::parse_duration(text).map(End::In);
    after.or_else(|_| text.parse().map(End::At)).map_err(|_| {
        "it is no time: write how long it lasts, such as `7d`, or its end, such as `2027-01-01T00:00:00Z`"
            .to_owned()
    })
}

/// `NAME=VALUE`, where the value is JSON or else a text.
pub(super) fn attribute(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            let read = serde_json::from_str(value).ok().filter(|read: &Value| !read.is_null());
            Ok((name.to_owned(), read.unwrap_or_else(|| Value::String(value.to_owned()))))
        }
        Some(_) | None => Err("write a name and a value, such as `region=EMEA`".to_owned()),
    }
}

/// Through the running gate; where none runs, on its store.
pub(super) fn ask(console: &mut Console<'_>, file: &ConfigFile, request: Request) -> Result<Value, Failure> {
    let config = console.config(&file.config)?;
    let Some(admin) = Admin::of(&config)? else { return on_store(console, file, request) };
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
        Asked::NotRunning => on_store(console, file, request),
    }
}

/// On the store of a gate that does not run: the bodies are those of the admin API.
fn on_store(console: &mut Console<'_>, file: &ConfigFile, request: Request) -> Result<Value, Failure> {
    let (config, _) = Config::open(&file.config, console.env).map_err(Failure::Config)?;
    runtime(1)?.block_on(async {
        let desk = Desk::open(config).await.map_err(|why| no_url(UrlError::Failed(why)))?;
        match request {
            Request::Create(body) => {
                let wanted: NewUrl = serde_json::from_value(body)
                    .map_err(|why| Failure::new(why.to_string(), "see `portcullis url create --help`"))?;
                desk.create(wanted).await.map_err(no_url)
            }
            Request::List { tenant } => {
                Ok(json!({"urls": desk.list(&named(&tenant)?).await.map_err(no_url)?}))
            }
            Request::Revoke { tenant, id } => {
                let tenant = named(&tenant)?;
                let revoked = match UrlId::parse(&id) {
                    Ok(known) => desk.revoke(&tenant, &known).await.map_err(no_url)?,
                    Err(_) => false,
                };
                if revoked { Ok(json!({"revoked": id})) } else { Err(unknown(&tenant, &id)) }
            }
        }
    })
}

fn named(tenant: &str) -> Result<TenantId, Failure> {
    TenantId::parse(tenant).map_err(|why| {
        Failure::new(format!("`{tenant}` cannot be the name of a tenant: {why}"), "name a tenant")
    })
}

fn unknown(tenant: &TenantId, id: &str) -> Failure {
    let hint = format!("see `portcullis url list --tenant {tenant}`");
    Failure::new(format!("tenant `{tenant}` has no scoped URL `{id}`"), hint)
}

fn no_url(error: UrlError) -> Failure {
    let hint = match &error {
        UrlError::Unfit(_) => "see `portcullis url create --help`",
        UrlError::Failed(_) => admin::BUSY,
    };
    Failure::new(error.to_string(), hint)
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
    let row = |[id, server, holder, methods, tags, expires]: [&str; 6]| {
        format!("{id:<21}{server:<16}{holder:<24}{methods:<14}{tags:<16}{expires}")
    };
    let mut text = row(["ID", "SERVER", "HOLDER", "METHODS", "TAGS", "EXPIRES"]);
    for url in urls.as_array().into_iter().flatten() {
        let word = |key: &str| url.get(key).and_then(Value::as_str);
        let words = |key: &str| {
            let list = url.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        };
        let holder = word("agent").or(word("user")).map_or_else(|| words("roles"), str::to_owned);
        let any = |text: String| if text.is_empty() { "any".to_owned() } else { text };
        let _ = write!(
            text,
            "\n{}",
            row([
                word("id").unwrap_or_default(),
                word("server").unwrap_or_default(),
                if holder.is_empty() { "scoped-url" } else { &holder },
                &any(words("methods")),
                &any(words("tags")),
                word("expires_at").unwrap_or("never"),
            ])
        );
    }
    text
}
