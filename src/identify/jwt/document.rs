//! Where the text of a JWKS document comes from: a URL, what an issuer's metadata names, or a file; under a limit of size and
//! time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, Url};
use serde_json::Value;

/// A JWKS document, in bytes.
const LARGEST: usize = 1 << 20;
const CONNECT: Duration = Duration::from_secs(2);
const WHOLE: Duration = Duration::from_secs(5);
const REDIRECTS: usize = 3;

/// A document that can be read again.
#[derive(Debug)]
pub(in crate::identify) enum Document {
    Url { url: Url, client: Client },
    Discovered { issuer: String, client: Client },
    File(PathBuf),
}

/// Why the document cannot be had, for the operator.
#[derive(Debug, thiserror::Error)]
pub(in crate::identify) enum NoDocument {
    #[error("`{0}` is not an http or https URL")]
    NotAUrl(String),
    #[error("it cannot be fetched: {0}")]
    Fetch(#[from] reqwest::Error),
    #[error("the answer is HTTP {0}")]
    Status(u16),
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("it is not JSON")]
    NotJson,
    #[error("the metadata of the issuer are those of `{0}`")]
    OtherIssuer(String),
    #[error("the metadata of the issuer name no `jwks_uri` that begins with https://")]
    NoKeys,
    #[error("it cannot be read: {0}")]
    File(#[from] std::io::Error),
}

impl Document {
    pub(in crate::identify) fn at_url(text: &str) -> Result<Self, NoDocument> {
        let (client, url) = client(text)?;
        Ok(Self::Url { client, url })
    }

    /// What the metadata of an issuer name (OpenID Connect Discovery 1.0 section 4, RFC 8414).
    pub(in crate::identify) fn of_issuer(issuer: &str) -> Result<Self, NoDocument> {
        let (client, _) = client(issuer)?;
        Ok(Self::Discovered { issuer: issuer.to_owned(), client })
    }

    pub(in crate::identify) fn in_file(path: &Path) -> Self {
        Self::File(path.to_owned())
    }

    pub(in crate::identify) async fn read(&self) -> Result<Vec<u8>, NoDocument> {
        match self {
            Self::Url { url, client } => fetch(client, url).await,
            Self::Discovered { issuer, client } => fetch(client, &discovered(client, issuer).await?).await,
            Self::File(path) => small(tokio::fs::read(path).await?),
        }
    }
}

/// A file, at start, before there is a runtime.
pub(in crate::identify) fn read_file(path: &Path) -> Result<Vec<u8>, NoDocument> {
    small(std::fs::read(path)?)
}

/// A client for a URL: it follows a redirect within the place that the operator named, and no other.
pub(in crate::identify) fn client(text: &str) -> Result<(Client, Url), NoDocument> {
    let url = Url::parse(text).map_err(|_| NoDocument::NotAUrl(text.to_owned()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(NoDocument::NotAUrl(text.to_owned()));
    }
    let mut client = Client::builder()
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .redirect(Policy::custom(same_host))
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
    if is_loopback(&url) {
        client = client.no_proxy();
    }
    Ok((client.build()?, url))
}

/// Where an issuer has its keys. Metadata that speak of another issuer are refused (RFC 8414 section 3.3).
async fn discovered(client: &Client, issuer: &str) -> Result<Url, NoDocument> {
    let url = Url::parse(issuer).map_err(|_| NoDocument::NotAUrl(issuer.to_owned()))?;
    let mut beside = url.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    beside.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    let mut below = url.clone();
    below.set_path(&format!("{path}/.well-known/openid-configuration"));
    let text = match fetch(client, &below).await {
        Err(NoDocument::Status(_)) => fetch(client, &beside).await?,
        found => found?,
    };
    let metadata: Value = serde_json::from_slice(&text).map_err(|_| NoDocument::NotJson)?;
    let member = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default();
    if member("issuer") != issuer {
        return Err(NoDocument::OtherIssuer(member("issuer").chars().take(200).collect()));
    }
    let keys = Url::parse(member("jwks_uri")).map_err(|_| NoDocument::NoKeys)?;
    match keys.scheme() == "https" || (is_loopback(&url) && is_loopback(&keys)) {
        true => Ok(keys),
        false => Err(NoDocument::NoKeys),
    }
}

async fn fetch(client: &Client, url: &Url) -> Result<Vec<u8>, NoDocument> {
    small_body(client.get(url.clone()).header("accept", "application/json").send().await?).await
}

/// The body of an answer, if it is 200 and not too large.
pub(in crate::identify) async fn small_body(mut answer: Response) -> Result<Vec<u8>, NoDocument> {
    if answer.status() != 200 {
        return Err(NoDocument::Status(answer.status().as_u16()));
    }
    let mut document = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if document.len() + chunk.len() > LARGEST {
            return Err(NoDocument::TooLarge);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}

fn small(document: Vec<u8>) -> Result<Vec<u8>, NoDocument> {
    if document.len() > LARGEST { Err(NoDocument::TooLarge) } else { Ok(document) }
}

/// Keys come from the host that the operator named, over the scheme that they named, or not at all.
fn same_host(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let place =
        |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    let stays = attempt.previous().first().is_some_and(|first| place(first) == place(attempt.url()));
    if stays && attempt.previous().len() <= REDIRECTS { attempt.follow() } else { attempt.stop() }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str().map(|host| host.trim_matches(['[', ']'])) {
        Some("localhost") => true,
        Some(host) => host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}
