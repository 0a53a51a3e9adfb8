//! Legacy streams that are resumed (MCP 2025-11-25 basic/transports, resumability): the answer to a call may come on a
//! stream that a GET with `Last-Event-ID` opens, when the call's own stream has long ended.
//!
//! # Why in the event's id
//! Such an answer is judged as on the call's own stream: what policy masked there is masked here. What that takes goes with
//! the id of the event, sealed to the caller and their session: any gate resumes any stream, and nothing is kept for streams
//! that nobody comes back to. The arguments of the call are not in it.
//!
//! # Why the session
//! Ids of events are the server's own within a session. One of another session could name a stream whose answer policy
//! masks otherwise.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::decode::{Action, Decoded, Era, Message, Version, decode, splice};
use crate::gateway::Gateway;
use crate::gateway::call::Way;
use crate::gateway::look::own_head;
use crate::identify::Caller;
use crate::identify::session::Sessions;
use crate::inbound::Head;
use crate::name::ServerName;
use crate::refusal::Refusal;
use crate::respond::filter::Resumed;

pub(in crate::gateway) const LAST_EVENT: &str = "last-event-id";

/// What the ids of a stream's events are sealed with.
pub(in crate::gateway) struct Resumable {
    session: Option<String>,
    call: Option<Box<RawValue>>,
    redact: Vec<Arc<str>>,
}

#[derive(Serialize)]
struct Written<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    redact: &'a [&'a str],
}

#[derive(Deserialize)]
struct Read {
    event: String,
    call: Option<Box<RawValue>>,
    #[serde(default)]
    redact: Vec<String>,
}

impl Resumable {
    /// For the stream that answers `message`; nothing where the era has no such thing.
    pub(in crate::gateway) fn of(way: &Way, message: &Message, redact: &[Arc<str>]) -> Option<Self> {
        let session = || way.session.as_ref().map(|(session, _)| session.clone());
        (message.era == Era::Legacy).then(|| Self {
            session: session(),
            call: without_arguments(message),
            redact: redact.to_vec(),
        })
    }

    /// The id that the caller gets for the server's.
    pub(in crate::gateway) fn seal(
        &self,
        sessions: &Sessions,
        (server, caller): (&ServerName, &Caller),
        event: &[u8],
    ) -> Result<String, Refusal> {
        let redact: Vec<&str> = self.redact.iter().map(|pointer| &**pointer).collect();
        let event = std::str::from_utf8(event).map_err(|_| Refusal::Internal)?;
        let written = Written { event, call: self.call.as_deref(), redact: &redact };
        let plain = serde_json::to_vec(&written).map_err(|_| Refusal::Internal)?;
        sessions.seal_event(plain, server, caller, self.session.as_deref())
    }
}

impl Gateway {
    /// The server's own id of the event that the caller got last, and the call that its stream answers. Nobody resumes
    /// another's stream.
    pub(in crate::gateway) fn resumed(
        &self,
        head: &Head,
        way: &Way,
        version: Option<Version>,
    ) -> Result<(HeaderValue, Option<Resumed>), Refusal> {
        let unknown = || Refusal::Invalid("`Last-Event-ID` is no event that you were given".into());
        let text = head.header(LAST_EVENT).ok_or_else(unknown)?;
        let session = way.session.as_ref().map(|(session, _)| session.as_str());
        let open = |session| self.sessions.open_event(text, &way.server.name, &way.caller, session);
        // The stream that opens a session begins before its id is known; no call is answered there.
        let (plain, own) = match open(session) {
            Some(plain) => (plain, true),
            None => (open(None).ok_or_else(unknown)?, false),
        };
        let read: Read = serde_json::from_slice(&plain).map_err(|_| unknown())?;
        let event = HeaderValue::from_bytes(read.event.as_bytes()).map_err(|_| unknown())?;
        let depth = self.config.listen.limits.json_depth;
        let call = read.call.filter(|_| own).and_then(|call| again(way, &call, version, depth));
        let redact = read.redact.into_iter().map(Arc::from).collect();
        Ok((event, call.map(|call| Resumed { call, redact })))
    }
}

/// A request as far as its answer depends on it; `None`: it has no answer, or none that comes later.
fn without_arguments(message: &Message) -> Option<Box<RawValue>> {
    message.id.as_ref()?;
    if matches!(message.action, Action::Initialize { .. } | Action::Respond) {
        return None;
    }
    let mut bytes = message.bytes.to_vec();
    for member in ["arguments", "_meta", "argument", "context"] {
        if let Ok(Some(without)) = splice::remove(&bytes, &["params", member]) {
            bytes = without;
        }
    }
    RawValue::from_string(String::from_utf8(bytes).ok()?).ok()
}

/// The request as it was read then.
fn again(way: &Way, call: &RawValue, version: Option<Version>, depth: usize) -> Option<Message> {
    let body = Bytes::copy_from_slice(call.get().as_bytes());
    match decode(&own_head(way, None), body, version, depth).ok()? {
        Decoded::One(message) => Some(message),
        Decoded::Batch(_) => None,
    }
}
