//! What time it is: handed in, so that a test need not wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Two clocks: the calendar's, which proofs speak of, and one that only goes forward, for what is kept and for how long.
#[derive(Debug, Clone)]
pub(in crate::identify) struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System {
        start: Instant,
    },
    #[cfg(test)]
    Test {
        start: Timestamp,
        passed_ms: std::sync::atomic::AtomicU64,
    },
}

impl Clock {
    pub(in crate::identify) fn system() -> Self {
        Self(Arc::new(Source::System { start: Instant::now() }))
    }

    /// The calendar's time.
    pub(in crate::identify) fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System { .. } => Timestamp::now(),
            #[cfg(test)]
            Source::Test { start, passed_ms } => {
                *start + Duration::from_millis(passed_ms.load(std::sync::atomic::Ordering::SeqCst))
            }
        }
    }

    /// The time since the clock was made; it never goes back.
    pub(in crate::identify) fn tick(&self) -> Duration {
        match &*self.0 {
            Source::System { start } => start.elapsed(),
            #[cfg(test)]
            Source::Test { passed_ms, .. } => {
                Duration::from_millis(passed_ms.load(std::sync::atomic::Ordering::SeqCst))
            }
        }
    }
}

#[cfg(test)]
impl Clock {
    /// A clock that stands still at the present time until it is advanced.
    pub(in crate::identify) fn standing() -> Self {
        Self(Arc::new(Source::Test {
            start: Timestamp::now(),
            passed_ms: std::sync::atomic::AtomicU64::new(0),
        }))
    }

    pub(in crate::identify) fn advance(&self, by: Duration) {
        match &*self.0 {
            Source::System { .. } => panic!("the system's clock cannot be advanced"),
            Source::Test { passed_ms, .. } => {
                let ms = u64::try_from(by.as_millis()).unwrap();
                passed_ms.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
            }
        }
    }
}
