//! A client that holds a key and proves it with each request (DPoP, RFC 9449).

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::issuer::now;

/// A client's key, and how many proofs it has made.
pub struct Holder(EncodingKey, AtomicU64);

impl Default for Holder {
    fn default() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key").serialize_pem();
        Self(EncodingKey::from_ec_pem(key.as_bytes()).expect("a P-256 key"), AtomicU64::default())
    }
}

impl Holder {
    /// The claims of a proof for one request: `POST` to this URL, with this access token where there is one.
    #[must_use]
    pub fn claims(&self, url: &str, token: Option<&str>) -> Value {
        let id = self.1.fetch_add(1, Ordering::Relaxed);
        let mut claims = json!({"jti": format!("proof {id}"), "htm": "POST", "htu": url, "iat": now()});
        if let Some(token) = token {
            claims["ath"] = json!(URL_SAFE_NO_PAD.encode(Sha256::digest(token)));
        }
        claims
    }

    /// A proof with these claims.
    #[must_use]
    pub fn proof(&self, claims: &Value) -> String {
        let key = Jwk::from_encoding_key(&self.0, Algorithm::ES256).expect("a key");
        let header = Header { typ: Some("dpop+jwt".into()), jwk: Some(key), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.0).expect("a proof")
    }
}
