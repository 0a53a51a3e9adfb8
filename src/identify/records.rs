//! What the store knows of callers: their keys, and whether their tenants are served.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Config;
use crate::identify::key::KeyRecords;
use crate::identify::proof::{BadProof, Found};
use crate::identify::{Identify, Revocations, Standing, Tenants, Uses};
use crate::name::TenantId;
use crate::refusal::Refusal;
use crate::store::Store;

/// What the store knows of callers.
#[derive(Debug, Clone)]
pub struct Records {
    /// API keys that were made while the gate runs.
    pub keys: Arc<KeyRecords>,
    /// Which tenants are served.
    pub tenants: Arc<Tenants>,
    /// Tokens that are refused before they end.
    pub revocations: Arc<Revocations>,
    /// When keys and scoped URLs were last used.
    pub uses: Arc<Uses>,
}

impl Records {
    /// What is in `store`, beside what is in `config`.
    #[must_use]
    pub fn new(
        config: &Config,
        store: &Arc<dyn Store>,
        uses: Arc<Uses>,
        revocations: Arc<Revocations>,
    ) -> Self {
        let keys = Arc::new(KeyRecords::new(Arc::clone(store)));
        let tenants = Arc::new(Tenants::new(config, Arc::clone(store)));
        Self { keys, tenants, revocations, uses }
    }
}

impl Identify {
    /// Whether the tenant is not suspended. One that nobody has made is whoever an issuer says it is.
    pub(in crate::identify) async fn serves(&self, tenant: &TenantId) -> Result<bool, Refusal> {
        self.standing(tenant).await.map(|standing| standing != Standing::Suspended)
    }

    pub(in crate::identify) async fn standing(&self, tenant: &TenantId) -> Result<Standing, Refusal> {
        self.records.tenants.standing(tenant).await.map_err(|error| {
            tracing::error!(%tenant, %error, "The tenant could not be looked up");
            Refusal::IdentityUnavailable
        })
    }

    /// The holder of an API key: a configured one, else one in the store. An address that guesses has to wait: each guess
    /// is a look-up that others wait for.
    pub(in crate::identify) async fn key(&self, digest: &[u8; 32], address: IpAddr) -> Found {
        let now = self.clock.now();
        match self.keys.find(digest, now) {
            Found::Invalid(BadProof::UnknownApiKey) if !self.guessers.may_look(address) => {
                Found::Invalid(BadProof::Guessing)
            }
            Found::Invalid(BadProof::UnknownApiKey) => {
                let found = self.records.keys.find(digest, &self.records.uses, now).await;
                if matches!(found, Found::Invalid(BadProof::UnknownApiKey)) {
                    self.guessers.missed(address);
                }
                found
            }
            found @ (Found::Valid(_) | Found::Invalid(_) | Found::Nothing) => found,
        }
    }
}
