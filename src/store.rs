//! Where state is kept: one trait, engines behind it. Every key begins with the tenant, or is a keyed hash.

pub mod file;

use async_trait::async_trait;

/// The tables. Each is a space of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// Scoped URLs by the HMAC of their token.
    Urls,
    /// Sealed credentials by tenant and server.
    Credentials,
    /// The gate's own signing keys, sealed.
    Keys,
    /// How far a candidate policy has come.
    Policies,
    /// What each tenant's calls have cost this month.
    Spending,
}

/// A stored value and its version, for compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The value.
    pub value: Vec<u8>,
    /// Counts up with every change.
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
    /// One entry.
    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, StoreError>;

    /// Writes an entry. `expected`: the version that must be there now (`Some(0)`: none); `None`: whatever is there.
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

    /// Writes entries, all of them or none, whatever is there.
    async fn put_all(&self, table: Table, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), StoreError>;

    /// Removes an entry; true if it was there.
    async fn remove(&self, table: Table, key: &[u8]) -> Result<bool, StoreError>;

    /// Entries whose key begins with `prefix`, in key order.
    async fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Stored)>, StoreError>;
}
