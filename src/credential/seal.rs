//! Sealing of what is kept at rest: AES-256-GCM under the gate's sealing key.
//!
//! # Why the owner is part of the seal
//! Tenant, server and kind are associated data. A sealed value that is copied to another tenant's entry, or read as
//! another kind of credential, does not open.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use tokio::sync::Mutex as AsyncMutex;
use zeroize::Zeroizing;

use crate::config::SealingKey;
use crate::secret::Key;

mod source;

/// Length of the sealing key in bytes.
pub const KEY_BYTES: usize = 32;
const LAYOUT: u8 = 1;
const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// How long a sealing key that could not be had is not asked for again.
const PAUSE: Duration = Duration::from_secs(2);

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

/// A sealed value as it is stored: layout (1 byte), id of the sealing key (8), nonce (12), ciphertext, tag (16).
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
}

/// Seals and opens. Where the key comes from a command that fails, the sealer is locked until the command succeeds.
pub struct Sealer {
    source: SealingKey,
    unlocked: std::sync::OnceLock<Unlocked>,
    asking: AsyncMutex<()>,
    refused: Mutex<Option<(Instant, SealError)>>,
}

struct Unlocked {
    key: RandomizedNonceKey,
    id: [u8; ID_BYTES],
}

impl Sealer {
    /// Fetches the key. A command that fails leaves the sealer locked, for `unlock` to try again.
    ///
    /// # Errors
    /// [`SealError::BadKey`]: the file can't be read or made, the program does not exist, or it is not a key.
    pub async fn open(source: &SealingKey) -> Result<Self, SealError> {
        let sealer = Self {
            source: source.clone(),
            unlocked: std::sync::OnceLock::new(),
            asking: AsyncMutex::new(()),
            refused: Mutex::new(None),
        };
        match sealer.unlock().await {
            Ok(()) | Err(SealError::Unavailable(_)) => Ok(sealer),
            Err(error) => Err(error),
        }
    }

    /// Fetches the key if it is not here yet; at most one attempt runs, and after one that failed the next is 2 s later.
    ///
    /// # Errors
    /// The key cannot be had.
    pub async fn unlock(&self) -> Result<(), SealError> {
        self.unlocked().await.map(|_| ())
    }

    /// Whether the key is here. A gate whose sealer is locked is not ready.
    #[must_use]
    pub fn is_unlocked(&self) -> bool {
        self.unlocked.get().is_some()
    }

    /// Seals `plain` for `owner` under a new random nonce.
    ///
    /// # Errors
    /// The key cannot be had.
    pub async fn seal(&self, owner: Owner<'_>, plain: &[u8]) -> Result<SealedSecret, SealError> {
        self.unlocked().await?.seal(owner, plain).ok_or(SealError::Damaged).map(SealedSecret)
    }

    /// Opens what was sealed for the same `owner`.
    ///
    /// # Errors
    /// The key cannot be had, is another one, or the value is damaged or another owner's.
    pub async fn open_sealed(&self, owner: Owner<'_>, sealed: &SealedSecret) -> Result<Key, SealError> {
        self.unlocked().await?.open(owner, &sealed.0)
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
            match source::key(&self.source).await.and_then(|key| Unlocked::new(&key)) {
                Ok(unlocked) => drop(self.unlocked.set(unlocked)),
                Err(error) => return Err(self.remember(error)),
            }
        }
        self.unlocked.get().ok_or_else(|| SealError::Unavailable("it is not here".into()))
    }

    fn recent_refusal(&self) -> Option<SealError> {
        let refused = self.refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        refused.as_ref().filter(|(at, _)| at.elapsed() < PAUSE).map(|(_, error)| error.clone())
    }

    fn remember(&self, error: SealError) -> SealError {
        tracing::warn!(%error, "The sealing key cannot be had; sealed credentials are not available");
        let mut refused = self.refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *refused = Some((Instant::now(), error.clone()));
        error
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_unlocked() { "Sealer(unlocked)" } else { "Sealer(locked)" })
    }
}

impl Unlocked {
    fn new(key: &Key) -> Result<Self, SealError> {
        let bytes = key.expose();
        let sealing = RandomizedNonceKey::new(&AES_256_GCM, bytes)
            .map_err(|_| SealError::BadKey(format!("it must be {KEY_BYTES} bytes")))?;
        let mut named = digest::Context::new(&digest::SHA256);
        named.update(b"portcullis sealing key id");
        named.update(bytes);
        let digest = named.finish();
        let id = digest.as_ref().first_chunk::<ID_BYTES>().copied();
        Ok(Self { key: sealing, id: id.unwrap_or_default() })
    }

    fn seal(&self, owner: Owner<'_>, plain: &[u8]) -> Option<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_BYTES));
        text.extend_from_slice(plain);
        let aad = Aad::from(associated(owner, self.id));
        let nonce = self.key.seal_in_place_append_tag(aad, &mut *text).ok()?;
        let mut sealed = Vec::with_capacity(1 + ID_BYTES + NONCE_BYTES + text.len());
        sealed.push(LAYOUT);
        sealed.extend_from_slice(&self.id);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Some(sealed)
    }

    fn open(&self, owner: Owner<'_>, sealed: &[u8]) -> Result<Key, SealError> {
        let (layout, rest) = sealed.split_first().ok_or(SealError::Damaged)?;
        if *layout != LAYOUT {
            return Err(SealError::Layout(*layout));
        }
        let (id, rest) = rest.split_first_chunk::<ID_BYTES>().ok_or(SealError::Damaged)?;
        if *id != self.id {
            return Err(SealError::OtherKey { sealed: hex::encode(id), configured: hex::encode(self.id) });
        }
        let (nonce, text) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Damaged)?;
        let mut text = Zeroizing::new(text.to_vec());
        let aad = Aad::from(associated(owner, self.id));
        let plain = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut text);
        plain.map(|plain| Key::new(plain.to_vec())).map_err(|_| SealError::Damaged)
    }
}

/// Each part with its length before it, so that no two owners give the same bytes.
fn associated(owner: Owner<'_>, id: [u8; ID_BYTES]) -> Vec<u8> {
    let mut data = vec![LAYOUT];
    data.extend_from_slice(&id);
    for part in [owner.tenant, owner.server, owner.kind] {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data
}

#[cfg(test)]
mod tests;
