//! How the accounts stand that a person connects: how old their tokens are, when they end, what failed.

use jiff::Timestamp;
use serde::Serialize;

use crate::credential::oauth::consent::mark;
use crate::credential::oauth::grant::{Grant, State};
use crate::credential::oauth::keeper::{key, owner};
use crate::credential::seal::SealedSecret;
use crate::credential::{Places, Vault};
use crate::name::{ServerName, TenantId};
use crate::store::{StoreError, Stored, Table};

/// How one account stands.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// The tenant.
    pub tenant: TenantId,
    /// The server.
    pub server: ServerName,
    /// `active`, `needs_reauth`, `pending` (somebody has been asked), `not_connected` or `unreadable`.
    pub state: &'static str,
    /// When somebody connected it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<Timestamp>,
    /// When the access token came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<Timestamp>,
    /// When it ends, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether it can be refreshed without a person.
    pub can_refresh: bool,
    /// How often it was refreshed.
    pub refreshes: u64,
    /// Attempts that failed since then.
    pub failures: u32,
    /// Why the last of them failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
    /// The authorization server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

impl Standing {
    fn bare(tenant: TenantId, server: ServerName, state: &'static str) -> Self {
        Self {
            tenant,
            server,
            state,
            connected_at: None,
            refreshed_at: None,
            expires_at: None,
            can_refresh: false,
            refreshes: 0,
            failures: 0,
            last_failure: None,
            failed_at: None,
            scopes: Vec::new(),
            issuer: None,
        }
    }

    fn of(tenant: TenantId, server: ServerName, grant: Grant) -> Self {
        let state = match grant.state {
            State::Active => "active",
            State::NeedsReauth => "needs_reauth",
        };
        let (failed_at, last_failure) = grant.last_failure.map(|failed| (failed.at, failed.why)).unzip();
        Self {
            connected_at: Some(grant.connected_at),
            refreshed_at: Some(grant.obtained_at),
            expires_at: grant.expires_at,
            can_refresh: grant.refresh_token.is_some(),
            refreshes: grant.refreshes,
            failures: grant.failures,
            last_failure,
            failed_at,
            scopes: grant.scopes,
            issuer: grant.issuer,
            ..Self::bare(tenant, server, state)
        }
    }
}

impl Vault {
    /// How the accounts of a tenant, or of all, stand that a person connects.
    ///
    /// # Errors
    /// The store failed.
    pub async fn standings(&self, tenant: Option<&TenantId>) -> Result<Vec<Standing>, StoreError> {
        let prefix = tenant.map_or_else(Vec::new, |tenant| [tenant.as_str().as_bytes(), &[0]].concat());
        let mut found = Vec::new();
        for (key, stored) in self.places.store.scan(Table::Grants, &prefix).await? {
            if let Some((tenant, server)) = names(&key) {
                found.push(opened(&self.places, tenant, server, stored).await);
            }
        }
        for (tenant, server) in self.connectable(tenant) {
            let is_there = found.iter().any(|it| it.tenant == *tenant && it.server == *server);
            if !is_there {
                found.push(Standing::bare(tenant.clone(), server.clone(), "not_connected"));
            }
        }
        for one in found.iter_mut().filter(|one| one.state != "active") {
            if self.places.store.get(Table::Consents, &mark(&one.tenant, &one.server)).await?.is_some() {
                one.state = "pending";
            }
        }
        found.sort_by_key(|one| key(&one.tenant, &one.server));
        Ok(found)
    }
}

async fn opened(places: &Places, tenant: TenantId, server: ServerName, stored: Stored) -> Standing {
    let sealed = SealedSecret::from_bytes(stored.value);
    let opened = places.sealer.open_sealed(owner(&tenant, &server), &sealed).await;
    match opened.ok().and_then(|opened| Grant::from_bytes(opened.expose()).ok()) {
        Some(grant) => Standing::of(tenant, server, grant),
        None => Standing::bare(tenant, server, "unreadable"),
    }
}

fn names(key: &[u8]) -> Option<(TenantId, ServerName)> {
    let text = std::str::from_utf8(key).ok()?;
    let (tenant, server) = text.split_once('\0')?;
    Some((TenantId::parse(tenant).ok()?, ServerName::parse(server).ok()?))
}
