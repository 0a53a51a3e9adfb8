//! What a bridged session holds while it lasts: on this gate, and lost with it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quick_cache::sync::Cache;
use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use crate::bridge::modern::session::Session;
use crate::record::metrics::{BridgedMetrics, Held as Counted};
use crate::refusal::Refusal;

/// How many sessions are remembered; of the others a level and subscriptions are forgotten.
const MOST: usize = 10_000;
/// How many resources one session may be subscribed to.
const MOST_RESOURCES: usize = 1000;
/// How many questions of one session may be open.
const MOST_QUESTIONS: usize = 100;

/// The sessions by their number and caller.
pub(in crate::bridge) struct Talks {
    open: Cache<(Uuid, [u8; 32]), Arc<Talk>>,
    metrics: BridgedMetrics,
}

/// One session.
pub(in crate::bridge) struct Talk {
    state: Mutex<State>,
    resources: watch::Sender<BTreeSet<String>>,
    _counted: Counted,
}

#[derive(Default)]
struct State {
    level: Option<Box<RawValue>>,
    questions: HashMap<String, oneshot::Sender<Bytes>>,
    calls: HashMap<String, oneshot::Sender<()>>,
}

impl Talks {
    pub(in crate::bridge) fn new(metrics: BridgedMetrics) -> Self {
        Self { open: Cache::new(MOST), metrics }
    }

    /// What the session holds.
    pub(in crate::bridge::modern) fn of(
        &self,
        session: &Session,
        caller: &[u8; 32],
    ) -> Result<Arc<Talk>, Refusal> {
        let new = || {
            let resources = watch::Sender::default();
            Ok(Arc::new(Talk { state: Mutex::default(), resources, _counted: self.metrics.talk() }))
        };
        // A caller without a session holds nothing between two requests.
        if session.number.is_nil() {
            return new();
        }
        self.open.get_or_insert_with(&(session.number, *caller), new)
    }

    /// The session is over.
    pub(in crate::bridge::modern) fn end(&self, session: &Session, caller: &[u8; 32]) {
        self.open.remove(&(session.number, *caller));
    }
}

impl Talk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::bridge::modern) fn set_level(&self, level: Option<Box<RawValue>>) {
        self.state().level = level;
    }

    pub(in crate::bridge::modern) fn level(&self) -> Option<Box<RawValue>> {
        self.state().level.clone()
    }

    pub(in crate::bridge::modern) fn subscribe(&self, uri: &str) {
        self.resources.send_if_modified(|resources| {
            resources.len() < MOST_RESOURCES && resources.insert(uri.to_owned())
        });
    }

    pub(in crate::bridge::modern) fn unsubscribe(&self, uri: &str) {
        self.resources.send_if_modified(|resources| resources.remove(uri));
    }

    /// The resources that the session is subscribed to, now and whenever that changes.
    pub(in crate::bridge::modern) fn resources(&self) -> watch::Receiver<BTreeSet<String>> {
        self.resources.subscribe()
    }

    /// A question to the caller under this id; its answer comes with another request. `None`: too many are open.
    pub(in crate::bridge::modern) fn ask(&self, id: String) -> Option<oneshot::Receiver<Bytes>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        state.questions.retain(|_, waits| !waits.is_closed());
        if state.questions.len() >= MOST_QUESTIONS {
            return None;
        }
        state.questions.insert(id, sender);
        Some(receiver)
    }

    /// The caller's answer. Nobody waits any more for one that comes late.
    pub(in crate::bridge::modern) fn answered(&self, id: &str, answer: &Bytes) {
        if let Some(waits) = self.state().questions.remove(id) {
            let _ = waits.send(answer.clone());
        }
    }

    /// A call begins that its caller may cancel by this id.
    pub(in crate::bridge::modern) fn begin(&self, id: &str) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        state.calls.retain(|_, waits| !waits.is_closed());
        state.calls.insert(id.to_owned(), sender);
        receiver
    }

    /// The caller cancels a call.
    pub(in crate::bridge::modern) fn cancel(&self, id: &str) {
        if let Some(waits) = self.state().calls.remove(id) {
            let _ = waits.send(());
        }
    }
}
