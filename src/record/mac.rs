//! Keyed hashes of what the record must not keep.
//!
//! # Why keyed
//! A plain hash of `{"employee": 4711}` is guessed in a second. HMAC-SHA256 under a key of the gate lets an auditor who
//! holds the key ask "was it these arguments?", and tells everyone else only which calls had the same.

use aws_lc_rs::hmac;
use serde::{Serialize, Serializer};

use crate::secret::Key;

/// Makes keyed hashes of arguments and results.
#[derive(Debug, Clone)]
pub struct Macs(hmac::Key);

impl Macs {
    /// The audit's own key, derived from the gate's.
    pub(super) fn derive(gate_key: &Key) -> Self {
        let gate = hmac::Key::new(hmac::HMAC_SHA256, gate_key.expose());
        let tag = hmac::sign(&gate, b"portcullis audit v1: arguments and results");
        Self(hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref()))
    }

    /// The keyed hash of `bytes`.
    #[must_use]
    pub fn of(&self, bytes: &[u8]) -> Mac {
        Mac(hmac::sign(&self.0, bytes))
    }

    /// A keyed hash that is fed piece by piece.
    #[must_use]
    pub fn begin(&self) -> MacStream {
        MacStream(hmac::Context::with_key(&self.0))
    }
}

/// A keyed hash.
#[derive(Debug, Clone, Copy)]
pub struct Mac(hmac::Tag);

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 64];
        hex::encode_to_slice(self.0.as_ref(), &mut text).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

/// A keyed hash in the making, for an answer that comes event by event.
#[derive(Clone)]
pub struct MacStream(hmac::Context);

impl MacStream {
    /// The next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all pieces.
    #[must_use]
    pub fn finish(self) -> Mac {
        Mac(self.0.sign())
    }
}
