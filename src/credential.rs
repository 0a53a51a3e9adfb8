//! With whose key: a permit → a [`Lease`] of the tenant's own credential for that server.
//!
//! # Why a lease
//! The credential is asked for with a permit, so only for that tenant and that server, and it is good for one call. There
//! is no way to ask for "the" credential of a server, and none falls back to another tenant's or to an environment
//! variable: no account, no call.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Account, Config};
use crate::credential::connection::Connection;
use crate::credential::endpoint::Clients;
pub use crate::credential::lease::Lease;
use crate::credential::seal::{SealError, Sealer};
use crate::decide::Permit;
use crate::name::{ServerName, TenantId};
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::store::{Store, StoreError};

mod account;
mod connection;
mod endpoint;
mod lease;
mod material;
pub mod seal;
mod source;
mod tokens;

/// The accounts of every tenant. The first key is the tenant.
pub struct Vault {
    connections: HashMap<TenantId, HashMap<ServerName, Arc<Connection>>>,
    places: Arc<Places>,
}

/// Where secrets are kept and what opens them.
pub(in crate::credential) struct Places {
    pub(in crate::credential) store: Arc<dyn Store>,
    pub(in crate::credential) sealer: Arc<Sealer>,
}

/// An account that cannot work as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("account of tenant `{tenant}` for server `{server}`: {what}")]
pub struct BadAccount {
    /// The tenant.
    pub tenant: TenantId,
    /// The server.
    pub server: ServerName,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// Why a secret could not be put or removed. For the operator.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no such account.
    #[error("there is no account of tenant `{0}` for server `{1}`; add it under `accounts` first")]
    NoAccount(TenantId, ServerName),
    /// The account's secret is elsewhere.
    #[error(
        "the account of tenant `{0}` for server `{1}` does not say `sealed`, so no secret is kept for it"
    )]
    NotSealed(TenantId, ServerName),
    /// The secret could not be used as the credential that the account is.
    #[error("the secret cannot be used: {0}")]
    Unusable(&'static str),
    /// It could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Vault {
    /// The vault of the configured accounts.
    ///
    /// # Errors
    /// Every account that cannot work as it is configured.
    pub fn new(config: &Config, store: Arc<dyn Store>, sealer: Arc<Sealer>) -> Result<Self, Vec<BadAccount>> {
        Self::of(config.accounts.values(), store, sealer)
    }

    fn of<'a>(
        accounts: impl Iterator<Item = &'a Arc<Account>>,
        store: Arc<dyn Store>,
        sealer: Arc<Sealer>,
    ) -> Result<Self, Vec<BadAccount>> {
        let places = Arc::new(Places { store, sealer });
        let mut connections: HashMap<TenantId, HashMap<ServerName, Arc<Connection>>> = HashMap::new();
        let (clients, mut bad) = (Clients::default(), Vec::new());
        for account in accounts {
            match account::connection(account, &places, &clients) {
                Ok(connection) => {
                    let tenant = connections.entry(account.tenant.clone()).or_default();
                    tenant.insert(account.server.clone(), Arc::new(connection));
                }
                Err(problems) => bad.extend(problems),
            }
        }
        if bad.is_empty() { Ok(Self { connections, places }) } else { Err(bad) }
    }

    /// The credential of the permit's tenant for the permit's server.
    ///
    /// # Errors
    /// [`Refusal::NoAccount`], [`Refusal::NeedsReauth`] or [`Refusal::CredentialUnavailable`].
    pub async fn lease(&self, permit: &Permit) -> Result<Lease, Refusal> {
        self.lease_for(permit.caller().tenant(), &permit.server().name).await
    }

    /// The same for the gate's own pull of a catalogue, which no caller asks for.
    ///
    /// # Errors
    /// As [`Vault::lease`].
    pub async fn lease_for(&self, tenant: &TenantId, server: &ServerName) -> Result<Lease, Refusal> {
        let connection = self.connection(tenant, server).ok_or_else(|| Refusal::NoAccount(server.clone()))?;
        connection.lease().await
    }

    /// Whether every secret can be opened; where not, the gate is not ready.
    #[must_use]
    pub fn is_unlocked(&self) -> bool {
        self.places.sealer.is_unlocked()
    }

    /// Seals `secret` for the account and keeps it. Tokens that were got with the one before are dropped.
    ///
    /// # Errors
    /// There is no such account, its secret is elsewhere, or it can't be sealed or kept.
    pub async fn put_secret(
        &self,
        tenant: &TenantId,
        server: &ServerName,
        secret: Secret,
    ) -> Result<(), VaultError> {
        self.sealing(tenant, server)?.put_secret(&secret).await
    }

    /// Removes the account's sealed secret; true if there was one.
    ///
    /// # Errors
    /// There is no such account, its secret is elsewhere, or the store failed.
    pub async fn remove_secret(&self, tenant: &TenantId, server: &ServerName) -> Result<bool, VaultError> {
        self.sealing(tenant, server)?.remove_secret().await
    }

    fn sealing(&self, tenant: &TenantId, server: &ServerName) -> Result<&Arc<Connection>, VaultError> {
        let connection = self
            .connection(tenant, server)
            .ok_or_else(|| VaultError::NoAccount(tenant.clone(), server.clone()))?;
        if connection.is_sealed() {
            return Ok(connection);
        }
        Err(VaultError::NotSealed(tenant.clone(), server.clone()))
    }

    fn connection(&self, tenant: &TenantId, server: &ServerName) -> Option<&Arc<Connection>> {
        self.connections.get(tenant)?.get(server)
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} tenants)", self.connections.len())
    }
}

#[cfg(test)]
mod tests;
