//! When API keys and scoped URLs were last used: noted on the path, written behind it.

use std::collections::HashMap;

use dashmap::DashMap;
use jiff::{SignedDuration, Timestamp};

use crate::name::TenantId;
use crate::store::{Store, StoreError, Table};

/// One that is used all the time is written so often.
const WRITTEN_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// One that is not used any more is forgotten here after so long; the store remembers it.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(600);

/// What was used, and when. A crash loses no more than what was not written yet.
#[derive(Debug, Default)]
pub struct Uses(DashMap<Vec<u8>, Seen>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Timestamp,
    written: Option<Timestamp>,
}

impl Uses {
    /// Notes that the tenant's key or URL was used.
    pub fn note(&self, tenant: &TenantId, id: &str, now: Timestamp) {
        let mut seen = self.0.entry(key(tenant, id)).or_insert(Seen { at: now, written: None });
        seen.at = seen.at.max(now);
    }

    /// Writes what has been used since it was last written.
    ///
    /// # Errors
    /// Where the store fails; what was not written is tried again next time.
    pub async fn save(&self, store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
        self.0.retain(|_, seen| now.duration_since(seen.at) < REMEMBERED || seen.written != Some(seen.at));
        let is_due = |seen: &Seen| match seen.written {
            None => true,
            Some(written) => written < seen.at && now.duration_since(written) >= WRITTEN_EVERY,
        };
        let due: Vec<_> =
            self.0.iter().filter(|seen| is_due(seen)).map(|seen| (seen.key().clone(), seen.at)).collect();
        if due.is_empty() {
            return Ok(());
        }
        let entries = due.iter().map(|(key, at)| (key.clone(), at.to_string().into_bytes())).collect();
        store.put_all(Table::Uses, entries).await?;
        for (key, at) in due {
            if let Some(mut seen) = self.0.get_mut(&key) {
                seen.written = Some(at);
            }
        }
        Ok(())
    }

    /// When each of the tenant's keys and URLs was last used, by its id.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn of(
        &self,
        store: &dyn Store,
        tenant: &TenantId,
    ) -> Result<HashMap<String, Timestamp>, StoreError> {
        let prefix = key(tenant, "");
        let id = |key: &[u8]| key.get(prefix.len()..).and_then(|id| String::from_utf8(id.to_vec()).ok());
        let stored = store.scan(Table::Uses, &prefix).await?;
        let read = |(key, stored): (Vec<u8>, crate::store::Stored)| {
            let at = std::str::from_utf8(&stored.value).ok()?.parse().ok()?;
            Some((id(&key)?, at))
        };
        let mut all: HashMap<String, Timestamp> = stored.into_iter().filter_map(read).collect();
        for seen in self.0.iter().filter(|seen| seen.key().starts_with(&prefix)) {
            all.extend(id(seen.key()).map(|id| (id, seen.at)));
        }
        Ok(all)
    }

    /// Forgets one that is gone.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn forget(&self, store: &dyn Store, tenant: &TenantId, id: &str) -> Result<(), StoreError> {
        let key = key(tenant, id);
        self.0.remove(&key);
        store.remove(Table::Uses, &key).await.map(drop)
    }
}

fn key(tenant: &TenantId, id: &str) -> Vec<u8> {
    [tenant.as_str().as_bytes(), &[0], id.as_bytes()].concat()
}
