//! What listeners hold: the generation that serves now. A change of configuration or policy swaps it whole.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::gateway::Gateway;

/// The generation that serves now.
pub struct Gate(ArcSwap<Gateway>);

impl Gate {
    /// A gate that serves `first`.
    #[must_use]
    pub fn new(first: Gateway) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(first)))
    }

    /// The generation that serves now; hold it for one request.
    #[must_use]
    pub fn current(&self) -> Arc<Gateway> {
        self.0.load_full()
    }

    /// Lets `next` serve; requests that have begun end on the generation before.
    pub fn swap(&self, next: Gateway) {
        self.0.store(Arc::new(next));
    }
}
