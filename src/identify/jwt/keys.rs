//! The keys of an issuer: a JWKS document (RFC 7517) → keys, each with its one algorithm.
//!
//! # Why the algorithm belongs to the key
//! A token that chooses how it is checked can choose badly: `none`, or HMAC under a public key. So the document decides, by
//! `alg` or by the kind of key, and a token that says otherwise is refused. Symmetric keys are never taken.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// Keys in one document; far more than any issuer has.
const MOST_KEYS: usize = 200;

/// One key and its one algorithm.
#[derive(Debug)]
pub(in crate::identify) struct VerifyingKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl VerifyingKey {
    /// Whether the token's header names this key's algorithm (RFC 7518 section 3.1, RFC 9864 for `Ed25519`).
    pub(in crate::identify) fn is_for(&self, algorithm: &str) -> bool {
        let own = match self.algorithm {
            Algorithm::RS256 => "RS256",
            Algorithm::RS384 => "RS384",
            Algorithm::RS512 => "RS512",
            Algorithm::PS256 => "PS256",
            Algorithm::PS384 => "PS384",
            Algorithm::PS512 => "PS512",
            Algorithm::ES256 => "ES256",
            Algorithm::ES384 => "ES384",
            Algorithm::EdDSA => return matches!(algorithm, "EdDSA" | "Ed25519"),
            _ => return false,
        };
        own == algorithm
    }

    /// Whether `signature` (base64url) is this key's over `message`.
    pub(in crate::identify) fn verifies(&self, message: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, self.algorithm)
            .unwrap_or(false)
    }
}

/// The usable keys of a document. Never empty.
#[derive(Debug)]
pub(in crate::identify) struct KeySet(Vec<VerifyingKey>);

/// Why a document gives no keys, for the operator.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(in crate::identify) enum BadKeySet {
    #[error("it is not a JSON object with a `keys` array (RFC 7517 section 5)")]
    NotAKeySet,
    #[error("it holds more than {MOST_KEYS} keys")]
    TooMany,
    #[error("it holds no key that can check a signature")]
    NoKey,
}

impl KeySet {
    /// The keys of a document. A key that is not understood is left out (RFC 7517 section 5).
    pub(in crate::identify) fn parse(document: &[u8]) -> Result<Self, BadKeySet> {
        let document: Value = serde_json::from_slice(document).map_err(|_| BadKeySet::NotAKeySet)?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or(BadKeySet::NotAKeySet)?;
        if keys.len() > MOST_KEYS {
            return Err(BadKeySet::TooMany);
        }
        let usable: Vec<VerifyingKey> = keys.iter().filter_map(verifying).collect();
        if usable.is_empty() { Err(BadKeySet::NoKey) } else { Ok(Self(usable)) }
    }

    /// The keys that a token with this `kid` may be signed by; without one, any.
    pub(in crate::identify) fn candidates<'a>(
        &'a self,
        id: Option<&'a str>,
    ) -> impl Iterator<Item = &'a VerifyingKey> {
        self.0.iter().filter(move |key| id.is_none() || key.id.as_deref() == id)
    }
}

/// A key of a document, with the one algorithm that it is for; `None`: it can check no signature.
pub(in crate::identify) fn verifying(key: &Value) -> Option<VerifyingKey> {
    let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = pinned(&jwk, key.get("alg"))?;
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some(VerifyingKey { id: jwk.common.key_id, algorithm, key })
}

/// The one algorithm of a key: what `alg` says if the key can do it, else what its kind is used for.
fn pinned(jwk: &Jwk, stated: Option<&Value>) -> Option<Algorithm> {
    let able: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
        _ => &[],
    };
    let stated = match (stated, jwk.common.key_algorithm) {
        (None, _) => return able.first().copied(),
        (Some(Value::String(name)), _) if name == "Ed25519" => Algorithm::EdDSA,
        (Some(_), Some(KeyAlgorithm::UNKNOWN_ALGORITHM) | None) => return None,
        (Some(_), Some(known)) => Algorithm::try_from(known).ok()?,
    };
    able.contains(&stated).then_some(stated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_set(document: &str) -> Result<(), BadKeySet> {
        KeySet::parse(document.as_bytes()).map(|_| ())
    }

    #[test]
    fn keys_that_can_check_no_signature_are_left_out() {
        for key in [
            r#"{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}"#,
            r#"{"kty":"oct","k":"c2VjcmV0"}"#,
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB","use":"enc"}"#,
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB","alg":"HS256"}"#,
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB","alg":"ES256"}"#,
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB","alg":"none"}"#,
            r#"{"kty":"EC","crv":"P-521","x":"AQAB","y":"AQAB"}"#,
            r#"{"kty":"EC","crv":"secp256k1","x":"AQAB","y":"AQAB"}"#,
            r#"{"kty":"RSA"}"#,
            "7",
        ] {
            assert_eq!(key_set(&format!(r#"{{"keys":[{key}]}}"#)), Err(BadKeySet::NoKey), "{key}");
        }
        assert_eq!(key_set("[]"), Err(BadKeySet::NotAKeySet));
        assert_eq!(key_set(r#"{"keys":{}}"#), Err(BadKeySet::NotAKeySet));
        assert_eq!(key_set(r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#), Ok(()));
    }
}
