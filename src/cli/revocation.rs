//! `portcullis revocation`: tokens that are refused before they end, on every gate with this store.

use std::fmt::Write;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::url::escaped;
use super::{ConfigFile, Console, Exit, Failure, admin};

#[derive(Debug, clap::Subcommand)]
pub(super) enum RevocationCommand {
    /// Refuse an issuer's tokens in a tenant from now on: one by its id, or all of a subject, a client or a session
    Create(Box<Create>),
    /// List what is revoked in a tenant
    List(List),
    /// Take a revocation back
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant
    #[arg(long)]
    tenant: String,
    /// Whose tokens: `iss`, exactly
    #[arg(long)]
    issuer: String,
    #[command(flatten)]
    about: About,
    /// Only tokens that were issued until then: now, or 2027-01-01T00:00:00Z [default: later ones too]
    #[arg(long, value_name = "TIME")]
    issued_until: Option<String>,
    /// When the revocation vanishes: 7d, or 2027-01-01T00:00:00Z [default: 30d]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Why, in words
    #[arg(long)]
    note: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct About {
    /// One token, by its `jti`
    #[arg(long, value_name = "JTI")]
    token: Option<String>,
    /// Every token of a subject (`sub`)
    #[arg(long, value_name = "SUB")]
    subject: Option<String>,
    /// Every token of a client (`client_id`)
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<String>,
    /// Every token of a session at the issuer (`sid`)
    #[arg(long, value_name = "SID")]
    session: Option<String>,
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
pub(super) struct Delete {
    #[command(flatten)]
    file: ConfigFile,
    /// The tenant
    #[arg(long)]
    tenant: String,
    /// The id of the revocation, as `revocation list` shows it
    id: String,
}

impl RevocationCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Create(create) => create.run(console)?,
            Self::List(List { file, tenant }) => {
                let config = console.config(&file.config)?;
                let path = format!("/v1/revocations?tenant={}", escaped(&tenant));
                let all = admin::all(console, &file, &config, (&path, "revocations"))?;
                let text = table(&all);
                console.data(&all, &text);
            }
            Self::Delete(Delete { file, tenant, id }) => {
                let config = console.config(&file.config)?;
                let path = format!("/v1/revocations/{}?tenant={}", escaped(&id), escaped(&tenant));
                let done = admin::ask(console, &file, &config, (Method::DELETE, &path, None))?;
                console.data(&done, &format_args!("removed {id}"));
            }
        }
        Ok(Exit::Done)
    }
}

impl Create {
    fn run(self, console: &mut Console<'_>) -> Result<(), Failure> {
        let About { token, subject, client, session } = self.about;
        let named = [("token", token), ("subject", subject), ("client", client), ("session", session)];
        let named = named.into_iter().find_map(|(by, value)| value.map(|value| (by, value)));
        let (by, value) = named.unwrap_or_default();
        let mut body = json!({"tenant": self.tenant, "issuer": self.issuer, "by": by, "value": value});
        let more = [("issued_until", self.issued_until), ("expires_at", self.expires), ("note", self.note)];
        if let Some(members) = body.as_object_mut() {
            let more = more.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?))));
            members.extend(more);
        }
        let config = console.config(&self.file.config)?;
        let asked = (Method::POST, "/v1/revocations", Some(&body));
        let made = admin::ask(console, &self.file, &config, asked)?;
        let word = |name: &str| made.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let told = format!("revoked {} until {}", word("id"), word("expires_at"));
        console.data(&made, &told);
        Ok(())
    }
}

fn table(all: &[Value]) -> String {
    let row =
        |[id, by, value, until, issuer]: [&str; 5]| format!("{id:<27}{by:<9}{value:<40}{until:<22}{issuer}");
    let mut text = row(["ID", "BY", "VALUE", "UNTIL", "ISSUER"]);
    for one in all {
        let word = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        let cells = ["id", "by", "value", "expires_at", "issuer"].map(word);
        let _ = write!(text, "\n{}", row(cells));
    }
    text
}
