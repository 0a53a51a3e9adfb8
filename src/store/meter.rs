//! What gates on one store count together: rates, and places in flight.

use std::time::Duration;

use async_trait::async_trait;

use crate::store::StoreError;

/// One rate that a call counts against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metered {
    /// Whose rate: the tenant first.
    pub key: Vec<u8>,
    /// After how long one more call is given back.
    pub step: Duration,
    /// How many calls at once.
    pub burst: u32,
}

/// One place of a call in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where: the tenant first.
    pub key: Vec<u8>,
    /// Who has it.
    pub holder: Vec<u8>,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is counted, and has its place. So many calls are left in the last of the rates.
    Admitted {
        /// How many.
        left: u32,
    },
    /// A rate is exhausted; nothing is counted.
    Exhausted {
        /// Its index.
        rate: usize,
        /// When one more call is given back.
        retry: Duration,
    },
    /// Every place is taken; nothing is counted.
    Full,
}

/// Counts for all gates.
#[async_trait]
pub trait Meter: Send + Sync {
    /// Counts a call against every rate and takes one of `most` places for `life`: all of it or nothing, in one round trip.
    ///
    /// # Errors
    /// The store failed. A call waits for this: whoever asks has a deadline.
    async fn count(
        &self,
        rates: &[Metered],
        place: Option<(&Place, u32)>,
        life: Duration,
    ) -> Result<Verdict, StoreError>;

    /// Keeps places for `life` from now on.
    ///
    /// # Errors
    /// The store failed.
    async fn keep(&self, places: &[Place], life: Duration) -> Result<(), StoreError>;

    /// Gives places back.
    ///
    /// # Errors
    /// The store failed: they come back when their life is over.
    async fn leave(&self, places: &[Place]) -> Result<(), StoreError>;
}
