//! `portcullis tenant`: tenants that are made while the gate runs.

use std::fmt::Write;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::url::escaped;
use super::{ConfigFile, Console, Exit, Failure, admin};

#[derive(Debug, Subcommand)]
pub(super) enum TenantCommand {
    /// Make a tenant
    Create(Create),
    /// List the tenants
    List(ConfigFile),
    /// Show a tenant, and how much it has
    Show(Named),
    /// Stop serving a tenant: its scoped URLs and keys work no more
    Suspend(Named),
    /// Serve a suspended tenant again
    Resume(Named),
    /// Delete a tenant with its accounts, secrets, scoped URLs and keys
    Delete(Named),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    file: ConfigFile,
    /// Its name: what tokens, policies and the audit call it
    tenant: String,
    /// What people call it
    #[arg(long)]
    display_name: Option<String>,
    /// What you want to remember of it
    #[arg(long)]
    note: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Named {
    #[command(flatten)]
    file: ConfigFile,
    /// Its name
    tenant: String,
}

impl TenantCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Create(Create { file, tenant, display_name, note }) => {
                let body = json!({"tenant": tenant, "display_name": display_name, "note": note});
                let made = ask(console, &file, (Method::POST, "/v1/tenants", Some(&body)))?;
                console.data(&made, &format_args!("tenant {tenant} is made"));
            }
            Self::List(file) => {
                let config = console.config(&file.config)?;
                let tenants = admin::all(console, &file, &config, ("/v1/tenants", "tenants"))?;
                let text = table(&tenants);
                console.data(&tenants, &text);
            }
            Self::Show(named) => {
                let shown = ask(console, &named.file, (Method::GET, &named.path(), None))?;
                let text = lines(&shown);
                console.data(&shown, &text);
            }
            Self::Suspend(named) => named.status(console, "suspended")?,
            Self::Resume(named) => named.status(console, "active")?,
            Self::Delete(named) => {
                let done = ask(console, &named.file, (Method::DELETE, &named.path(), None))?;
                console.data(&done, &format_args!("tenant {} is deleted", named.tenant));
            }
        }
        Ok(Exit::Done)
    }
}

impl Named {
    fn path(&self) -> String {
        format!("/v1/tenants/{}", escaped(&self.tenant))
    }

    fn status(&self, console: &mut Console<'_>, status: &str) -> Result<(), Failure> {
        let body = json!({"status": status});
        let changed = ask(console, &self.file, (Method::PATCH, &self.path(), Some(&body)))?;
        console.data(&changed, &format_args!("tenant {} is {status}", self.tenant));
        Ok(())
    }
}

fn ask(
    console: &mut Console<'_>,
    file: &ConfigFile,
    request: (Method, &str, Option<&Value>),
) -> Result<Value, Failure> {
    let config = console.config(&file.config)?;
    admin::ask(console, file, &config, request)
}

fn word<'v>(of: &'v Value, key: &str) -> &'v str {
    of.get(key).and_then(Value::as_str).unwrap_or("-")
}

fn table(tenants: &[Value]) -> String {
    let mut text = format!("{:<24}{:<12}{:<15}{}", "TENANT", "STATUS", "STANDS IN", "DISPLAY NAME");
    for tenant in tenants {
        let (name, status, source) = (word(tenant, "tenant"), word(tenant, "status"), word(tenant, "source"));
        let _ = write!(text, "\n{name:<24}{status:<12}{source:<15}{}", word(tenant, "display_name"));
    }
    text
}

/// A line for each member.
fn lines(shown: &Value) -> String {
    let members = shown.as_object().into_iter().flatten();
    let line = |(key, value): (&String, &Value)| match value {
        Value::String(text) => format!("{key:<14}{text}"),
        other => format!("{key:<14}{other}"),
    };
    members.map(line).collect::<Vec<_>>().join("\n")
}
