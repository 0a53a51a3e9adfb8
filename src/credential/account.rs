//! An account as configured → a connection that can lease, or everything that is wrong with it.

use std::sync::Arc;

use http::HeaderName;

use crate::config::{Account, Credential, SecretSource};
use crate::credential::connection::{Connection, Kind};
use crate::credential::endpoint::{Clients, Endpoint};
use crate::credential::material::Material;
use crate::credential::tokens::Tokens;
use crate::credential::{BadAccount, Places};

/// Headers that frame the request or belong to the protocol: a credential in them would break or change the call.
const NOT_FOR_CREDENTIALS: [&str; 12] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "accept",
    "accept-encoding",
    "last-event-id",
];

pub(in crate::credential) fn connection(
    account: &Arc<Account>,
    places: &Arc<Places>,
    clients: &Clients,
) -> Result<Connection, Vec<BadAccount>> {
    let mut problems = inline_problems(account);
    let kind = kind(&account.credential, clients).unwrap_or_else(|what| {
        problems.push(what);
        Kind::Fixed
    });
    if problems.is_empty() {
        return Ok(Connection::new(Arc::clone(account), kind, Arc::clone(places)));
    }
    let bad = |what| BadAccount { tenant: account.tenant.clone(), server: account.server.clone(), what };
    Err(problems.into_iter().map(bad).collect())
}

fn kind(credential: &Credential, clients: &Clients) -> Result<Kind, String> {
    match credential {
        Credential::Basic { user, .. } if user.contains(':') => Err(format!(
            "the user name `{user}` has a colon, which Basic authentication cannot carry (RFC 7617)"
        )),
        Credential::Header { name, .. } if is_reserved(name) => Err(format!(
            "the header `{name}` cannot carry a credential; take the one that the server documents"
        )),
        Credential::None | Credential::Bearer(_) | Credential::Basic { .. } | Credential::Header { .. } => {
            Ok(Kind::Fixed)
        }
        Credential::ClientCredentials { .. } => Ok(Kind::Fetched {
            endpoint: Arc::new(Endpoint::new(credential, clients)?),
            tokens: Arc::new(Tokens::default()),
        }),
    }
}

fn is_reserved(name: &HeaderName) -> bool {
    NOT_FOR_CREDENTIALS.contains(&name.as_str()) || name.as_str().starts_with("mcp-")
}

/// An inline secret is known now, so what is wrong with it is said now.
fn inline_problems(account: &Account) -> Vec<String> {
    let Some(SecretSource::Inline(secret)) = source(&account.credential) else {
        return Vec::new();
    };
    let made = match &account.credential {
        Credential::None | Credential::ClientCredentials { .. } => Ok(Material::nothing()),
        Credential::Bearer(_) => Material::bearer(secret),
        Credential::Basic { user, .. } => Material::basic(user, secret),
        Credential::Header { name, .. } => Material::header(name, secret),
    };
    match made {
        Ok(_) if secret.expose().is_empty() => vec!["the inline secret is empty".into()],
        Ok(_) => Vec::new(),
        Err(_) => vec!["the inline secret has a control character, which no header can carry".into()],
    }
}

/// Where the account's secret is, if it has one.
pub(in crate::credential) fn source(credential: &Credential) -> Option<&SecretSource> {
    match credential {
        Credential::None => None,
        Credential::Bearer(source)
        | Credential::Basic { password: source, .. }
        | Credential::Header { value: source, .. }
        | Credential::ClientCredentials { client_secret: source, .. } => Some(source),
    }
}

/// The kind's name: part of the seal and of the fingerprint.
pub(in crate::credential) fn kind_name(credential: &Credential) -> &'static str {
    match credential {
        Credential::None => "none",
        Credential::Bearer(_) => "bearer",
        Credential::Basic { .. } => "basic",
        Credential::Header { .. } => "header",
        Credential::ClientCredentials { .. } => "client_credentials",
    }
}
