//! `portcullis key`: API keys. The key is shown once; only its hash is configured or stored.

use std::fmt::Write;

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::url::{attribute, escaped};
use super::{ConfigFile, Console, Exit, Failure, admin};
use crate::identify::key::new_api_key;

#[derive(Debug, clap::Subcommand)]
pub(super) enum KeyCommand {
    /// Make an API key. With `--tenant` it works at once; without, you write its SHA-256 into the configuration
    Create(Box<Create>),
    /// List a tenant's API keys that were made with `--tenant`
    List(List),
    /// Take an API key back at once
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant
    #[arg(long)]
    tenant: Option<String>,
    /// The user that its holder acts for
    #[arg(long, requires = "tenant")]
    user: Option<String>,
    /// The agent that holds it
    #[arg(long, requires = "tenant")]
    agent: Option<String>,
    /// A role of its holder; repeat for more
    #[arg(long = "role", value_name = "ROLE", requires = "tenant")]
    roles: Vec<String>,
    /// A group of its holder; repeat for more
    #[arg(long = "group", value_name = "GROUP", requires = "tenant")]
    groups: Vec<String>,
    /// An attribute of its holder: a name and a text or JSON; repeat for more
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute, requires = "tenant")]
    attributes: Vec<(String, Value)>,
    /// When it ends: 7d, or 2027-01-01T00:00:00Z [default: when it is revoked]
    #[arg(long, value_name = "TIME", requires = "tenant")]
    expires: Option<String>,
    /// What it is for, in words
    #[arg(long, requires = "tenant")]
    note: Option<String>,
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
    /// The id of the key, as `key list` shows it
    id: String,
}

impl KeyCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Create(create) => create.run(console)?,
            Self::List(List { file, tenant }) => {
                let config = console.config(&file.config)?;
                let path = format!("/v1/keys?tenant={}", escaped(&tenant));
                let keys = admin::all(console, &file, &config, (&path, "keys"))?;
                let text = table(&keys);
                console.data(&keys, &text);
            }
            Self::Revoke(Revoke { file, tenant, id }) => {
                let config = console.config(&file.config)?;
                let path = format!("/v1/keys/{}?tenant={}", escaped(&id), escaped(&tenant));
                let done = admin::ask(console, &file, &config, (Method::DELETE, &path, None))?;
                console.data(&done, &format_args!("revoked {id}"));
            }
        }
        Ok(Exit::Done)
    }
}

impl Create {
    fn run(self, console: &mut Console<'_>) -> Result<(), Failure> {
        let Some(tenant) = &self.tenant else { return for_the_configuration(console) };
        let attributes: Map<String, Value> = self.attributes.iter().cloned().collect();
        let body = json!({
            "tenant": tenant,
            "user": self.user,
            "agent": self.agent,
            "roles": self.roles,
            "groups": self.groups,
            "attributes": attributes,
            "expires_at": self.expires,
            "note": self.note,
        });
        let config = console.config(&self.file.config)?;
        let made = admin::ask(console, &self.file, &config, (Method::POST, "/v1/keys", Some(&body)))?;
        let key = made.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
        console.data(&made, &key);
        console.note("the key is not shown again: whoever has it can use it");
        Ok(())
    }
}

fn for_the_configuration(console: &mut Console<'_>) -> Result<(), Failure> {
    let (key, sha256) =
        new_api_key().map_err(|_| Failure::new("the system gives no random bytes", "try again"))?;
    let (key, sha256) = (key.expose(), hex::encode(sha256));
    console.data(&json!({"key": key, "sha256": sha256}), &format_args!("key     {key}\nsha256  {sha256}"));
    console.note("the key is not shown again; put `sha256` under `identity.api_keys`");
    Ok(())
}

fn table(keys: &[Value]) -> String {
    let row = |[id, prefix, holder, last_used, expires]: [&str; 5]| {
        format!("{id:<21}{prefix:<12}{holder:<24}{last_used:<32}{expires}")
    };
    let mut text = row(["ID", "PREFIX", "HOLDER", "LAST USED", "EXPIRES"]);
    for key in keys {
        let word = |name: &str| key.get(name).and_then(Value::as_str);
        let holder = word("agent").or(word("user")).unwrap_or("-");
        let _ = write!(
            text,
            "\n{}",
            row([
                word("id").unwrap_or_default(),
                word("prefix").unwrap_or_default(),
                holder,
                word("last_used_at").unwrap_or("never"),
                word("expires_at").unwrap_or("never"),
            ])
        );
    }
    text
}
