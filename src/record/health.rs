//! Whether calls can be recorded now, and why not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The state of the record, shared by those who write and those who ask.
#[derive(Debug, Default)]
pub(super) struct Health {
    red: AtomicBool,
    why: Mutex<Option<String>>,
    lost: AtomicU64,
    lines: AtomicU64,
}

impl Health {
    /// Lines cannot be written.
    pub(super) fn fail(&self, why: String) {
        let mut told = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() != Some(&why) {
            tracing::error!(reason = %why, "Audit cannot be written: calls are refused");
        }
        *told = Some(why);
        self.red.store(true, Ordering::Release);
    }

    /// Lines can be written again.
    pub(super) fn mend(&self) {
        if self.red.swap(false, Ordering::AcqRel) {
            *self.why.lock().unwrap_or_else(PoisonError::into_inner) = None;
            tracing::info!("Audit is written again");
        }
    }

    /// A refusal could not even be queued.
    pub(super) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// How many refusals were lost and are not on the record as such.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// So many lost refusals are on the record as such.
    pub(super) fn told(&self, lost: u64) {
        self.lost.fetch_sub(lost, Ordering::Relaxed);
    }

    /// So many lines more were written.
    pub(super) fn wrote(&self, lines: u64) {
        self.lines.fetch_add(lines, Ordering::Relaxed);
    }

    /// How many lines this process has written.
    pub(super) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Why lines cannot be written; `None`: they can.
    pub(super) fn reason(&self) -> Option<String> {
        let lost = self.lost.load(Ordering::Relaxed);
        if self.is_red() {
            return self.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        (lost > 0).then(|| format!("{lost} refusals could not be recorded: the audit queue was full"))
    }

    /// Whether lines cannot be written.
    pub(super) fn is_red(&self) -> bool {
        self.red.load(Ordering::Acquire)
    }
}
