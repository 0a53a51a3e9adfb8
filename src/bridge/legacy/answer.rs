//! The answer of a legacy server, message by message, as a modern caller reads it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::value::RawValue;

use crate::bridge::legacy::post;
use crate::bridge::legacy::session::{Session, done};
use crate::bridge::wire::{self, Object};
use crate::bridge::{Bridge, Limits, beside};
use crate::decode::reply::{Fields, Outcome, Reply as Told, read};
use crate::decode::sse::{Events, message};
use crate::decode::{RequestId, splice};
use crate::forward::{Body, Errand, Exchange, Retry, Wait};
use crate::refusal::Refusal;

/// Methods whose results a modern caller may keep, and so must be told for how long.
const CACHEABLE: [&str; 5] =
    ["tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"];

const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// All that is known of one call of a legacy server for a modern caller.
pub(in crate::bridge::legacy) struct Answering {
    pub(in crate::bridge::legacy) bridge: Arc<Bridge>,
    pub(in crate::bridge::legacy) session: Arc<Session>,
    pub(in crate::bridge::legacy) errand: Errand,
    pub(in crate::bridge::legacy) headers: HeaderMap,
    pub(in crate::bridge::legacy) limits: Limits,
    /// Who called.
    pub(in crate::bridge::legacy) principal: [u8; 32],
    /// The id that the caller waits for.
    pub(in crate::bridge::legacy) asked: RequestId,
    /// The id that the server was given.
    pub(in crate::bridge::legacy) upstream_id: u64,
    pub(in crate::bridge::legacy) method: &'static str,
    /// What the caller can be asked.
    pub(in crate::bridge::legacy) can: Vec<&'static str>,
    pub(in crate::bridge::legacy) wants_log: bool,
}

/// What one message of the server is to the caller.
enum Turned {
    /// A notification on the way.
    Passes(Bytes),
    /// The answer, with the status that it has as a document.
    Ends(Bytes, StatusCode),
    /// A question to the caller.
    Asks(Question),
    /// Nothing.
    Nothing,
}

/// What a server asks in the middle of a call.
pub(in crate::bridge::legacy) struct Question {
    /// The id that the server waits for.
    pub(in crate::bridge::legacy) id: RequestId,
    /// The request, as `input_required` has it: method and params.
    pub(in crate::bridge::legacy) request: String,
}

/// The answer while it arrives.
pub(in crate::bridge::legacy) struct Streaming {
    answering: Option<Answering>,
    exchange: Option<Exchange>,
    events: Events,
    first: Option<Bytes>,
}

impl Answering {
    /// Reads the first message: an answer that comes alone is a document, and what comes before one makes a stream.
    pub(in crate::bridge::legacy) async fn begin(
        self,
        exchange: Exchange,
        is_events: bool,
    ) -> Result<Exchange, Refusal> {
        let endpoint = Arc::clone(self.errand.endpoint());
        if !is_events {
            let body = exchange.body(self.limits.answer).await?;
            return match self.turned(&body) {
                Turned::Ends(document, status) => Ok(Exchange::whole(&endpoint, status, Some(document))),
                _ => Err(Refusal::BadAnswer { server: endpoint.server.clone(), what: "it is no response" }),
            };
        }
        let events = Events::new(self.limits.event);
        self.resume(exchange, events).await
    }

    /// Reads on where a stream was left.
    pub(in crate::bridge::legacy) async fn resume(
        self,
        exchange: Exchange,
        events: Events,
    ) -> Result<Exchange, Refusal> {
        let endpoint = Arc::clone(self.errand.endpoint());
        let mut streaming =
            Streaming { answering: Some(self), exchange: Some(exchange), events, first: None };
        match streaming.next(Wait::Answer).await? {
            Some((document, Some(status))) => Ok(Exchange::whole(&endpoint, status, Some(document))),
            Some((notification, None)) => {
                streaming.first = Some(message(&notification));
                Ok(streamed(&endpoint, Box::new(streaming)))
            }
            None => Ok(streamed(&endpoint, Box::new(streaming))),
        }
    }

    fn turned(&self, data: &[u8]) -> Turned {
        match read(data) {
            Ok(Told::Response { id, outcome }) => {
                let own = self.upstream_id.to_string();
                match id {
                    Some(id) if id.as_json() != own => Turned::Nothing,
                    Some(_) | None => self.ended(&outcome),
                }
            }
            Ok(Told::Notification { method, .. }) => match &*method {
                "notifications/progress" => Turned::Passes(Bytes::copy_from_slice(data)),
                // Without a level a modern caller is sent none (2026-07-28 basic/index, `_meta`).
                "notifications/message" if self.wants_log => Turned::Passes(Bytes::copy_from_slice(data)),
                _ => Turned::Nothing,
            },
            Ok(Told::Request { id, method, .. }) if method == "ping" => {
                self.answer_beside(wire::response(id.as_json(), "result", "{}"));
                Turned::Nothing
            }
            Ok(Told::Request { id, method, params }) if self.can.iter().any(|can| *can == method) => {
                let request = Object::default().with("method", splice::string(&method).get());
                let params = params.map(without_legacy_params);
                let request = request.with("params", params.as_deref().unwrap_or("{}")).end();
                Turned::Asks(Question { id, request })
            }
            Ok(Told::Request { id, .. }) => {
                let error = wire::error(-32601, "the client does not take this request");
                self.answer_beside(wire::response(id.as_json(), "error", &error));
                Turned::Nothing
            }
            // What cannot be read cannot be turned into anything.
            Err(_) => Turned::Nothing,
        }
    }

    fn ended(&self, outcome: &Outcome<'_>) -> Turned {
        let id = self.asked.as_json();
        match outcome {
            Outcome::Result(result) => match self.completed(result) {
                Ok(result) => Turned::Ends(wire::response(id, "result", &result), StatusCode::OK),
                Err(_) => {
                    let error = wire::error(-32603, "the server's result has a key twice");
                    Turned::Ends(wire::response(id, "error", &error), StatusCode::OK)
                }
            },
            Outcome::Error { code: -32042, raw, .. } if self.can.contains(&"elicitation/create") => {
                match elicited(raw) {
                    Some(result) => Turned::Ends(wire::response(id, "result", &result), StatusCode::OK),
                    None => Turned::Ends(wire::response(id, "error", raw.get()), StatusCode::OK),
                }
            }
            Outcome::Error { code, raw, .. } => {
                let status = if *code == -32601 { StatusCode::NOT_FOUND } else { StatusCode::OK };
                let modern = match code {
                    // "Resource not found" has had the code of invalid params since 2026-07-28.
                    -32002 => splice::set(raw.get().as_bytes(), &["code"], &number(-32602)).ok(),
                    _ => None,
                };
                let modern = modern.and_then(|error| String::from_utf8(error).ok());
                let error = modern.as_deref().unwrap_or(raw.get());
                Turned::Ends(wire::response(id, "error", error), status)
            }
        }
    }

    /// A result with what a modern one must have (2026-07-28 basic/index and server/utilities/caching).
    fn completed(&self, result: &RawValue) -> Result<String, Refusal> {
        let fields = Fields::read(result).map_err(|_| Refusal::Internal)?;
        let mut object = Object::default().with("resultType", "\"complete\"");
        object = object.with_all(&fields, &["resultType", "ttlMs", "cacheScope", "_meta"]);
        if CACHEABLE.contains(&self.method) {
            object = object.with("ttlMs", "0").with("cacheScope", "\"private\"");
        }
        let meta = fields.get("_meta").map(Fields::read).transpose().map_err(|_| Refusal::Internal)?;
        let mut all = match &meta {
            Some(meta) => Object::default().with_all(meta, &[SERVER_INFO]),
            None => Object::default(),
        };
        if let Some(server) = self.session.server_info() {
            all = all.with(SERVER_INFO, server.get());
        }
        Ok(object.with("_meta", &all.end()).end())
    }

    /// Says something to the server in this session, without waiting for what it says to that.
    fn answer_beside(&self, body: Bytes) {
        let request = post(self.session.head(&self.headers), body, Retry::Unsent);
        let errand = self.errand.clone();
        beside(async move {
            if let Ok(exchange) = errand.send(request).await {
                let _ = done(exchange).await;
            }
        });
    }

    /// Answers a question of the server's.
    pub(in crate::bridge::legacy) async fn tell(&self, body: Bytes) -> Result<(), Refusal> {
        let request = post(self.session.head(&self.headers), body, Retry::Unsent);
        let exchange = self.errand.send(request).await?;
        let taken = exchange.status.is_success();
        done(exchange).await?;
        let server = || self.errand.endpoint().server.clone();
        if taken { Ok(()) } else { Err(Refusal::BadAnswer { server: server(), what: "it took no answer" }) }
    }

    /// Tells the server that nobody waits any more (2025-11-25 basic/utilities/cancellation).
    pub(in crate::bridge::legacy) fn cancel(&self) {
        let params = Object::default().with("requestId", &self.upstream_id.to_string()).end();
        self.answer_beside(wire::notification("notifications/cancelled", &params));
    }
}

impl Streaming {
    /// The next message for the caller; with a status where it is the last.
    async fn next(&mut self, wait: Wait) -> Result<Option<(Bytes, Option<StatusCode>)>, Refusal> {
        loop {
            let Some(answering) = &self.answering else { return Ok(None) };
            let server = || answering.errand.endpoint().server.clone();
            let event = self.events.next_event().map_err(|_| Refusal::BadAnswer {
                server: server(),
                what: "one of its events is too large",
            })?;
            let Some(event) = event else {
                let Some(exchange) = &mut self.exchange else { return Ok(None) };
                let Some(chunk) = exchange.chunk(wait).await? else {
                    self.answering = None;
                    return Ok(None);
                };
                self.events.push(&chunk);
                continue;
            };
            let Some(data) = event.data.filter(|data| !data.is_empty()) else { continue };
            match answering.turned(&data) {
                Turned::Nothing => {}
                Turned::Passes(data) => return Ok(Some((data, None))),
                Turned::Ends(data, status) => {
                    self.answering = None;
                    if let Some(exchange) = self.exchange.take() {
                        beside(async move { drop(done(exchange).await) });
                    }
                    return Ok(Some((data, Some(status))));
                }
                Turned::Asks(question) => {
                    return Ok(self.held(question).map(|data| (data, Some(StatusCode::OK))));
                }
            }
        }
    }

    fn held(&mut self, question: Question) -> Option<Bytes> {
        let (answering, exchange) = (self.answering.take()?, self.exchange.take()?);
        let events = std::mem::replace(&mut self.events, Events::new(0));
        let bridge = Arc::clone(&answering.bridge);
        Some(bridge.hold(super::held::Waiting { answering, exchange, events, question }))
    }
}

#[async_trait]
impl Body for Streaming {
    async fn chunk(&mut self, wait: Wait) -> Result<Option<Bytes>, Refusal> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        Ok(self.next(wait).await?.map(|(data, _)| message(&data)))
    }

    fn stream(&mut self, idle: Duration) {
        if let Some(exchange) = &mut self.exchange {
            exchange.stream(idle);
        }
    }
}

impl Drop for Streaming {
    /// A caller that goes away cancels; a legacy server must be told.
    fn drop(&mut self) {
        if let (Some(answering), Some(_)) = (&self.answering, &self.exchange) {
            answering.cancel();
        }
    }
}

fn streamed(endpoint: &crate::forward::Endpoint, body: Box<dyn Body>) -> Exchange {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Exchange::made(endpoint, StatusCode::OK, headers, body)
}

fn number(number: i64) -> Box<RawValue> {
    RawValue::from_string(number.to_string()).unwrap_or_default()
}

/// What a legacy request has beside what `input_required` knows: ids of its own kinds, and `_meta`.
fn without_legacy_params(params: &RawValue) -> String {
    match Fields::read(params) {
        Ok(fields) => Object::default().with_all(&fields, &["_meta", "elicitationId", "task"]).end(),
        Err(_) => params.get().to_owned(),
    }
}

/// The links of `URLElicitationRequiredError` (2025-11-25) as questions; the caller calls again afterwards.
fn elicited(error: &RawValue) -> Option<String> {
    let data = Fields::read(error).ok()?.get("data")?;
    let all = Fields::read(data).ok()?.list("elicitations").ok()?;
    let mut questions = Object::default();
    for (index, elicitation) in all.into_iter().enumerate() {
        let params = without_legacy_params(elicitation);
        let request =
            Object::default().with("method", "\"elicitation/create\"").with("params", &params).end();
        questions = questions.with(&format!("url-{index}"), &request);
    }
    if questions.is_empty() {
        return None;
    }
    let result = Object::default().with("resultType", "\"input_required\"");
    Some(result.with("inputRequests", &questions.end()).end())
}
