//! A whole store as text, to be read by another engine: JSON Lines, a header first and the number of entries last.
//!
//! Values are as they were stored: what is sealed stays sealed, and the keys that open it are not in it. Locks are left out: they
//! belong to processes that run.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreError, Table};

/// The number of this form.
const SCHEMA: u64 = 1;
/// Entries in one write.
const TOGETHER: usize = 200;
/// Entries in one read.
const PAGE: usize = 1000;

/// Why a store was not brought over.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The text could not be written.
    #[error("the export could not be written: {0}")]
    Write(#[from] std::io::Error),
    /// The text is not a whole export.
    #[error("line {line} of the export: {why}")]
    Unreadable {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// There is something in the store already.
    #[error("the store is not empty: `{0}` has entries")]
    NotEmpty(&'static str),
}

/// What becomes of what is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onto {
    /// Nothing may be there.
    Empty,
    /// It stays, but for keys that the export has as well.
    Merged,
    /// It is removed.
    Replaced,
}

/// Keys and values that are written together.
type Together = Vec<(Vec<u8>, Vec<u8>)>;

/// A whole export, read and found complete.
#[derive(Debug)]
pub struct Export(Vec<Line>);

#[derive(Debug)]
struct Line {
    table: Table,
    key: Vec<u8>,
    value: Vec<u8>,
    life: Option<Duration>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    portcullis_state: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    table: String,
    key: String,
    value: String,
    /// How long it has left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    life_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    entries: usize,
}

/// Writes everything that is in the store; answers with the number of entries.
///
/// # Errors
/// Where the store fails, or `out` does.
pub async fn export(store: &dyn Store, out: &mut dyn Write) -> Result<usize, TransferError> {
    write(out, &Header { portcullis_state: SCHEMA })?;
    let mut entries = 0;
    for table in tables() {
        let lives = store.vanishing(table).await?;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = store.page(table, &[], after.as_deref(), PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, stored) in page {
                write(out, &entry(table, &key, &stored.value, &lives))?;
                entries += 1;
            }
        }
    }
    write(out, &End { entries })?;
    out.flush()?;
    Ok(entries)
}

impl Export {
    /// Reads a whole export.
    ///
    /// # Errors
    /// [`TransferError::Unreadable`] where it is cut off, of a newer version, or none.
    pub fn read(text: &str) -> Result<Self, TransferError> {
        let mut lines = text.lines().enumerate();
        let header = lines.next().and_then(|(_, line)| serde_json::from_str::<Header>(line).ok());
        match header.map(|header| header.portcullis_state) {
            Some(SCHEMA) => {}
            Some(other) => {
                let why = format!("its schema is {other} and this version of Portcullis knows {SCHEMA}");
                return Err(unreadable(0, why));
            }
            None => return Err(unreadable(0, "this is not an export of Portcullis".to_owned())),
        }
        let mut entries = Vec::new();
        for (index, line) in lines {
            if let Ok(end) = serde_json::from_str::<End>(line) {
                return match end.entries == entries.len() {
                    true => Ok(Self(entries)),
                    false => {
                        let why =
                            format!("{} entries were written, and {} are here", end.entries, entries.len());
                        Err(unreadable(index, why))
                    }
                };
            }
            entries.push(read(line).map_err(|why| unreadable(index, why))?);
        }
        Err(unreadable(text.lines().count(), "the end is missing: the export was cut off".to_owned()))
    }

    /// Writes it into a store; answers with the number of entries.
    ///
    /// # Errors
    /// [`TransferError::NotEmpty`] where something is there and may not be; where the store fails, part of it may be written.
    pub async fn import(self, store: &dyn Store, onto: Onto) -> Result<usize, TransferError> {
        for table in tables() {
            match onto {
                Onto::Merged => {}
                Onto::Empty if store.page(table, &[], None, 1).await?.is_empty() => {}
                Onto::Empty => return Err(TransferError::NotEmpty(table.name())),
                Onto::Replaced => {
                    for (key, _) in store.scan(table, &[]).await? {
                        store.remove(table, &key).await?;
                    }
                }
            }
        }
        let all = self.0.len();
        let mut staying: HashMap<Table, Together> = HashMap::new();
        for Line { table, key, value, life } in self.0 {
            match life {
                Some(left) => {
                    store.put_for(table, &key, &value, None, left).await?;
                }
                None => {
                    let together = staying.entry(table).or_default();
                    together.push((key, value));
                    if together.len() >= TOGETHER {
                        store.put_all(table, std::mem::take(together)).await?;
                    }
                }
            }
        }
        for (table, entries) in staying {
            store.put_all(table, entries).await?;
        }
        Ok(all)
    }
}

fn tables() -> impl Iterator<Item = Table> {
    Table::ALL.into_iter().filter(|table| *table != Table::Locks)
}

fn entry(table: Table, key: &[u8], value: &[u8], lives: &HashMap<Vec<u8>, Duration>) -> Entry {
    let left = lives.get(key).map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
    Entry {
        table: table.name().to_owned(),
        key: STANDARD.encode(key),
        value: STANDARD.encode(value),
        life_ms: left,
    }
}

fn read(line: &str) -> Result<Line, String> {
    let entry: Entry = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let table = Table::named(&entry.table).filter(|table| *table != Table::Locks);
    let table = table.ok_or_else(|| format!("there is no table `{}`", entry.table.escape_debug()))?;
    let decoded = |text: &str| STANDARD.decode(text).map_err(|_| "a key or value is not base64".to_owned());
    let life = entry.life_ms.map(Duration::from_millis);
    Ok(Line { table, key: decoded(&entry.key)?, value: decoded(&entry.value)?, life })
}

fn unreadable(index: usize, why: String) -> TransferError {
    TransferError::Unreadable { line: index + 1, why }
}

fn write(out: &mut dyn Write, line: &impl Serialize) -> Result<(), TransferError> {
    serde_json::to_writer(&mut *out, line).map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}
