//! The KV engine, version 2, of HashiCorp Vault or OpenBao.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::config::{VaultKv as Configured, VaultLogin};
use crate::credential::fetched::{Asked, Missing, Source};
use crate::credential::oauth::grant::{copied, hidden};
use crate::credential::service::{Said, Service};
use crate::credential::source::file_secret;
use crate::secret::Secret;

/// What stands in a path as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'@');

pub(super) struct VaultKv {
    url: String,
    namespace: Option<String>,
    mount: String,
    login: Login,
    way: Service,
    token: Mutex<Option<(Secret, Option<Instant>)>>,
}

enum Login {
    Token(std::path::PathBuf),
    /// The method's path, a member that says who logs in, and another that proves it, from a file.
    Method {
        path: String,
        who: (&'static str, String),
        proof: (&'static str, std::path::PathBuf),
    },
}

#[derive(Deserialize)]
struct LoggedIn {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(deserialize_with = "hidden")]
    client_token: Secret,
    /// In seconds; 0: it does not end.
    lease_duration: u64,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

impl VaultKv {
    pub(super) fn new(it: &Configured) -> Self {
        let login = match &it.login {
            VaultLogin::Token(file) => Login::Token(file.clone()),
            VaultLogin::AppRole { mount, role_id, secret_id } => Login::Method {
                path: format!("auth/{mount}/login"),
                who: ("role_id", role_id.clone()),
                proof: ("secret_id", secret_id.clone()),
            },
            VaultLogin::Kubernetes { mount, role, token } => Login::Method {
                path: format!("auth/{mount}/login"),
                who: ("role", role.clone()),
                proof: ("jwt", token.clone()),
            },
        };
        Self {
            url: it.url.clone(),
            namespace: it.namespace.clone(),
            mount: it.mount.clone(),
            login,
            way: Service::new(&it.url, it.authorities.clone()),
            token: Mutex::new(None),
        }
    }

    async fn read(&self, place: &str) -> Result<Said, String> {
        let token = self.token().await?;
        let url = format!("{}/v1/{}/data/{}", self.url, self.mount, utf8_percent_encode(place, PATH));
        let request = self.way.client()?.get(url).header("x-vault-token", token.expose());
        Service::ask(self.named(request)).await
    }

    /// A token: the file's text, or one that was logged in for.
    async fn token(&self) -> Result<Secret, String> {
        let (path, who, proof) = match &self.login {
            // Read each time: an agent beside the gate renews it.
            Login::Token(file) => return file_secret(file),
            Login::Method { path, who, proof } => (path, who, proof),
        };
        let mut known = self.token.lock().await;
        if let Some((token, until)) = known.as_ref()
            && until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(copied(token));
        }
        let secret = file_secret(&proof.1)?;
        let request = self.way.client()?.post(format!("{}/v1/{path}", self.url));
        let request = request.json(&json!({who.0: who.1, proof.0: secret.expose()}));
        let Said { status, body } = Service::ask(self.named(request)).await?;
        if status != StatusCode::OK {
            return Err(format!("the login at `{path}` was answered {status}"));
        }
        let LoggedIn { auth } = serde_json::from_slice(&body)
            .map_err(|_| format!("the login at `{path}` was answered with no token"))?;
        // A little earlier than it ends.
        let life = Duration::from_secs(auth.lease_duration).mul_f64(0.8);
        let until = (auth.lease_duration > 0).then(|| Instant::now() + life);
        *known = Some((copied(&auth.client_token), until));
        Ok(auth.client_token)
    }

    fn named(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.namespace {
            Some(namespace) => request.header("x-vault-namespace", namespace),
            None => request,
        }
    }

    /// Drops a token that was logged in for; whether there was one.
    async fn forget_token(&self) -> bool {
        self.token.lock().await.take().is_some()
    }
}

#[async_trait]
impl Source for VaultKv {
    async fn fetch(&self, asked: Asked<'_>) -> Result<Zeroizing<Vec<u8>>, Missing> {
        let at = |why: &str| format!("secret `{}` of `{}`: {why}", asked.place, self.url);
        let unasked = |why: String| Missing::Unasked(at(&why));
        let mut said = self.read(asked.place).await.map_err(unasked)?;
        // A token may have been revoked before its time.
        if said.status == StatusCode::FORBIDDEN && self.forget_token().await {
            said = self.read(asked.place).await.map_err(unasked)?;
        }
        match said.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Missing::Gone(at("there is none"))),
            status => return Err(unasked(format!("it answered {status}"))),
        }
        let unreadable = || Missing::Unasked(at("its answer is not one of KV version 2"));
        let answer: Answer<'_> = serde_json::from_slice(&said.body).map_err(|_| unreadable())?;
        Ok(Zeroizing::new(answer.data.data.get().as_bytes().to_vec()))
    }
}
