//! Rates and places that gates on one store count together.
//!
//! # Why the local counters stay before them
//! What one gate's own counters refuse, all gates together would refuse as well: a flood costs no round trip. And where the store does
//! not answer, calls go on within the limits of each gate: a limit that is N times too high for a while does less harm than a
//! store that stops every call.
//!
//! # Why places have a life
//! A gate that is killed gives nothing back. A place that nobody keeps any more is free after [`LIFE`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use crate::store::meter::{Meter, Metered, Place, Verdict};
use crate::store::{Store, StoreError};

/// For how long a place is kept without a word of its gate.
const LIFE: Duration = Duration::from_secs(9);
/// Between two words.
const BEAT: Duration = Duration::from_secs(3);
/// How long a store that failed is not asked.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two attempts to get a place.
const AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// Places that are given back at once.
const BATCH: usize = 500;

/// What this gate counts together with others.
pub(super) struct Together {
    store: Arc<dyn Store>,
    /// How long a call waits for an answer.
    within: Duration,
    places: Arc<Places>,
    gate: uuid::Uuid,
    last: AtomicU64,
    alone: Mutex<Option<Alone>>,
    keeper: AbortHandle,
}

/// The places of this gate's calls, and those that are to be given back.
struct Places {
    held: DashMap<Vec<u8>, Place>,
    leaving: UnboundedSender<Place>,
}

/// The store does not count now.
struct Alone {
    since: Instant,
    until: Instant,
}

/// A place that counts on every gate, given back when dropped.
pub(super) struct Shared {
    places: Arc<Places>,
    place: Place,
}

/// What all gates together say.
pub(super) enum Said {
    /// The call is counted, with its place where it wanted one.
    Admitted(Option<Shared>, u32),
    /// The rate with this index is exhausted for so long.
    Exhausted(usize, Duration),
    /// No place came free in time.
    Full,
    /// Nothing: this gate counts alone.
    Nothing,
}

impl Together {
    /// `None`: the store is this gate's alone.
    pub(super) fn on(store: &Arc<dyn Store>, within: Duration) -> Option<Self> {
        store.meter()?;
        let (leaving, left) = unbounded_channel();
        let places = Arc::new(Places { held: DashMap::new(), leaving });
        let keeper = tokio::spawn(keep(Arc::clone(store), Arc::clone(&places), left)).abort_handle();
        Some(Self {
            store: Arc::clone(store),
            within,
            places,
            gate: uuid::Uuid::now_v7(),
            last: AtomicU64::new(0),
            alone: Mutex::new(None),
            keeper,
        })
    }

    /// Whether the store counts.
    pub(super) fn is_together(&self) -> bool {
        self.alone.lock().is_none()
    }

    /// Counts a call, and takes a place of `most`, waiting at most `patience` for one.
    pub(super) async fn admit(
        &self,
        rates: &[Metered],
        place: Option<(Vec<u8>, u32)>,
        patience: Duration,
    ) -> Said {
        if rates.is_empty() && place.is_none() {
            return Said::Nothing;
        }
        let place = place.map(|(key, most)| (self.place(key), most));
        let (until, mut pause) = (Instant::now() + patience, AGAIN.0);
        loop {
            let Some(meter) = self.meter() else { return Said::Nothing };
            let wanted = place.as_ref().map(|(shared, most)| (&shared.place, *most));
            let asked = tokio::time::timeout(self.within, meter.count(rates, wanted, LIFE)).await;
            let late = |_| Err(StoreError::Failed(format!("no answer in {:?}", self.within)));
            match asked.unwrap_or_else(late) {
                Ok(Verdict::Admitted { left }) => {
                    self.counts_again();
                    let shared = place.map(|(shared, _)| shared);
                    shared.iter().for_each(Shared::keep);
                    return Said::Admitted(shared, left);
                }
                Ok(Verdict::Exhausted { rate, retry }) => return Said::Exhausted(rate, retry),
                Ok(Verdict::Full) if Instant::now() + pause > until => return Said::Full,
                Ok(Verdict::Full) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(AGAIN.1);
                }
                Err(error) => {
                    self.counts_alone(&error);
                    return Said::Nothing;
                }
            }
        }
    }

    /// The place that a call may get. It is given back however the call ends, before it is had too: the question may
    /// have reached the store although nobody waits for its answer any more.
    fn place(&self, key: Vec<u8>) -> Shared {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let holder = format!("{}/{number}", self.gate.simple()).into_bytes();
        Shared { places: Arc::clone(&self.places), place: Place { key, holder } }
    }

    fn meter(&self) -> Option<&dyn Meter> {
        let is_paused = self.alone.lock().as_ref().is_some_and(|alone| Instant::now() < alone.until);
        self.store.meter().filter(|_| !is_paused)
    }

    fn counts_alone(&self, error: &StoreError) {
        let now = Instant::now();
        let mut alone = self.alone.lock();
        if alone.is_none() {
            tracing::warn!(%error, "Rates and slots are counted on this gate alone");
        }
        let since = alone.as_ref().map_or(now, |alone| alone.since);
        *alone = Some(Alone { since, until: now + PAUSE });
    }

    fn counts_again(&self) {
        if let Some(alone) = self.alone.lock().take() {
            tracing::info!(after = ?alone.since.elapsed(), "Rates and slots are counted with the other gates again");
        }
    }
}

impl Shared {
    fn keep(&self) {
        self.places.held.insert(self.place.holder.clone(), self.place.clone());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.places.held.remove(&self.place.holder);
        // Where nobody takes it any more, the gate stops, and the place comes back by itself.
        let _ = self.places.leaving.send(self.place.clone());
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Keeps and gives back, one after the other: a place that was given back is not kept after that.
async fn keep(store: Arc<dyn Store>, places: Arc<Places>, mut left: UnboundedReceiver<Place>) {
    let Some(meter) = store.meter() else { return };
    let mut beat = tokio::time::interval(BEAT);
    let mut leaving = Vec::new();
    loop {
        let told = tokio::select! {
            _ = beat.tick() => {
                let held: Vec<Place> = places.held.iter().map(|held| held.value().clone()).collect();
                meter.keep(&held, LIFE).await
            }
            _ = left.recv_many(&mut leaving, BATCH) => {
                let told = meter.leave(&leaving).await;
                leaving.clear();
                told
            }
        };
        if let Err(error) = told {
            tracing::debug!(%error, "Slots could not be kept or given back");
        }
    }
}

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Together({:?})", self.store)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}
