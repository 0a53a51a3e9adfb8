//! One signing key, made ready for use: parsed, named by its thumbprint, its JWS header already encoded.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

use crate::config::Signature;
use crate::secret::Key;
use crate::vouch::VouchError;

pub(super) struct SigningKey {
    pair: Pair,
    algorithm: Signature,
    created: SystemTime,
    header: String,
    jwk: Value,
}

enum Pair {
    EdDsa(Ed25519KeyPair),
    Es256(Box<EcdsaKeyPair>, SystemRandom),
}

/// A key as it is sealed and kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    algorithm: String,
    /// Milliseconds since 1970.
    created: u64,
    /// PKCS #8 in base64.
    private_key: String,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.private_key.zeroize();
    }
}

impl SigningKey {
    /// A new key, and the form in which it is kept.
    pub(super) fn generate(algorithm: Signature, now: SystemTime) -> Result<(Self, Key), VouchError> {
        let none = |_| VouchError::Key("none could be made");
        let document = match algorithm {
            Signature::EdDsa => Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8()),
            Signature::Es256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).and_then(|pair| pair.to_pkcs8v1())
            }
        }
        .map_err(none)?;
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = Kept {
            algorithm: name(algorithm).into(),
            created: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            private_key: STANDARD.encode(document.as_ref()),
        };
        let bytes = serde_json::to_vec(&kept).map_err(|_| VouchError::Key("none could be written"))?;
        let key = Key::new(bytes);
        Ok((Self::parse(key.expose())?, key))
    }

    /// A key as it was kept.
    pub(super) fn parse(kept: &[u8]) -> Result<Self, VouchError> {
        const BAD: VouchError = VouchError::Key("a kept key is damaged");
        let kept: Kept = serde_json::from_slice(kept).map_err(|_| BAD)?;
        let algorithm = algorithm(&kept.algorithm)?;
        let private = Zeroizing::new(STANDARD.decode(&kept.private_key).map_err(|_| BAD)?);
        let pair = Pair::parse(algorithm, &private).ok_or(BAD)?;
        let jwk = pair.jwk().ok_or(BAD)?;
        let kid = thumbprint(&jwk);
        let header = json!({ "typ": "txntoken+jwt", "alg": name(algorithm), "kid": kid });
        Ok(Self {
            pair,
            algorithm,
            created: UNIX_EPOCH + Duration::from_millis(kept.created),
            header: URL_SAFE_NO_PAD.encode(header.to_string()),
            jwk: published(jwk, algorithm, &kid),
        })
    }

    pub(super) fn algorithm(&self) -> Signature {
        self.algorithm
    }

    pub(super) fn created(&self) -> SystemTime {
        self.created
    }

    /// The JWS header, encoded.
    pub(super) fn header(&self) -> &str {
        &self.header
    }

    /// The public key (RFC 7517, RFC 8037).
    pub(super) fn jwk(&self) -> &Value {
        &self.jwk
    }

    pub(super) fn sign(&self, message: &[u8]) -> Option<signature::Signature> {
        match &self.pair {
            Pair::EdDsa(pair) => pair.try_sign(message).ok(),
            Pair::Es256(pair, random) => pair.sign(random, message).ok(),
        }
    }
}

impl Pair {
    fn parse(algorithm: Signature, pkcs8: &[u8]) -> Option<Self> {
        match algorithm {
            Signature::EdDsa => Ed25519KeyPair::from_pkcs8(pkcs8).ok().map(Self::EdDsa),
            Signature::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()?;
                Some(Self::Es256(Box::new(pair), SystemRandom::new()))
            }
        }
    }

    /// The members that RFC 7638 takes for the thumbprint, in its order.
    fn jwk(&self) -> Option<Value> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::EdDsa(pair) => {
                Some(json!({ "crv": "Ed25519", "kty": "OKP", "x": encode(pair.public_key().as_ref()) }))
            }
            Self::Es256(pair, _) => {
                // An uncompressed point: 4, then x and y (SEC 1 section 2.3.3).
                let (_, point) = pair.public_key().as_ref().split_first()?;
                let (x, y) = point.split_at_checked(32)?;
                Some(json!({ "crv": "P-256", "kty": "EC", "x": encode(x), "y": encode(y) }))
            }
        }
    }
}

fn published(mut jwk: Value, algorithm: Signature, kid: &str) -> Value {
    if let Value::Object(members) = &mut jwk {
        members.insert("use".into(), "sig".into());
        members.insert("alg".into(), name(algorithm).into());
        members.insert("kid".into(), kid.into());
    }
    jwk
}

/// RFC 7638. The members of `jwk` are in the order of their names, as `json!` keeps them.
fn thumbprint(jwk: &Value) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, jwk.to_string().as_bytes()))
}

fn name(algorithm: Signature) -> &'static str {
    match algorithm {
        Signature::EdDsa => "EdDSA",
        Signature::Es256 => "ES256",
    }
}

fn algorithm(name: &str) -> Result<Signature, VouchError> {
    match name {
        "EdDSA" => Ok(Signature::EdDsa),
        "ES256" => Ok(Signature::Es256),
        _ => Err(VouchError::Key("a kept key has an algorithm that this version does not know")),
    }
}
