//! Where state is kept: one trait, engines behind it. Every key begins with the tenant, or is a keyed hash.
//!
//! # Why versions are never used twice
//! A version is the greater of the one before plus one and the store's clock in microseconds, for a key that was removed
//! or has vanished too. So it says "nothing has happened since" wherever it is compared: as an `ETag`, as what a parsed copy
//! was made of, and as the fence of whoever held a lock too long.

pub mod file;
pub mod lock;
pub mod meter;
pub mod redis;
pub mod transfer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config::State;
use crate::store::file::FileStore;
use crate::store::meter::Meter;
use crate::store::redis::RedisStore;

/// The file of the embedded store in the state directory.
const FILE: &str = "portcullis.redb";

/// The store that the configuration names. An embedded one is taken: no other process has it meanwhile.
///
/// # Errors
/// It cannot be opened, or not be reached.
pub async fn open(state: &State) -> Result<Arc<dyn Store>, StoreError> {
    match &state.redis {
        None => Ok(Arc::new(FileStore::open(state.directory.join(FILE))?)),
        Some(redis) => Ok(Arc::new(RedisStore::open(Arc::clone(redis)).await?)),
    }
}

/// The tables. Each is a space of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// Scoped URLs by the HMAC of their token.
    Urls,
    /// Sealed credentials by tenant and server.
    Credentials,
    /// The tenants' data keys, wrapped.
    DataKeys,
    /// The gate's own signing keys, sealed.
    Keys,
    /// How far a candidate policy has come.
    Policies,
    /// What each tenant's calls have cost this month.
    Spending,
    /// Tenants that were made while the gate runs.
    Tenants,
    /// Accounts that were made while the gate runs, by tenant and server.
    Accounts,
    /// API keys that were made while the gate runs, by their hash.
    ApiKeys,
    /// Who does what nobody else may do meanwhile. Entries vanish.
    Locks,
    /// Access and refresh tokens of accounts, sealed.
    Grants,
    /// Authorisations that a person has been asked for. Entries vanish.
    Consents,
    /// Notices that are to be delivered, or could not be.
    Webhooks,
    /// Answers to requests that may be repeated. Entries vanish.
    Idempotency,
    /// When API keys and scoped URLs were last used, by tenant and id.
    Uses,
    /// What the gates on one store have in common.
    Gates,
    /// Tokens that are refused before they end, by tenant. Entries vanish.
    Revocations,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Urls,
        Self::Credentials,
        Self::DataKeys,
        Self::Keys,
        Self::Policies,
        Self::Spending,
        Self::Tenants,
        Self::Accounts,
        Self::ApiKeys,
        Self::Locks,
        Self::Grants,
        Self::Consents,
        Self::Webhooks,
        Self::Idempotency,
        Self::Uses,
        Self::Gates,
        Self::Revocations,
    ];

    /// Its name, in every engine and in an export.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Urls => "urls",
            Self::Credentials => "credentials",
            Self::DataKeys => "data_keys",
            Self::Keys => "keys",
            Self::Policies => "policies",
            Self::Spending => "spending",
            Self::Tenants => "tenants",
            Self::Accounts => "accounts",
            Self::ApiKeys => "api_keys",
            Self::Locks => "locks",
            Self::Grants => "grants",
            Self::Consents => "consents",
            Self::Webhooks => "webhooks",
            Self::Idempotency => "idempotency",
            Self::Uses => "uses",
            Self::Gates => "gates",
            Self::Revocations => "revocations",
        }
    }

    /// The table of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// A stored value and its version, for compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The value.
    pub value: Vec<u8>,
    /// Grows with every change, and is never used again for the key.
    pub version: u64,
}

/// Why the store could not do it. The operator reads this; the caller never does.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file.
    #[error("the store `{0}` is in use by another process")]
    InUse(String),
    /// The file is damaged, or was made by a newer version.
    #[error("the store `{path}` cannot be read: {why}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// It failed.
    #[error("the store failed: {0}")]
    Failed(String),
    /// Compare-and-set found another version.
    #[error("the entry has changed meanwhile")]
    Changed,
}

/// A store. What it has acknowledged survives a crash.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// One entry. Cheap where it was read before: whoever parses the value keeps it beside its version, asks here each
    /// time, and has no clock of their own.
    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, StoreError>;

    /// Writes an entry that stays. `expected`: the version that must be there now (`Some(0)`: none); `None`: whatever is
    /// there. The answer is the new version.
    ///
    /// # Errors
    /// [`StoreError::Changed`] where another version is there.
    async fn put(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
        expected: Option<u64>,
    ) -> Result<u64, StoreError>;

    /// Writes an entry that vanishes by itself after `life`, by the store's clock, in milliseconds.
    ///
    /// # Errors
    /// [`StoreError::Changed`] where another version is there.
    async fn put_for(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
        expected: Option<u64>,
        life: Duration,
    ) -> Result<u64, StoreError>;

    /// Writes entries that stay, all of them or none, whatever is there.
    async fn put_all(&self, table: Table, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), StoreError>;

    /// Removes an entry; true if it was there.
    async fn remove(&self, table: Table, key: &[u8]) -> Result<bool, StoreError>;

    /// Removes an entry as it was read; true if it was there.
    ///
    /// # Errors
    /// [`StoreError::Changed`] where another version is there.
    async fn remove_version(&self, table: Table, key: &[u8], expected: u64) -> Result<bool, StoreError>;

    /// Entries whose key begins with `prefix`, in key order.
    async fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Stored)>, StoreError>;

    /// At most `limit` entries whose key begins with `prefix` and comes after `after`, in key order.
    async fn page(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Stored)>, StoreError>;

    /// The entries of a table that will vanish, and after how long.
    async fn vanishing(&self, table: Table) -> Result<HashMap<Vec<u8>, Duration>, StoreError>;

    /// Whether other gates may have it open too.
    fn is_shared(&self) -> bool {
        false
    }

    /// What counts for all gates that have it open; `None`: it is one gate's alone.
    fn meter(&self) -> Option<&dyn Meter> {
        None
    }

    /// Whether it can be asked now; the reason where not, for the operator.
    ///
    /// # Errors
    /// What a question would be answered with.
    fn health(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
