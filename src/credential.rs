//! With whose key: a permit → a [`Lease`] of the tenant's own credential for that server.
//!
//! # Why a lease
//! The credential is asked for with a permit, so only for that tenant and that server, and it is good for one call. There
//! is no way to ask for "the" credential of a server, and none falls back to another tenant's or to an environment
//! variable: no account, no call.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Account, Config, Credential};
use crate::credential::account::By;
pub use crate::credential::connection::Connection;
use crate::credential::fetched::Sources;
pub use crate::credential::lease::{Lease, Outgoing};
pub use crate::credential::notices::Notice;
use crate::credential::notices::Notices;
use crate::credential::oauth::consent::{Callback, Consents, Pending};
pub use crate::credential::oauth::consent::{ConnectError, Consent};
use crate::credential::oauth::http::Clients;
use crate::credential::oauth::register;
use crate::credential::seal::{SealError, Sealer};
pub use crate::credential::status::Standing;
use crate::decide::Permit;
use crate::name::{ServerName, TenantId};
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::store::{Store, StoreError};

mod account;
mod aws;
mod command;
mod connection;
mod fetched;
mod google;
mod lease;
mod material;
mod notices;
mod oauth;
pub mod seal;
mod service;
mod signing;
mod source;
mod status;
mod tokens;

/// The accounts of every tenant. The first key is the tenant.
pub struct Vault {
    connections: HashMap<TenantId, HashMap<ServerName, Arc<Connection>>>,
    places: Arc<Places>,
    clients: Clients,
}

/// Where secrets are kept and what opens them.
pub(in crate::credential) struct Places {
    pub(in crate::credential) store: Arc<dyn Store>,
    pub(in crate::credential) sealer: Arc<Sealer>,
    pub(in crate::credential) consents: Consents,
    pub(in crate::credential) notices: Notices,
    pub(in crate::credential) sources: Sources,
    pub(in crate::credential) servers: HashMap<ServerName, http::Uri>,
}

impl Places {
    /// # Errors
    /// What is wrong with what is common to all accounts.
    fn new(config: &Config, store: Arc<dyn Store>, sealer: Arc<Sealer>) -> Result<Self, BadVault> {
        let bad = BadVault::Common;
        Ok(Self {
            consents: Consents::new(&config.listen.public_url, &config.identity.gate_key).map_err(bad)?,
            notices: Notices::new(Arc::clone(&store), config.webhook.as_ref()).map_err(bad)?,
            sources: Sources::new(&config.secrets),
            servers: config.servers.iter().map(|(name, server)| (name.clone(), server.url.clone())).collect(),
            store,
            sealer,
        })
    }

    pub(in crate::credential) fn server_url(&self, server: &ServerName) -> Option<&http::Uri> {
        self.servers.get(server)
    }
}

/// A callback that belongs to a consent, which nobody else can use from now on.
pub struct Returned {
    pending: Pending,
    callback: Callback,
}

impl Returned {
    /// The account that it is of.
    #[must_use]
    pub fn account(&self) -> (&TenantId, &ServerName) {
        (&self.pending.tenant, &self.pending.server)
    }
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

/// Why there is no vault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadVault {
    /// One account.
    #[error(transparent)]
    Account(#[from] BadAccount),
    /// What is common to all of them.
    #[error("{0}")]
    Common(String),
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
    pub fn new(config: &Config, store: Arc<dyn Store>, sealer: Arc<Sealer>) -> Result<Self, Vec<BadVault>> {
        let places = Places::new(config, store, sealer).map_err(|bad| vec![bad])?;
        let vault = Self::of(config.accounts.values(), places);
        vault.map_err(|bad| bad.into_iter().map(BadVault::from).collect())
    }

    fn of<'a>(
        accounts: impl Iterator<Item = &'a Arc<Account>>,
        places: Places,
    ) -> Result<Self, Vec<BadAccount>> {
        let places = Arc::new(places);
        let mut connections: HashMap<TenantId, HashMap<ServerName, Arc<Connection>>> = HashMap::new();
        let (clients, mut bad) = (Clients::default(), Vec::new());
        for account in accounts {
            match account::connection(account, By::Operator, &places, &clients) {
                Ok(connection) => {
                    let tenant = connections.entry(account.tenant.clone()).or_default();
                    tenant.insert(account.server.clone(), Arc::new(connection));
                }
                Err(problems) => bad.extend(problems),
            }
        }
        if bad.is_empty() { Ok(Self { connections, places, clients }) } else { Err(bad) }
    }

    /// A connection of an account that is not configured, but was made through the admin API: what its credential names is
    /// reached at public addresses alone. Who keeps the account keeps the connection: what it has fetched is in it.
    ///
    /// # Errors
    /// Everything because of which the account cannot work as it is written.
    pub fn connect(&self, account: &Arc<Account>) -> Result<Arc<Connection>, Vec<BadAccount>> {
        account::connection(account, By::Tenant, &self.places, &self.clients).map(Arc::new)
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

    /// The connection of a configured account.
    #[must_use]
    pub fn connection(&self, tenant: &TenantId, server: &ServerName) -> Option<&Arc<Connection>> {
        self.connections.get(tenant)?.get(server)
    }

    /// The consent that a callback belongs to. It is used up: whoever has this ends it.
    ///
    /// # Errors
    /// The callback is none, or belongs to no consent that is open.
    pub async fn returned(&self, query: &str) -> Result<Returned, ConnectError> {
        let callback = Callback::read(query)?;
        let pending = callback.take(&self.places).await?;
        Ok(Returned { pending, callback })
    }

    /// The gate's metadata as a client of authorization servers, whose URL is its client id.
    #[must_use]
    pub fn client_document(&self) -> serde_json::Value {
        register::document(&self.places.consents.public_url)
    }

    /// Sends the notices that are due.
    ///
    /// # Errors
    /// The store failed.
    pub async fn deliver_notices(&self) -> Result<(), StoreError> {
        self.places.notices.deliver().await
    }

    /// The notices that were not taken yet.
    ///
    /// # Errors
    /// The store failed.
    pub async fn notices(&self) -> Result<Vec<Notice>, StoreError> {
        self.places.notices.all().await
    }

    /// Sends a notice again; false where there is none of that id.
    ///
    /// # Errors
    /// The store failed.
    pub async fn replay_notice(&self, id: &str) -> Result<bool, StoreError> {
        self.places.notices.replay(id).await
    }

    /// The configured accounts that a person connects.
    fn connectable(&self, tenant: Option<&TenantId>) -> impl Iterator<Item = (&TenantId, &ServerName)> {
        let all = self.connections.values().flat_map(HashMap::values).map(|connection| connection.account());
        let all = all.filter(move |account| tenant.is_none_or(|tenant| account.tenant == *tenant));
        all.filter(|account| matches!(account.credential, Credential::AuthorizationCode(_)))
            .map(|account| (&account.tenant, &account.server))
    }
}

impl Connection {
    /// The credential for a permitted call. A connection that is not of the permit's tenant and server gives none.
    ///
    /// # Errors
    /// [`Refusal::NoAccount`], [`Refusal::NeedsReauth`] or [`Refusal::CredentialUnavailable`].
    pub async fn lease_for(self: &Arc<Self>, permit: &Permit) -> Result<Lease, Refusal> {
        let (tenant, server) = (permit.caller().tenant(), &permit.server().name);
        if self.account().tenant != *tenant || self.account().server != *server {
            return Err(Refusal::NoAccount(server.clone()));
        }
        self.lease().await
    }

    /// Seals `secret` for the account and keeps it. Tokens that were got with the one before are dropped.
    ///
    /// # Errors
    /// Its secret is elsewhere, or it can't be sealed or kept.
    pub async fn seal(&self, secret: &Secret) -> Result<(), VaultError> {
        self.of_sealed()?.put_secret(secret).await
    }

    /// Removes the account's sealed secret; true if there was one.
    ///
    /// # Errors
    /// Its secret is elsewhere, or the store failed.
    pub async fn forget_secret(&self) -> Result<bool, VaultError> {
        self.of_sealed()?.remove_secret().await
    }

    fn of_sealed(&self) -> Result<&Self, VaultError> {
        let account = self.account();
        match self.is_sealed() {
            true => Ok(self),
            false => Err(VaultError::NotSealed(account.tenant.clone(), account.server.clone())),
        }
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} tenants)", self.connections.len())
    }
}

#[cfg(test)]
mod tests;
