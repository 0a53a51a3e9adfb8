//! The gate's own access tokens at Google Cloud: of the machine or pod that it runs on, or of a service account's key.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::config::GoogleIdentity;
use crate::credential::oauth::grant::{copied, hidden};
use crate::credential::service::{Said, Service};
use crate::credential::source::file_secret;
use crate::secret::Secret;

const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
const OWN_TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
/// A token is not used in its last minute.
const MARGIN: Duration = Duration::from_secs(60);
/// How long an assertion is good, in seconds.
const ASSERTION_LIFE: i64 = 300;

/// Who the gate is there.
pub(in crate::credential) struct Google {
    from: From,
    way: Service,
    token: Mutex<Option<(Secret, Instant)>>,
}

enum From {
    Metadata(String),
    ServiceAccount(PathBuf),
}

/// A service account's key, as the console gives it.
#[derive(Deserialize)]
struct AccountKey {
    client_email: String,
    #[serde(deserialize_with = "hidden")]
    private_key: Secret,
    private_key_id: String,
    token_uri: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(deserialize_with = "hidden")]
    access_token: Secret,
    expires_in: u64,
}

impl Google {
    pub(in crate::credential) fn new(identity: &GoogleIdentity) -> Self {
        let (from, url) = match identity {
            GoogleIdentity::Metadata(url) => (From::Metadata(url.clone()), url.as_str()),
            GoogleIdentity::ServiceAccount(file) => (From::ServiceAccount(file.clone()), "https:"),
        };
        Self { from, way: Service::new(url, None), token: Mutex::new(None) }
    }

    /// A token that is good for a request.
    ///
    /// # Errors
    /// There is none, for the operator.
    pub(in crate::credential) async fn token(&self) -> Result<Secret, String> {
        let mut known = self.token.lock().await;
        if let Some((token, until)) = known.as_ref()
            && Instant::now() < *until
        {
            return Ok(copied(token));
        }
        let Answer { access_token, expires_in } = match &self.from {
            From::Metadata(url) => {
                let request = self.way.client()?.get(format!("{url}{OWN_TOKEN}"));
                answered(Service::ask(request.header("metadata-flavor", "Google")).await?)?
            }
            From::ServiceAccount(file) => self.by_key(file).await?,
        };
        let life = Duration::from_secs(expires_in).saturating_sub(MARGIN);
        *known = Some((copied(&access_token), Instant::now() + life));
        Ok(access_token)
    }

    /// A token for an assertion that the key signs (RFC 7523 section 2.1).
    async fn by_key(&self, file: &Path) -> Result<Answer, String> {
        let text = file_secret(file)?;
        let unfit = || format!("`{}` is no key of a service account in JSON", file.display());
        let key: AccountKey = serde_json::from_str(text.expose()).map_err(|_| unfit())?;
        let now = jiff::Timestamp::now().as_second();
        let claims = Claims {
            iss: &key.client_email,
            scope: SCOPE,
            aud: &key.token_uri,
            iat: now,
            exp: now + ASSERTION_LIFE,
        };
        let signs = EncodingKey::from_rsa_pem(key.private_key.expose().as_bytes()).map_err(|_| unfit())?;
        let header = Header { kid: Some(key.private_key_id), ..Header::new(Algorithm::RS256) };
        let assertion = jsonwebtoken::encode(&header, &claims, &signs).map(Zeroizing::new);
        let assertion = assertion.map_err(|_| unfit())?;
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.as_str()),
        ];
        answered(Service::ask(self.way.client()?.post(&key.token_uri).form(&form)).await?)
    }
}

fn answered(said: Said) -> Result<Answer, String> {
    if !said.status.is_success() {
        return Err(format!("no access token: it answered {}", said.status));
    }
    serde_json::from_slice(&said.body).map_err(|_| "no access token: its answer has none".to_owned())
}
