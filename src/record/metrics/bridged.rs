//! What is counted of the bridge between the eras.

use prometheus::IntGauge;

use crate::record::metrics::{Held, Maker};

/// The gauges of the bridge; a clone counts on the same.
#[derive(Debug, Clone)]
pub struct BridgedMetrics {
    sessions: IntGauge,
    held: IntGauge,
    talks: IntGauge,
}

impl BridgedMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            sessions: make.gauge("bridge_sessions", "Sessions with legacy servers for modern callers")?,
            held: make.gauge(
                "bridge_held_calls",
                "Calls of legacy servers that wait for a modern caller's answer",
            )?,
            talks: make.gauge(
                "bridge_callers",
                "Sessions of legacy callers of modern servers that hold something",
            )?,
        })
    }

    /// A session with a legacy server, until what is returned is dropped.
    pub fn session(&self) -> Held {
        begin(&self.sessions)
    }

    /// A call that waits, until what is returned is dropped.
    pub fn held(&self) -> Held {
        begin(&self.held)
    }

    /// A session of a legacy caller, until what is returned is dropped.
    pub fn talk(&self) -> Held {
        begin(&self.talks)
    }
}

fn begin(gauge: &IntGauge) -> Held {
    gauge.inc();
    Held(gauge.clone())
}
