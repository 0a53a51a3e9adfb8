//! What a caller keeps for the gate: text that only the gate can read, and that opens for that caller alone.
//!
//! # Why AES-256-GCM with a key of its own per purpose
//! What it is bound to (who holds it, and for what) is associated data (NIST SP 800-38D), so that nothing of it need be
//! stored, and any gate with the same key opens it. A text that was made for one purpose is not a text for another.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::refusal::Refusal;
use crate::secret::Key;

const NONCE: usize = 12;

/// Seals and opens texts of one purpose.
#[derive(Debug)]
pub(in crate::identify) struct Sealed(RandomizedNonceKey);

/// What a text is bound to: parts, each with its length, so that no two lists of parts read the same.
#[derive(Debug, Default)]
pub(in crate::identify) struct Bound(Vec<u8>);

impl Bound {
    pub(in crate::identify) fn to(mut self, part: &[u8]) -> Self {
        self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.0.extend_from_slice(part);
        self
    }
}

impl Sealed {
    /// Derives the key of a purpose from the gate's (HKDF-SHA256, RFC 5869).
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the cryptographic library fails.
    pub(in crate::identify) fn new(gate_key: &Key, purpose: &[u8]) -> Result<Self, Refusal> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        let pseudo_random = Salt::new(HKDF_SHA256, b"portcullis").extract(gate_key.expose());
        let purpose = [purpose];
        let material = pseudo_random.expand(&purpose, HKDF_SHA256).map_err(|_| Refusal::Internal)?;
        material.fill(&mut key[..]).map_err(|_| Refusal::Internal)?;
        RandomizedNonceKey::new(&AES_256_GCM, &key[..]).map(Self).map_err(|_| Refusal::Internal)
    }

    /// `plain` for whoever holds it: visible ASCII (base64url).
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the cryptographic library fails.
    pub(in crate::identify) fn seal(&self, mut plain: Vec<u8>, bound: Bound) -> Result<String, Refusal> {
        let nonce =
            self.0.seal_in_place_append_tag(Aad::from(bound.0), &mut plain).map_err(|_| Refusal::Internal)?;
        plain.extend_from_slice(nonce.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(plain))
    }

    /// What was sealed; nothing where it was bound to something else, changed, or made by no gate with this key.
    pub(in crate::identify) fn open(&self, text: &str, bound: Bound) -> Option<Vec<u8>> {
        let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let nonce_at = sealed.len().checked_sub(NONCE)?;
        let (body, nonce) = sealed.split_at_mut_checked(nonce_at)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        self.0.open_in_place(nonce, Aad::from(bound.0), body).ok().map(|opened| opened.to_vec())
    }
}
