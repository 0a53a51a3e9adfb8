//! Gates on one store need the same keys: with another one, what they keep there is unknown to each other, or does not open.
//!
//! # Why a fingerprint, and for the gate's key alone
//! Nothing that is kept says under which gate key it was made: a scoped URL would merely be unknown. So the first gate leaves a
//! keyed hash of nothing but a fixed text there. Sealed values name the sealing key themselves.

use std::sync::Arc;

use aws_lc_rs::hmac;

use crate::config::{Config, SealingKey};
use crate::credential::seal::{SealError, Sealer};
use crate::gateway::build::BuildError;
use crate::secret::Key;
use crate::store::{Store, StoreError, Table};

/// Under which the fingerprint of the gate's key is kept.
pub const GATE_KEY: &[u8] = b"gate key";

/// Sees that this gate has the keys of the others on its store.
///
/// # Errors
/// A key is another one, or the store failed.
pub async fn same_keys(config: &Config, store: &Arc<dyn Store>, sealer: &Sealer) -> Result<(), BuildError> {
    if !store.is_shared() {
        return Ok(());
    }
    let own = fingerprint(&config.identity.gate_key);
    match store.put(Table::Gates, GATE_KEY, own.as_bytes(), Some(0)).await {
        Ok(_) | Err(StoreError::Changed) => {}
        Err(error) => return Err(error.into()),
    }
    let known = store.get(Table::Gates, GATE_KEY).await?;
    if known.is_none_or(|known| known.value != own.as_bytes()) {
        return Err(BuildError::OtherGateKey(config.identity.gate_key_file.clone()));
    }
    match sealer.fits().await {
        // A key service that does not answer now is no other key.
        Ok(()) | Err(SealError::Unavailable(_)) => Ok(()),
        Err(SealError::OtherKey { .. }) => Err(BuildError::OtherSealingKey(named(&config.state.sealing_key))),
        Err(error) => Err(error.into()),
    }
}

/// Tells one key from another, and says nothing of it.
fn fingerprint(key: &Key) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
    let tag = hmac::sign(&key, b"portcullis: which gate key this is");
    hex::encode(tag.as_ref().get(..8).unwrap_or_default())
}

fn named(key: &SealingKey) -> String {
    match key {
        SealingKey::File(file) => format!("`{}`", file.display()),
        SealingKey::Command(_) | SealingKey::Transit(_) | SealingKey::AwsKms(_) | SealingKey::GcpKms(_) => {
            "`state.sealing_key`".to_owned()
        }
    }
}
