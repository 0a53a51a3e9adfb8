//! An identity provider made for one run: its key, its JWKS, its access tokens (RFC 9068).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// An issuer with one ES256 key.
pub struct Issuer {
    /// `iss`.
    pub url: String,
    /// `kid`.
    pub kid: String,
    key: KeyPair,
}

impl Issuer {
    /// An issuer with a fresh key.
    #[must_use]
    pub fn new(url: &str, kid: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        Self { url: url.into(), kid: kid.into(), key }
    }

    /// Its JWKS document (RFC 7517).
    #[must_use]
    pub fn jwks(&self) -> Value {
        let point = self.key.public_key_raw();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid,
                         "x": part(1..33), "y": part(33..65)}]})
    }

    /// The claims of a good access token.
    #[must_use]
    pub fn claims(&self, audience: &str, tenant: &str, user: &str) -> Map<String, Value> {
        let claims = json!({
            "iss": self.url, "aud": audience, "sub": user, "tid": tenant, "client_id": "agent", "scope": "mcp",
            "iat": now(), "exp": now() + 3600, "jti": format!("{tenant}-{user}"), "roles": ["reader"],
        });
        claims.as_object().expect("an object").clone()
    }

    /// A token with these claims, signed as it should be.
    #[must_use]
    pub fn sign(&self, claims: &Map<String, Value>) -> String {
        self.sign_as(claims, "at+jwt", Algorithm::ES256)
    }

    /// A token with this `typ`, or one whose algorithm is HS256 and whose secret is the public key.
    #[must_use]
    pub fn sign_as(&self, claims: &Map<String, Value>, typ: &str, algorithm: Algorithm) -> String {
        let header = Header { typ: Some(typ.into()), kid: Some(self.kid.clone()), ..Header::new(algorithm) };
        let key = match algorithm {
            Algorithm::HS256 => EncodingKey::from_secret(self.key.public_key_pem().as_bytes()),
            _ => EncodingKey::from_ec_pem(self.key.serialize_pem().as_bytes()).expect("a P-256 key"),
        };
        jsonwebtoken::encode(&header, claims, &key).expect("a token")
    }

    /// A token without a signature (`alg: none`).
    #[must_use]
    pub fn unsigned(&self, claims: &Map<String, Value>) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(&json!({"alg": "none", "typ": "at+jwt", "kid": self.kid}));
        format!("{head}.{}.", part(&Value::Object(claims.clone())))
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// The SHA-256 of an API key, as the configuration wants it.
#[must_use]
pub fn sha256_hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect()
}
