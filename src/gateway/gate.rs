//! What listeners hold: the generation that serves now. A change of configuration or policy swaps it whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use crate::gateway::Gateway;

/// The generation that serves now, and what was wrong with those that were to follow it.
pub struct Gate {
    current: ArcSwap<Gateway>,
    broken_policy: ArcSwapOption<String>,
    broken_config: ArcSwapOption<String>,
    broken_pins: ArcSwapOption<String>,
    broken_candidate: ArcSwapOption<String>,
    turns: Mutex<()>,
    changes: watch::Sender<()>,
}

/// What a generation is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The policy directory.
    Policy,
    /// The configuration file.
    Config,
    /// The lock file.
    Pins,
    /// The candidate policy's directory.
    Candidate,
}

impl Gate {
    /// A gate that serves `first`.
    #[must_use]
    pub fn new(first: Gateway) -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::from_pointee(first),
            broken_policy: ArcSwapOption::empty(),
            broken_config: ArcSwapOption::empty(),
            broken_pins: ArcSwapOption::empty(),
            broken_candidate: ArcSwapOption::empty(),
            turns: Mutex::default(),
            changes: watch::Sender::new(()),
        })
    }

    /// The generation that serves now; hold it for one request.
    #[must_use]
    pub fn current(&self) -> Arc<Gateway> {
        self.current.load_full()
    }

    /// The turn to make the next generation, until what is returned is dropped: of two changes at once the second must
    /// be made from what the first has left, or it would take it back.
    pub fn turn(&self) -> MutexGuard<'_, ()> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `next` serve, which is made from the same sources.
    pub fn put(&self, next: Gateway) {
        self.current.store(Arc::new(next));
        self.changes.send_replace(());
    }

    /// Lets `next` serve; requests that have begun end on the generation before.
    pub fn swap(&self, next: Gateway, source: Source) {
        self.put(next);
        self.broken(source).store(None);
    }

    /// Tells when another generation serves.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// What serves is the newest of a source again.
    pub fn mended(&self, source: Source) {
        self.broken(source).store(None);
    }

    /// Notes why what was to follow does not serve.
    pub fn keep(&self, source: Source, why: String) {
        self.broken(source).store(Some(Arc::new(why)));
    }

    /// What was wrong with the newest of a source, where an older one serves instead.
    #[must_use]
    pub fn kept_because(&self, source: Source) -> Option<Arc<String>> {
        self.broken(source).load_full()
    }

    fn broken(&self, source: Source) -> &ArcSwapOption<String> {
        match source {
            Source::Policy => &self.broken_policy,
            Source::Config => &self.broken_config,
            Source::Pins => &self.broken_pins,
            Source::Candidate => &self.broken_candidate,
        }
    }
}
