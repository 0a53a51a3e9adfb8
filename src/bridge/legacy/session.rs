//! Sessions with legacy servers, one for each account, caller and set of capabilities.
//!
//! # Why not one for all callers
//! A legacy server keeps what a session has said and seen. Two callers in one session would be one to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use quick_cache::sync::Cache;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::bridge::legacy::{Said, post};
use crate::bridge::{Bridge, Crossing, beside, wire};
use crate::decode::reply::{Fields, Outcome, Reply as Told, read};
use crate::decode::{Era, Version};
use crate::forward::{Errand, Exchange, Request, Retry};
use crate::name::ServerName;
use crate::record::metrics::{BridgedMetrics, Held as Counted};
use crate::refusal::Refusal;

/// How many sessions are kept; the least used are forgotten, and opened again when they are needed.
const MOST: usize = 10_000;
/// A session that was not used for so long is not relied upon: servers end idle sessions, most of them later than that.
const IDLE: Duration = Duration::from_secs(300);

pub(in crate::bridge) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Whose session it is: tenant and account, caller, server, and what the server was told of the caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::bridge) struct Key {
    account: [u8; 32],
    caller: [u8; 32],
    server: ServerName,
    told: [u8; 32],
}

/// The sessions of the whole gate.
pub(in crate::bridge) struct Sessions {
    open: Cache<Key, Arc<Session>>,
    metrics: BridgedMetrics,
}

impl Sessions {
    pub(in crate::bridge) fn new(metrics: BridgedMetrics) -> Self {
        Self { open: Cache::new(MOST), metrics }
    }
}

/// One session with a legacy server.
pub(in crate::bridge) struct Session {
    id: Option<HeaderValue>,
    version: Version,
    /// The result of `initialize`.
    pub(in crate::bridge) opened: Box<RawValue>,
    next: AtomicU64,
    begun: Instant,
    /// When it was used last, in milliseconds since it began.
    used: AtomicU64,
    _counted: Counted,
}

impl Session {
    /// An id for one request: two callers of one account may use the same, and in a session each must be its own.
    pub(in crate::bridge) fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The revision that was negotiated.
    pub(in crate::bridge) fn version(&self) -> Version {
        self.version
    }

    /// Whether the server gave it an id, without which it cannot be ended or forgotten.
    pub(in crate::bridge) fn has_id(&self) -> bool {
        self.id.is_some()
    }

    /// The head of a request in this session.
    pub(in crate::bridge) fn head(&self, headers: &HeaderMap) -> HeaderMap {
        let mut headers = wire::bare(headers);
        if let Some(id) = &self.id {
            headers.insert(SESSION, id.clone());
        }
        headers.insert(VERSION, HeaderValue::from_static(self.version.as_str()));
        headers
    }

    /// What the server calls itself.
    pub(in crate::bridge) fn server_info(&self) -> Option<&RawValue> {
        Fields::read(&self.opened).ok()?.get("serverInfo")
    }

    /// Whether the server said that it can do this, such as `resources` `subscribe`.
    pub(in crate::bridge) fn offers(&self, capability: &str, of_it: Option<&str>) -> bool {
        let path = ["capabilities", capability];
        let Some(capability) = wire::part(self.opened.get().as_bytes(), &path) else { return false };
        let Some(of_it) = of_it else { return true };
        Fields::read(capability)
            .ok()
            .and_then(|fields| fields.get(of_it))
            .is_some_and(|it| it.get() == "true")
    }

    fn is_fresh(&self) -> bool {
        let since = Duration::from_millis(self.used.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(since) < IDLE
    }

    fn used_now(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.store(now, Ordering::Relaxed);
    }
}

impl Bridge {
    /// The caller's session with the server, opened if there is none. Whoever waits for the same shares it.
    pub(in crate::bridge) async fn session(&self, crossing: &Crossing) -> Result<Arc<Session>, Refusal> {
        let key = key(crossing)?;
        if self.sessions.open.get(&key).is_some_and(|session| !session.is_fresh()) {
            self.forget(&key, crossing);
        }
        let session = self.sessions.open.get_or_insert_async(&key, self.opened(crossing)).await?;
        session.used_now();
        Ok(session)
    }

    /// Gives up a session that the server does not know any more.
    pub(in crate::bridge) fn lost(&self, crossing: &Crossing, session: &Arc<Session>) -> Result<(), Refusal> {
        let key = key(crossing)?;
        // Another call may have opened a new one by now.
        let _ = self.sessions.open.remove_if(&key, |kept| Arc::ptr_eq(kept, session));
        Ok(())
    }

    fn forget(&self, key: &Key, crossing: &Crossing) {
        if let Some((_, session)) = self.sessions.open.remove(key) {
            let (errand, headers) = (crossing.errand(self), crossing.request.headers.clone());
            beside(async move { end(&session, &errand, &headers).await });
        }
    }

    /// A session of its own.
    pub(in crate::bridge) async fn opened(&self, crossing: &Crossing) -> Result<Arc<Session>, Refusal> {
        let (errand, said) = (crossing.errand(self), Said::of(&crossing.request.body)?);
        let headers = &crossing.request.headers;
        let request = post(wire::bare(headers), initialize(&said), Retry::Harmless);
        let exchange = errand.send(request).await?;
        let id = exchange.header(SESSION).cloned();
        let (version, opened) = answered(exchange, crossing).await?;
        let begun = Instant::now();
        let session = Session {
            id,
            version,
            opened,
            next: AtomicU64::new(1),
            begun,
            used: AtomicU64::new(0),
            _counted: self.sessions.metrics.session(),
        };
        let word = |body| post(session.head(headers), body, Retry::Unsent);
        done(errand.send(word(wire::notification("notifications/initialized", "{}"))).await?).await?;
        if let Some(level) = said.level.filter(|_| session.offers("logging", None)) {
            let params = wire::Object::default().with("level", level.get()).end();
            let id = session.next_id().to_string();
            done(errand.send(word(wire::request(&id, "logging/setLevel", &params))).await?).await?;
        }
        crossing.endpoint.spoken.note(Era::Legacy, crate::forward::Speaks::Yes);
        Ok(Arc::new(session))
    }
}

/// Ends a session; a server need not let it be ended.
pub(in crate::bridge) async fn end(session: &Session, errand: &Errand, headers: &HeaderMap) {
    if session.has_id() {
        let headers = session.head(headers);
        let request = Request {
            method: Method::DELETE,
            headers,
            body: Bytes::new(),
            query: None,
            retry: Retry::Unsent,
        };
        let _ = errand.send(request).await;
    }
}

/// Reads an answer to its end that says nothing which matters, so that its connection can be used again.
pub(in crate::bridge) async fn done(exchange: Exchange) -> Result<(), Refusal> {
    const MOST: usize = 1 << 16;
    exchange.body(MOST).await.map(drop)
}

fn key(crossing: &Crossing) -> Result<Key, Refusal> {
    let (permit, said) = (&crossing.passage.permit, Said::of(&crossing.request.body)?);
    let mut told = Sha256::new();
    for part in [said.capabilities, said.client, said.level] {
        let part = part.map_or("", RawValue::get);
        told.update((part.len() as u64).to_be_bytes());
        told.update(part);
    }
    let mut account = Sha256::new();
    account.update(crossing.passage.lease.fingerprint());
    account.update(crossing.endpoint.url.to_string());
    account.update(permit.caller().tenant().as_str());
    Ok(Key {
        account: account.finalize().into(),
        caller: permit.caller().principal(),
        server: permit.server().name.clone(),
        told: told.finalize().into(),
    })
}

/// `initialize`, with the capabilities that a legacy server can use.
fn initialize(said: &Said<'_>) -> Bytes {
    const KNOWN: [&str; 3] = ["roots", "sampling", "elicitation"];
    let all = said.capabilities.and_then(|all| Fields::read(all).ok());
    let capabilities = KNOWN.iter().fold(wire::Object::default(), |object, name| {
        object.with_some(name, all.as_ref().and_then(|all| all.get(name)))
    });
    let own = concat!(r#"{"name":"portcullis","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
    let params = wire::Object::default()
        .with("protocolVersion", "\"2025-11-25\"")
        .with("capabilities", &capabilities.end())
        .with("clientInfo", said.client.map_or(own, RawValue::get));
    wire::request("0", "initialize", &params.end())
}

async fn answered(exchange: Exchange, crossing: &Crossing) -> Result<(Version, Box<RawValue>), Refusal> {
    let bad = |what| Refusal::BadAnswer { server: crossing.endpoint.server.clone(), what };
    match exchange.status.as_u16() {
        200..300 => {}
        401 => {
            crossing.passage.lease.rejected();
            return Err(Refusal::CredentialUnavailable { server: crossing.endpoint.server.clone() });
        }
        429 => return Err(Refusal::UpstreamBusy { server: crossing.endpoint.server.clone(), retry: None }),
        _ => return Err(bad("it opens no session")),
    }
    let is_events = exchange.is_media("text/event-stream");
    let body = exchange.body(crossing.limits.answer).await?;
    let messages = wire::messages(&body, is_events, crossing.limits.event);
    let opened = messages.iter().find_map(|message| match read(message) {
        Ok(Told::Response { outcome: Outcome::Result(result), .. }) => Some(result.to_owned()),
        _ => None,
    });
    let opened = opened.ok_or_else(|| bad("it opens no session"))?;
    let version = Fields::read(&opened).ok().and_then(|fields| fields.text("protocolVersion").ok().flatten());
    let version = version.and_then(|version| Version::parse(&version));
    match version.filter(|version| version.era() == Era::Legacy) {
        Some(version) => Ok((version, opened)),
        None => Err(bad("it opens a session in a revision that is not known")),
    }
}
