//! Waiting for a condition, never for luck.

use std::time::{Duration, Instant};

/// How long any wait may take before the test fails: a machine that is busy with other things is slow, not broken.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Looks until `look` finds something; panics with `what` after [`DEADLINE`].
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
