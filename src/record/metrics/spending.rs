//! What is counted of what calls cost.

use prometheus::{Counter, IntCounterVec, IntGauge};

use crate::record::metrics::Maker;

/// Whether the store took what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It did.
    Written,
    /// It did not.
    Failed,
}

/// The metrics of what calls cost.
#[derive(Debug)]
pub struct SpendingMetrics {
    charged: Counter,
    given_back: Counter,
    writes: IntCounterVec,
    waits: IntGauge,
}

impl SpendingMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            charged: make.sum("cost_charged_total", "Cost of calls, in the units of the policy's `cost`")?,
            given_back: make
                .sum("cost_given_back_total", "Cost of calls that could not be brought to their server")?,
            writes: make.counters(
                "spending_writes_total",
                "Times that what tenants have spent was written to the store",
                &["outcome"],
            )?,
            waits: make
                .gauge("spending_waiting", "Tenants whose spending has changed since it was written")?,
        })
    }

    /// A call goes to its server, and costs so much.
    pub fn charged(&self, cost: f64) {
        if cost > 0.0 {
            self.charged.inc_by(cost);
        }
    }

    /// It did not get there.
    pub fn given_back(&self, cost: f64) {
        self.given_back.inc_by(cost);
    }

    /// What tenants have spent was written, or could not be.
    pub fn kept(&self, kept: Kept) {
        let outcome = match kept {
            Kept::Written => "ok",
            Kept::Failed => "failed",
        };
        self.writes.with_label_values(&[outcome]).inc();
    }

    /// What so many tenants have spent is not written yet.
    pub fn waits(&self, tenants: usize) {
        self.waits.set(i64::try_from(tenants).unwrap_or(i64::MAX));
    }
}
