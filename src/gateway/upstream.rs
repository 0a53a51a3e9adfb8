//! The request that goes up: its headers from an allow-list, its body the bytes that were judged.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::catalogue::Class;
use crate::decide::{Permit, Subject};
use crate::decode::{Action, Era, splice};
use crate::forward::{Passage, Request, Retry};
use crate::gateway::Gateway;
use crate::gateway::call::{Call, Way};
use crate::gateway::resume::LAST_EVENT;
use crate::inbound::Head;
use crate::refusal::Refusal;
use crate::vouch::Token;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
const RESUMED: HeaderName = HeaderName::from_static(LAST_EVENT);
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

impl Gateway {
    /// What is sent for a permitted message. Nothing of the client's own head passes but what the protocol mirrors
    /// there, which `decode` has compared with the body.
    pub(in crate::gateway) fn request(
        &self,
        head: &Head,
        way: &Way,
        passage: &Passage,
        token: &Token,
        call: &mut Call,
    ) -> Result<Request, Refusal> {
        let message = passage.permit.message();
        let method = match &message.action {
            Action::OpenStream => Method::GET,
            Action::EndSession => Method::DELETE,
            _ => Method::POST,
        };
        let mut headers = HeaderMap::with_capacity(12);
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        } else {
            headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, AGENT);
        mirrored(head, message.era, &mut headers);
        if let (Action::OpenStream, 1..) = (&message.action, head.count(RESUMED.as_str())) {
            let (event, resumed) = self.resumed(head, way, message.version)?;
            headers.insert(RESUMED, event);
            call.resumed = resumed;
        }
        if let Some((session, _)) = &way.session {
            headers.insert(SESSION, HeaderValue::from_str(session).map_err(|_| Refusal::UnknownSession)?);
        }
        token.apply(&mut headers)?;
        let url = way.url().unwrap_or(&way.server.url);
        let traceparent = call.open.as_mut().and_then(|open| open.send(url));
        let body = if method == Method::POST { traced(&message.bytes, traceparent) } else { Bytes::new() };
        Ok(Request { method, headers, body, query: None, retry: retry(&passage.permit) })
    }
}

/// The body as it was judged; where the call is traced, with the gate's own trace context in `_meta` (SEP-414).
fn traced(body: &Bytes, traceparent: Option<String>) -> Bytes {
    let written = traceparent.and_then(|traceparent| {
        splice::set(body, &["params", "_meta", "traceparent"], &splice::string(&traceparent)).ok()
    });
    written.map_or_else(|| body.clone(), Bytes::from)
}

fn mirrored(head: &Head, era: Era, headers: &mut HeaderMap) {
    for (name, value) in &head.headers {
        let passes = match (name.as_str(), era) {
            ("mcp-protocol-version", _) => true,
            ("mcp-method" | "mcp-name", Era::Modern) => true,
            (name, Era::Modern) => name.starts_with("mcp-param-"),
            (_, Era::Legacy) => false,
        };
        if passes {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// What may be sent twice: what only reads.
fn retry(permit: &Permit) -> Retry {
    match (&permit.message().action, permit.subject()) {
        (Action::CallTool(_), Subject::Tool(tool)) if tool.class == Class::Read => Retry::Harmless,
        (Action::CallTool(_), _) => Retry::Unsent,
        (
            Action::Initialize { .. }
            | Action::Discover
            | Action::Ping
            | Action::List(_)
            | Action::ReadResource { .. }
            | Action::GetPrompt { .. }
            | Action::Complete(_)
            | Action::OpenStream
            | Action::Listen(_)
            | Action::Task { .. },
            _,
        ) => Retry::Harmless,
        (
            Action::Subscribe { .. }
            | Action::Unsubscribe { .. }
            | Action::SetLevel
            | Action::Notify(_)
            | Action::Respond
            | Action::EndSession,
            _,
        ) => Retry::Unsent,
    }
}
