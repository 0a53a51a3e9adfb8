//! The signing keys: the newest signs, those before stay published until their tokens are out and one period more.
//!
//! # Why they are numbered in the store
//! A new key is written under the next number only if nobody has written that number yet, so several gates on one store
//! that find the key old at the same moment agree on one new key.
//!
//! # Why a new key waits
//! A server may get its token from one gate and the keys from another, which reads the store now and then. Where gates share a store, a
//! key is published for a while before it signs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::Signature;
use crate::credential::seal::{Owner, SealedSecret, Sealer};
use crate::store::{Store, StoreError, Table};
use crate::vouch::VouchError;
use crate::vouch::key::SigningKey;

const PREFIX: &[u8] = b"vouch/";
const OWNER: Owner<'static> = Owner { tenant: "", server: "", kind: "vouch" };

/// The keys in use, oldest first.
#[derive(Default)]
pub(super) struct Ring {
    keys: Vec<Numbered>,
    /// The place of the one that signs.
    signs: usize,
}

#[derive(Clone)]
struct Numbered {
    number: u64,
    key: Arc<SigningKey>,
}

/// Where the keys are kept, and for how long.
pub(super) struct Cupboard {
    pub(super) store: Arc<dyn Store>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) algorithm: Signature,
    /// The age at which the current key is replaced.
    pub(super) rotate: Duration,
    /// How long a replaced key stays published.
    pub(super) overlap: Duration,
    /// How long a new key is published before it signs.
    pub(super) announced: Duration,
}

impl Ring {
    /// The one that signs.
    pub(super) fn current(&self) -> Option<&SigningKey> {
        self.keys.get(self.signs).map(|numbered| &*numbered.key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter().map(|numbered| &*numbered.key)
    }

    fn newest(&self) -> Option<&SigningKey> {
        self.keys.last().map(|numbered| &*numbered.key)
    }

    fn next_number(&self) -> u64 {
        self.keys.last().map_or(1, |numbered| numbered.number.saturating_add(1))
    }
}

impl Cupboard {
    /// The keys as they are kept, after a rotation if one is due, without those that nobody needs.
    pub(super) async fn maintained(&self, now: SystemTime) -> Result<Ring, VouchError> {
        let ring = self.kept().await?;
        let ring = if self.is_due(&ring, now) { self.renewed(ring, now).await? } else { ring };
        self.pruned(ring, now).await
    }

    /// The same after a rotation, due or not.
    pub(super) async fn rotated(&self, now: SystemTime) -> Result<Ring, VouchError> {
        let ring = self.kept().await?;
        let ring = self.renewed(ring, now).await?;
        self.pruned(ring, now).await
    }

    fn is_due(&self, ring: &Ring, now: SystemTime) -> bool {
        ring.newest()
            .is_none_or(|key| key.algorithm() != self.algorithm || is_past(key.created(), self.rotate, now))
    }

    async fn kept(&self) -> Result<Ring, VouchError> {
        let mut keys = Vec::new();
        for (name, stored) in self.store.scan(Table::Keys, PREFIX).await? {
            let sealed = SealedSecret::from_bytes(stored.value);
            let opened = self.sealer.open_sealed(OWNER, &sealed).await?;
            keys.push(Numbered {
                number: number(&name)?,
                key: Arc::new(SigningKey::parse(opened.expose())?),
            });
        }
        Ok(Ring { keys, signs: 0 })
    }

    async fn renewed(&self, mut ring: Ring, now: SystemTime) -> Result<Ring, VouchError> {
        let number = ring.next_number();
        let (key, plain) = SigningKey::generate(self.algorithm, now)?;
        let sealed = self.sealer.seal(OWNER, plain.expose()).await?;
        match self.store.put(Table::Keys, &name(number), sealed.as_bytes(), Some(0)).await {
            Ok(_) => {
                tracing::info!(number, "A new key signs the Txn-Tokens");
                ring.keys.push(Numbered { number, key: Arc::new(key) });
                Ok(ring)
            }
            // Another gate was faster: its key is the new one.
            Err(StoreError::Changed) => self.kept().await,
            Err(error) => Err(error.into()),
        }
    }

    async fn pruned(&self, ring: Ring, now: SystemTime) -> Result<Ring, VouchError> {
        let mut keys = Vec::new();
        let replaced = ring.keys.iter().skip(1).map(|next| Some(next.key.created())).chain([None]);
        for (numbered, replaced) in ring.keys.iter().zip(replaced) {
            if replaced.is_some_and(|replaced| is_past(replaced, self.overlap, now)) {
                self.store.remove(Table::Keys, &name(numbered.number)).await?;
            } else {
                keys.push(numbered.clone());
            }
        }
        let is_announced = |numbered: &Numbered| is_past(numbered.key.created(), self.announced, now);
        let signs = match self.announced.is_zero() {
            true => keys.len().checked_sub(1),
            false => keys.iter().rposition(is_announced),
        };
        // Where none has been announced for long enough, there is no older one to wait with.
        Ok(Ring { keys, signs: signs.unwrap_or(0) })
    }
}

fn is_past(since: SystemTime, length: Duration, now: SystemTime) -> bool {
    now.duration_since(since).is_ok_and(|age| age >= length)
}

/// Big-endian, so that key order is number order.
fn name(number: u64) -> Vec<u8> {
    [PREFIX, number.to_be_bytes().as_slice()].concat()
}

fn number(name: &[u8]) -> Result<u64, VouchError> {
    let digits = name.strip_prefix(PREFIX).and_then(|digits| digits.try_into().ok());
    digits.map(u64::from_be_bytes).ok_or(VouchError::Key("a kept key has a name that is not its number"))
}
