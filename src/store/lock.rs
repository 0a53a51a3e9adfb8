//! A lock across gates: one holder at a time, and a dead one's ends by itself.
//!
//! # Why a lock alone proves nothing
//! A holder may be held up for longer than its lock lasts, and go on as if it had it. What is written under a lock is therefore
//! written with the version that was read under it ([`Store::put`] with `expected`): the late one changes nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::store::{Store, StoreError, Table};

/// A lock that is held. Dropped without [`Lock::release`], it ends when its life does.
#[derive(Debug)]
#[must_use = "a lock that is dropped is held until its life ends"]
pub struct Lock {
    store: Arc<dyn Store>,
    name: Vec<u8>,
    version: u64,
}

impl Lock {
    /// Takes the lock for `life`, in milliseconds; nothing where another holder has it.
    ///
    /// # Errors
    /// Where the store fails: then it is not known who has it.
    pub async fn take(
        store: &Arc<dyn Store>,
        name: &[u8],
        life: Duration,
    ) -> Result<Option<Self>, StoreError> {
        match store.put_for(Table::Locks, name, &[], Some(0), life).await {
            Ok(version) => Ok(Some(Self { store: Arc::clone(store), name: name.to_vec(), version })),
            Err(StoreError::Changed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Holds it for `life` from now on; false where it has ended meanwhile, and may be another's.
    ///
    /// # Errors
    /// Where the store fails: then it is not known.
    pub async fn extend(&mut self, life: Duration) -> Result<bool, StoreError> {
        match self.store.put_for(Table::Locks, &self.name, &[], Some(self.version), life).await {
            Ok(version) => {
                self.version = version;
                Ok(true)
            }
            Err(StoreError::Changed) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives it back; false where it had ended before. Another's is left alone.
    ///
    /// # Errors
    /// Where the store fails: then it ends when its life does.
    pub async fn release(self) -> Result<bool, StoreError> {
        match self.store.remove_version(Table::Locks, &self.name, self.version).await {
            Err(StoreError::Changed) => Ok(false),
            released => released,
        }
    }
}
