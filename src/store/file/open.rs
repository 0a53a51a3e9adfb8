//! How the file is made and opened.

use std::fs::{File, OpenOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Database, DatabaseError};

use crate::store::StoreError;
use crate::store::file::{broken, schema};

const CACHE_BYTES: usize = 16 << 20;

/// Makes the store under a name of its own and links it into place when it is complete, so that a crash in between
/// leaves no half-made store behind and a file that is already there is never written over.
pub(super) fn make(path: &Path) -> Result<(), StoreError> {
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
    schema::lay_out(&write)?;
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
pub(super) fn existing(path: &Path) -> Result<Database, StoreError> {
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

pub(super) fn damaged(path: &Path, why: &str) -> StoreError {
    StoreError::Damaged { path: path.display().to_string(), why: why.into() }
}

pub(super) fn failed(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Failed(format!("`{}`: {error}", path.display()))
}
