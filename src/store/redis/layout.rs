//! How entries lie in Redis, and the scripts that write them.
//!
//! | key | what |
//! | --- | --- |
//! | `{prefix}:e:<table>:<key>` | an entry: its version, when it vanishes in ms since 1970 (0: it stays), its value, with colons between |
//! | `{prefix}:i:<table>` | a sorted set of the table's keys, for pages |
//! | `{prefix}:v:<table>` | a sorted set of those that vanish, by when |
//! | `{prefix}:version` | the last version that was given |
//! | `{prefix}:schema` | the number of this layout |
//! | `{prefix}:r:<whose>` | when a rate is whole again, in µs since 1970 |
//! | `{prefix}:p:<tenant><server>` | a sorted set of those who have an account's places, by when they end in ms since 1970 |
//!
//! # Why one slot
//! The braces put everything into one slot of a cluster, so that a script is atomic over all of it. State is small: a cluster
//! brings fail-over here, not more room.

use std::time::Duration;

use redis::Script;

use crate::store::{StoreError, Stored, Table};

/// The number of this layout.
pub(super) const SCHEMA: u64 = 1;

/// The names of keys under one prefix, and the scripts.
pub(super) struct Layout {
    prefix: String,
    write: Script,
    remove: Script,
    page: Script,
}

/// An entry as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stored: Stored,
    /// In ms since 1970 by the server's clock; `None`: it stays.
    pub(super) vanishes_at: Option<u64>,
}

impl Layout {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: format!("{{{prefix}}}"),
            write: Script::new(include_str!("write.lua")),
            remove: Script::new(include_str!("remove.lua")),
            page: Script::new(include_str!("page.lua")),
        }
    }

    pub(super) fn entry(&self, table: Table, key: &[u8]) -> Vec<u8> {
        [self.entries(table).as_bytes(), key].concat()
    }

    pub(super) fn schema(&self) -> String {
        format!("{}:schema", self.prefix)
    }

    /// Writes entries; answers with the last version, or with nothing where another than `expected` is there.
    pub(super) fn write(
        &self,
        table: Table,
        entries: &[(Vec<u8>, Vec<u8>)],
        expected: Option<u64>,
        life: Option<Duration>,
    ) -> redis::ScriptInvocation<'_> {
        let mut call = self.write.key(self.version());
        call.key(self.index(table)).key(self.vanishing(table));
        // Redis counts in whole milliseconds, and takes none that is zero.
        let life = life.map(|life| u64::try_from(life.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST));
        call.arg(or_empty(expected)).arg(or_empty(life)).arg(self.entries(table));
        for (key, value) in entries {
            call.key(self.entry(table, key)).arg(key.as_slice()).arg(value.as_slice());
        }
        call
    }

    /// Removes an entry; answers 1 for done, 0 for none there, -1 where another than `expected` is there.
    pub(super) fn remove(
        &self,
        table: Table,
        key: &[u8],
        expected: Option<u64>,
    ) -> redis::ScriptInvocation<'_> {
        let mut call = self.remove.key(self.version());
        call.key(self.index(table)).key(self.vanishing(table)).key(self.entry(table, key));
        call.arg(or_empty(expected)).arg(key);
        call
    }

    /// Keys and entries from `after` (or else `prefix`) on, in turn.
    pub(super) fn page(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> redis::ScriptInvocation<'_> {
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => [b"(", after].concat(),
            None => [b"[", prefix].concat(),
        };
        let to = successor(prefix).map_or_else(|| b"+".to_vec(), |end| [b"(".as_slice(), &end].concat());
        let mut call = self.page.key(self.index(table));
        call.arg(from).arg(to).arg(limit).arg(self.entries(table));
        call
    }

    fn entries(&self, table: Table) -> String {
        format!("{}:e:{}:", self.prefix, table.name())
    }

    fn index(&self, table: Table) -> String {
        format!("{}:i:{}", self.prefix, table.name())
    }

    pub(super) fn vanishing(&self, table: Table) -> String {
        format!("{}:v:{}", self.prefix, table.name())
    }

    fn version(&self) -> String {
        format!("{}:version", self.prefix)
    }
}

/// A hundred years, in ms: a script's numbers are exact up to there and far beyond.
const LONGEST: u64 = 100 * 366 * 24 * 60 * 60 * 1000;

impl Entry {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let wrong = || StoreError::Damaged { path: "redis".to_owned(), why: "an entry is none".to_owned() };
        let mut parts = bytes.splitn(3, |byte| *byte == b':');
        let mut number = || parts.next().and_then(|part| std::str::from_utf8(part).ok()?.parse::<u64>().ok());
        let (version, vanishes_at) = (number().ok_or_else(wrong)?, number().ok_or_else(wrong)?);
        let value = parts.next().ok_or_else(wrong)?.to_vec();
        Ok(Self { stored: Stored { value, version }, vanishes_at: (vanishes_at != 0).then_some(vanishes_at) })
    }
}

fn or_empty(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

/// The first key after all that begin with `prefix`; nothing where there is none.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entrys_value_may_have_colons_and_any_byte() {
        let entry = Entry::read(b"17:0:a:b\xff").unwrap();
        assert_eq!((entry.stored.version, entry.stored.value.as_slice()), (17, b"a:b\xff".as_slice()));
        assert_eq!((entry.vanishes_at, Entry::read(b"1:9:").unwrap().vanishes_at), (None, Some(9)));
        for wrong in [b"".as_slice(), b"1:2", b"x:0:v", b"-1:0:v"] {
            assert!(Entry::read(wrong).is_err());
        }
    }

    #[test]
    fn the_end_of_a_prefix_is_after_every_key_that_begins_with_it() {
        assert_eq!(successor(b"acme\0").unwrap(), b"acme\x01");
        assert_eq!(successor(b"a\xff\xff").unwrap(), b"b");
        assert_eq!(successor(b"\xff"), None);
        assert_eq!(successor(b""), None);
    }
}
