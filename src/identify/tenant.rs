//! Tenants that were made while the gate runs, and whether a tenant is served.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use quick_cache::sync::Cache;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::name::TenantId;
use crate::store::{Store, StoreError, Table};

/// Tenants whose status is remembered.
const KEPT: usize = 20_000;

/// A tenant as it is stored; its name is its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What the operator wants to remember of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether it is served.
    pub status: Status,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Whether a tenant is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is.
    Active,
    /// It is not, until somebody says otherwise.
    Suspended,
    /// What it has is being removed.
    Deleting,
}

/// What the gate knows of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is configured, or stored and active.
    Served,
    /// It is suspended, or is being deleted.
    Suspended,
    /// Nobody has made it. It may still be named by an issuer's tokens.
    Unknown,
}

/// The tenants of the configuration, and those in the store.
pub struct Tenants {
    store: Arc<dyn Store>,
    configured: HashSet<TenantId>,
    kept: Cache<TenantId, (u64, Status)>,
}

impl Tenants {
    /// Those that have an account in `config`, and those in `store`.
    #[must_use]
    pub fn new(config: &Config, store: Arc<dyn Store>) -> Self {
        let configured = config.accounts.keys().map(|(tenant, _)| tenant.clone()).collect();
        Self { store, configured, kept: Cache::new(KEPT) }
    }

    /// As if these had an account in the configuration.
    #[cfg(test)]
    pub(crate) fn configured_for_test(names: &[&str], store: Arc<dyn Store>) -> Self {
        let configured = names.iter().map(|name| TenantId::parse(name).unwrap()).collect();
        Self { store, configured, kept: Cache::new(KEPT) }
    }

    /// The tenants that have an account in the configuration.
    #[must_use]
    pub fn configured(&self) -> &HashSet<TenantId> {
        &self.configured
    }

    /// Whether the tenant is served. Of a configured one the store is not asked.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn standing(&self, tenant: &TenantId) -> Result<Standing, StoreError> {
        if self.configured.contains(tenant) {
            return Ok(Standing::Served);
        }
        let Some(stored) = self.store.get(Table::Tenants, tenant.as_str().as_bytes()).await? else {
            return Ok(Standing::Unknown);
        };
        let known = self.kept.get(tenant).filter(|(version, _)| *version == stored.version);
        let status = match known {
            Some((_, status)) => status,
            None => {
                let status = Tenant::read(&stored.value)?.status;
                self.kept.insert(tenant.clone(), (stored.version, status));
                status
            }
        };
        Ok(match status {
            Status::Active => Standing::Served,
            Status::Suspended | Status::Deleting => Standing::Suspended,
        })
    }
}

impl Tenant {
    pub(crate) fn read(value: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(value)
            .map_err(|error| StoreError::Damaged { path: "tenants".to_owned(), why: error.to_string() })
    }
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tenants({} configured)", self.configured.len())
    }
}
