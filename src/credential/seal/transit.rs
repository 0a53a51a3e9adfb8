//! A wrapping key that stays in HashiCorp Vault or OpenBao: their transit engine wraps and unwraps data keys.
//!
//! The tenant is the request's `associated_data`, so that a tenant's data key does not unwrap as another's.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::config::TransitKey;
use crate::credential::seal::SealError;
use crate::credential::seal::cipher::{KeyId, named};
use crate::credential::seal::wrapping::Wraps;
use crate::credential::service::{Said, Service};
use crate::credential::source::file_secret;
use crate::secret::Key;

pub(super) struct Transit {
    service: TransitKey,
    way: Service,
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
    pub(super) fn new(service: &TransitKey) -> Self {
        let id =
            named(&[b"portcullis transit key id\0", service.url.as_bytes(), b"\0", service.key.as_bytes()]);
        let way = Service::new(&service.url, service.authorities.clone());
        Self { service: service.clone(), way, id }
    }

    async fn ask(&self, what: &str, body: Value) -> Result<Data, SealError> {
        let url = format!("{}/{what}/{}", self.service.url, self.service.key);
        // Read each time: an agent beside the gate renews it.
        let token = file_secret(&self.service.token).map_err(SealError::Unavailable)?;
        let client = self.way.client().map_err(|why| self.failed(&why))?;
        let request = client.post(url).header("x-vault-token", token.expose()).json(&body);
        let Said { status, body } = Service::ask(request).await.map_err(|why| self.failed(&why))?;
        match status {
            StatusCode::OK => serde_json::from_slice::<Answer>(&body)
                .map(|answer| answer.data)
                .map_err(|_| self.unreadable()),
            // Vault says so of a ciphertext that is not this key's, or not this tenant's.
            StatusCode::BAD_REQUEST if what == "decrypt" => Err(SealError::Damaged),
            status => Err(self.failed(&format!("it answered {status}"))),
        }
    }

    fn failed(&self, why: &str) -> SealError {
        SealError::Unavailable(format!("transit key `{}` at `{}`: {why}", self.service.key, self.service.url))
    }

    fn unreadable(&self) -> SealError {
        self.failed("its answer is not one of the transit engine")
    }
}

#[async_trait]
impl Wraps for Transit {
    fn id(&self) -> KeyId {
        self.id
    }

    async fn wrap(&self, tenant: &str, key: &Key) -> Result<String, SealError> {
        let plain = Zeroizing::new(STANDARD.encode(key.expose()));
        let body = json!({"plaintext": *plain, "associated_data": STANDARD.encode(tenant)});
        self.ask("encrypt", body).await?.ciphertext.ok_or_else(|| self.unreadable())
    }

    async fn unwrap(&self, tenant: &str, wrapped: &str) -> Result<Key, SealError> {
        let body = json!({"ciphertext": wrapped, "associated_data": STANDARD.encode(tenant)});
        let plain = self.ask("decrypt", body).await?.plaintext.map(Zeroizing::new);
        let plain = plain.ok_or_else(|| self.unreadable())?;
        STANDARD.decode(plain.as_bytes()).map(Key::new).map_err(|_| self.unreadable())
    }
}
