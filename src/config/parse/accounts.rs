//! The tenants' accounts at the servers.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use http::Uri;

use super::super::problem::{At, listed, nearest};
use super::super::raw::{RawAccount, RawBasic, RawCredential, RawHeader, RawOauth, RawSecret};
use super::super::report::Report;
use super::super::{Account, Credential, SecretSource, Server, Vouch};
use super::servers::is_loopback;
use super::vouch::reserved;
use crate::name::{ServerName, TenantId};
use crate::secret::Secret;

type Servers = BTreeMap<ServerName, Arc<Server>>;

pub(super) fn accounts(
    raw: Vec<RawAccount>,
    servers: &Servers,
    vouch: &Vouch,
    report: &mut Report<'_>,
) -> BTreeMap<(TenantId, ServerName), Arc<Account>> {
    let mut accounts: BTreeMap<(TenantId, ServerName), Arc<Account>> = BTreeMap::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let at = At::default().key("accounts").item(index);
        let Some(server) = server(&raw.server, &at.key("server"), report) else { continue };
        let key = (raw.tenant.0.clone(), server.clone());
        if accounts.contains_key(&key) {
            let what = format!("tenant `{}` has an account at `{server}` already", raw.tenant.0);
            report.error(&at, what, "remove one of the two");
        }
        let upstream = servers.get(&server).map(|server| &server.url);
        let account = account(raw, server, upstream, &at, vouch, report);
        accounts.insert(key, Arc::new(account));
    }
    accounts
}

/// The account that was made while the gate runs; `None` where its server is not known.
pub(in crate::config) fn stored(
    raw: RawAccount,
    servers: &Servers,
    vouch: &Vouch,
    report: &mut Report<'_>,
) -> Option<Account> {
    let at = At::default();
    let server = server(&raw.server, &at.key("server"), report)?;
    let upstream = servers.get(&server).map(|server| &server.url);
    Some(account(raw, server, upstream, &at, vouch, report))
}

/// The server that an account names. A server that has mistakes of its own is known all the same.
fn server(name: &str, at: &At, report: &mut Report<'_>) -> Option<ServerName> {
    if report.server_names.iter().any(|known| known == name) {
        return ServerName::parse(name).ok();
    }
    let known = report.server_names.clone();
    let known = known.iter().map(String::as_str);
    let fix = match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known under `servers`: {}", listed(known)),
    };
    report.error(at, format!("there is no server `{}`", name.escape_debug()), fix);
    None
}

fn account(
    raw: RawAccount,
    server: ServerName,
    upstream: Option<&Uri>,
    at: &At,
    vouch: &Vouch,
    report: &mut Report<'_>,
) -> Account {
    let url = raw.url.map(|url| url.0.uri);
    let credential = credential(raw.credential, &at.key("credential"), vouch, report);
    let target = url.as_ref().or(upstream);
    if let (false, Some(target)) = (matches!(credential, Credential::None), target) {
        in_clear(target, &at.key("credential"), report);
    }
    Account { tenant: raw.tenant.0, server, url, credential, slots: raw.slots.and_then(NonZeroU32::new) }
}

fn in_clear(target: &Uri, at: &At, report: &mut Report<'_>) {
    if target.scheme_str() == Some("http") && !is_loopback(target) {
        let host = target.host().unwrap_or_default();
        report.warn(at, format!("goes to `{host}` over cleartext"), "use `https` for this server");
    }
}

fn credential(raw: RawCredential, at: &At, vouch: &Vouch, report: &mut Report<'_>) -> Credential {
    match raw {
        RawCredential::None => Credential::None,
        RawCredential::Bearer(bearer) => Credential::Bearer(secret(bearer, &at.key("bearer"), report)),
        RawCredential::Basic(RawBasic { user, password }) => {
            let at = at.key("basic");
            if user.0.contains(':') {
                report.error(
                    &at.key("user"),
                    "has a colon, which ends a user name (RFC 7617)",
                    "give a name without one",
                );
            }
            Credential::Basic { user: user.0, password: secret(password, &at.key("password"), report) }
        }
        RawCredential::Header(RawHeader { name, value }) => {
            let at = at.key("header");
            let is_reserved = reserved(&name.0) && name.0 != http::header::AUTHORIZATION;
            if is_reserved || name.0 == vouch.header {
                let what = format!("`{}` is written by the gate itself", name.0);
                report.error(&at.key("name"), what, "name the header that the server reads its key from");
            }
            Credential::Header { name: name.0, value: secret(value, &at.key("value"), report) }
        }
        RawCredential::Oauth(oauth) => client_credentials(oauth, &at.key("oauth"), report),
    }
}

fn client_credentials(raw: RawOauth, at: &At, report: &mut Report<'_>) -> Credential {
    in_clear(&raw.token_url.0.uri, &at.key("token_url"), report);
    Credential::ClientCredentials {
        token_url: raw.token_url.0.text,
        client_id: raw.client_id.0,
        client_secret: secret(raw.client_secret, &at.key("client_secret"), report),
        scopes: raw.scopes.into_iter().map(|scope| scope.0).collect(),
        resource: raw.resource.map(|resource| resource.0),
        in_body: raw.in_body,
    }
}

fn secret(raw: RawSecret, at: &At, report: &mut Report<'_>) -> SecretSource {
    match raw {
        RawSecret::Sealed => SecretSource::Sealed,
        RawSecret::File(file) => {
            let file = report.path(&file.0);
            let fix = "name a readable file with the secret in it";
            match std::fs::read(&file) {
                Err(error) => report.error(
                    &at.key("file"),
                    format!("`{}` cannot be read: {error}", file.display()),
                    fix,
                ),
                Ok(text) if text.trim_ascii().is_empty() => {
                    report.error(&at.key("file"), format!("`{}` is empty", file.display()), fix);
                }
                Ok(_) => {}
            }
            SecretSource::File(file)
        }
        RawSecret::Inline(inline) => {
            let at = at.key("inline");
            if inline.0.is_empty() || inline.0.chars().any(char::is_control) {
                report.error(&at, "is empty, or has control characters", "give the secret alone");
            }
            report.warn(&at, "the secret stands in the configuration", "use `sealed` or `{file: …}`");
            SecretSource::Inline(Secret::new(inline.0))
        }
    }
}
