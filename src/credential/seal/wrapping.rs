//! Wrapping keys: what data keys are sealed under.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Mutex as AsyncMutex;

use crate::config::{SealingKey, State};
use crate::credential::seal::cipher::{Cipher, KeyId, Layout, Parts};
use crate::credential::seal::kms::{AwsKms, GcpKms};
use crate::credential::seal::transit::Transit;
use crate::credential::seal::{KEY_BYTES, Owner, SealError, source};
use crate::secret::Key;

/// How long a key that could not be had is not asked for again.
const PAUSE: Duration = Duration::from_secs(2);

/// The configured wrapping keys: one wraps, and all of them unwrap.
pub(super) struct Ring {
    pub(super) current: Arc<WrappingKey>,
    retired: Vec<Arc<WrappingKey>>,
}

impl Ring {
    pub(super) fn new(state: &State) -> Self {
        let key = |source: &SealingKey| Arc::new(WrappingKey::new(source.clone()));
        Self {
            current: key(&state.sealing_key),
            retired: state.retired_sealing_keys.iter().map(key).collect(),
        }
    }

    /// The ring of another configuration, in which a key that stays is not fetched again.
    pub(super) fn turned(&self, state: &State) -> Self {
        let mut ring = Self::new(state);
        for key in std::iter::once(&mut ring.current).chain(&mut ring.retired) {
            let mut own = std::iter::once(&self.current).chain(&self.retired);
            if let Some(same) = own.find(|own| own.source == key.source) {
                *key = Arc::clone(same);
            }
        }
        ring
    }

    /// The key with an id. One that cannot be had hides none of the others.
    pub(super) async fn find(&self, id: KeyId) -> Result<&WrappingKey, SealError> {
        let mut missing = None;
        for key in std::iter::once(&self.current).chain(&self.retired) {
            match key.id().await {
                Ok(own) if own == id => return Ok(key),
                Ok(_) => {}
                Err(error) => missing = Some(error),
            }
        }
        let Some(error) = missing else {
            let configured = hex::encode(self.current.id().await?);
            return Err(SealError::OtherKey { sealed: hex::encode(id), configured });
        };
        Err(error)
    }
}

/// One of them. Where its source does not answer, it is locked until the source does.
pub(super) struct WrappingKey {
    source: SealingKey,
    unlocked: OnceLock<Unlocked>,
    asking: AsyncMutex<()>,
    refused: Mutex<Option<(Instant, SealError)>>,
}

enum Unlocked {
    /// It is in this process.
    Here(Cipher),
    /// It stays in a service, which wraps and unwraps.
    Elsewhere(Box<dyn Wraps>),
}

/// A wrapping key that stays in a service.
#[async_trait]
pub(super) trait Wraps: Send + Sync {
    /// Which key it is.
    fn id(&self) -> KeyId;

    /// Wraps a tenant's data key, as text.
    async fn wrap(&self, tenant: &str, key: &Key) -> Result<String, SealError>;

    /// Unwraps what it wrapped for the same tenant.
    async fn unwrap(&self, tenant: &str, wrapped: &str) -> Result<Key, SealError>;
}

impl WrappingKey {
    fn new(source: SealingKey) -> Self {
        Self { source, unlocked: OnceLock::new(), asking: AsyncMutex::new(()), refused: Mutex::new(None) }
    }

    pub(super) fn is_unlocked(&self) -> bool {
        self.unlocked.get().is_some()
    }

    /// Fetches the key if it is not here yet; at most one attempt runs, and after one that failed the next is 2 s later.
    pub(super) async fn unlock(&self) -> Result<(), SealError> {
        self.unlocked().await.map(drop)
    }

    pub(super) async fn id(&self) -> Result<KeyId, SealError> {
        Ok(match self.unlocked().await? {
            Unlocked::Here(cipher) => cipher.id(),
            Unlocked::Elsewhere(service) => service.id(),
        })
    }

    pub(super) async fn wrap(&self, tenant: &str, key: &Key) -> Result<Vec<u8>, SealError> {
        match self.unlocked().await? {
            Unlocked::Here(cipher) => cipher.seal(Layout::Wrapped, data_key_of(tenant), key.expose()),
            Unlocked::Elsewhere(service) => {
                let wrapped = service.wrap(tenant, key).await?;
                Ok(Parts::write(Layout::WrappedElsewhere, service.id(), &[wrapped.as_bytes()]))
            }
        }
    }

    pub(super) async fn unwrap(&self, tenant: &str, parts: &Parts<'_>) -> Result<Key, SealError> {
        match (self.unlocked().await?, parts.layout) {
            (Unlocked::Here(cipher), Layout::Wrapped) => cipher.open(data_key_of(tenant), parts),
            (Unlocked::Elsewhere(service), Layout::WrappedElsewhere) => {
                let wrapped = std::str::from_utf8(parts.rest).map_err(|_| SealError::Damaged)?;
                service.unwrap(tenant, wrapped).await
            }
            (Unlocked::Here(_) | Unlocked::Elsewhere(_), _) => Err(SealError::Damaged),
        }
    }

    /// Opens a value of the first version.
    pub(super) async fn open(&self, owner: Owner<'_>, parts: &Parts<'_>) -> Result<Key, SealError> {
        match self.unlocked().await? {
            Unlocked::Here(cipher) => cipher.open(owner, parts),
            Unlocked::Elsewhere(_) => Err(SealError::Damaged),
        }
    }

    async fn unlocked(&self) -> Result<&Unlocked, SealError> {
        if let Some(unlocked) = self.unlocked.get() {
            return Ok(unlocked);
        }
        let _one_at_a_time = self.asking.lock().await;
        if let Some(error) = self.recent_refusal() {
            return Err(error);
        }
        if self.unlocked.get().is_none() {
            match self.fetched().await {
                Ok(unlocked) => drop(self.unlocked.set(unlocked)),
                Err(error) => return Err(self.remember(error)),
            }
        }
        self.unlocked.get().ok_or_else(|| SealError::Unavailable("it is not here".into()))
    }

    async fn fetched(&self) -> Result<Unlocked, SealError> {
        Ok(match &self.source {
            SealingKey::File(path) => Unlocked::Here(Cipher::new(&source::from_file(path)?)?),
            SealingKey::Command(words) => Unlocked::Here(Cipher::new(&source::from_command(words).await?)?),
            SealingKey::Transit(key) => elsewhere(Box::new(Transit::new(key))).await?,
            SealingKey::AwsKms(key) => elsewhere(Box::new(AwsKms::new(key))).await?,
            SealingKey::GcpKms(key) => elsewhere(Box::new(GcpKms::new(key))).await?,
        })
    }

    fn recent_refusal(&self) -> Option<SealError> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.as_ref().filter(|(at, _)| at.elapsed() < PAUSE).map(|(_, error)| error.clone())
    }

    fn remember(&self, error: SealError) -> SealError {
        tracing::warn!(%error, "The sealing key cannot be had; sealed credentials are not available");
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused = Some((Instant::now(), error.clone()));
        error
    }
}

/// Sees that the service wraps: a gate that cannot wrap is not ready.
async fn elsewhere(service: Box<dyn Wraps>) -> Result<Unlocked, SealError> {
    service.wrap("", &Key::new(vec![0; KEY_BYTES])).await?;
    Ok(Unlocked::Elsewhere(service))
}

fn data_key_of(tenant: &str) -> Owner<'_> {
    Owner { tenant, server: "", kind: "data key" }
}
