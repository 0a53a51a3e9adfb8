//! What comparing a candidate may cost: a purse of time, and an end where the candidate keeps running late.
//!
//! # Why time, and not a share of the calls
//! A comparison that is found among the kept verdicts costs as little as the decision and is always made. What costs is a
//! new evaluation, on the caller's thread. So comparisons may take the time that decisions themselves take on new
//! questions, and [`SHARE`] of one core beside it, so that a fresh candidate gets to know what the policy that serves has
//! long kept. Where the purse is empty a comparison is left out, and counted as such; no caller waits for it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The purse holds so much at most; it is full at first.
const FULL: i64 = 250_000_000;

/// A purse fills by one part of time in so many.
const SHARE: u64 = 20;

/// The fewest time-outs that end comparisons.
const LATE: u64 = 5;

/// Comparisons end where one new evaluation in so many or more is late.
const ONE_IN: u64 = 100;

/// The purse of one candidate.
#[derive(Debug)]
pub(in crate::decide) struct Allowance {
    begun: Instant,
    /// Nanoseconds that may be spent; below zero after the last that could be paid.
    left: AtomicI64,
    /// Up to when, in nanoseconds after `begun`, the purse was filled.
    filled: AtomicU64,
    asked: AtomicU64,
    late: AtomicU64,
    suspended: AtomicBool,
    failed: AtomicBool,
}

/// Who pays for a new evaluation.
#[derive(Debug, Clone, Copy)]
pub(in crate::decide) enum Purse<'a> {
    /// Nobody counts: there is one policy only.
    Open,
    /// The decision: what it takes is granted to comparisons.
    Decision(&'a Allowance),
    /// A comparison: it is left out where the purse is empty.
    Comparison(&'a Allowance),
}

impl Purse<'_> {
    /// Does work and books its time; `None`: it cannot be paid for.
    pub(in crate::decide) fn pay<T>(self, work: impl FnOnce() -> T) -> Option<T> {
        let (allowance, sign) = match self {
            Self::Open => return Some(work()),
            Self::Decision(allowance) => (allowance, 1),
            Self::Comparison(allowance) if allowance.is_spent() => return None,
            Self::Comparison(allowance) => (allowance, -1),
        };
        let begun = Instant::now();
        let done = work();
        allowance.book(begun.elapsed(), sign);
        Some(done)
    }

    /// A new evaluation has ended.
    pub(in crate::decide) fn evaluated(self, late: bool) {
        match self {
            Self::Open | Self::Decision(_) => {}
            Self::Comparison(allowance) => allowance.evaluated(late),
        }
    }
}

impl Allowance {
    pub(in crate::decide) fn full() -> Self {
        Self {
            begun: Instant::now(),
            left: AtomicI64::new(FULL),
            filled: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            late: AtomicU64::new(0),
            suspended: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
    }

    /// Whether comparisons have ended, because the candidate was late too often.
    pub(in crate::decide) fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Relaxed)
    }

    /// Whether this is the first failure: one is told, all are counted.
    pub(in crate::decide) fn is_first_failure(&self) -> bool {
        !self.failed.swap(true, Ordering::Relaxed)
    }

    fn is_spent(&self) -> bool {
        let now = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let before = self.filled.fetch_max(now, Ordering::Relaxed);
        self.add(i64::try_from(now.saturating_sub(before) / SHARE).unwrap_or(FULL));
        self.left.load(Ordering::Relaxed) <= 0
    }

    fn book(&self, time: Duration, sign: i64) {
        self.add(i64::try_from(time.as_nanos()).unwrap_or(FULL).saturating_mul(sign));
    }

    fn add(&self, nanoseconds: i64) {
        self.left.fetch_add(nanoseconds, Ordering::Relaxed);
        self.left.fetch_min(FULL, Ordering::Relaxed);
    }

    fn evaluated(&self, late: bool) {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if !late {
            return;
        }
        let late = self.late.fetch_add(1, Ordering::Relaxed) + 1;
        if late >= LATE
            && late.saturating_mul(ONE_IN) >= asked
            && !self.suspended.swap(true, Ordering::Relaxed)
        {
            tracing::error!(late, asked, "The candidate policy is too slow; it is not compared any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_comparison_takes_is_paid_by_decisions() {
        let allowance = Allowance::full();
        let hour = Duration::from_secs(3600);
        allowance.book(hour, -1);
        assert!(Purse::Comparison(&allowance).pay(|| ()).is_none());
        assert!(Purse::Decision(&allowance).pay(|| ()).is_some(), "a decision never waits for a purse");
        allowance.book(hour, 1);
        assert!(Purse::Comparison(&allowance).pay(|| ()).is_some());
        allowance.book(hour, 1);
        assert!(allowance.left.load(Ordering::Relaxed) <= FULL, "it hoards nothing");
    }

    #[test]
    fn a_candidate_that_is_late_too_often_is_not_compared_any_more() {
        let allowance = Allowance::full();
        let purse = Purse::Comparison(&allowance);
        (0..LATE - 1).for_each(|_| purse.evaluated(true));
        (0..1000).for_each(|_| purse.evaluated(false));
        purse.evaluated(true);
        assert!(!allowance.is_suspended(), "five in a thousand");
        (0..10).for_each(|_| purse.evaluated(true));
        assert!(allowance.is_suspended());
    }
}
