//! Who is served, and by which account: tenants and accounts that are configured, and those that were made while the gate
//! runs.
//!
//! # Why two kinds
//! What stands in the configuration is reviewed with it, is there without a store, and can only be changed there. A platform
//! with thousands of tenants makes them by calls. One name is never both: the configuration comes first, and what it has
//! cannot be written by a call.
//!
//! # Why nothing is loaded at the start
//! A stored account is parsed when it is first used, and again only when its version in the store is another: 100,000
//! tenants cost the start nothing, and a change counts at once on every gate.

mod entry;
pub mod office;
mod problem;
mod removal;

pub use crate::identify::{Standing, Status, Tenant, Tenants};
pub use entry::AccountEntry;
pub use office::Office;
pub use problem::Problem;

use std::collections::HashMap;
use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::config::{Account, Config};
use crate::credential::{Connection, Vault};
use crate::forward::{BadEndpoint, Endpoint};
use crate::name::{ServerName, TenantId};
use crate::refusal::Refusal;
use crate::store::{Store, StoreError, Stored, Table};

/// Stored accounts that are kept parsed.
const KEPT: usize = 20_000;

/// An account, ready for calls.
pub struct Held {
    /// The account.
    pub account: Arc<Account>,
    /// With whose key: it leases.
    pub connection: Arc<Connection>,
    /// Where its server is, if the account has a URL of its own.
    pub endpoint: Option<Arc<Endpoint>>,
}

/// The accounts of every tenant. Every way to one begins with the tenant.
pub struct Directory {
    config: Arc<Config>,
    vault: Arc<Vault>,
    tenants: Arc<Tenants>,
    store: Arc<dyn Store>,
    configured: HashMap<TenantId, HashMap<ServerName, Arc<Held>>>,
    kept: Cache<Box<[u8]>, Kept>,
}

/// What an entry of the store came to; nothing where the configuration no longer has what it needs.
#[derive(Clone)]
struct Kept {
    version: u64,
    held: Option<Arc<Held>>,
}

impl Directory {
    /// The directory of a configuration and of what the store has.
    ///
    /// # Errors
    /// Every configured account whose own URL cannot be used.
    pub fn new(
        config: Arc<Config>,
        vault: Arc<Vault>,
        tenants: Arc<Tenants>,
        store: Arc<dyn Store>,
    ) -> Result<Self, Vec<BadEndpoint>> {
        let (mut configured, mut wrong) = (HashMap::<_, HashMap<_, _>>::new(), Vec::new());
        for ((tenant, server), account) in &config.accounts {
            let Some(connection) = vault.connection(tenant, server) else { continue };
            match held(&config, account, Arc::clone(connection)) {
                Ok(held) => {
                    let own = configured.entry(tenant.clone()).or_default();
                    own.insert(server.clone(), Arc::new(held));
                }
                Err(error) => wrong.push(error),
            }
        }
        let kept = Cache::new(KEPT);
        if wrong.is_empty() {
            Ok(Self { config, vault, tenants, store, configured, kept })
        } else {
            Err(wrong)
        }
    }

    /// The account of a tenant at a server. A configured one is found without the store.
    ///
    /// # Errors
    /// [`Refusal::CredentialUnavailable`] where the store fails.
    pub async fn find(&self, tenant: &TenantId, server: &ServerName) -> Result<Option<Arc<Held>>, Refusal> {
        if let Some(held) = self.configured.get(tenant).and_then(|own| own.get(server)) {
            return Ok(Some(Arc::clone(held)));
        }
        self.stored(tenant, server).await.map_err(|error| {
            tracing::error!(%tenant, %server, %error, "The account could not be looked up");
            Refusal::CredentialUnavailable { server: server.clone() }
        })
    }

    /// Whether what stands on the account may go on: it is there, and its tenant is served. While the store fails nobody
    /// says otherwise.
    pub async fn stands(&self, tenant: &TenantId, server: &ServerName) -> bool {
        let served = !matches!(self.tenants.standing(tenant).await, Ok(Standing::Suspended));
        served && !matches!(self.find(tenant, server).await, Ok(None))
    }

    /// The tenants.
    #[must_use]
    pub fn tenants(&self) -> &Arc<Tenants> {
        &self.tenants
    }

    async fn stored(&self, tenant: &TenantId, server: &ServerName) -> Result<Option<Arc<Held>>, StoreError> {
        let key = entry::key(tenant, server);
        let Some(stored) = self.store.get(Table::Accounts, &key).await? else { return Ok(None) };
        if let Some(kept) = self.kept.get(key.as_slice())
            && kept.version == stored.version
        {
            return Ok(kept.held);
        }
        let held = self.parsed(tenant, server, &stored);
        let kept = Kept { version: stored.version, held: held.clone() };
        self.kept.insert(key.into_boxed_slice(), kept);
        Ok(held)
    }

    /// What a stored account is under this configuration; that may have changed since.
    fn parsed(&self, tenant: &TenantId, server: &ServerName, stored: &Stored) -> Option<Arc<Held>> {
        let unfit = |why: &dyn std::fmt::Display| {
            tracing::warn!(%tenant, %server, %why, "A stored account cannot be used");
        };
        let entry = AccountEntry::read(&stored.value).map_err(|error| unfit(&error)).ok()?;
        let account = self.config.stored_account(tenant, server, &entry.account);
        let account = account.map_err(|wrong| wrong.iter().for_each(|why| unfit(why))).ok()?;
        let account = Arc::new(account);
        let connection = self.vault.connect(&account);
        let connection = connection.map_err(|wrong| wrong.iter().for_each(|why| unfit(why))).ok()?;
        held(&self.config, &account, connection).map(Arc::new).map_err(|error| unfit(&error)).ok()
    }
}

fn held(config: &Config, account: &Arc<Account>, connection: Arc<Connection>) -> Result<Held, BadEndpoint> {
    let server = config.servers.get(&account.server).filter(|_| account.url.is_some());
    let endpoint = server.map(|server| Endpoint::new(server, Some(account))).transpose()?.map(Arc::new);
    Ok(Held { account: Arc::clone(account), connection, endpoint })
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Directory({} tenants configured)", self.configured.len())
    }
}

#[cfg(test)]
mod tests;
