//! Another wrapping key: data keys are wrapped again, one by one, while the gate serves.
//!
//! Each entry says which key wrapped it, so that a run that was broken off is simply begun again, and two runs at once do no
//! harm.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::credential::seal::SealError;
use crate::credential::seal::Sealer;
use crate::credential::seal::cipher::{Layout, Parts};
use crate::store::{StoreError, Stored, Table};

/// Entries that are read at once.
const PAGE: usize = 500;
/// So many data keys that stay as they are, are named.
const NAMED: usize = 20;

/// What a run came to.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Rekeyed {
    /// Data keys that were wrapped again.
    pub rewrapped: u64,
    /// Data keys that the current key wraps already.
    pub current: u64,
    /// Data keys that stay as they are, because they do not open.
    pub failed: u64,
    /// Why, for the first of them: the tenant, which is empty for the gate's own, and what happened.
    pub because: Vec<(String, String)>,
}

/// Which wrapping keys are still needed.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct InUse {
    /// The current key's id.
    pub current: String,
    /// Data keys by the id of the key that wraps them.
    pub data_keys: BTreeMap<String, u64>,
    /// Values that the first version sealed under a wrapping key itself, by its id: they are sealed anew when their secret is set.
    pub direct: BTreeMap<String, u64>,
}

impl Sealer {
    /// Wraps every data key under the current wrapping key.
    ///
    /// # Errors
    /// The current key cannot be had, or the store failed: what was wrapped until then stays so.
    pub async fn rekey(&self) -> Result<Rekeyed, SealError> {
        let current = self.ring.load_full().current.id().await?;
        let mut done = Rekeyed::default();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.store.page(Table::DataKeys, b"", after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(done) };
            after = Some(last.clone());
            for (entry, stored) in page {
                if Parts::read(&stored.value).is_ok_and(|parts| parts.id == current) {
                    done.current += 1;
                    continue;
                }
                let tenant = String::from_utf8_lossy(entry.strip_suffix(&[0]).unwrap_or(&entry)).into_owned();
                match self.rewrap(&tenant, &entry, &stored).await {
                    Ok(()) => done.rewrapped += 1,
                    Err(error @ SealError::Store(_)) => return Err(error),
                    Err(error) => {
                        done.failed += 1;
                        if done.because.len() < NAMED {
                            done.because.push((tenant, error.to_string()));
                        }
                    }
                }
            }
        }
    }

    pub(super) async fn rewrap(&self, tenant: &str, entry: &[u8], stored: &Stored) -> Result<(), SealError> {
        let key = self.unwrapped(tenant, stored).await?;
        let wrapped = self.ring.load_full().current.wrap(tenant, &key).await?;
        match self.store.put(Table::DataKeys, entry, &wrapped, Some(stored.version)).await {
            // Another run was faster.
            Ok(_) | Err(StoreError::Changed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Which wrapping keys are still needed: one that is not named here may go.
    ///
    /// # Errors
    /// The current key cannot be had, or the store failed.
    pub async fn in_use(&self) -> Result<InUse, SealError> {
        let current = hex::encode(self.ring.load_full().current.id().await?);
        let mut used = InUse { current, ..InUse::default() };
        for table in [Table::DataKeys, Table::Credentials, Table::Keys] {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = self.store.page(table, b"", after.as_deref(), PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                for (_, stored) in &page {
                    let Ok(parts) = Parts::read(&stored.value) else { continue };
                    let counted = match parts.layout {
                        Layout::Wrapped | Layout::WrappedElsewhere => &mut used.data_keys,
                        Layout::Direct => &mut used.direct,
                        Layout::UnderDataKey => continue,
                    };
                    *counted.entry(hex::encode(parts.id)).or_default() += 1;
                }
            }
        }
        Ok(used)
    }
}
