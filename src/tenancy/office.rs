//! Where tenants, accounts and API keys are made, changed and removed: by the same rules on a gate that runs and on the
//! store of one that does not.

mod accounts;
mod keys;
mod revocations;
mod tenants;

pub use accounts::AccountBody;
pub use keys::{KeyBody, end};
pub use revocations::RevocationBody;
pub use tenants::{TenantBody, TenantPatch};

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::config::Config;
use crate::credential::Vault;
use crate::credential::seal::Sealer;
use crate::identify::Records;
use crate::identify::url::ScopedUrls;
use crate::name::{ServerName, TenantId};
use crate::store::{Store, StoreError, Table};
use crate::tenancy::{Problem, Standing, entry};

/// What the office works with.
pub struct Office {
    /// The configuration: what it has cannot be written here.
    pub config: Arc<Config>,
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Where secrets are sealed.
    pub vault: Arc<Vault>,
    /// What seals.
    pub sealer: Arc<Sealer>,
    /// Scoped URLs.
    pub urls: Arc<ScopedUrls>,
    /// What the store knows of callers.
    pub records: Records,
}

/// Something as it is shown, and its version.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// What is shown.
    pub value: Value,
    /// The version in the store; `None`: it stands in the configuration.
    pub version: Option<u64>,
}

/// A page of a list.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Page {
    /// What is on it.
    pub items: Vec<Value>,
    /// After which the next page begins, if there may be one.
    pub next: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone)]
pub struct Part {
    /// After what.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

impl Office {
    /// Whether the tenant has an account at the server.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn has_account(&self, tenant: &TenantId, server: &ServerName) -> Result<bool, StoreError> {
        if self.config.accounts.contains_key(&(tenant.clone(), server.clone())) {
            return Ok(true);
        }
        Ok(self.store.get(Table::Accounts, &entry::key(tenant, server)).await?.is_some())
    }

    /// Refuses what is to be made for a tenant that is not there, or is on its way out.
    pub(in crate::tenancy) async fn known(&self, tenant: &TenantId) -> Result<(), Problem> {
        match self.records.tenants.standing(tenant).await? {
            Standing::Served => Ok(()),
            Standing::Suspended => match self.tenant_entry(tenant).await? {
                (entry, _) if entry.status == crate::tenancy::Status::Deleting => Err(Problem::Conflict(
                    format!("tenant `{tenant}` is being deleted; delete it again to see that it is done"),
                )),
                _ => Ok(()),
            },
            Standing::Unknown => Err(Problem::Unknown(format!("tenant `{tenant}`"))),
        }
    }
}

/// A tenant's name, or what is wrong with it.
///
/// # Errors
/// The text is no name.
pub fn tenant(text: &str) -> Result<TenantId, Problem> {
    TenantId::parse(text).map_err(|why| {
        Problem::unfit(
            "tenant",
            format!("`{}` is no tenant's name: {why}", text.escape_debug()),
            "name the tenant in printable characters",
        )
    })
}

/// A server's name, or what is wrong with it.
///
/// # Errors
/// The text is no name.
pub fn server(text: &str) -> Result<ServerName, Problem> {
    ServerName::parse(text).map_err(|why| {
        let what = format!("`{}` is no server's name: {why}", text.escape_debug());
        Problem::unfit("server", what, "name one of `servers`")
    })
}

/// Without the members that say nothing.
fn said(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        members.retain(|_, value| !value.is_null());
    }
    value
}

/// What is written of something.
fn written(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value).map_err(|error| Problem::Failed(error.to_string()))
}

/// The version that a change needs: the one that was expected, if one was, and is there.
fn version(there: u64, expected: Option<u64>) -> Result<u64, Problem> {
    match expected {
        Some(expected) if expected != there => Err(Problem::Changed),
        Some(_) | None => Ok(there),
    }
}
