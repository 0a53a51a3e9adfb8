//! Which eras a server speaks, as far as it is known.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::decode::Era;

/// Whether a server speaks an era.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// It answered in it.
    Yes,
    /// It answered in the other one only.
    No,
    /// It has not been asked, or gave no answer that tells.
    Unknown,
}

/// What is known of one server at one URL.
#[derive(Debug, Default)]
pub struct Spoken {
    legacy: AtomicU8,
    modern: AtomicU8,
}

impl Spoken {
    /// Whether the server speaks `era`.
    #[must_use]
    pub fn speaks(&self, era: Era) -> Speaks {
        match self.of(era).load(Ordering::Relaxed) {
            1 => Speaks::Yes,
            2 => Speaks::No,
            _ => Speaks::Unknown,
        }
    }

    /// Notes what was found out.
    pub fn note(&self, era: Era, speaks: Speaks) {
        let noted = match speaks {
            Speaks::Unknown => 0,
            Speaks::Yes => 1,
            Speaks::No => 2,
        };
        self.of(era).store(noted, Ordering::Relaxed);
    }

    fn of(&self, era: Era) -> &AtomicU8 {
        match era {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        }
    }
}
