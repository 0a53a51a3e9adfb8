//! Calls of AWS' JSON services, signed by the gate's own identity there.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Uri};
use jiff::Timestamp;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::config::{AwsIdentity, AwsService};
use crate::credential::command;
use crate::credential::oauth::grant::{copied, hidden, hidden_some};
use crate::credential::service::{Said, Service, wiped};
use crate::credential::signing::{Signed, sigv4};
use crate::credential::source::file_secret;
use crate::secret::Secret;

/// A key that a command printed is not used in its last minutes.
const MARGIN: Duration = Duration::from_secs(120);

/// One service in one region.
pub(in crate::credential) struct Aws {
    service: AwsService,
    /// Its name in signatures.
    name: &'static str,
    way: Service,
    printed: Mutex<Option<Printed>>,
}

/// Why a call gave nothing. For the operator.
#[derive(Debug)]
pub(in crate::credential) enum AwsError {
    /// The service said no, with this code.
    Refused(String),
    /// There was no answer, or none that means anything.
    Failed(String),
}

/// An access key.
struct AccessKey {
    id: String,
    secret: Secret,
    session_token: Option<Secret>,
}

/// An access key as `credential_process` prints it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    access_key_id: String,
    #[serde(deserialize_with = "hidden")]
    secret_access_key: Secret,
    #[serde(default, deserialize_with = "hidden_some")]
    session_token: Option<Secret>,
    expiration: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "__type")]
    code: String,
}

impl Aws {
    pub(in crate::credential) fn new(service: &AwsService, name: &'static str) -> Self {
        let way = Service::new(&service.url, None);
        Self { service: service.clone(), name, way, printed: Mutex::new(None) }
    }

    /// Calls `target` with a body in JSON.
    ///
    /// # Errors
    /// The service said no, or there was no answer.
    pub(in crate::credential) async fn ask(
        &self,
        target: &'static str,
        body: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, AwsError> {
        let body = wiped(body);
        let url: Uri = format!("{}/", self.service.url).parse().map_err(|_| failed("its URL is none"))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert("x-amz-target", HeaderValue::from_static(target));
        let AccessKey { id, secret, session_token } = self.access_key().await.map_err(AwsError::Failed)?;
        let signer = sigv4::Signer::of(&self.service.region, self.name, &id, secret, session_token);
        let signed = Signed { method: &Method::POST, url: &url, headers: &mut headers, body: &body };
        signer.sign(signed).map_err(|_| failed("the request cannot be signed"))?;
        let client = self.way.client().map_err(AwsError::Failed)?;
        let request = client.post(url.to_string()).headers(headers).body(body.clone());
        let Said { status, body } = Service::ask(request).await.map_err(AwsError::Failed)?;
        match serde_json::from_slice::<Problem>(&body) {
            _ if status.is_success() => Ok(body),
            Ok(problem) if status.is_client_error() => {
                let code = problem.code.rsplit('#').next().unwrap_or_default();
                Err(AwsError::Refused(code.chars().filter(char::is_ascii_alphanumeric).collect()))
            }
            Ok(_) | Err(_) => Err(AwsError::Failed(format!("it answered {status}"))),
        }
    }

    async fn access_key(&self) -> Result<AccessKey, String> {
        match &self.service.identity {
            AwsIdentity::Key { id, secret, session_token } => Ok(AccessKey {
                id: id.clone(),
                secret: file_secret(secret)?,
                session_token: session_token.as_deref().map(file_secret).transpose()?,
            }),
            AwsIdentity::Process(words) => {
                if let Some(key) = self.printed_before() {
                    return Ok(key);
                }
                let text = command::output(words, &[]).await.map_err(command::CommandError::into_text)?;
                let printed: Printed = serde_json::from_slice(&text)
                    .map_err(|_| "the command must print what `credential_process` prints".to_owned())?;
                let key = printed.key();
                *self.printed.lock().unwrap_or_else(PoisonError::into_inner) = Some(printed);
                Ok(key)
            }
        }
    }

    /// A key that ends is used until shortly before; one that says no end is asked for each time.
    fn printed_before(&self) -> Option<AccessKey> {
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        let soon = Timestamp::now() + MARGIN;
        printed.as_ref().filter(|key| key.expiration.is_some_and(|end| end > soon)).map(Printed::key)
    }
}

impl Printed {
    fn key(&self) -> AccessKey {
        AccessKey {
            id: self.access_key_id.clone(),
            secret: copied(&self.secret_access_key),
            session_token: self.session_token.as_ref().map(copied),
        }
    }
}

impl std::fmt::Display for AwsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(code) => write!(f, "it said {code}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

fn failed(why: &str) -> AwsError {
    AwsError::Failed(why.to_owned())
}
