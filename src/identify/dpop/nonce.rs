//! Nonces that the gate chooses for proofs (RFC 9449 sections 8 and 9).
//!
//! # Why a sealed time
//! Nothing needs to be remembered, and each gate with the same key knows the nonces of the others.

use std::sync::Arc;

use crate::identify::clock::Clock;
use crate::identify::proof::BadProof;
use crate::identify::sealed::{Bound, Sealed};
use crate::refusal::Refusal;
use crate::secret::Key;

/// For how long a nonce is good, in seconds: a client asks for one that often.
const LIFE: u64 = 300;

/// Makes nonces and knows them again.
#[derive(Debug)]
pub(in crate::identify::dpop) struct Nonces {
    sealed: Sealed,
    clock: Clock,
}

impl Nonces {
    pub(in crate::identify::dpop) fn new(gate_key: &Key, clock: Clock) -> Result<Self, Refusal> {
        Ok(Self { sealed: Sealed::new(gate_key, b"dpop nonces 1")?, clock })
    }

    /// Whether it is one that was made of late; where not, the proof has to be made again with the one in the error.
    pub(in crate::identify::dpop) fn check(&self, nonce: Option<&str>) -> Result<(), BadProof> {
        let now = self.clock.now().as_second();
        let made = nonce.and_then(|nonce| self.sealed.open(nonce, Bound::default()));
        let made = made.and_then(|made| made.try_into().ok()).map(i64::from_be_bytes);
        if made.is_some_and(|made| now.abs_diff(made) < LIFE) {
            return Ok(());
        }
        let next = self.sealed.seal(now.to_be_bytes().to_vec(), Bound::default());
        Err(BadProof::Nonce(Arc::from(next.map_err(|_| BadProof::NoStore)?)))
    }
}
