//! HTTP to a service that the operator named and that keeps secrets or keys: no redirect is followed, no proxy of the environment is
//! used, and what it answers is wiped.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, RequestBuilder, StatusCode};
use zeroize::Zeroizing;

use crate::credential::oauth::http::{body, reason};

/// For one exchange with the service.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to one service. Its connections are kept for a while: it is asked for every tenant.
pub(in crate::credential) struct Service {
    is_secure: bool,
    authorities: Option<PathBuf>,
    client: OnceLock<Result<Client, String>>,
}

/// What it answered.
pub(in crate::credential) struct Said {
    pub(in crate::credential) status: StatusCode,
    pub(in crate::credential) body: Zeroizing<Vec<u8>>,
}

impl Service {
    pub(in crate::credential) fn new(url: &str, authorities: Option<PathBuf>) -> Self {
        Self { is_secure: url.starts_with("https:"), authorities, client: OnceLock::new() }
    }

    /// The client, made when it is first needed: reading the system's authorities takes a while.
    ///
    /// # Errors
    /// It cannot be made, for the operator.
    pub(in crate::credential) fn client(&self) -> Result<&Client, String> {
        self.client.get_or_init(|| self.made()).as_ref().map_err(Clone::clone)
    }

    fn made(&self) -> Result<Client, String> {
        let mut builder =
            Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(PATIENCE);
        if let Some(file) = &self.authorities {
            let wrong = |why: String| format!("`{}`: {why}", file.display());
            let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
            let found =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
            if found.is_empty() {
                return Err(wrong("it holds no certificate".into()));
            }
            builder = builder.tls_certs_only(found);
        } else if !self.is_secure {
            // Without the system's authorities, which a small image may not have.
            builder = builder.tls_certs_only([]);
        }
        builder.build().map_err(|error| reason(&error))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// There was no answer, or one that is too large; for the operator, without the URL.
    pub(in crate::credential) async fn ask(request: RequestBuilder) -> Result<Said, String> {
        let answer = request.send().await.map_err(|error| reason(&error.without_url()))?;
        Ok(Said { status: answer.status(), body: body(answer).await? })
    }
}

/// A body that is wiped when it was sent.
pub(in crate::credential) fn wiped(body: Vec<u8>) -> Bytes {
    Bytes::from_owner(Zeroizing::new(body))
}
