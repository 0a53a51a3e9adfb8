//! The embedded store: one redb file, one table for each [`Table`].
//!
//! # Why redb
//! One file, no server, ACID with a durable commit in half a millisecond and a read in one microsecond. What is kept
//! here is small (scoped URLs, sealed credentials, sealed keys), so the whole file is checked each time it is opened:
//! a damaged one is refused, never repaired by guessing and never made anew.

mod entry;
mod open;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable as _, TableDefinition,
    TableError,
};

use crate::store::file::entry::Entry;
use crate::store::file::write::Write;
use crate::store::{Store, StoreError, Stored, Table};

type Entries = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// A store in one file, which one process at a time has open.
pub struct FileStore {
    database: Arc<Database>,
    path: PathBuf,
    clock: Clock,
}

/// What time it is, in microseconds since 1970; 0 before.
type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

impl FileStore {
    /// Opens the store at `path`, which is made with mode 0600 if there is none. Its directory must exist. One that an older
    /// version made is brought up to date, all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process has it; [`StoreError::Damaged`] if it fails its check, is no store
    /// or was made by a newer version; [`StoreError::Failed`] if the file can't be opened or made.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::with_clock(path.as_ref(), Arc::new(microseconds))
    }

    fn with_clock(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        if !path.try_exists().map_err(|error| open::failed(path, &error))? {
            open::make(path)?;
        }
        let database = open::existing(path)?;
        schema::bring_up_to_date(&database, path)?;
        Ok(Self { database: Arc::new(database), path: path.to_owned(), clock })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn blocking<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Database, u64) -> Result<T, StoreError> + Send + 'static,
    {
        let (database, clock) = (Arc::clone(&self.database), Arc::clone(&self.clock));
        let done = tokio::task::spawn_blocking(move || work(&database, clock())).await;
        done.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
    }

    /// One transaction, which is durable when this returns.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Write) -> Result<T, StoreError> + Send + 'static,
    {
        self.blocking(move |database, now| {
            let mut write = Write::begin(database, now)?;
            let done = work(&mut write)?;
            write.commit()?;
            Ok(done)
        })
        .await
    }
}

#[async_trait]
impl Store for FileStore {
    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        let read = self.database.begin_read().map_err(broken)?;
        let Some(entries) = opened(&read, table)? else { return Ok(None) };
        let Some(found) = entries.get(key).map_err(broken)? else { return Ok(None) };
        Ok(Entry::read(found.value())?.at((self.clock)()).map(Entry::stored))
    }

    async fn put(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
        expected: Option<u64>,
    ) -> Result<u64, StoreError> {
        let (key, value) = (key.to_vec(), value.to_vec());
        self.write(move |write| write.insert(table, &key, &value, expected, None)).await
    }

    async fn put_for(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
        expected: Option<u64>,
        life: Duration,
    ) -> Result<u64, StoreError> {
        let (key, value) = (key.to_vec(), value.to_vec());
        self.write(move |write| write.insert(table, &key, &value, expected, Some(life))).await
    }

    async fn put_all(&self, table: Table, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), StoreError> {
        self.write(move |write| {
            for (key, value) in &entries {
                write.insert(table, key, value, None, None)?;
            }
            Ok(())
        })
        .await
    }

    async fn remove(&self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        let key = key.to_vec();
        self.write(move |write| write.remove(table, &key, None)).await
    }

    async fn remove_version(&self, table: Table, key: &[u8], expected: u64) -> Result<bool, StoreError> {
        let key = key.to_vec();
        self.write(move |write| write.remove(table, &key, Some(expected))).await
    }

    async fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Stored)>, StoreError> {
        self.page(table, prefix, None, usize::MAX).await
    }

    async fn page(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Stored)>, StoreError> {
        let (prefix, after) = (prefix.to_vec(), after.map(<[u8]>::to_vec));
        self.blocking(move |database, now| page(database, now, table, &prefix, after.as_deref(), limit)).await
    }

    async fn vanishing(&self, table: Table) -> Result<HashMap<Vec<u8>, Duration>, StoreError> {
        self.blocking(move |database, now| {
            let read = database.begin_read().map_err(broken)?;
            let mut lives = HashMap::new();
            let Some(entries) = opened(&read, table)? else { return Ok(lives) };
            for found in entries.iter().map_err(broken)? {
                let (key, value) = found.map_err(broken)?;
                let entry = Entry::read(value.value())?;
                if entry.vanishes_at > now {
                    lives.insert(key.value().to_vec(), Duration::from_micros(entry.vanishes_at - now));
                }
            }
            Ok(lives)
        })
        .await
    }
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileStore({})", self.path.display())
    }
}

fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}

/// A table to read; `None`: the file was made by a version that did not have it yet, and nothing is in it.
fn opened(read: &ReadTransaction, table: Table) -> Result<Option<Entries>, StoreError> {
    match read.open_table(definition(table)) {
        Ok(entries) => Ok(Some(entries)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(broken(error)),
    }
}

fn page(
    database: &Database,
    now: u64,
    table: Table,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Vec<u8>, Stored)>, StoreError> {
    let read = database.begin_read().map_err(broken)?;
    let mut found = Vec::new();
    let Some(entries) = opened(&read, table)? else { return Ok(found) };
    let from = match after.filter(|after| *after >= prefix) {
        Some(after) => Bound::Excluded(after),
        None => Bound::Included(prefix),
    };
    for entry in entries.range::<&[u8]>((from, Bound::Unbounded)).map_err(broken)? {
        let (key, value) = entry.map_err(broken)?;
        if found.len() >= limit || !key.value().starts_with(prefix) {
            break;
        }
        if let Some(entry) = Entry::read(value.value())?.at(now) {
            found.push((key.value().to_vec(), entry.stored()));
        }
    }
    Ok(found)
}

fn microseconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn broken(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Failed(error.into().to_string())
}
