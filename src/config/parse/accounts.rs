//! The tenants' accounts at the servers.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use http::Uri;

use super::super::problem::{At, listed, nearest};
use super::super::raw::RawAccount;
use super::super::report::Report;
use super::super::{Account, Credential, Server, Vouch};
use super::credential::{Place, credential};
use super::secrets::Secrets;
use super::servers::is_loopback;
use crate::name::{ServerName, TenantId};

type Servers = BTreeMap<ServerName, Arc<Server>>;

/// What an account may refer to.
#[derive(Clone, Copy)]
pub(in crate::config) struct Known<'a> {
    pub(in crate::config) servers: &'a Servers,
    pub(in crate::config) secrets: &'a Secrets,
    pub(in crate::config) vouch: &'a Vouch,
}

pub(super) fn accounts(
    raw: Vec<RawAccount>,
    known: Known<'_>,
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
        let account = account(raw, server, &at, known, report);
        accounts.insert(key, Arc::new(account));
    }
    accounts
}

/// The account that was made while the gate runs; `None` where its server is not known.
pub(in crate::config) fn stored(
    raw: RawAccount,
    known: Known<'_>,
    report: &mut Report<'_>,
) -> Option<Account> {
    let at = At::default();
    let server = server(&raw.server, &at.key("server"), report)?;
    Some(account(raw, server, &at, known, report))
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
    at: &At,
    known: Known<'_>,
    report: &mut Report<'_>,
) -> Account {
    let url = raw.url.map(|url| url.0.uri);
    let place = Place { tenant: &raw.tenant.0, server: &server, known };
    let credential = credential(raw.credential, &at.key("credential"), place, report);
    let target = url.as_ref().or_else(|| known.servers.get(&server).map(|server| &server.url));
    if let (false, Some(target)) = (matches!(credential, Credential::None), target) {
        in_clear(target, &at.key("credential"), report);
    }
    Account { tenant: raw.tenant.0, server, url, credential, slots: raw.slots.and_then(NonZeroU32::new) }
}

pub(super) fn in_clear(target: &Uri, at: &At, report: &mut Report<'_>) {
    if target.scheme_str() == Some("http") && !is_loopback(target) {
        let host = target.host().unwrap_or_default();
        report.warn(at, format!("goes to `{host}` over cleartext"), "use `https` for this server");
    }
}
