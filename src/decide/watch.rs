//! A policy directory that changes → a call for each change, once it has settled.
//!
//! # Why polling too
//! Not every file system tells of its changes (network mounts, some container volumes), and a watch on a folder that was
//! replaced as a whole may be lost. So the directory's digest is compared every few seconds as well; and it decides what
//! counts as a change, so that reading files is none.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::decide::bundle::fingerprint;
use crate::name::Revision;

/// How long a directory must be quiet.
const SETTLED: Duration = Duration::from_millis(100);

/// How often it is looked at where nothing is told.
const POLL: Duration = Duration::from_secs(2);

/// The watch on a directory; it ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Sender<Signal>,
    _events: Option<RecommendedWatcher>,
}

enum Signal {
    Changed,
    Stop,
}

impl Watch {
    /// Watches a policy directory. `changed` is called on a thread of the watch, whenever what the directory holds differs
    /// from `serving`, or from what it held at the call before.
    #[must_use]
    pub fn start(directory: &Path, serving: Revision, changed: impl FnMut() + Send + 'static) -> Self {
        Self::every(POLL, directory, serving, changed)
    }

    fn every(
        poll: Duration,
        directory: &Path,
        serving: Revision,
        changed: impl FnMut() + Send + 'static,
    ) -> Self {
        let (stop, signals) = channel();
        let events = events(directory, stop.clone());
        let directory = directory.to_owned();
        std::thread::spawn(move || follow(&signals, &directory, poll, serving, changed));
        Self { stop, _events: events }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The thread may have ended already.
        let _ = self.stop.send(Signal::Stop);
    }
}

fn events(directory: &Path, changed: Sender<Signal>) -> Option<RecommendedWatcher> {
    let tell = move |event: notify::Result<notify::Event>| {
        // Looking reads the files, which is an event as well: it must not lead to another look.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _ = changed.send(Signal::Changed);
        }
    };
    let watched = notify::recommended_watcher(tell).and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    match watched {
        Ok(watcher) => Some(watcher),
        Err(e) => {
            tracing::warn!(directory = %directory.display(), why = %e, "Policy changes are found by polling only");
            None
        }
    }
}

fn follow(
    signals: &Receiver<Signal>,
    directory: &Path,
    poll: Duration,
    serving: Revision,
    mut changed: impl FnMut(),
) {
    let mut last = Some(serving);
    while next(signals, poll) && settled(signals) {
        // A directory that cannot be read is a change too: the load that follows says what is wrong.
        let now = fingerprint(directory);
        if now != last {
            last = now;
            changed();
        }
    }
}

/// Waits for a change or for the time to look; false at the end.
fn next(signals: &Receiver<Signal>, poll: Duration) -> bool {
    match signals.recv_timeout(poll) {
        Ok(Signal::Changed) | Err(RecvTimeoutError::Timeout) => true,
        Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => false,
    }
}

/// Waits until nothing changes for a while, but not for ever; false at the end.
fn settled(signals: &Receiver<Signal>) -> bool {
    for _ in 0..50 {
        match signals.recv_timeout(SETTLED) {
            Ok(Signal::Changed) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}
