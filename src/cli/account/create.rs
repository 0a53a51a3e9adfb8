//! `portcullis account create`.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Exit, Failure, read_secret};
use crate::cli::{ConfigFile, Console, admin};

#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant
    tenant: String,
    /// The server
    server: String,
    /// The server's URL, where it is the tenant's own
    #[arg(long)]
    url: Option<String>,
    /// How many calls at once [default: any number]
    #[arg(long)]
    slots: Option<u32>,
    /// `none`, `bearer`, or JSON as under `accounts` in the configuration, such as {"basic":{"user":"api","password":"sealed"}}
    #[arg(long, default_value = "none", value_parser = credential)]
    credential: Value,
    /// Read the secret from stdin and seal it at once
    #[arg(long)]
    secret: bool,
}

impl Create {
    pub(in crate::cli) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let mut body = json!({
            "tenant": self.tenant,
            "server": self.server,
            "url": self.url,
            "slots": self.slots,
            "credential": self.credential,
        });
        if self.secret {
            let secret = read_secret(console)?;
            if let Some(members) = body.as_object_mut() {
                members.insert("secret".to_owned(), json!(secret.expose()));
            }
        }
        let config = console.config(&self.file.config)?;
        let made = admin::ask(console, &self.file, &config, (Method::POST, "/v1/accounts", Some(&body)))?;
        console.data(&made, &format_args!("the account of {} at {} is made", self.tenant, self.server));
        let sealed = made.get("sealed").and_then(Value::as_bool).unwrap_or(false);
        if self.credential != "none" && !sealed {
            let (tenant, server) = (&self.tenant, &self.server);
            console.note(format_args!(
                "it has no secret yet: `portcullis account set-secret {tenant} {server} < FILE`"
            ));
        }
        Ok(Exit::Done)
    }
}

fn credential(text: &str) -> Result<Value, String> {
    match text {
        "none" => Ok(json!("none")),
        "bearer" => Ok(json!({"bearer": "sealed"})),
        json => serde_json::from_str(json).map_err(|_| "write `none`, `bearer`, or JSON".to_owned()),
    }
}
