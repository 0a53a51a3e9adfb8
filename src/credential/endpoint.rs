//! The token endpoint of an account: OAuth 2.0 client credentials (RFC 6749 section 4.4).
//!
//! # Why the client's id and secret are encoded before Basic
//! RFC 6749 section 2.3.1 says so. Cloud Foundry's UAA, and with it SAP's XSUAA, reads them encoded only if told so by
//! a header of its own, and its client ids have a `!`; that header is sent where the encoding changes anything.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use reqwest::{Client, ClientBuilder, Response, Url};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::config::Credential;
use crate::credential::tokens::{Failure, Setback};
use crate::secret::Secret;

/// For the whole exchange with the endpoint.
pub(in crate::credential) const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const LARGEST_ANSWER: usize = 64 << 10;
/// The life of a token whose endpoint does not say it.
const LIFE_IF_UNSAID: Duration = Duration::from_secs(60);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub(in crate::credential) struct Endpoint {
    client: Client,
    url: Url,
    client_id: String,
    scope: Option<String>,
    resource: Option<String>,
    in_body: bool,
}

/// The HTTP clients of all endpoints, made when the first needs one: reading the system's authorities takes a while.
#[derive(Default)]
pub(in crate::credential) struct Clients {
    plain: OnceLock<Result<Client, String>>,
    secure: OnceLock<Result<Client, String>>,
}

/// A token, and how long it lives from now.
pub(in crate::credential) struct Granted {
    pub(in crate::credential) token: Secret,
    pub(in crate::credential) life: Duration,
}

/// RFC 6749 section 5.1. Some servers write `expires_in` as a string.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<serde_json::Value>,
}

/// RFC 6749 section 5.2.
#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

impl Endpoint {
    /// # Errors
    /// What is wrong with the configuration, for the operator.
    pub(in crate::credential) fn new(credential: &Credential, clients: &Clients) -> Result<Self, String> {
        let Credential::ClientCredentials { token_url, client_id, scopes, resource, in_body, .. } =
            credential
        else {
            return Err("it is not an OAuth account".into());
        };
        if client_id.is_empty() {
            return Err("`client_id` is empty".into());
        }
        let url = checked(token_url)?;
        Ok(Self {
            client: clients.of(&url)?,
            url,
            client_id: client_id.clone(),
            scope: (!scopes.is_empty()).then(|| scopes.join(" ")),
            resource: resource.clone(),
            in_body: *in_body,
        })
    }

    /// The host and path, for the log; a query may hold a key.
    pub(in crate::credential) fn place(&self) -> String {
        format!("{}{}", self.url.host_str().unwrap_or_default(), self.url.path())
    }

    /// # Errors
    /// The endpoint refuses the client, or gives no usable token now.
    pub(in crate::credential) async fn fetch(&self, secret: &Secret) -> Result<Granted, Setback> {
        let exchange = async {
            let response = self.ask(secret).await?;
            let status = response.status();
            let wait = retry_after(&response);
            let body = body(response).await?;
            if status == StatusCode::OK { granted(&body) } else { Err(refused(status, wait, &body)) }
        };
        let done = tokio::time::timeout(FETCH_TIMEOUT, exchange).await;
        done.unwrap_or_else(|_| Err(unavailable(format!("no answer within {FETCH_TIMEOUT:?}"))))
    }

    async fn ask(&self, secret: &Secret) -> Result<Response, Setback> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form(secret));
        if !self.in_body {
            let (id, secret) = (encoded(&self.client_id), encoded(secret.expose()));
            if *id != self.client_id || secret.contains(['%', '+']) {
                request = request.header("x-cf-encoded-credentials", "true");
            }
            request = request.header(AUTHORIZATION, basic(&id, &secret)?);
        }
        request.send().await.map_err(|error| unavailable(reason(&error.without_url())))
    }

    fn form(&self, secret: &Secret) -> Bytes {
        let mut form = Zeroizing::new(String::with_capacity(1024));
        form.push_str("grant_type=client_credentials");
        let mut add = |name: &str, value: &str| {
            form.push('&');
            form.push_str(name);
            form.push('=');
            form.push_str(&encoded(value));
        };
        if let Some(scope) = &self.scope {
            add("scope", scope);
        }
        if let Some(resource) = &self.resource {
            add("resource", resource);
        }
        if self.in_body {
            add("client_id", &self.client_id);
            add("client_secret", secret.expose());
        }
        Bytes::from_owner(form)
    }
}

impl Clients {
    fn of(&self, url: &Url) -> Result<Client, String> {
        let made = if url.scheme() == "https" {
            self.secure.get_or_init(|| client(Client::builder()))
        } else {
            // Without the system's authorities, which a small image may not have.
            self.plain.get_or_init(|| client(Client::builder().tls_certs_only([])))
        };
        made.clone()
    }
}

/// No redirects (the secret would follow), no proxy from the environment, no idle connections between hourly requests.
fn client(builder: ClientBuilder) -> Result<Client, String> {
    builder
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(FETCH_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| format!("the HTTP client for `token_url` cannot be made: {}", reason(&error)))
}

fn checked(token_url: &str) -> Result<Url, String> {
    let url = Url::parse(token_url).map_err(|error| format!("`token_url` is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("`token_url` must begin with https:// (or http://) and a host".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`token_url` has a user or password in it; use `client_id` and `client_secret`".into());
    }
    if url.fragment().is_some() {
        return Err(
            "`token_url` has a fragment, which a token endpoint may not have (RFC 6749 section 3.2)".into()
        );
    }
    Ok(url)
}

fn basic(id: &str, secret: &str) -> Result<HeaderValue, Setback> {
    let pair = Zeroizing::new(format!("{id}:{secret}"));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())).into_bytes());
    let value = HeaderValue::from_maybe_shared(Bytes::from_owner(text));
    let mut value = value.map_err(|_| unavailable("the client's id or secret fits no header".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// As `application/x-www-form-urlencoded` (RFC 6749 appendix B).
fn encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(text.len() * 3));
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                encoded.push(char::from(byte))
            }
            b' ' => encoded.push('+'),
            _ => {
                encoded.push('%');
                encoded.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    encoded
}

async fn body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Setback> {
    let mut body = Zeroizing::new(Vec::with_capacity(LARGEST_ANSWER));
    while let Some(chunk) =
        response.chunk().await.map_err(|error| unavailable(reason(&error.without_url())))?
    {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(unavailable(format!("the answer is larger than {LARGEST_ANSWER} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn granted(body: &[u8]) -> Result<Granted, Setback> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| unavailable("the answer is no token response (RFC 6749 section 5.1)".into()))?;
    let token = Secret::new(answer.access_token);
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err(unavailable("the token's type is not Bearer".into()));
    }
    if token.expose().is_empty() || !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unavailable("the token has characters that no token has (RFC 6750 section 2.1)".into()));
    }
    Ok(Granted { token, life: life(answer.expires_in.as_ref()) })
}

fn life(expires_in: Option<&serde_json::Value>) -> Duration {
    let seconds = expires_in.and_then(|value| match value {
        serde_json::Value::String(text) => text.parse::<f64>().ok(),
        other => other.as_f64(),
    });
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .map_or(LIFE_IF_UNSAID, |life| life.min(LONGEST_LIFE))
}

/// RFC 6749 section 5.2: these say that the client itself is refused, which waiting does not mend.
fn refused(status: StatusCode, wait: Option<Duration>, body: &[u8]) -> Setback {
    let error = serde_json::from_slice::<ErrorAnswer>(body).ok().map(|answer| answer.error);
    let known = error.as_deref().filter(|error| is_code(error)).unwrap_or("no error code");
    let why = format!("HTTP {status}, {known}");
    let client_is_refused = matches!(known, "invalid_client" | "unauthorized_client" | "invalid_grant");
    if status.is_client_error() && (client_is_refused || status == StatusCode::UNAUTHORIZED) {
        return Setback { failure: Failure::NeedsReauth, why, wait };
    }
    Setback { failure: Failure::Unavailable, why, wait }
}

/// Only what has the shape of an error code is logged: an endpoint may echo what it was sent.
fn is_code(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

fn unavailable(why: String) -> Setback {
    Setback { failure: Failure::Unavailable, why, wait: None }
}

/// The error and its causes in one line: reqwest's own text leaves out what went wrong.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
