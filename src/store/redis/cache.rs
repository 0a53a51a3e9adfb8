//! What was read on one connection and has not changed since, as the server itself says on the same connection
//! (client-side caching, `CLIENT TRACKING`).
//!
//! # Why nothing old gets in
//! Answers and invalidations arrive in the order in which the server wrote them, and invalidations are taken in that order; but
//! whoever waits for an answer goes on some time later, and an invalidation may have passed by then. So a read leaves a ticket
//! before it asks; an invalidation takes it away, and an answer without its ticket is used once and not kept.
//!
//! # Why it ends with the connection
//! It belongs to one connection and is dropped with it: what another connection is told, or nobody while there is none, cannot be
//! missed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache as Bounded;
use redis::{PushInfo, PushKind, Value};

use crate::store::{Stored, Table};

/// All values and keys together.
const BYTES: u64 = 64 << 20;
/// How many entries there are, by a guess at their size.
const ENTRIES: usize = 100_000;

/// Which answers of a table are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// None: it is not read for calls.
    Nothing,
    /// Entries. That there is none is not kept where strangers choose the key: they would fill the cache.
    Entries,
    /// Entries, and that there is none.
    Absence,
}

/// An answer. It is no better than the connection: see [`super::link::Link::kept`].
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) stored: Option<Arc<Stored>>,
    /// When it vanishes; `None`: when the server says so.
    pub(super) until: Option<Instant>,
}

pub(super) struct Cache {
    entries: Bounded<Vec<u8>, Kept, Weight>,
    /// The newest ticket for each key that is being read.
    reading: Mutex<HashMap<Vec<u8>, u64>>,
    next: AtomicU64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Vec<u8>, Kept> for Weight {
    fn weight(&self, key: &Vec<u8>, kept: &Kept) -> u64 {
        let value = kept.stored.as_ref().map_or(0, |stored| stored.value.len());
        u64::try_from(key.len().saturating_add(value).saturating_add(100)).unwrap_or(u64::MAX)
    }
}

/// A read that is under way.
pub(super) struct Ticket<'a> {
    cache: &'a Cache,
    key: &'a [u8],
    number: u64,
}

impl Keeps {
    pub(super) fn of(table: Table) -> Self {
        match table {
            Table::Urls | Table::ApiKeys => Self::Entries,
            Table::Tenants
            | Table::Accounts
            | Table::Credentials
            | Table::DataKeys
            | Table::Grants
            | Table::Revocations => Self::Absence,
            Table::Keys
            | Table::Policies
            | Table::Spending
            | Table::Locks
            | Table::Consents
            | Table::Webhooks
            | Table::Idempotency
            | Table::Uses
            | Table::Gates => Self::Nothing,
        }
    }
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            entries: Bounded::with_weighter(ENTRIES, BYTES, Weight),
            reading: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Kept> {
        self.entries.get(key)
    }

    /// Before the server is asked.
    pub(super) fn begin<'a>(&'a self, key: &'a [u8]) -> Ticket<'a> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.reading.lock().insert(key.to_vec(), number);
        Ticket { cache: self, key, number }
    }

    /// After this process changed it: the server's word would come, but whoever wrote must not read what was before.
    pub(super) fn forget(&self, key: &[u8]) {
        let mut reading = self.reading.lock();
        reading.remove(key);
        self.entries.remove(key);
    }

    pub(super) fn clear(&self) {
        let mut reading = self.reading.lock();
        reading.clear();
        self.entries.clear();
    }

    /// What the server says on the connection; true where it has ended.
    pub(super) fn told(&self, push: PushInfo) -> bool {
        match (push.kind, push.data.into_iter().next()) {
            (PushKind::Invalidate, Some(Value::Array(keys))) => {
                for key in keys {
                    match key {
                        Value::BulkString(key) => self.forget(&key),
                        _ => self.clear(),
                    }
                }
                false
            }
            // No list: the server has forgotten everything, or what it knew of this connection.
            (PushKind::Invalidate, _) => {
                self.clear();
                false
            }
            (PushKind::Disconnection, _) => {
                self.clear();
                true
            }
            _ => false,
        }
    }
}

impl Ticket<'_> {
    /// Keeps the answer, unless the key has changed since the ticket was taken.
    pub(super) fn keep(self, kept: Kept) {
        let reading = self.cache.reading.lock();
        if reading.get(self.key) == Some(&self.number) {
            self.cache.entries.insert(self.key.to_vec(), kept);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut reading = self.cache.reading.lock();
        if reading.get(self.key) == Some(&self.number) {
            reading.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(value: &[u8]) -> Kept {
        Kept { stored: Some(Arc::new(Stored { value: value.to_vec(), version: 1 })), until: None }
    }

    fn invalidation(keys: Value) -> PushInfo {
        PushInfo { kind: PushKind::Invalidate, data: vec![keys] }
    }

    fn of(key: &[u8]) -> PushInfo {
        invalidation(Value::Array(vec![Value::BulkString(key.to_vec())]))
    }

    #[test]
    fn an_answer_that_was_overtaken_by_its_invalidation_is_not_kept() {
        let cache = Cache::new();
        let overtaken = cache.begin(b"k");
        cache.told(of(b"k"));
        overtaken.keep(kept(b"old"));
        assert!(cache.get(b"k").is_none());
        cache.begin(b"k").keep(kept(b"new"));
        assert!(cache.get(b"k").is_some());
        cache.told(of(b"another"));
        assert!(cache.get(b"k").is_some());
        cache.told(of(b"k"));
        assert!(cache.get(b"k").is_none());
    }

    #[test]
    fn an_answer_to_an_older_question_does_not_replace_a_newer_one() {
        let cache = Cache::new();
        let (older, newer) = (cache.begin(b"k"), cache.begin(b"k"));
        newer.keep(kept(b"new"));
        older.keep(kept(b"old"));
        assert_eq!(cache.get(b"k").unwrap().stored.unwrap().value, b"new");
        assert!(cache.reading.lock().is_empty(), "no ticket stays");
    }

    #[test]
    fn a_server_that_forgets_everything_empties_the_cache_and_takes_every_ticket() {
        for (push, ends) in [
            (invalidation(Value::Nil), false),
            (PushInfo { kind: PushKind::Disconnection, data: vec![] }, true),
        ] {
            let cache = Cache::new();
            cache.begin(b"k").keep(kept(b"v"));
            let asked = cache.begin(b"other");
            assert_eq!(cache.told(push), ends);
            asked.keep(kept(b"v"));
            assert!(cache.get(b"k").is_none() && cache.get(b"other").is_none());
        }
    }
}
