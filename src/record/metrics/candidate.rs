//! What is counted of a policy that is tried beside the one that serves.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use crate::decide::{Compared, Comparison, Seat};
use crate::record::metrics::{Maker, Reload};

/// What two policies were asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A message.
    Message,
    /// An item of a list.
    Item,
}

/// The metrics of a candidate.
#[derive(Debug)]
pub struct CandidateMetrics {
    compared: [IntCounter; 2],
    left_out: [IntCounter; 2],
    differences: IntCounterVec,
    decided: IntCounter,
    reloads: IntCounterVec,
    suspended: IntGauge,
}

impl CandidateMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        let compared = make.counters(
            "candidate_comparisons_total",
            "Messages and items of lists that the live and the candidate policy were asked about",
            &["about", "outcome"],
        )?;
        let of = |outcome: &str| {
            [Asked::Message, Asked::Item].map(|asked| compared.with_label_values(&[asked.as_str(), outcome]))
        };
        Ok(Self {
            compared: of("compared"),
            left_out: of("left_out"),
            differences: make.counters(
                "candidate_differences_total",
                "What would be different under the candidate policy",
                &["about", "change"],
            )?,
            decided: make
                .counter("candidate_decisions_total", "Messages that the candidate policy decided")?,
            reloads: make.counters(
                "candidate_reloads_total",
                "Reloads of the candidate policy",
                &["outcome"],
            )?,
            suspended: make.gauge(
                "candidate_suspended",
                "1: the candidate policy is too slow, and is not compared any more",
            )?,
        })
    }

    /// Two policies were asked.
    pub fn compared(&self, asked: Asked, comparison: &Comparison) {
        let of = |[message, item]: &[IntCounter; 2]| match asked {
            Asked::Message => message.inc(),
            Asked::Item => item.inc(),
        };
        match &comparison.compared {
            Compared::LeftOut => of(&self.left_out),
            Compared::Same => of(&self.compared),
            Compared::Differs(difference) => {
                of(&self.compared);
                for change in &difference.changes {
                    self.differences.with_label_values(&[asked.as_str(), change.as_str()]).inc();
                }
            }
        }
        match (comparison.decided_by, asked) {
            (Seat::Candidate, Asked::Message) => self.decided.inc(),
            (Seat::Candidate, Asked::Item) | (Seat::Live, _) => {}
        }
    }

    /// A candidate was read anew.
    pub fn reloaded(&self, outcome: Reload) {
        self.reloads.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Whether the candidate is not compared any more.
    pub fn suspended(&self, suspended: bool) {
        self.suspended.set(i64::from(suspended));
    }
}

impl Asked {
    fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Item => "item",
        }
    }
}
