//! An account as configured → a connection that can lease, or everything that is wrong with it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::HeaderName;

use crate::config::{Account, Authority, AuthorizationCode, Credential, SecretSource};
use crate::credential::connection::{Connection, Fetching, Kind, material};
use crate::credential::oauth::endpoint::checked;
use crate::credential::oauth::http::{Clients, Http};
use crate::credential::oauth::keeper::Keeper;
use crate::credential::tokens::Tokens;
use crate::credential::{BadAccount, Places};
use crate::secret::Secret;

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

/// Who wrote an account, which decides what its URLs may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::credential) enum By {
    /// The operator: what they name is trusted, private or not.
    Operator,
    /// Somebody through the admin API: public addresses only.
    Tenant,
}

pub(in crate::credential) fn connection(
    account: &Arc<Account>,
    by: By,
    places: &Arc<Places>,
    clients: &Clients,
) -> Result<Connection, Vec<BadAccount>> {
    let mut problems = inline_problems(account);
    let kind = kind(account, by, places, clients).unwrap_or_else(|what| {
        problems.push(what);
        Kind::Fixed
    });
    if problems.is_empty() {
        return Ok(Connection::new(Arc::clone(account), kind, Arc::clone(places)));
    }
    let bad = |what| BadAccount { tenant: account.tenant.clone(), server: account.server.clone(), what };
    Err(problems.into_iter().map(bad).collect())
}

fn kind(account: &Account, by: By, places: &Arc<Places>, clients: &Clients) -> Result<Kind, String> {
    match &account.credential {
        Credential::Basic { user, .. } if user.contains(':') => Err(format!(
            "the user name `{user}` has a colon, which Basic authentication cannot carry (RFC 7617)"
        )),
        Credential::Header { name, .. } if is_reserved(name) => Err(format!(
            "the header `{name}` cannot carry a credential; take the one that the server documents"
        )),
        Credential::None
        | Credential::Bearer(_)
        | Credential::Basic { .. }
        | Credential::Header { .. }
        | Credential::Query { .. }
        | Credential::Oauth1(_)
        | Credential::AwsSigv4(_) => Ok(Kind::Fixed),
        Credential::ClientCredentials(it) if it.client_id.is_empty() => Err("`client_id` is empty".into()),
        Credential::ClientCredentials(it) => {
            let url = checked("token_url", &it.token_url)?;
            let named = (by == By::Operator).then_some(it.token_url.as_str());
            let http = Http::new(clients, &it.tls, named)?;
            http.of(&url).map_err(|why| format!("`token_url` cannot be used: {why}"))?;
            Ok(Kind::Fetched {
                endpoint: Arc::new(Fetching { http, url }),
                tokens: Arc::new(Tokens::default()),
            })
        }
        Credential::AuthorizationCode(it) => {
            let upstream = places.server_url(&account.server).filter(|_| account.url.is_none());
            let upstream = upstream.map(ToString::to_string);
            let written = if by == By::Operator { urls(it) } else { Vec::new() };
            let http = Http::new(clients, &it.tls, written.into_iter().chain(upstream.as_deref()))?;
            let (tenant, server) = (account.tenant.clone(), account.server.clone());
            Ok(Kind::Granted {
                keeper: Arc::new(Keeper::new(tenant, server, http, Arc::clone(places))),
                tokens: Arc::new(Tokens::default()),
                seen: AtomicU64::new(0),
            })
        }
    }
}

/// The URLs in an account.
fn urls(account: &AuthorizationCode) -> Vec<&str> {
    match &account.authority {
        Authority::OfTheServer => Vec::new(),
        Authority::Issuer(issuer) => vec![issuer],
        Authority::Endpoints { authorization, token, issuer } => {
            [Some(authorization), Some(token), issuer.as_ref()]
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect()
        }
    }
}

fn is_reserved(name: &HeaderName) -> bool {
    NOT_FOR_CREDENTIALS.contains(&name.as_str()) || name.as_str().starts_with("mcp-")
}

/// An inline secret is known now, so what is wrong with it is said now.
fn inline_problems(account: &Account) -> Vec<String> {
    let secrets = account.credential.secrets();
    let mut known = Vec::with_capacity(secrets.len());
    for source in secrets {
        match source {
            SecretSource::Inline(secret) if secret.expose().is_empty() => {
                return vec!["the inline secret is empty".into()];
            }
            SecretSource::Inline(secret) => known.push(Secret::new(secret.expose().to_owned())),
            // What is elsewhere is looked at when it is read.
            SecretSource::File(_) | SecretSource::Sealed | SecretSource::Fetched(_) => {
                known.push(Secret::new("x".to_owned()));
            }
        }
    }
    match material(&account.credential, &known) {
        Ok(_) => Vec::new(),
        Err(_) => vec!["the inline secret has a control character, which no header can carry".into()],
    }
}
