//! `portcullis account`: the tenants' accounts at servers, and their credentials.

mod connect;

use std::fmt::Write;
use std::io::Read;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use self::connect::{Connect, Status};
use super::admin::{Admin, Asked};
use super::run::runtime;
use super::url::escaped;
use super::{ConfigFile, Console, Exit, Failure, admin};
use crate::admin::{NewSecret, SecretError, Secrets};
use crate::config::{Account, Config, Credential, SecretSource};
use crate::name::{ServerName, TenantId};
use crate::run::desk::Desk;
use crate::secret::Secret;

mod create;

/// No secret is longer; in bytes.
const LONGEST: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Read a secret from stdin and seal it for a tenant's account
    SetSecret(SetSecret),
    /// List the accounts, without their secrets
    List(ConfigFile),
    /// Begin to connect an account: prints the URL that a person opens
    Connect(Connect),
    /// Show how the accounts stand that a person connects
    Status(Status),
    /// Make an account
    Create(create::Create),
    /// Show an account, without its secret
    Show(Named),
    /// Remove an account with its secret
    Delete(Named),
}

/// An account by its names.
#[derive(Debug, Args)]
pub(super) struct Named {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant
    tenant: String,
    /// The server
    server: String,
}

#[derive(Debug, Args)]
pub(super) struct SetSecret {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant
    tenant: String,
    /// The server
    server: String,
}

impl AccountCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::SetSecret(command) => command.run(console),
            Self::Connect(command) => command.run(console),
            Self::Status(command) => command.run(console),
            Self::List(file) => list(console, &file),
            Self::Create(command) => command.run(console),
            Self::Show(named) => {
                let config = console.config(&named.file.config)?;
                let shown = admin::ask(console, &named.file, &config, (Method::GET, &named.path(), None))?;
                console.json(&shown);
                Ok(Exit::Done)
            }
            Self::Delete(named) => {
                let config = console.config(&named.file.config)?;
                let done = admin::ask(console, &named.file, &config, (Method::DELETE, &named.path(), None))?;
                let text = format!("the account of {} at {} is removed", named.tenant, named.server);
                console.data(&done, &text);
                Ok(Exit::Done)
            }
        }
    }
}

impl Named {
    fn path(&self) -> String {
        format!("/v1/accounts/{}/{}", escaped(&self.tenant), escaped(&self.server))
    }
}

/// The configured accounts, and those in the store where there is one.
fn list(console: &mut Console<'_>, file: &ConfigFile) -> Result<Exit, Failure> {
    let config = console.config(&file.config)?;
    let mut accounts: Vec<Value> = config.accounts.values().map(|account| shown(account)).collect();
    if has_store(&config) {
        let stored = admin::all(console, file, &config, ("/v1/accounts", "accounts"))?;
        let stored =
            stored.iter().filter(|account| account.get("source").is_some_and(|source| source == "store"));
        accounts.extend(stored.map(of_store));
    }
    let text = table(&accounts);
    console.data(&accounts, &text);
    Ok(Exit::Done)
}

/// A stored account in the words of a configured one. Its secret is sealed, or it needs none.
fn of_store(account: &Value) -> Value {
    let credential = match account.get("credential") {
        Some(Value::Object(kind)) => kind.keys().next().map(String::as_str),
        Some(Value::String(kind)) => Some(kind.as_str()),
        _ => None,
    };
    let member = |key: &str| account.get(key).cloned().unwrap_or_default();
    json!({
        "tenant": member("tenant"),
        "server": member("server"),
        "credential": credential,
        "secret": credential.filter(|kind| *kind != "none").map(|_| "sealed"),
        "slots": member("slots"),
    })
}

impl SetSecret {
    fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let config = console.config(&self.file.config)?;
        let Some(account) = self.account(&config)? else { return self.set_stored(console, &config) };
        if !account.credential.secrets().into_iter().any(|source| matches!(source, SecretSource::Sealed)) {
            let what =
                format!("the account of `{}` at `{}` takes no sealed secret", self.tenant, self.server);
            return Err(Failure::new(what, "write `sealed` for its secret in the configuration"));
        }
        let secret = read_secret(console)?;
        self.set(console, &config, account, secret)?;
        let done = json!({"tenant": self.tenant, "server": self.server, "sealed": true});
        console.data(&done, &format_args!("sealed for {} at {}", self.tenant, self.server));
        Ok(Exit::Done)
    }

    /// Through the running gate, which has the store; where none runs, on the store itself.
    fn set(
        &self,
        console: &Console<'_>,
        config: &Config,
        account: &Account,
        secret: Secret,
    ) -> Result<(), Failure> {
        if let Some(admin) = Admin::of(config)? {
            let body = json!({"tenant": account.tenant, "server": account.server, "secret": secret.expose()});
            match admin.ask(Method::POST, "/v1/secrets", Some(&body))? {
                Asked::Answer(_) => return Ok(()),
                Asked::NotRunning => {}
            }
        }
        let (config, _) = Config::open(&self.file.config, console.env).map_err(Failure::Config)?;
        let new = NewSecret { tenant: self.tenant.clone(), server: self.server.clone(), secret };
        runtime(1)?
            .block_on(async { Desk::open(config).await.map_err(SecretError::Failed)?.seal(new).await })
            .map_err(no_secret)
    }

    /// Of an account that is not configured the gate knows, or its store.
    fn set_stored(self, console: &mut Console<'_>, config: &Config) -> Result<Exit, Failure> {
        let secret = read_secret(console)?;
        let named = Named { file: self.file, tenant: self.tenant, server: self.server };
        let (path, body) = (format!("{}/secret", named.path()), json!({"secret": secret.expose()}));
        admin::ask(console, &named.file, config, (Method::PUT, &path, Some(&body)))?;
        let done = json!({"tenant": named.tenant, "server": named.server, "sealed": true});
        console.data(&done, &format_args!("sealed for {} at {}", named.tenant, named.server));
        Ok(Exit::Done)
    }

    /// The configured account; `None`: it may be in the store.
    fn account<'c>(&self, config: &'c Config) -> Result<Option<&'c Account>, Failure> {
        let names = (TenantId::parse(&self.tenant), ServerName::parse(&self.server));
        let found = match names {
            (Ok(tenant), Ok(server)) => config.accounts.get(&(tenant, server)),
            (Err(_), _) | (_, Err(_)) => None,
        };
        if found.is_none() && !has_store(config) {
            let what = format!("there is no account of `{}` at `{}`", self.tenant, self.server);
            let hint =
                "see `portcullis account list`; write it under `accounts`, or `portcullis account create`";
            return Err(Failure::new(what, hint));
        }
        Ok(found.map(AsRef::as_ref))
    }
}

/// Whether a gate ever ran here: what was made meanwhile is in its store.
fn has_store(config: &Config) -> bool {
    config.state.has_store()
}

fn no_secret(error: SecretError) -> Failure {
    let hint = match &error {
        SecretError::Unfit(_) => "see `portcullis account list`",
        SecretError::Failed(_) => admin::BUSY,
    };
    Failure::new(error.to_string(), hint)
}

pub(super) fn read_secret(console: &mut Console<'_>) -> Result<Secret, Failure> {
    let mut text = String::new();
    let read = (&mut *console.input).take(LONGEST + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::new(format!("stdin cannot be read: {error}"), "pipe the secret in"))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    // A key in PEM has lines.
    let is_pem = secret.starts_with("-----BEGIN ");
    let is_wrong = |c: char| c.is_control() && !(is_pem && matches!(c, '\r' | '\n'));
    if secret.is_empty() || text.len() as u64 > LONGEST || secret.chars().any(is_wrong) {
        let hint = "pipe in the secret alone: `portcullis account set-secret TENANT SERVER < FILE`";
        return Err(Failure::new("stdin does not hold one secret of one line", hint));
    }
    Ok(Secret::new(secret.to_owned()))
}

fn shown(account: &Account) -> Value {
    let kind = match &account.credential {
        Credential::ClientCredentials(_) => "oauth",
        other => other.kind(),
    };
    let secrets: Vec<&str> = account.credential.secrets().into_iter().map(SecretSource::as_str).collect();
    let secret = Some(secrets.join(", ")).filter(|secret| !secret.is_empty());
    json!({
        "tenant": account.tenant,
        "server": account.server,
        "credential": kind,
        "secret": secret,
        "slots": account.slots,
    })
}

fn table(accounts: &[Value]) -> String {
    let mut text = format!("{:<24}{:<24}{:<12}{:<10}{}", "TENANT", "SERVER", "CREDENTIAL", "SECRET", "SLOTS");
    for account in accounts {
        let word = |key: &str| match account.get(key) {
            Some(Value::String(word)) => word.clone(),
            Some(Value::Null) | None => "-".to_owned(),
            Some(other) => other.to_string(),
        };
        let (tenant, server) = (word("tenant"), word("server"));
        let _ = write!(
            text,
            "\n{tenant:<24}{server:<24}{:<12}{:<10}{}",
            word("credential"),
            word("secret"),
            word("slots")
        );
    }
    text
}
