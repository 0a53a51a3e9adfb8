//! Data keys as the operator handles them: on a gate that runs, and on the store of one that does not.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use crate::admin::{DataKeys, VaultFailed};
use crate::config::Config;
use crate::credential::seal::{SealError, Sealer};
use crate::store;

/// Data keys.
pub struct VaultDesk(Arc<Sealer>);

impl VaultDesk {
    /// Those that a sealer of a running gate has.
    #[must_use]
    pub fn of(sealer: Arc<Sealer>) -> Self {
        Self(sealer)
    }

    /// Those in the store of a gate that does not run. Opening takes it, so that the gate cannot start meanwhile.
    ///
    /// # Errors
    /// The store or the sealing key cannot be opened.
    pub async fn open(config: &Config) -> Result<Self, VaultFailed> {
        let store = store::open(&config.state).await.map_err(|error| VaultFailed(error.to_string()))?;
        let sealer = Sealer::open(&config.state, store).await;
        sealer.map(|sealer| Self(Arc::new(sealer))).map_err(|error| VaultFailed(error.to_string()))
    }
}

#[async_trait]
impl DataKeys for VaultDesk {
    async fn in_use(&self) -> Result<Value, VaultFailed> {
        told(self.0.in_use().await)
    }

    async fn rekey(&self) -> Result<Value, VaultFailed> {
        told(self.0.rekey().await)
    }
}

fn told(told: Result<impl Serialize, SealError>) -> Result<Value, VaultFailed> {
    let value = told.map_err(|error| VaultFailed(error.to_string()))?;
    Ok(serde_json::to_value(value).unwrap_or_default())
}
