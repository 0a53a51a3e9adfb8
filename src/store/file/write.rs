//! One transaction that writes.
//!
//! # How what has vanished is swept
//! Whoever reads passes over it from the moment on. A second table has such entries by the time that they vanish at, and each
//! transaction removes a few of those whose time has come: a file that nobody writes to does not grow either.

use std::time::Duration;

use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};

use crate::store::file::entry::{Entry, NEVER};
use crate::store::file::schema::{META, VERSION_KEY};
use crate::store::file::{Definition, broken, definition};
use crate::store::{StoreError, Table};

/// When, then the table's name, a NUL, the key.
pub(super) const VANISHING: TableDefinition<'static, &'static [u8], ()> = TableDefinition::new("vanishing");
/// How many of them one transaction removes at most, so that none is long.
const SWEPT: usize = 64;

pub(super) struct Write {
    transaction: WriteTransaction,
    now: u64,
    /// The last version that was given to any key, removed ones too.
    last_version: u64,
}

/// What is known of an entry that is there.
struct There {
    version: u64,
    vanishes_at: u64,
    has_vanished: bool,
}

impl Write {
    pub(super) fn begin(database: &Database, now: u64) -> Result<Self, StoreError> {
        let transaction = database.begin_write().map_err(broken)?;
        let last_version = {
            let meta = transaction.open_table(META).map_err(broken)?;
            meta.get(VERSION_KEY).map_err(broken)?.map_or(0, |found| found.value())
        };
        Ok(Self { transaction, now, last_version })
    }

    pub(super) fn insert(
        &mut self,
        table: Table,
        key: &[u8],
        value: &[u8],
        expected: Option<u64>,
        life: Option<Duration>,
    ) -> Result<u64, StoreError> {
        let mut entries = self.transaction.open_table(definition(table)).map_err(broken)?;
        let there = self.there(entries.get(key).map_err(broken)?.map(|found| found.value().to_vec()))?;
        let seen = there.as_ref().filter(|there| !there.has_vanished).map_or(0, |there| there.version);
        if expected.is_some_and(|expected| expected != seen) {
            return Err(StoreError::Changed);
        }
        let version = self.last_version.checked_add(1).map(|next| next.max(self.now));
        let version = version.ok_or_else(|| StoreError::Failed("out of versions".into()))?;
        let vanishes_at = life.map_or(NEVER, |life| self.now.saturating_add(micros(life)).max(1));
        entries.insert(key, Entry { version, vanishes_at, value }.to_bytes().as_slice()).map_err(broken)?;
        drop(entries);
        self.reschedule(table, key, there.map_or(NEVER, |there| there.vanishes_at), vanishes_at)?;
        self.last_version = version;
        Ok(version)
    }

    /// `expected`: the version that must be there; `None`: whatever is there.
    pub(super) fn remove(
        &mut self,
        table: Table,
        key: &[u8],
        expected: Option<u64>,
    ) -> Result<bool, StoreError> {
        let mut entries = self.transaction.open_table(definition(table)).map_err(broken)?;
        let there = self.there(entries.get(key).map_err(broken)?.map(|found| found.value().to_vec()))?;
        let Some(there) = there else { return Ok(false) };
        if !there.has_vanished && expected.is_some_and(|expected| expected != there.version) {
            return Err(StoreError::Changed);
        }
        entries.remove(key).map_err(broken)?;
        drop(entries);
        self.reschedule(table, key, there.vanishes_at, NEVER)?;
        Ok(!there.has_vanished)
    }

    /// Sweeps, and makes it all durable.
    pub(super) fn commit(self) -> Result<(), StoreError> {
        self.sweep()?;
        self.transaction
            .open_table(META)
            .map_err(broken)?
            .insert(VERSION_KEY, self.last_version)
            .map_err(broken)?;
        self.transaction.commit().map_err(broken)
    }

    fn there(&self, bytes: Option<Vec<u8>>) -> Result<Option<There>, StoreError> {
        let Some(bytes) = bytes else { return Ok(None) };
        let entry = Entry::read(&bytes)?;
        let has_vanished = entry.at(self.now).is_none();
        Ok(Some(There { version: entry.version, vanishes_at: entry.vanishes_at, has_vanished }))
    }

    fn reschedule(&self, table: Table, key: &[u8], before: u64, after: u64) -> Result<(), StoreError> {
        if before == NEVER && after == NEVER {
            return Ok(());
        }
        let mut vanishing = self.transaction.open_table(VANISHING).map_err(broken)?;
        if before != NEVER {
            vanishing.remove(scheduled(before, table, key).as_slice()).map_err(broken)?;
        }
        if after != NEVER {
            vanishing.insert(scheduled(after, table, key).as_slice(), ()).map_err(broken)?;
        }
        Ok(())
    }

    fn sweep(&self) -> Result<(), StoreError> {
        let mut vanishing = self.transaction.open_table(VANISHING).map_err(broken)?;
        let until = self.now.saturating_add(1).to_be_bytes();
        let mut due = Vec::new();
        for found in vanishing.range::<&[u8]>(..until.as_slice()).map_err(broken)?.take(SWEPT) {
            due.push(found.map_err(broken)?.0.value().to_vec());
        }
        for place in due {
            vanishing.remove(place.as_slice()).map_err(broken)?;
            let Some((name, key)) = of_scheduled(&place) else { continue };
            self.transaction.open_table(name).map_err(broken)?.remove(key).map_err(broken)?;
        }
        Ok(())
    }
}

fn scheduled(at: u64, table: Table, key: &[u8]) -> Vec<u8> {
    [&at.to_be_bytes(), table.name().as_bytes(), &[0], key].concat()
}

fn of_scheduled(place: &[u8]) -> Option<(Definition, &[u8])> {
    let (_, place) = place.split_first_chunk::<8>()?;
    let end = memchr::memchr(0, place)?;
    let (name, key) = place.split_at_checked(end)?;
    let table = Table::named(std::str::from_utf8(name).ok()?)?;
    Some((definition(table), key.get(1..)?))
}

fn micros(life: Duration) -> u64 {
    u64::try_from(life.as_micros()).unwrap_or(u64::MAX)
}
