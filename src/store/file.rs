//! The embedded store: one redb file, one table for each [`Table`].
//!
//! # Why redb
//! One file, no server, ACID with a durable commit in half a millisecond and a read in one microsecond. What is kept
//! here is small (scoped URLs, sealed credentials, sealed keys), so the whole file is checked each time it is opened:
//! a damaged one is refused, never repaired by guessing and never made anew.

use std::fs::{File, OpenOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    TableDefinition, TableError, WriteTransaction,
};

use crate::store::{Store, StoreError, Stored, Table};

type Entries = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("portcullis");
const SCHEMA_KEY: &str = "schema";
/// The layout of the tables; a file with a larger number was made by a newer version.
const SCHEMA: u64 = 1;
const VERSION_BYTES: usize = 8;
const CACHE_BYTES: usize = 16 << 20;

/// A store in one file, which one process at a time has open.
pub struct FileStore {
    database: Arc<Database>,
    path: PathBuf,
}

impl FileStore {
    /// Opens the store at `path`, which is made with mode 0600 if there is none. Its directory must exist.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process has it; [`StoreError::Damaged`] if it fails its check, is no store
    /// or was made by a newer version; [`StoreError::Failed`] if the file can't be opened or made.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        if !path.try_exists().map_err(|error| failed(path, &error))? {
            make(path)?;
        }
        let database = existing(path)?;
        check_schema(&database, path)?;
        Ok(Self { database: Arc::new(database), path: path.to_owned() })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn blocking<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    {
        let database = Arc::clone(&self.database);
        let done = tokio::task::spawn_blocking(move || work(&database)).await;
        done.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
    }
}

#[async_trait]
impl Store for FileStore {
    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        let read = self.database.begin_read().map_err(broken)?;
        let Some(entries) = opened(&read, table)? else { return Ok(None) };
        entries.get(key).map_err(broken)?.map(|found| stored(found.value())).transpose()
    }

    async fn put(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
        expected: Option<u64>,
    ) -> Result<u64, StoreError> {
        let (key, value) = (key.to_vec(), value.to_vec());
        self.blocking(move |database| put(database, table, &key, &value, expected)).await
    }

    async fn put_all(&self, table: Table, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), StoreError> {
        self.blocking(move |database| {
            let write = database.begin_write().map_err(broken)?;
            for (key, value) in &entries {
                insert(&write, table, key, value, None)?;
            }
            write.commit().map_err(broken)
        })
        .await
    }

    async fn remove(&self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        let key = key.to_vec();
        self.blocking(move |database| remove(database, table, &key)).await
    }

    async fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Stored)>, StoreError> {
        let prefix = prefix.to_vec();
        self.blocking(move |database| scan(database, table, &prefix)).await
    }
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileStore({})", self.path.display())
    }
}

fn definition(table: Table) -> Definition {
    TableDefinition::new(match table {
        Table::Urls => "urls",
        Table::Credentials => "credentials",
        Table::Keys => "keys",
        Table::Policies => "policies",
        Table::Spending => "spending",
    })
}

/// A table to read; `None`: the file was made by a version that did not have it yet, and nothing is in it.
fn opened(read: &ReadTransaction, table: Table) -> Result<Option<Entries>, StoreError> {
    match read.open_table(definition(table)) {
        Ok(entries) => Ok(Some(entries)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(broken(error)),
    }
}

fn put(
    database: &Database,
    table: Table,
    key: &[u8],
    value: &[u8],
    expected: Option<u64>,
) -> Result<u64, StoreError> {
    let write = database.begin_write().map_err(broken)?;
    let version = insert(&write, table, key, value, expected)?;
    write.commit().map_err(broken)?;
    Ok(version)
}

fn insert(
    write: &WriteTransaction,
    table: Table,
    key: &[u8],
    value: &[u8],
    expected: Option<u64>,
) -> Result<u64, StoreError> {
    let mut entries = write.open_table(definition(table)).map_err(broken)?;
    let there = version_of(entries.get(key).map_err(broken)?.map(|found| stored(found.value())))?;
    if expected.is_some_and(|expected| expected != there) {
        return Err(StoreError::Changed);
    }
    let version = there.checked_add(1).ok_or_else(|| StoreError::Failed("out of versions".into()))?;
    let mut entry = version.to_be_bytes().to_vec();
    entry.extend_from_slice(value);
    entries.insert(key, entry.as_slice()).map_err(broken)?;
    Ok(version)
}

fn version_of(found: Option<Result<Stored, StoreError>>) -> Result<u64, StoreError> {
    found.map_or(Ok(0), |found| found.map(|stored| stored.version))
}

fn remove(database: &Database, table: Table, key: &[u8]) -> Result<bool, StoreError> {
    let write = database.begin_write().map_err(broken)?;
    let was_there = {
        let mut entries = write.open_table(definition(table)).map_err(broken)?;
        entries.remove(key).map_err(broken)?.is_some()
    };
    write.commit().map_err(broken)?;
    Ok(was_there)
}

fn scan(database: &Database, table: Table, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Stored)>, StoreError> {
    let read = database.begin_read().map_err(broken)?;
    let mut found = Vec::new();
    let Some(entries) = opened(&read, table)? else { return Ok(found) };
    for entry in entries.range(prefix..).map_err(broken)? {
        let (key, value) = entry.map_err(broken)?;
        if !key.value().starts_with(prefix) {
            break;
        }
        found.push((key.value().to_vec(), stored(value.value())?));
    }
    Ok(found)
}

fn stored(entry: &[u8]) -> Result<Stored, StoreError> {
    let (version, value) = entry
        .split_first_chunk::<VERSION_BYTES>()
        .ok_or_else(|| StoreError::Failed("an entry is too short to be one".into()))?;
    Ok(Stored { value: value.to_vec(), version: u64::from_be_bytes(*version) })
}

/// Makes the store under a name of its own and links it into place when it is complete, so that a crash in between
/// leaves no half-made store behind and a file that is already there is never written over.
fn make(path: &Path) -> Result<(), StoreError> {
    let draft = path.with_extension(format!("{}.new", uuid::Uuid::now_v7().simple()));
    let made = fill(&draft, path).and_then(|()| link(&draft, path));
    let _ = std::fs::remove_file(&draft);
    made
}

fn fill(draft: &Path, path: &Path) -> Result<(), StoreError> {
    let file = private_file(draft).map_err(|error| failed(path, &error))?;
    let backend = FileBackend::new(file).map_err(|error| opening(path, error))?;
    let database = Database::builder().create_with_backend(backend).map_err(|error| opening(path, error))?;
    let write = database.begin_write().map_err(broken)?;
    write.open_table(META).map_err(broken)?.insert(SCHEMA_KEY, SCHEMA).map_err(broken)?;
    for table in [Table::Urls, Table::Credentials, Table::Keys, Table::Policies, Table::Spending] {
        write.open_table(definition(table)).map_err(broken)?;
    }
    write.commit().map_err(broken)?;
    database.close().map_err(broken)
}

fn link(draft: &Path, path: &Path) -> Result<(), StoreError> {
    match std::fs::hard_link(draft, path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(path, &error)),
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let synced = File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all());
    synced.map_err(|error| failed(path, &error))
}

#[cfg(unix)]
fn private_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// The check of damaged pages may panic inside redb; that too is a damaged file and not a crash of the gate.
fn existing(path: &Path) -> Result<Database, StoreError> {
    let open = || {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        builder.open(path)
    };
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(opened) => opened.map_err(|error| opening(path, error)),
        Err(_) => Err(damaged(path, "its pages contradict one another")),
    }
}

fn check_schema(database: &Database, path: &Path) -> Result<(), StoreError> {
    let read = database.begin_read().map_err(broken)?;
    let meta = match read.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            return Err(damaged(path, "it is a redb file, but not one of Portcullis"));
        }
        Err(error) => return Err(damaged(path, &error.to_string())),
    };
    let schema = meta.get(SCHEMA_KEY).map_err(broken)?.map_or(0, |found| found.value());
    if schema == SCHEMA {
        return Ok(());
    }
    Err(damaged(
        path,
        &format!(
            "its schema is {schema} and this version of Portcullis knows {SCHEMA}; run the version that made it"
        ),
    ))
}

fn opening(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.display().to_string()),
        DatabaseError::UpgradeRequired(found) => {
            damaged(path, &format!("its file format {found} is not one that this version reads"))
        }
        DatabaseError::Storage(redb::StorageError::Io(error))
            if !matches!(
                error.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            failed(path, &error)
        }
        error => damaged(path, &format!("{error}; restore it from a backup")),
    }
}

fn damaged(path: &Path, why: &str) -> StoreError {
    StoreError::Damaged { path: path.display().to_string(), why: why.into() }
}

fn failed(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Failed(format!("`{}`: {error}", path.display()))
}

fn broken(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Failed(error.into().to_string())
}

#[cfg(test)]
mod tests;
