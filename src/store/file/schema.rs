//! Which layout a file has, and how an older one becomes the present one.
//!
//! | schema | what came |
//! | --- | --- |
//! | 1 | an entry is its version and its value |
//! | 2 | an entry says when it vanishes; the last version that was given is kept |

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};

use crate::store::file::entry::Entry;
use crate::store::file::open::damaged;
use crate::store::file::{broken, definition};
use crate::store::{StoreError, Table};

pub(super) const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("portcullis");
pub(super) const SCHEMA_KEY: &str = "schema";
/// The last version that was given to any entry.
pub(super) const VERSION_KEY: &str = "version";
/// The layout of the tables; a file with a larger number was made by a newer version.
pub(super) const SCHEMA: u64 = 2;
/// The tables of the first schema.
const FIRST: [Table; 5] = [Table::Urls, Table::Credentials, Table::Keys, Table::Policies, Table::Spending];

/// What a new file begins with.
pub(super) fn lay_out(write: &WriteTransaction) -> Result<(), StoreError> {
    write.open_table(META).map_err(broken)?.insert(SCHEMA_KEY, SCHEMA).map_err(broken)?;
    for table in Table::ALL {
        write.open_table(definition(table)).map_err(broken)?;
    }
    Ok(())
}

/// Refuses what this version does not know; an older layout becomes the present one in one transaction, so that a crash
/// meanwhile leaves the file as it was.
pub(super) fn bring_up_to_date(database: &Database, path: &Path) -> Result<(), StoreError> {
    match schema(database, path)? {
        SCHEMA => Ok(()),
        1 => {
            let write = database.begin_write().map_err(broken)?;
            from_first(&write)?;
            write.commit().map_err(broken)?;
            tracing::info!(store = %path.display(), from = 1, to = SCHEMA, "Store brought up to date");
            Ok(())
        }
        other => Err(damaged(
            path,
            &format!(
                "its schema is {other} and this version of Portcullis knows {SCHEMA}; run the version that made it"
            ),
        )),
    }
}

fn schema(database: &Database, path: &Path) -> Result<u64, StoreError> {
    let read = database.begin_read().map_err(broken)?;
    let meta = match read.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => {
            return Err(damaged(path, "it is a redb file, but not one of Portcullis"));
        }
        Err(error) => return Err(damaged(path, &error.to_string())),
    };
    Ok(meta.get(SCHEMA_KEY).map_err(broken)?.map_or(0, |found| found.value()))
}

fn from_first(write: &WriteTransaction) -> Result<(), StoreError> {
    let mut last_version = 0;
    for table in FIRST {
        let mut entries = write.open_table(definition(table)).map_err(broken)?;
        let mut old = Vec::new();
        for found in entries.iter().map_err(broken)? {
            let (key, value) = found.map_err(broken)?;
            let entry = Entry::read_first_schema(value.value())?;
            last_version = last_version.max(entry.version);
            old.push((key.value().to_vec(), entry.to_bytes()));
        }
        for (key, entry) in old {
            entries.insert(key.as_slice(), entry.as_slice()).map_err(broken)?;
        }
    }
    write.open_table(META).map_err(broken)?.insert(VERSION_KEY, last_version).map_err(broken)?;
    lay_out(write)
}
