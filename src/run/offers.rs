//! What servers offer, asked by a gate that runs, or by one that is opened for this alone.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::admin::{OfferError, OfferOf, Offers};
use crate::catalogue::Thing;
use crate::config::Config;
use crate::gateway::{BuildError, Gate, Gateway, Policies, Shared};
use crate::name::{ServerName, TenantId};

/// Who asks the servers.
pub enum OfferDesk {
    /// The gate that runs.
    Gate(Arc<Gate>),
    /// A gate without listeners. It takes the store, so that no other can start meanwhile.
    Alone(Arc<Gateway>),
}

impl OfferDesk {
    /// The desk of a gate that does not run. Its lock file is not read: it may be about to be written.
    ///
    /// # Errors
    /// Everything that is wrong with what a gate is built from.
    pub async fn open(mut config: Config) -> Result<Self, Vec<BuildError>> {
        config.pins = None;
        let config = Arc::new(config);
        let shared = Shared::open(&config).await.map_err(|error| vec![error])?;
        Gateway::build(config, Policies::Configured, shared).map(|gateway| Self::Alone(Arc::new(gateway)))
    }

    fn gateway(&self) -> Arc<Gateway> {
        match self {
            Self::Gate(gate) => gate.current(),
            Self::Alone(gateway) => Arc::clone(gateway),
        }
    }

    /// Puts everything on the record that waits for it, where this desk has a record of its own.
    pub fn close(self) {
        match self {
            Self::Gate(_) => {}
            Self::Alone(gateway) => gateway.shared().record().stop(),
        }
    }
}

#[async_trait]
impl Offers for OfferDesk {
    async fn offer(&self, asked: OfferOf) -> Result<Value, OfferError> {
        let unfit =
            |what: &str, name: &str| OfferError::Unfit(format!("`{name}` is not the name of a {what}"));
        let tenant = TenantId::parse(&asked.tenant).map_err(|_| unfit("tenant", &asked.tenant))?;
        let server = ServerName::parse(&asked.server).map_err(|_| unfit("server", &asked.server))?;
        let gateway = self.gateway();
        let has = gateway.office().has_account(&tenant, &server).await;
        if !has.map_err(|why| OfferError::Failed(why.to_string()))? {
            return Err(OfferError::Unfit(format!("tenant `{tenant}` has no account at `{server}`")));
        }
        let offer = gateway.pull(&tenant, &server, &Thing::ALL).await.map_err(OfferError::Failed)?;
        let text = serde_json::to_string(&offer).map_err(|why| OfferError::Failed(why.to_string()))?;
        serde_json::from_str(&text).map_err(|why| OfferError::Failed(why.to_string()))
    }
}
