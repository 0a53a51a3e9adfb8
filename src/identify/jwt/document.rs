//! Where the text of a JWKS document comes from: a URL or a file, under a limit of size and time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Url};

/// A JWKS document, in bytes.
const LARGEST: usize = 1 << 20;
const CONNECT: Duration = Duration::from_secs(2);
const WHOLE: Duration = Duration::from_secs(5);
const REDIRECTS: usize = 3;

/// A document that can be read again.
#[derive(Debug)]
pub(in crate::identify) enum Document {
    Url { url: Url, client: Client },
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
    #[error("it cannot be read: {0}")]
    File(#[from] std::io::Error),
}

impl Document {
    pub(in crate::identify) fn at_url(text: &str) -> Result<Self, NoDocument> {
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
        Ok(Self::Url { client: client.build()?, url })
    }

    pub(in crate::identify) fn in_file(path: &Path) -> Self {
        Self::File(path.to_owned())
    }

    pub(in crate::identify) async fn read(&self) -> Result<Vec<u8>, NoDocument> {
        match self {
            Self::Url { url, client } => fetch(client, url).await,
            Self::File(path) => small(tokio::fs::read(path).await?),
        }
    }
}

/// A file, at start, before there is a runtime.
pub(in crate::identify) fn read_file(path: &Path) -> Result<Vec<u8>, NoDocument> {
    small(std::fs::read(path)?)
}

async fn fetch(client: &Client, url: &Url) -> Result<Vec<u8>, NoDocument> {
    let mut answer = client.get(url.clone()).header("accept", "application/json").send().await?;
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
