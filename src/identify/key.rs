//! API keys: `pck_` and 256 random bits. Only their SHA-256 is configured, or stored.
//!
//! # Why a plain SHA-256
//! The key is random and long, so there is nothing to guess and nothing to slow down; a lookup by digest compares no secret
//! text and so tells nothing by its time.

mod stored;

pub use stored::{KeyProblem, KeyRecord, KeyRecords, NewKey};

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::config;
use crate::identify::presented::API_KEY_PREFIX;
use crate::identify::problem::IdentityProblem;
use crate::identify::proof::{BadProof, Found};
use crate::identify::{Authentication, Caller, Proof};
use crate::refusal::Refusal;
use crate::secret::Secret;

/// A new API key, and the SHA-256 that the configuration holds instead of it.
///
/// # Errors
/// [`Refusal::Internal`] where the system gives no random bits.
pub fn new_api_key() -> Result<(Secret, [u8; 32]), Refusal> {
    let mut bits = [0; 32];
    aws_lc_rs::rand::fill(&mut bits).map_err(|_| Refusal::Internal)?;
    let key = format!("{API_KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(bits));
    let digest = digest(&key);
    Ok((Secret::new(key), digest))
}

/// The configured keys by their SHA-256.
#[derive(Debug)]
pub(in crate::identify) struct ApiKeys(HashMap<[u8; 32], Holder>);

/// By what a key is known.
pub(in crate::identify) fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[derive(Debug)]
struct Holder {
    caller: Arc<Caller>,
    expires_at: Option<Timestamp>,
}

impl ApiKeys {
    pub(in crate::identify) fn new(keys: &[config::ApiKey], problems: &mut Vec<IdentityProblem>) -> Self {
        let mut holders = HashMap::with_capacity(keys.len());
        for (at, key) in keys.iter().enumerate() {
            let caller = Caller::configured(&key.who, Authentication::by(Proof::ApiKey));
            let holder = Holder { caller: Arc::new(caller), expires_at: key.expires_at };
            if holders.insert(key.sha256, holder).is_some() {
                problems.push(IdentityProblem::new(
                    format!("identity.api_keys[{at}].sha256"),
                    "another entry has the same hash",
                    "give every holder a key of their own (`portcullis key create`)",
                ));
            }
        }
        Self(holders)
    }

    pub(in crate::identify) fn find(&self, digest: &[u8; 32], now: Timestamp) -> Found {
        match self.0.get(digest) {
            None => Found::Invalid(BadProof::UnknownApiKey),
            Some(holder) if holder.expires_at.is_some_and(|end| end <= now) => {
                Found::Invalid(BadProof::ExpiredApiKey)
            }
            Some(holder) => Found::Valid(Arc::clone(&holder.caller)),
        }
    }
}
