//! Wrapping keys that stay in a cloud's key service. The tenant is authenticated with what is wrapped, so that a tenant's data
//! key does not unwrap as another's.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::config::{AwsKey, GoogleKey};
use crate::credential::aws::{Aws, AwsError};
use crate::credential::google::Google;
use crate::credential::oauth::grant::hidden_some;
use crate::credential::seal::SealError;
use crate::credential::seal::cipher::{KeyId, named};
use crate::credential::seal::wrapping::Wraps;
use crate::credential::service::{Said, Service};
use crate::secret::{Key, Secret};

/// A key of AWS KMS.
pub(super) struct AwsKms {
    key: String,
    aws: Aws,
    id: KeyId,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AwsAnswer {
    ciphertext_blob: Option<String>,
    #[serde(default, deserialize_with = "hidden_some")]
    plaintext: Option<Secret>,
}

impl AwsKms {
    pub(super) fn new(key: &AwsKey) -> Self {
        let id = named(&[b"portcullis aws kms key id\0", key.key.as_bytes()]);
        Self { key: key.key.clone(), aws: Aws::new(&key.service, "kms"), id }
    }

    async fn ask(&self, target: &'static str, body: Value) -> Result<AwsAnswer, SealError> {
        let answer = self.aws.ask(target, serde_json::to_vec(&body).unwrap_or_default()).await;
        let answer = answer.map_err(|error| match error {
            AwsError::Refused(code) if code == "InvalidCiphertextException" => SealError::Damaged,
            error => self.failed(&error.to_string()),
        })?;
        serde_json::from_slice(&answer).map_err(|_| self.unreadable())
    }

    fn failed(&self, why: &str) -> SealError {
        SealError::Unavailable(format!("AWS KMS key `{}`: {why}", self.key))
    }

    fn unreadable(&self) -> SealError {
        self.failed("its answer is not one of KMS")
    }
}

#[async_trait]
impl Wraps for AwsKms {
    fn id(&self) -> KeyId {
        self.id
    }

    async fn wrap(&self, tenant: &str, key: &Key) -> Result<String, SealError> {
        let plain = Zeroizing::new(STANDARD.encode(key.expose()));
        let body = json!({"KeyId": self.key, "Plaintext": *plain, "EncryptionContext": context(tenant)});
        let answer = self.ask("TrentService.Encrypt", body).await?;
        answer.ciphertext_blob.ok_or_else(|| self.unreadable())
    }

    async fn unwrap(&self, tenant: &str, wrapped: &str) -> Result<Key, SealError> {
        let body =
            json!({"KeyId": self.key, "CiphertextBlob": wrapped, "EncryptionContext": context(tenant)});
        let answer = self.ask("TrentService.Decrypt", body).await?;
        unwrapped(answer.plaintext).ok_or_else(|| self.unreadable())
    }
}

/// Never an empty value: what is the gate's own has no tenant.
fn context(tenant: &str) -> Value {
    json!({"portcullis": format!("tenant {tenant}")})
}

/// A key of Google Cloud KMS.
pub(super) struct GcpKms {
    key: GoogleKey,
    google: Google,
    way: Service,
    id: KeyId,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GcpAnswer {
    ciphertext: Option<String>,
    #[serde(default, deserialize_with = "hidden_some")]
    plaintext: Option<Secret>,
}

impl GcpKms {
    pub(super) fn new(key: &GoogleKey) -> Self {
        Self {
            id: named(&[b"portcullis gcp kms key id\0", key.key.as_bytes()]),
            google: Google::new(&key.identity),
            way: Service::new(&key.url, None),
            key: key.clone(),
        }
    }

    async fn ask(&self, what: &str, body: &Value) -> Result<GcpAnswer, SealError> {
        let token = self.google.token().await.map_err(|why| self.failed(&why))?;
        let client = self.way.client().map_err(|why| self.failed(&why))?;
        let url = format!("{}/v1/{}:{what}", self.key.url, self.key.key);
        let request = client.post(url).bearer_auth(token.expose()).json(body);
        let Said { status, body } = Service::ask(request).await.map_err(|why| self.failed(&why))?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|_| self.unreadable()),
            // So it says of a ciphertext that is not this key's, or not this tenant's.
            StatusCode::BAD_REQUEST if what == "decrypt" => Err(SealError::Damaged),
            status => Err(self.failed(&format!("it answered {status}"))),
        }
    }

    fn failed(&self, why: &str) -> SealError {
        SealError::Unavailable(format!("Google Cloud KMS key `{}`: {why}", self.key.key))
    }

    fn unreadable(&self) -> SealError {
        self.failed("its answer is not one of Cloud KMS")
    }
}

#[async_trait]
impl Wraps for GcpKms {
    fn id(&self) -> KeyId {
        self.id
    }

    async fn wrap(&self, tenant: &str, key: &Key) -> Result<String, SealError> {
        let plain = Zeroizing::new(STANDARD.encode(key.expose()));
        let body = json!({"plaintext": *plain, "additionalAuthenticatedData": STANDARD.encode(tenant)});
        self.ask("encrypt", &body).await?.ciphertext.ok_or_else(|| self.unreadable())
    }

    async fn unwrap(&self, tenant: &str, wrapped: &str) -> Result<Key, SealError> {
        let body = json!({"ciphertext": wrapped, "additionalAuthenticatedData": STANDARD.encode(tenant)});
        unwrapped(self.ask("decrypt", &body).await?.plaintext).ok_or_else(|| self.unreadable())
    }
}

fn unwrapped(plain: Option<Secret>) -> Option<Key> {
    STANDARD.decode(plain?.expose()).ok().map(Key::new)
}
