//! Accounts that a person connects, as the operator handles them: on a gate that runs, and on the store of one that does not.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};

use crate::admin::{Connects, DeskError};
use crate::config::Config;
use crate::credential::seal::Sealer;
use crate::credential::{ConnectError, Vault};
use crate::gateway::Gate;
use crate::name::{ServerName, TenantId};
use crate::store;

/// Accounts and notices.
pub enum ConnectDesk {
    /// Of a gate that runs.
    Gate(Arc<Gate>),
    /// In the store of one that does not.
    Store(Arc<Vault>),
}

impl ConnectDesk {
    /// The desk of a gate that does not run. An embedded store is taken, so that it cannot start meanwhile.
    ///
    /// # Errors
    /// The store or the sealing key cannot be opened, or an account cannot work as it is configured.
    pub async fn open(config: &Config) -> Result<Self, DeskError> {
        let store = store::open(&config.state).await.map_err(failed)?;
        let sealer = Sealer::open(&config.state, Arc::clone(&store)).await.map_err(failed)?;
        let vault = Vault::new(config, store, Arc::new(sealer));
        let vault = vault.map_err(|bad| {
            DeskError::Unfit(bad.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        Ok(Self::Store(Arc::new(vault)))
    }

    fn vault(&self) -> Arc<Vault> {
        match self {
            Self::Gate(gate) => Arc::clone(gate.current().vault()),
            Self::Store(vault) => Arc::clone(vault),
        }
    }
}

#[async_trait]
impl Connects for ConnectDesk {
    async fn connect(&self, tenant: &TenantId, server: &ServerName) -> Result<Value, DeskError> {
        let connection = match self {
            Self::Gate(gate) => gate.current().connection(tenant, server).await.map_err(failed)?,
            Self::Store(vault) => vault.connection(tenant, server).map(Arc::clone),
        };
        let none = || DeskError::Unfit(ConnectError::NoAccount(tenant.clone(), server.clone()).to_string());
        let consent = connection.ok_or_else(none)?.begin_consent().await.map_err(|error| match error {
            ConnectError::NotConnectable(..) | ConnectError::NoAccount(..) | ConnectError::Authority(_) => {
                DeskError::Unfit(error.to_string())
            }
            ConnectError::Unknown
            | ConnectError::BadCallback(_)
            | ConnectError::Refused(_)
            | ConnectError::Failed(_) => failed(error),
        })?;
        Ok(json!({"tenant": tenant, "server": server, "url": consent.url, "expires_at": consent.expires_at}))
    }

    async fn grants(&self, tenant: Option<&TenantId>) -> Result<Vec<Value>, DeskError> {
        let standings = self.vault().standings(tenant).await.map_err(failed)?;
        Ok(standings.iter().map(shown).collect())
    }

    async fn notices(&self) -> Result<Vec<Value>, DeskError> {
        let notices = self.vault().notices().await.map_err(failed)?;
        Ok(notices.iter().map(shown).collect())
    }

    async fn replay(&self, id: &str) -> Result<bool, DeskError> {
        self.vault().replay_notice(id).await.map_err(failed)
    }
}

fn failed(error: impl ToString) -> DeskError {
    DeskError::Failed(error.to_string())
}

fn shown(it: &impl Serialize) -> Value {
    serde_json::to_value(it).unwrap_or_default()
}
