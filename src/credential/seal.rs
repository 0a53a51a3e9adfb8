//! Sealing of what is kept at rest: AES-256-GCM under a data key of each tenant, which a wrapping key seals in turn.
//!
//! # Why the owner is part of the seal
//! Tenant, server and kind are associated data. A sealed value that is copied to another tenant's entry, or read as
//! another kind of credential, does not open.
//!
//! # Why two keys
//! Another wrapping key means that small data keys are wrapped again, and nothing that they seal is touched. And the wrapping
//! key can stay in a service that is asked once for each tenant and not once for each call.

use std::sync::Arc;

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use zeroize::Zeroizing;

use crate::config::State;
use crate::credential::seal::cipher::{Cipher, Layout, Parts};
use crate::credential::seal::wrapping::Ring;
use crate::secret::Key;
use crate::store::{Store, StoreError, Stored, Table};

mod cipher;
mod kms;
mod rekey;
mod source;
mod transit;
mod wrapping;

pub use rekey::{InUse, Rekeyed};

/// Length of the sealing key in bytes.
pub const KEY_BYTES: usize = 32;
/// Data keys that are kept unwrapped.
const KNOWN: usize = 10_000;

/// Whose a sealed value is and what it is for; it opens under exactly the same.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The tenant; empty for what is the gate's own.
    pub tenant: &'a str,
    /// The server; empty for what is the gate's own.
    pub server: &'a str,
    /// What it is, such as `bearer`.
    pub kind: &'a str,
}

/// A sealed value as it is stored: layout (1 byte), id of the data key (8), nonce (12), ciphertext, tag (16).
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret(Vec<u8>);

impl SealedSecret {
    /// Takes bytes from a store; whether they open is seen when they are opened.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedSecret({} bytes)", self.0.len())
    }
}

/// Why something could not be sealed or opened. For the operator.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SealError {
    /// The key's file or command is wrong; asking again does not help.
    #[error("sealing key: {0}")]
    BadKey(String),
    /// The key cannot be had now: its command failed. It is asked for again.
    #[error("sealing key: {0}; it is asked for again")]
    Unavailable(String),
    /// Sealed under another key.
    #[error("it was sealed under another sealing key ({sealed}) than the configured one ({configured})")]
    OtherKey {
        /// The id of the key that sealed it.
        sealed: String,
        /// The id of the configured key.
        configured: String,
    },
    /// Changed, truncated, or moved from another owner.
    #[error("it is damaged, or was sealed for another tenant, server or kind")]
    Damaged,
    /// A layout that this version does not know.
    #[error("its layout {0} is not one that this version reads")]
    Layout(u8),
    /// The store that has the data keys failed.
    #[error("data key: {0}")]
    Store(String),
}

/// Seals and opens. Where the wrapping key cannot be had, the sealer is locked until it can.
pub struct Sealer {
    ring: ArcSwap<Ring>,
    store: Arc<dyn Store>,
    known: Cache<Box<str>, Arc<DataKey>>,
}

/// A tenant's data key, unwrapped.
struct DataKey {
    version: u64,
    cipher: Cipher,
}

impl Sealer {
    /// Fetches the wrapping key. One that does not answer leaves the sealer locked, for `unlock` to try again.
    ///
    /// # Errors
    /// [`SealError::BadKey`]: the file can't be read or made, the program does not exist, or it is not a key.
    pub async fn open(state: &State, store: Arc<dyn Store>) -> Result<Self, SealError> {
        let ring = ArcSwap::from_pointee(Ring::new(state));
        let sealer = Self { ring, store, known: Cache::new(KNOWN) };
        match sealer.unlock().await {
            Ok(()) | Err(SealError::Unavailable(_)) => Ok(sealer),
            Err(error) => Err(error),
        }
    }

    /// Takes the wrapping keys of another configuration, once the new one is here. What is open stays open.
    ///
    /// # Errors
    /// The new key cannot be had: the old ones stay.
    pub async fn turn(&self, state: &State) -> Result<(), SealError> {
        let ring = self.ring.load().turned(state);
        ring.current.unlock().await?;
        self.ring.store(Arc::new(ring));
        Ok(())
    }

    /// Fetches the wrapping key if it is not here yet.
    ///
    /// # Errors
    /// The key cannot be had.
    pub async fn unlock(&self) -> Result<(), SealError> {
        self.ring.load_full().current.unlock().await
    }

    /// Whether the wrapping key is here. A gate whose sealer is locked is not ready.
    #[must_use]
    pub fn is_unlocked(&self) -> bool {
        self.ring.load().current.is_unlocked()
    }

    /// Whether the wrapping keys are those that wrapped the gate's own data key, if there is one yet.
    ///
    /// # Errors
    /// They are others, cannot be had, or the store failed.
    pub async fn fits(&self) -> Result<(), SealError> {
        self.data_key("").await.map(drop)
    }

    /// Seals `plain` for `owner` under the tenant's data key, which is made where there is none.
    ///
    /// # Errors
    /// The key cannot be had, or the store failed.
    pub async fn seal(&self, owner: Owner<'_>, plain: &[u8]) -> Result<SealedSecret, SealError> {
        let key = match self.data_key(owner.tenant).await? {
            Some(key) => key,
            None => self.made(owner.tenant).await?,
        };
        key.cipher.seal(Layout::UnderDataKey, owner, plain).map(SealedSecret)
    }

    /// Opens what was sealed for the same `owner`.
    ///
    /// # Errors
    /// The key cannot be had, is another one, or the value is damaged or another owner's; or the store failed.
    pub async fn open_sealed(&self, owner: Owner<'_>, sealed: &SealedSecret) -> Result<Key, SealError> {
        let parts = Parts::read(&sealed.0)?;
        match parts.layout {
            Layout::Direct => self.ring.load_full().find(parts.id).await?.open(owner, &parts).await,
            Layout::UnderDataKey => match self.data_key(owner.tenant).await? {
                Some(key) if key.cipher.id() == parts.id => key.cipher.open(owner, &parts),
                Some(_) | None => Err(SealError::Damaged),
            },
            Layout::Wrapped | Layout::WrappedElsewhere => Err(SealError::Damaged),
        }
    }

    /// The tenant's data key; `None`: nothing was sealed for the tenant yet.
    async fn data_key(&self, tenant: &str) -> Result<Option<Arc<DataKey>>, SealError> {
        let Some(stored) = self.store.get(Table::DataKeys, &entry(tenant)).await? else { return Ok(None) };
        if let Some(known) = self.known.get(tenant).filter(|known| known.version == stored.version) {
            return Ok(Some(known));
        }
        let cipher = Cipher::new(&self.unwrapped(tenant, &stored).await?)?;
        let key = Arc::new(DataKey { version: stored.version, cipher });
        self.known.insert(tenant.into(), Arc::clone(&key));
        Ok(Some(key))
    }

    async fn unwrapped(&self, tenant: &str, stored: &Stored) -> Result<Key, SealError> {
        let parts = Parts::read(&stored.value)?;
        self.ring.load_full().find(parts.id).await?.unwrap(tenant, &parts).await
    }

    /// A new data key, or the one that another gate made meanwhile.
    async fn made(&self, tenant: &str) -> Result<Arc<DataKey>, SealError> {
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        aws_lc_rs::rand::fill(&mut *bytes)
            .map_err(|_| SealError::Unavailable("the system gives no random bits".into()))?;
        let wrapped = self.ring.load_full().current.wrap(tenant, &Key::new(bytes.to_vec())).await?;
        match self.store.put(Table::DataKeys, &entry(tenant), &wrapped, Some(0)).await {
            Ok(_) | Err(StoreError::Changed) => {}
            Err(error) => return Err(error.into()),
        }
        self.data_key(tenant).await?.ok_or_else(|| SealError::Store("it is gone again".into()))
    }
}

/// The tenant and a NUL, as every key begins; what is the gate's own has no tenant.
fn entry(tenant: &str) -> Vec<u8> {
    [tenant.as_bytes(), &[0]].concat()
}

impl From<StoreError> for SealError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_unlocked() { "Sealer(unlocked)" } else { "Sealer(locked)" })
    }
}

#[cfg(test)]
mod tests;
