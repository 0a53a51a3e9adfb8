//! A token as text: three parts of a compact JWS (RFC 7515 section 7.1), read and not yet believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use crate::identify::proof::BadProof;

/// A token in its parts.
#[derive(Debug)]
pub(in crate::identify) struct Token<'a> {
    pub(in crate::identify) header: Header,
    /// What it says. Nothing of it counts before the signature has been checked, but `iss`, which chooses the keys.
    pub(in crate::identify) claims: Value,
    /// What is signed.
    pub(in crate::identify) message: &'a str,
    /// The signature in base64url.
    pub(in crate::identify) signature: &'a str,
}

/// What of the header is read. A member that is there twice, or of another type, is an error.
#[derive(Debug, Deserialize)]
pub(in crate::identify) struct Header {
    pub(in crate::identify) alg: String,
    pub(in crate::identify) kid: Option<String>,
    pub(in crate::identify) typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

impl<'a> Token<'a> {
    pub(in crate::identify) fn parse(text: &'a str) -> Result<Self, BadProof> {
        let (message, signature) = text.rsplit_once('.').ok_or(BadProof::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(BadProof::Malformed)?;
        let header: Header = part(header)?;
        if header.crit {
            return Err(BadProof::Critical);
        }
        Ok(Self { header, claims: part(claims)?, message, signature })
    }

    /// The issuer as the token says it.
    pub(in crate::identify) fn issuer(&self) -> Result<&str, BadProof> {
        self.claims.get("iss").and_then(Value::as_str).ok_or(BadProof::Issuer)
    }
}

fn part<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, BadProof> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadProof::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| BadProof::Malformed)
}

/// That the member is there, whatever it holds.
fn present<'de, D: serde::Deserializer<'de>>(member: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(member).map(|_| true)
}
