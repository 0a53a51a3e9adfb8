//! Asks a server for a bundle by OPA's bundle protocol: entity tags, long polls, and patience where it asks for it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, RETRY_AFTER,
};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, StatusCode, Url};
use zeroize::Zeroizing;

use crate::config::BundleSource;
use crate::deliver::{Asked, Setback};

/// The packed bundle, in bytes.
const LARGEST: usize = 64 << 20;
const CONNECT: Duration = Duration::from_secs(5);
/// For an answer, beside the time that a server may hold the request.
const WHOLE: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 3;
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// An entity tag that is sent back.
const LONGEST_TAG: usize = 512;
/// What a server that holds requests calls a bundle.
const LONG_POLL: &str = "application/vnd.openpolicyagent.bundles";
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The server of a bundle.
#[derive(Debug)]
pub(in crate::deliver) struct Server {
    client: Client,
    url: Url,
    bearer: Option<PathBuf>,
    long_poll: Option<Duration>,
    /// Whether it said that it holds requests until there is something new.
    holds: AtomicBool,
}

/// What a server says.
pub(in crate::deliver::bundle) enum Answer {
    /// There is nothing newer.
    Same,
    /// A bundle, unverified.
    Bundle { packed: Vec<u8>, etag: Option<String> },
}

impl Server {
    pub(in crate::deliver::bundle) fn new(source: &BundleSource) -> Result<Self, Setback> {
        let unable = |why: String| Setback::Unable(format!("bundles cannot be asked for: {why}"));
        let url = Url::parse(&source.url).map_err(|error| unable(error.to_string()))?;
        let mut client = Client::builder()
            .connect_timeout(CONNECT)
            .redirect(Policy::custom(same_host))
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            // Without the system's authorities, which a small image may not have.
            client = client.tls_certs_only([]).no_proxy();
        }
        let client = client.build().map_err(|error| unable(reason(&error)))?;
        let (bearer, long_poll) = (source.bearer.clone(), source.long_poll);
        Ok(Self { client, url, bearer, long_poll, holds: AtomicBool::new(false) })
    }

    /// Whether to ask again at once after an answer that took so long: the server holds requests, and this one ended
    /// because something was new, or because the time was over.
    pub(in crate::deliver) fn held(&self, is_new: bool, took: Duration) -> bool {
        let Some(poll) = self.long_poll else { return false };
        took >= poll / 2 || (is_new && self.holds.load(Ordering::Relaxed))
    }

    /// Asks once. `etag`: of what is kept; only then may the server be asked to hold the request.
    pub(in crate::deliver::bundle) async fn ask(
        &self,
        etag: Option<&str>,
        asked: Asked,
    ) -> Result<Answer, Setback> {
        let poll = self.long_poll.filter(|_| etag.is_some() && asked == Asked::WithTime);
        let request = self.client.get(self.url.clone()).headers(self.headers(etag, poll)?);
        let request = request.timeout(WHOLE + poll.unwrap_or_default());
        let failed = |error: reqwest::Error| Setback::unreachable(reason(&error.without_url()));
        let mut response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(Answer::Same),
            StatusCode::OK => {}
            status => {
                let why = format!("the server answers HTTP {}", status.as_u16());
                return Err(Setback::Unreachable { why, wait: patience(&response) });
            }
        }
        let kind = response.headers().get(CONTENT_TYPE);
        self.holds.store(kind.is_some_and(|kind| kind == LONG_POLL), Ordering::Relaxed);
        let etag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        let etag = etag.filter(|tag| tag.len() <= LONGEST_TAG).map(str::to_owned);
        let mut packed = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if packed.len() + chunk.len() > LARGEST {
                return Err(Setback::refused(format!("the bundle is larger than {} MiB", LARGEST >> 20)));
            }
            packed.extend_from_slice(&chunk);
        }
        Ok(Answer::Bundle { packed, etag })
    }

    fn headers(&self, etag: Option<&str>, poll: Option<Duration>) -> Result<HeaderMap, Setback> {
        let mut headers = HeaderMap::new();
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            headers.insert(IF_NONE_MATCH, etag);
        }
        let prefer = match poll {
            Some(poll) => format!("modes=snapshot;wait={}", poll.as_secs()),
            None => "modes=snapshot".to_owned(),
        };
        headers.extend(HeaderValue::from_str(&prefer).ok().map(|value| (PREFER, value)));
        if let Some(file) = &self.bearer {
            let unread = |error| Setback::disk(&format!("`{}` cannot be read", file.display()), &error);
            let token = Zeroizing::new(std::fs::read_to_string(file).map_err(unread)?);
            let text = Zeroizing::new(format!("Bearer {}", token.trim_end()));
            let unfit = |_| Setback::Unable(format!("`{}` holds no bearer token", file.display()));
            let mut value = HeaderValue::from_str(&text).map_err(unfit)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

fn patience(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// A bundle comes from the host that the operator named, over the scheme that they named, or not at all.
fn same_host(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let place =
        |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    let stays = attempt.previous().first().is_some_and(|first| place(first) == place(attempt.url()));
    if stays && attempt.previous().len() <= REDIRECTS { attempt.follow() } else { attempt.stop() }
}

/// The error and its causes in one line: reqwest's own text leaves out what went wrong.
fn reason(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
