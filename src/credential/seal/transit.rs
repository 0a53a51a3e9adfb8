//! A wrapping key that stays in HashiCorp Vault or OpenBao: their transit engine wraps and unwraps data keys.
//!
//! The tenant is the request's `associated_data`, so that a tenant's data key does not unwrap as another's.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::config::TransitKey;
use crate::credential::seal::SealError;
use crate::credential::seal::cipher::{KeyId, named};
use crate::secret::{Key, Secret};

const PATIENCE: Duration = Duration::from_secs(5);
/// More than any answer of the engine needs.
const LARGEST_ANSWER: u64 = 64 * 1024;

pub(super) struct Transit {
    service: TransitKey,
    client: Client,
    id: KeyId,
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    ciphertext: Option<String>,
    plaintext: Option<String>,
}

impl Transit {
    /// Sees that the service wraps: a gate that cannot wrap is not ready.
    pub(super) async fn open(service: &TransitKey) -> Result<Self, SealError> {
        let mut builder =
            Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(PATIENCE);
        if let Some(authorities) = &service.authorities {
            let wrong = |why: String| SealError::BadKey(format!("`{}`: {why}", authorities.display()));
            let pem = std::fs::read(authorities).map_err(|error| wrong(error.to_string()))?;
            let found =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
            if found.is_empty() {
                return Err(wrong("it holds no certificate".into()));
            }
            builder = builder.tls_certs_only(found);
        }
        let client = builder.build().map_err(|error| SealError::BadKey(error.to_string()))?;
        let id =
            named(&[b"portcullis transit key id\0", service.url.as_bytes(), b"\0", service.key.as_bytes()]);
        let transit = Self { service: service.clone(), client, id };
        transit.wrap("", &Key::new(vec![0; 32])).await.map(|_| transit)
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    pub(super) async fn wrap(&self, tenant: &str, key: &Key) -> Result<String, SealError> {
        let plain = Zeroizing::new(STANDARD.encode(key.expose()));
        let body = json!({"plaintext": *plain, "associated_data": STANDARD.encode(tenant)});
        self.ask("encrypt", body).await?.ciphertext.ok_or_else(|| self.unreadable())
    }

    pub(super) async fn unwrap(&self, tenant: &str, wrapped: &[u8]) -> Result<Key, SealError> {
        let text = std::str::from_utf8(wrapped).map_err(|_| SealError::Damaged)?;
        let body = json!({"ciphertext": text, "associated_data": STANDARD.encode(tenant)});
        let plain = self.ask("decrypt", body).await?.plaintext.map(Zeroizing::new);
        let plain = plain.ok_or_else(|| self.unreadable())?;
        STANDARD.decode(plain.as_bytes()).map(Key::new).map_err(|_| self.unreadable())
    }

    async fn ask(&self, what: &str, body: Value) -> Result<Data, SealError> {
        let url = format!("{}/{what}/{}", self.service.url, self.service.key);
        let sent = self.client.post(url).header("x-vault-token", self.token()?.expose()).json(&body).send();
        let mut answer = sent.await.map_err(|error| self.failed(&error.without_url().to_string()))?;
        let status = answer.status();
        let mut text = Zeroizing::new(Vec::new());
        while let Some(chunk) =
            answer.chunk().await.map_err(|error| self.failed(&error.without_url().to_string()))?
        {
            if (text.len() + chunk.len()) as u64 > LARGEST_ANSWER {
                return Err(self.unreadable());
            }
            text.extend_from_slice(&chunk);
        }
        match status {
            StatusCode::OK => serde_json::from_slice::<Answer>(&text)
                .map(|answer| answer.data)
                .map_err(|_| self.unreadable()),
            // Vault says so of a ciphertext that is not this key's, or not this tenant's.
            StatusCode::BAD_REQUEST if what == "decrypt" => Err(SealError::Damaged),
            status => Err(self.failed(&format!("it answered {status}"))),
        }
    }

    /// Read each time: an agent beside the gate renews it.
    fn token(&self) -> Result<Secret, SealError> {
        let path = &self.service.token;
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| SealError::Unavailable(format!("`{}`: {error}", path.display())))?;
        Ok(Secret::new(text.trim().to_owned()))
    }

    fn failed(&self, why: &str) -> SealError {
        SealError::Unavailable(format!("transit key `{}` at `{}`: {why}", self.service.key, self.service.url))
    }

    fn unreadable(&self) -> SealError {
        self.failed("its answer is not one of the transit engine")
    }
}
