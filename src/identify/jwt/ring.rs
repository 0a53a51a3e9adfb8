//! The present keys of one issuer: fetched when due, once at a time, and never thrown away for something worse.
//!
//! # Why on demand
//! A gate that is not used fetches nothing, and a test needs no timer. A refresh that is due runs in a task of its own while the
//! known keys serve; only a token whose key is unknown, or the very first one, waits for a fetch. Whoever floods the gate with
//! made-up key ids causes one fetch per [`COOLDOWN`], and delays nobody whose key is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::config::KeySource;
use crate::identify::clock::Clock;
use crate::identify::jwt::document::{Document, NoDocument, read_file};
use crate::identify::jwt::keys::{BadKeySet, KeySet};
use crate::identify::proof::BadProof;

/// Between two fetches for unknown key ids.
const COOLDOWN: Duration = Duration::from_secs(30);
/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// The keys of one issuer and where they come from.
#[derive(Debug)]
pub(in crate::identify) struct KeyRing {
    issuer: String,
    document: Document,
    refresh: Duration,
    max_stale: Option<Duration>,
    clock: Clock,
    held: ArcSwap<Held>,
    /// The tick, in milliseconds, after which the document is read again.
    due_ms: AtomicU64,
    flight: Mutex<Flight>,
}

/// What one fetch after another has left.
#[derive(Debug, Clone, Default)]
pub(in crate::identify) struct Held {
    keys: Option<Arc<KeySet>>,
    /// Counts up when the document changes: what was proved with the keys before no longer counts.
    pub(in crate::identify) generation: u64,
    digest: [u8; 32],
    good_at: Duration,
    attempts: u64,
    failures: u32,
}

/// What only the one who fetches may touch.
#[derive(Debug, Default)]
struct Flight {
    /// No fetch for an unknown key id before this tick.
    unknown_from: Duration,
}

/// Why the keys were not renewed, for the operator.
#[derive(Debug, thiserror::Error)]
pub(in crate::identify) enum NotRenewed {
    #[error(transparent)]
    NoDocument(#[from] NoDocument),
    #[error(transparent)]
    BadKeySet(#[from] BadKeySet),
}

impl KeyRing {
    pub(in crate::identify) fn new(
        issuer: &str,
        source: &KeySource,
        clock: Clock,
    ) -> Result<Self, NotRenewed> {
        let mut held = Held::default();
        let (document, refresh, max_stale) = match source {
            KeySource::Url { url, refresh, max_stale } => {
                (Document::at_url(url)?, (*refresh).max(LOOK), Some(*max_stale))
            }
            KeySource::Discovered { refresh, max_stale } => {
                (Document::of_issuer(issuer)?, (*refresh).max(LOOK), Some(*max_stale))
            }
            KeySource::File(path) => {
                held = held.with(&read_file(path)?, clock.tick())?;
                (Document::in_file(path), LOOK, None)
            }
        };
        let due_ms = AtomicU64::new(if held.keys.is_some() { millis(clock.tick() + refresh) } else { 0 });
        let issuer = issuer.to_owned();
        let flight = Mutex::new(Flight::default());
        Ok(Self {
            issuer,
            document,
            refresh,
            max_stale,
            clock,
            held: ArcSwap::from_pointee(held),
            due_ms,
            flight,
        })
    }

    /// The keys that count now, without waiting; a renewal that is due is started.
    pub(in crate::identify) fn now(self: &Arc<Self>) -> Option<Arc<Held>> {
        let held = self.held.load_full();
        let tick = self.clock.tick();
        if !held.counts(tick, self.max_stale) {
            return None;
        }
        if self.is_due(tick) {
            self.renew_later(tick);
        }
        Some(held)
    }

    /// The keys that count now; waits for the first fetch.
    pub(in crate::identify) async fn keys(self: &Arc<Self>) -> Result<Arc<Held>, BadProof> {
        if let Some(held) = self.now() {
            return Ok(held);
        }
        let ring = Arc::clone(self);
        let _ended = tokio::spawn(async move {
            let _flight = ring.flight.lock().await;
            let tick = ring.clock.tick();
            if ring.is_due(tick) {
                ring.renew().await;
            }
        })
        .await;
        self.now().ok_or(BadProof::NoKeys)
    }

    /// The keys after one more look, for a token whose key is not among those that were `seen`; `None`: there was none.
    /// Goes on when the one who asked has gone away, or they could burn the look of everyone else.
    pub(in crate::identify) async fn look_again(self: &Arc<Self>, seen: &Held) -> Option<Arc<Held>> {
        let attempts = seen.attempts;
        if self.flight.try_lock().is_ok_and(|flight| self.is_cooling(&flight, attempts)) {
            return None;
        }
        let ring = Arc::clone(self);
        let _ended = tokio::spawn(async move {
            let mut flight = ring.flight.lock().await;
            let tick = ring.clock.tick();
            if ring.held.load().attempts == attempts && tick >= flight.unknown_from {
                flight.unknown_from = tick + COOLDOWN;
                ring.renew().await;
            }
        })
        .await;
        self.now().filter(|held| held.attempts != attempts)
    }

    fn is_cooling(&self, flight: &Flight, attempts: u64) -> bool {
        self.held.load().attempts == attempts && self.clock.tick() < flight.unknown_from
    }

    fn is_due(&self, tick: Duration) -> bool {
        millis(tick) >= self.due_ms.load(Ordering::Acquire)
    }

    /// Starts one renewal; whoever moves `due_ms` first is the one to start it.
    fn renew_later(self: &Arc<Self>, tick: Duration) {
        let due = self.due_ms.load(Ordering::Acquire);
        let next = millis(tick + LAST_RETRY);
        let mine = self.due_ms.compare_exchange(due, next, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if mine && due <= millis(tick) {
            let ring = Arc::clone(self);
            tokio::spawn(async move {
                let _flight = ring.flight.lock().await;
                ring.renew().await;
            });
        }
    }

    /// Reads the document once. Only a good one replaces the keys: an error page never erases them.
    async fn renew(&self) {
        let before = self.held.load_full();
        let tick = self.clock.tick();
        let renewed = match self.document.read().await {
            Ok(document) => before.with(&document, tick).map_err(NotRenewed::from),
            Err(error) => Err(error.into()),
        };
        let (after, wait) = match renewed {
            Ok(after) => (after, self.refresh),
            Err(error) => {
                tracing::warn!(issuer = %self.issuer, %error, "Issuer's keys were not renewed");
                let failures = before.failures.saturating_add(1);
                let after = Held { failures, attempts: before.attempts + 1, ..Held::clone(&before) };
                (after, back_off(failures).min(self.refresh.max(FIRST_RETRY)))
            }
        };
        self.held.store(Arc::new(after));
        self.due_ms.store(millis(tick + wait), Ordering::Release);
    }
}

#[cfg(test)]
impl KeyRing {
    pub(in crate::identify) async fn settled(&self) {
        let _flight = self.flight.lock().await;
    }
}

impl Held {
    /// The keys; empty before the first good document.
    pub(in crate::identify) fn keys(&self) -> Option<&KeySet> {
        self.keys.as_deref()
    }

    fn counts(&self, tick: Duration, max_stale: Option<Duration>) -> bool {
        let age = tick.saturating_sub(self.good_at);
        self.keys.is_some() && max_stale.is_none_or(|most| age <= most)
    }

    fn with(&self, document: &[u8], tick: Duration) -> Result<Self, BadKeySet> {
        let digest: [u8; 32] = Sha256::digest(document).into();
        let changed = self.keys.is_none() || digest != self.digest;
        let keys = if changed { Some(Arc::new(KeySet::parse(document)?)) } else { self.keys.clone() };
        let generation = self.generation + u64::from(changed);
        Ok(Self { keys, generation, digest, good_at: tick, attempts: self.attempts + 1, failures: 0 })
    }
}

fn back_off(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(5)).min(LAST_RETRY)
}

fn millis(tick: Duration) -> u64 {
    u64::try_from(tick.as_millis()).unwrap_or(u64::MAX)
}
