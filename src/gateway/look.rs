//! The gate's own look at a server's tools, on behalf of a caller: judged, recorded and sent like a list that the caller
//! had asked for.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use crate::decode::{Decoded, Era, Message, decode, splice};
use crate::gateway::call::{Call, Eyes, Way};
use crate::gateway::{Gateway, Relay};
use crate::identify::Caller;
use crate::inbound::{Head, Inbound, Target};
use crate::name::{ServerName, ToolName};
use crate::record::trace::Asker;
use crate::refusal::Refusal;
use crate::respond::{Answer, Body};

/// A server's list has so many pages at most; the rest stays unseen.
pub(in crate::gateway) const MOST_PAGES: usize = 50;

/// What came of a message of the gate's own.
pub(in crate::gateway) struct Told {
    /// The answer.
    pub message: Option<Bytes>,
    /// The session that it opened, sealed.
    pub session: Option<HeaderValue>,
}

/// A message of the gate's own on its way.
type Said<'a> = Pin<Box<dyn Future<Output = Result<Answer<Relay>, Refusal>> + Send + 'a>>;

/// What a caller would find at a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Survey {
    /// So many tools.
    Tools(usize),
    /// Policy lets the caller not even list them.
    Refused,
    /// The server could not be asked.
    Unknown,
}

impl Gateway {
    /// How many tools `caller` would see at their scope's server.
    pub async fn survey(self: &Arc<Self>, caller: Arc<Caller>) -> Survey {
        let server = caller.scope().and_then(|scope| self.config.servers.get(&scope.server));
        let Some(server) = server.map(Arc::clone) else { return Survey::Unknown };
        let Ok(account) = self.directory.find(caller.tenant(), &server.name).await else {
            return Survey::Unknown;
        };
        let way = Way { caller, server, account, session: None, eyes: Eyes::Caller };
        match self.listed_modern(&way).await {
            Ok(Some(tools)) => Survey::Tools(tools),
            Err(Refusal::Denied { .. } | Refusal::PolicyFailed) => Survey::Refused,
            Ok(None) | Err(_) => match self.listed_legacy(&way).await {
                Ok(Some(tools)) => Survey::Tools(tools),
                Err(Refusal::Denied { .. } | Refusal::PolicyFailed) => Survey::Refused,
                Ok(None) | Err(_) => Survey::Unknown,
            },
        }
    }

    async fn listed_modern(self: &Arc<Self>, way: &Way) -> Result<Option<usize>, Refusal> {
        let told = self
            .ask(own_head(way, Some("tools/list")), way, Bytes::from_static(MODERN_LIST), NOWHERE)
            .await?;
        Ok(told.message.and_then(|message| self.tools_in(&message)))
    }

    async fn listed_legacy(self: &Arc<Self>, way: &Way) -> Result<Option<usize>, Refusal> {
        let (way, _) = self.initialized(way).await?;
        let told = self.ask(own_head(&way, None), &way, Bytes::from_static(LEGACY_LIST), NOWHERE).await?;
        self.ended(&way).await;
        Ok(told.message.and_then(|message| self.tools_in(&message)))
    }

    /// How many tools of the server's a list shows; `None`: it is no list.
    fn tools_in(&self, message: &[u8]) -> Option<usize> {
        let tools = splice::get(message, &["result", "tools"]).ok().flatten()?;
        let tools: Vec<Named<'_>> = serde_json::from_str(tools).ok()?;
        let own = self.config.ask_first.as_ref().map(ToolName::as_str);
        Some(tools.iter().filter(|tool| Some(&*tool.name) != own).count())
    }

    /// The same way in a session of its own, and what the server said when it opened it.
    pub(in crate::gateway) async fn initialized(
        self: &Arc<Self>,
        way: &Way,
    ) -> Result<(Way, Option<Bytes>), Refusal> {
        let told = self.ask(own_head(way, None), way, Bytes::from_static(INITIALIZE), NOWHERE).await?;
        let sealed = told.session.as_ref().and_then(|session| session.to_str().ok());
        let session = sealed.and_then(|sealed| self.sessions.open(sealed, &way.server.name, &way.caller));
        let (caller, server) = (Arc::clone(&way.caller), Arc::clone(&way.server));
        let way = Way { caller, server, account: way.account.clone(), session, eyes: way.eyes };
        self.ask(own_head(&way, None), &way, Bytes::from_static(INITIALIZED), NOWHERE).await?;
        Ok((way, told.message))
    }

    /// Ends the session of a way, where it has one. A server need not end sessions on request.
    pub(in crate::gateway) async fn ended(self: &Arc<Self>, way: &Way) {
        if way.session.is_some() {
            let end = Head { method: Method::DELETE, ..own_head(way, None) };
            let _ = self.ask(end, way, Bytes::new(), NOWHERE).await;
        }
    }

    /// Looks at the server's list on the caller's behalf: judged, recorded and sent like a list that the caller had
    /// asked for. One look at a time; whoever waits shares its outcome.
    pub(in crate::gateway) fn look<'a>(
        self: &'a Arc<Self>,
        head: &'a Head,
        way: &'a Way,
        message: &'a Message,
        call: &'a Call,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let Some(_turn) = self.shared.looks.turn(way.caller.tenant(), &way.server.name).await else {
                return;
            };
            let mut cursor = None;
            for _ in 0..MOST_PAGES {
                let Some(page) = self.page(head, way, message, call, cursor.as_deref()).await else { return };
                match splice::get(&page, &["result", "nextCursor"]) {
                    Ok(Some(next)) => cursor = Some(next.to_owned()),
                    Ok(None) | Err(_) => return,
                }
            }
        })
    }

    /// One page of the server's list. The answer passes the filter on its way, which teaches the catalogue.
    async fn page(
        self: &Arc<Self>,
        head: &Head,
        way: &Way,
        message: &Message,
        call: &Call,
        cursor: Option<&str>,
    ) -> Option<Bytes> {
        let body = list_request(message, cursor, call.trace.within())?;
        let head = list_head(head, &way.server.name, message.era);
        let told = self.ask(head, way, body, call.source).await;
        self.shared.metrics.pulled(&told);
        match told {
            Ok(Told { message, .. }) => message,
            Err(refusal) => {
                tracing::info!(server = %way.server.name, %refusal, "The server's tools could not be listed");
                None
            }
        }
    }

    /// One message of the gate's own, on behalf of `way`'s caller: judged, recorded and sent like any other.
    pub(in crate::gateway) async fn ask(
        self: &Arc<Self>,
        head: Head,
        way: &Way,
        body: Bytes,
        source: SocketAddr,
    ) -> Result<Told, Refusal> {
        let mut call = Call::sibling(way, source);
        match self.say(head, way, body, &mut call).await {
            Ok(answer) => {
                let session = answer.headers.into_iter().find(|(name, _)| name.as_str() == "mcp-session-id");
                let message = match answer.body {
                    Body::Full(bytes) => Some(bytes),
                    Body::Events(relay) => relay.collect().await.pop(),
                    Body::Empty => None,
                };
                Ok(Told { message, session: session.map(|(_, value)| value) })
            }
            Err(refusal) => {
                self.refuse(&refusal, call, None);
                Err(refusal)
            }
        }
    }

    /// Sends one message of the gate's own on its way, as `call`.
    pub(in crate::gateway) async fn say(
        self: &Arc<Self>,
        head: Head,
        way: &Way,
        body: Bytes,
        call: &mut Call,
    ) -> Result<Answer<Relay>, Refusal> {
        call.asker = Asker::Gate;
        let depth = self.config.listen.limits.json_depth;
        let decoded = decode(&head, body, way.version(), depth).map_err(|rejected| rejected.refusal)?;
        let Decoded::One(message) = decoded else { return Err(Refusal::Internal) };
        let mut looking = Looking(head);
        // Boxed: the whole path of a message is too deep to lie inside whatever looks at a list.
        let said: Said<'_> = Box::pin(self.message(&mut looking, way, message, call));
        said.await
    }
}

pub(in crate::gateway) const NOWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const MODERN_LIST: &[u8] = br#"{"jsonrpc":"2.0","id":"portcullis-survey","method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
const LEGACY_LIST: &[u8] = br#"{"jsonrpc":"2.0","id":"portcullis-survey","method":"tools/list","params":{}}"#;
const INITIALIZE: &[u8] = br#"{"jsonrpc":"2.0","id":"portcullis-survey","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"portcullis","version":"1"}}}"#;
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// The head of a message of the gate's own; `mirrored`: its method, where it is a modern one.
pub(in crate::gateway) fn own_head(way: &Way, mirrored: Option<&'static str>) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("accept", HeaderValue::from_static("application/json, text/event-stream"));
    match mirrored {
        Some(method) => {
            headers.insert("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
            headers.insert("mcp-method", HeaderValue::from_static(method));
        }
        None => {
            if let Some(version) = way.version() {
                headers.insert("mcp-protocol-version", HeaderValue::from_static(version.as_str()));
            }
        }
    }
    let target = Target::Server(way.server.name.clone());
    Head { method: Method::POST, target, headers, peer: NOWHERE, certificate: None }
}

/// A tool of a list.
#[derive(serde::Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
}

/// `within`: the trace that it belongs to; `None`: the one that the message says, where it says one.
fn list_request(message: &Message, cursor: Option<&str>, within: Option<String>) -> Option<Bytes> {
    let id = format!("portcullis-{}", crate::name::Invocation::new());
    let mut members = Vec::new();
    if let Ok(Some(meta)) = splice::get(&message.bytes, &["params", "_meta"])
        && message.era == Era::Modern
    {
        let meta = splice::remove(meta.as_bytes(), &["progressToken"]).ok()?.unwrap_or_else(|| meta.into());
        members.push(format!("\"_meta\":{}", String::from_utf8(meta).ok()?));
    }
    members.extend(cursor.map(|cursor| format!("\"cursor\":{cursor}")));
    let params = members.join(",");
    let body = format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"tools/list","params":{{{params}}}}}"#);
    let Some(within) = within else { return Some(body.into()) };
    let traced = splice::set(body.as_bytes(), &["params", "_meta", "traceparent"], &splice::string(&within));
    traced.ok().map(Bytes::from)
}

fn list_head(head: &Head, server: &ServerName, era: Era) -> Head {
    let mut headers = head.headers.clone();
    let mirrored: Vec<_> =
        headers.keys().filter(|name| name.as_str().starts_with("mcp-param-")).cloned().collect();
    for name in mirrored {
        headers.remove(name);
    }
    headers.remove("mcp-name");
    headers.remove("last-event-id");
    if era == Era::Modern {
        headers.insert("mcp-method", HeaderValue::from_static("tools/list"));
    }
    Head {
        method: Method::POST,
        target: Target::Server(server.clone()),
        headers,
        peer: head.peer,
        certificate: head.certificate.clone(),
    }
}

/// A request of the gate's own: it has no socket, so its client never goes away.
struct Looking(Head);

impl Inbound for Looking {
    fn head(&self) -> &Head {
        &self.0
    }

    async fn body(&mut self) -> Result<Bytes, Refusal> {
        Ok(Bytes::new())
    }

    async fn gone(&mut self) {
        std::future::pending().await
    }
}
