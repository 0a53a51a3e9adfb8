//! Tokens that are refused before they end: by id, subject, client or session, of one issuer in one tenant.
//!
//! # Why a copy in memory
//! Each call asks the store for one entry, which says when the tenant's list was last changed: it is kept ready, and each gate
//! is told when it changes. While the store cannot be reached nobody can revoke anything, and what was revoked before counts.

mod record;

pub use record::{NewRevocation, Revocation, RevokedBy};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::identify::proof::BadProof;
use crate::name::TenantId;
use crate::store::{Store, StoreError, Stored, Table};

/// What of a token an entry may be about.
#[derive(Debug, Clone)]
pub(in crate::identify) struct Marks {
    /// The ids that entries about it would have.
    ids: Vec<String>,
    issued_at: Option<Timestamp>,
}

impl Marks {
    /// Those of a token with these claims.
    pub(in crate::identify) fn of(issuer: &str, claims: &Value) -> Self {
        let named = [
            (RevokedBy::Token, "jti"),
            (RevokedBy::Subject, "sub"),
            (RevokedBy::Client, "client_id"),
            (RevokedBy::Client, "azp"),
            (RevokedBy::Session, "sid"),
        ];
        let id = |(by, claim): (RevokedBy, &str)| {
            claims.get(claim).and_then(Value::as_str).map(|value| record::id(issuer, by, value))
        };
        let issued_at = claims.get("iat").and_then(Value::as_f64).and_then(|seconds| {
            let since = Duration::try_from_secs_f64(seconds).ok()?;
            Timestamp::UNIX_EPOCH.checked_add(since).ok()
        });
        Self { ids: named.into_iter().filter_map(id).collect(), issued_at }
    }
}

/// The revoked tokens of every tenant.
pub struct Revocations {
    store: Arc<dyn Store>,
    lists: DashMap<TenantId, Arc<List>>,
    reading: Mutex<()>,
}

/// What is revoked in one tenant, as of a version of the list.
#[derive(Default)]
struct List {
    version: u64,
    entries: HashMap<String, Revocation>,
}

impl Revocations {
    /// Those in `store`, read once: from then on a look-up needs the store only where something has changed.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn open(store: Arc<dyn Store>) -> Result<Arc<Self>, StoreError> {
        let this = Self { store, lists: DashMap::new(), reading: Mutex::default() };
        let changed = this.store.scan(Table::Revocations, record::CHANGES).await?;
        for tenant in changed.iter().filter_map(|(key, _)| record::changed(key)) {
            this.read(&tenant).await?;
        }
        Ok(Arc::new(this))
    }

    /// Without a look at the store before the first call.
    #[must_use]
    pub fn unread(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { store, lists: DashMap::new(), reading: Mutex::default() })
    }

    /// Revokes; every gate on this store refuses such tokens from now on.
    ///
    /// # Errors
    /// Where the store fails: then they may still pass.
    pub async fn create(&self, new: NewRevocation, now: Timestamp) -> Result<Revocation, StoreError> {
        let record = Revocation::new(new, now);
        let life = Duration::try_from(record.expires_at.duration_since(now)).unwrap_or_default();
        let value = serde_json::to_vec(&record).map_err(|error| StoreError::Failed(error.to_string()))?;
        let key = record::key(&record.tenant, &record.id);
        self.store.put_for(Table::Revocations, &key, &value, None, life).await?;
        self.changed(&record.tenant, now).await?;
        Ok(record)
    }

    /// At most `limit` of the tenant's entries whose id comes after `after`, and after which the next ones come, if there
    /// may be more.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn page(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Revocation>, Option<String>), StoreError> {
        let after = after.map(|id| record::key(tenant, id));
        let prefix = record::key(tenant, "");
        let page = self.store.page(Table::Revocations, &prefix, after.as_deref(), limit).await?;
        let entries: Vec<Revocation> =
            page.iter().map(|(_, stored)| Revocation::read(&stored.value)).collect::<Result<_, _>>()?;
        let next = entries.last().filter(|_| entries.len() == limit).map(|last| last.id.clone());
        Ok((entries, next))
    }

    /// Removes an entry; true if there was one. Tokens that it was about pass again.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn remove(&self, tenant: &TenantId, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let was_there = self.store.remove(Table::Revocations, &record::key(tenant, id)).await?;
        self.changed(tenant, now).await?;
        Ok(was_there)
    }

    /// Removes everything of a tenant.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn forget(&self, tenant: &TenantId) -> Result<(), StoreError> {
        for (key, _) in self.store.scan(Table::Revocations, &record::key(tenant, "")).await? {
            self.store.remove(Table::Revocations, &key).await?;
        }
        self.store.remove(Table::Revocations, &record::change(tenant)).await.map(drop)
    }

    /// Tells every gate that the tenant's list is another one now.
    async fn changed(&self, tenant: &TenantId, now: Timestamp) -> Result<(), StoreError> {
        let at = now.to_string();
        self.store.put(Table::Revocations, &record::change(tenant), at.as_bytes(), None).await.map(drop)
    }

    /// Whether no entry is about the token.
    pub(in crate::identify) async fn check(
        &self,
        tenant: &TenantId,
        marks: &Marks,
        now: Timestamp,
    ) -> Result<(), BadProof> {
        let list = self.list(tenant).await.map_err(|error| {
            tracing::error!(%tenant, %error, "What is revoked could not be read");
            BadProof::NoStore
        })?;
        let mut about = marks.ids.iter().filter_map(|id| list.entries.get(id));
        match about.any(|entry| entry.covers(marks.issued_at, now)) {
            true => Err(BadProof::Revoked),
            false => Ok(()),
        }
    }

    async fn list(&self, tenant: &TenantId) -> Result<Arc<List>, StoreError> {
        let known = || self.lists.get(tenant).map(|list| Arc::clone(&list)).unwrap_or_default();
        match self.store.get(Table::Revocations, &record::change(tenant)).await {
            Ok(change) if version(change.as_ref()) == known().version => Ok(known()),
            Ok(_) => self.read(tenant).await,
            // The store says so itself, and `/readyz` with it.
            Err(_) => Ok(known()),
        }
    }

    /// Reads a tenant's list, once for all who wait for it. The version comes first: what is added meanwhile is read again.
    async fn read(&self, tenant: &TenantId) -> Result<Arc<List>, StoreError> {
        let _one = self.reading.lock().await;
        let change = self.store.get(Table::Revocations, &record::change(tenant)).await?;
        let version = version(change.as_ref());
        if let Some(list) = self.lists.get(tenant).filter(|list| list.version == version) {
            return Ok(Arc::clone(&list));
        }
        let mut entries = HashMap::new();
        for (_, stored) in self.store.scan(Table::Revocations, &record::key(tenant, "")).await? {
            let entry = Revocation::read(&stored.value)?;
            entries.insert(entry.id.clone(), entry);
        }
        let list = Arc::new(List { version, entries });
        self.lists.insert(tenant.clone(), Arc::clone(&list));
        Ok(list)
    }
}

fn version(change: Option<&Stored>) -> u64 {
    change.map_or(0, |stored| stored.version)
}

impl std::fmt::Debug for Revocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Revocations({} tenants)", self.lists.len())
    }
}
