//! What is in flight, and the end of it: a stop waits for every answer that has begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// Counts requests in flight and tells streams when to end.
#[derive(Debug)]
pub struct Drain {
    in_flight: AtomicUsize,
    idle: tokio::sync::Notify,
    stage: watch::Sender<Stage>,
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The gate serves.
    Serving,
    /// Streams that belong to no call end; calls go on.
    Draining,
    /// Everything ends now.
    Over,
}

/// One request in flight.
#[derive(Debug)]
pub struct InFlight(Arc<Drain>);

impl Drain {
    /// A drain for a gate that serves.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let (stage, _) = watch::channel(Stage::Serving);
        Arc::new(Self { in_flight: AtomicUsize::new(0), idle: tokio::sync::Notify::new(), stage })
    }

    /// Counts one request until the value is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(Arc::clone(self))
    }

    /// How many requests are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Whether a stop has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.stage.borrow() > Stage::Serving
    }

    /// Follows the stage.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Ends standing streams, waits for what is in flight, and after `patience` ends the rest. Returns whether
    /// everything was answered.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.stage.send_replace(Stage::Draining);
        let finished = tokio::time::timeout(patience, self.until_idle()).await.is_ok();
        self.stage.send_replace(Stage::Over);
        if !finished {
            let _ = tokio::time::timeout(Duration::from_secs(1), self.until_idle()).await;
        }
        finished
    }

    async fn until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_waits_for_what_is_in_flight() {
        let drain = Drain::new();
        let one = drain.enter();
        let stopping = tokio::spawn({
            let drain = Arc::clone(&drain);
            async move { drain.stop(Duration::from_secs(60)).await }
        });
        while !drain.is_draining() {
            tokio::task::yield_now().await;
        }
        assert!(!stopping.is_finished());
        drop(one);
        assert!(stopping.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_does_not_wait_for_ever() {
        let drain = Drain::new();
        let _stuck = drain.enter();
        assert!(!drain.stop(Duration::from_secs(5)).await);
    }
}
