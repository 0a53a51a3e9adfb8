//! A client's signed assertion (RFC 7523 section 2.2): `private_key_jwt`, and NetSuite's machine-to-machine flow, which has the
//! certificate's id as `kid` and the scopes inside.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::config::AssertionAlgorithm;
use crate::secret::Secret;

/// How long an assertion is good: for the one request that it is made for.
const LIFE_SECONDS: i64 = 120;

/// What is signed with, beside the key.
pub(in crate::credential) struct Signer {
    pub(in crate::credential) algorithm: AssertionAlgorithm,
    pub(in crate::credential) key_id: Option<String>,
    pub(in crate::credential) audience: String,
    pub(in crate::credential) scopes: Vec<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    scope: &'a [String],
}

impl Signer {
    /// An assertion for one request of the client.
    ///
    /// # Errors
    /// The key cannot be used, for the operator.
    pub(in crate::credential) fn sign(&self, client_id: &str, key: &Secret) -> Result<Secret, String> {
        let now = jiff::Timestamp::now().as_second();
        let claims = Claims {
            iss: client_id,
            sub: client_id,
            aud: &self.audience,
            jti: uuid::Uuid::now_v7().to_string(),
            iat: now,
            exp: now + LIFE_SECONDS,
            scope: &self.scopes,
        };
        let header = Header { kid: self.key_id.clone(), ..Header::new(self.algorithm()) };
        let signed = jsonwebtoken::encode(&header, &claims, &self.key(key)?);
        signed.map(Secret::new).map_err(|_| format!("the key does not sign {}", self.algorithm.as_str()))
    }

    fn algorithm(&self) -> Algorithm {
        match self.algorithm {
            AssertionAlgorithm::Ps256 => Algorithm::PS256,
            AssertionAlgorithm::Rs256 => Algorithm::RS256,
            AssertionAlgorithm::Es256 => Algorithm::ES256,
        }
    }

    fn key(&self, key: &Secret) -> Result<EncodingKey, String> {
        let pem = key.expose().as_bytes();
        let read = match self.algorithm {
            AssertionAlgorithm::Ps256 | AssertionAlgorithm::Rs256 => EncodingKey::from_rsa_pem(pem),
            AssertionAlgorithm::Es256 => EncodingKey::from_ec_pem(pem),
        };
        read.map_err(|_| format!("the key is no private key of {} in PEM (PKCS#8)", self.algorithm.as_str()))
    }
}
