//! What of a server's messages the caller gets: one message at a time, from a document or from a stream alike.
//!
//! # Why a filter that fails drops
//! A list that cannot be read cannot be filtered. Passing it on would show everything, so what cannot be judged is not
//! passed.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::credential::Lease;
use crate::decide::Permit;
use crate::decode::reply::{self, Fields, Outcome, Reply};
use crate::decode::{Action, Era, ListKind, Message, RequestId, Version, splice};
use crate::respond::list::{Listed, Sight};
use crate::respond::redact::Redaction;

const ASKS: &str = "it asks of the client what policy does not let it ask";

/// Judges what a server sends back for one permitted message.
#[derive(Debug)]
pub(crate) struct Filter {
    permit: Permit,
    lease: Lease,
    redaction: Option<Redaction>,
    resumed: Option<Resumed>,
}

/// A call whose answer is awaited on a stream that another request has opened.
#[derive(Debug)]
pub(crate) struct Resumed {
    /// The call, without its arguments.
    pub call: Message,
    /// What policy masks in its answer.
    pub redact: Vec<Arc<str>>,
}

/// What becomes of one message.
#[derive(Debug)]
pub(crate) enum Passed {
    /// It passes as it is.
    AsIs,
    /// It passes, changed.
    Changed(Bytes),
    /// It does not pass, and why.
    Dropped(&'static str),
    /// It does not pass, and the server waits for an answer to it.
    Declined(Declined),
}

/// A request of the server that does not reach the caller.
#[derive(Debug)]
pub(crate) struct Declined {
    /// Its id.
    pub id: RequestId,
    /// Its method, where a server may ask that of a client at all.
    pub method: Option<&'static str>,
    /// Why.
    pub why: &'static str,
}

/// One message judged.
#[derive(Debug)]
pub(crate) struct Judged {
    /// What the caller gets of it.
    pub passed: Passed,
    /// How the call ended, where this message ended it.
    pub ending: Option<Ending>,
    /// The revision that a session was opened with.
    pub opened: Option<Version>,
    /// A task that the call became.
    pub task: Option<String>,
    /// What the server asks of the caller, to whom it passes.
    pub asks: Option<RequestId>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With a result.
    Ok,
    /// With a result that says `isError`.
    ToolError,
    /// With a JSON-RPC error.
    Error(i64),
}

impl Judged {
    fn passing(passed: Passed) -> Self {
        Self { passed, ending: None, opened: None, task: None, asks: None }
    }

    fn dropped(why: &'static str) -> Self {
        Self::passing(Passed::Dropped(why))
    }

    fn declined(id: RequestId, method: &str, why: &'static str) -> Self {
        Self::passing(Passed::Declined(Declined { id, method: reply::server_method(method), why }))
    }
}

impl Filter {
    /// A filter for the answer to the permitted message. `redaction`: what is masked in results.
    pub(crate) fn new(permit: Permit, lease: Lease, redaction: Option<Redaction>) -> Self {
        Self { permit, lease, redaction, resumed: None }
    }

    /// The same on a stream where the answer to an earlier call may come; what is masked in either is masked in both.
    pub(crate) fn resuming(mut self, resumed: Option<Resumed>) -> Self {
        if let Some(resumed) = &resumed {
            let both: Vec<_> = resumed.redact.iter().chain(&self.permit.verdict().redact).cloned().collect();
            self.redaction = Redaction::of(&both);
        }
        Self { resumed, ..self }
    }

    /// The message whose answer is awaited.
    pub(crate) fn asked(&self) -> &Message {
        self.resumed.as_ref().map_or_else(|| self.permit.message(), |resumed| &resumed.call)
    }

    /// What is masked in its answer.
    pub(crate) fn redact(&self) -> &[Arc<str>] {
        self.resumed.as_ref().map_or(&self.permit.verdict().redact, |resumed| &resumed.redact)
    }

    /// The permit of the message that the server was sent.
    pub(crate) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Judges one message of the server.
    pub(crate) fn message(&self, data: &[u8], sight: &impl Sight) -> Judged {
        let masked = self.lease.mask(data);
        let mut judged = self.judge(&masked, sight);
        if let (Passed::AsIs, Cow::Owned(masked)) = (&judged.passed, masked) {
            judged.passed = Passed::Changed(masked.into());
        }
        judged
    }

    fn judge(&self, data: &[u8], sight: &impl Sight) -> Judged {
        let asked = self.asked();
        if matches!(asked.action, Action::List(ListKind::Tools))
            && let Some(page) = sight.page_again(asked, data)
        {
            return Judged { ending: Some(Ending::Ok), ..Judged::passing(Passed::Changed(page)) };
        }
        match reply::read(data) {
            Err(_) => Judged::dropped("it is not one JSON-RPC message"),
            Ok(Reply::Response { id, outcome }) => match (&id, &self.asked().id) {
                (Some(given), Some(asked)) if given == asked => self.response(data, outcome, sight),
                // An error about a request that the server could not read carries no id.
                (None, Some(_)) if matches!(outcome, Outcome::Error { .. }) => {
                    self.response(data, outcome, sight)
                }
                _ => Judged::dropped("it answers another request"),
            },
            Ok(Reply::Request { id, method, params }) => match sight.request(&method) {
                true => self.request(data, id, &method, params),
                false => Judged::declined(id, &method, "policy refuses this request of the server"),
            },
            Ok(Reply::Notification { method, params }) => self.notification(data, &method, params, sight),
        }
    }

    fn response(&self, data: &[u8], outcome: Outcome<'_>, sight: &impl Sight) -> Judged {
        let result = match outcome {
            Outcome::Error { code, raw, .. } => {
                let passed = self.error(data, raw);
                return Judged { ending: Some(Ending::Error(code)), ..Judged::passing(passed) };
            }
            Outcome::Result(result) => result,
        };
        if let Action::List(kind) = &self.asked().action {
            return self.list(data, result, *kind, sight);
        }
        let Ok(fields) = Fields::read(result) else {
            return Judged::dropped("its result has a key twice");
        };
        if asks_refused(&fields, sight) {
            return Judged { ending: Some(ended(&fields)), ..Judged::dropped(ASKS) };
        }
        let mut judged = Judged {
            ending: Some(ended(&fields)),
            ..Judged::passing(self.result(data, result, &fields, sight))
        };
        match &self.asked().action {
            Action::Initialize { .. } => {
                judged.opened = text(&fields, "protocolVersion").and_then(|v| Version::parse(&v))
            }
            Action::CallTool(_) => judged.task = task_of(&fields),
            _ => {}
        }
        judged
    }

    fn error(&self, data: &[u8], error: &RawValue) -> Passed {
        let Some(redaction) = &self.redaction else { return Passed::AsIs };
        match redaction.error(error) {
            Some(masked) => with_result(data, error, masked.get()),
            None => Passed::Dropped("its error cannot be redacted"),
        }
    }

    fn request(&self, data: &[u8], id: RequestId, method: &str, params: Option<&RawValue>) -> Judged {
        let passed = match (&self.redaction, params) {
            (Some(redaction), Some(params)) => match redaction.request(method, params) {
                Some(masked) => with_result(data, params, masked.get()),
                None => return Judged::declined(id, method, "its request cannot be redacted"),
            },
            (Some(_), None) | (None, _) => Passed::AsIs,
        };
        Judged { asks: Some(id), ..Judged::passing(passed) }
    }

    fn result(&self, data: &[u8], result: &RawValue, fields: &Fields<'_>, sight: &impl Sight) -> Passed {
        let sealed = self.sealed(result, fields, sight);
        let changed =
            sealed.and_then(|sealed| Ok(self.changed(sealed.as_deref().unwrap_or(result))?.or(sealed)));
        match changed {
            Ok(None) => Passed::AsIs,
            Ok(Some(changed)) => with_result(data, result, changed.get()),
            Err(why) => Passed::Dropped(why),
        }
    }

    /// The result with the server's state sealed, where it leaves any.
    fn sealed(
        &self,
        result: &RawValue,
        fields: &Fields<'_>,
        sight: &impl Sight,
    ) -> Result<Option<Box<RawValue>>, &'static str> {
        let asked = self.asked();
        if asked.era == Era::Legacy {
            return Ok(None);
        }
        let bad = "its `requestState` is no string";
        let Some(state) = fields.text("requestState").map_err(|_| bad)? else { return Ok(None) };
        let sealed = sight.sealed(asked, &state).ok_or("it leaves `requestState` where there is none")?;
        let bytes = splice::set(result.get().as_bytes(), &["requestState"], &splice::string(&sealed));
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.and_then(|text| RawValue::from_string(text).ok()).map(Some).ok_or(bad)
    }

    /// The result as the caller may have it; `None`: as it is.
    fn changed(&self, result: &RawValue) -> Result<Option<Box<RawValue>>, &'static str> {
        match &self.asked().action {
            Action::CallTool(_) | Action::GetPrompt { .. } | Action::Complete(_) | Action::Task { .. } => {
                self.redacted(result)
            }
            Action::ReadResource { .. } => self
                .redacted(result)
                .map(|redacted| private(redacted.as_deref().unwrap_or(result)).or(redacted)),
            // What a server says of itself is no result of a call.
            Action::Discover => Ok(private(result)),
            Action::Initialize { .. }
            | Action::Ping
            | Action::List(_)
            | Action::Subscribe { .. }
            | Action::Unsubscribe { .. }
            | Action::SetLevel
            | Action::Listen(_)
            | Action::Notify(_)
            | Action::Respond
            | Action::OpenStream
            | Action::EndSession => Ok(None),
        }
    }

    fn list(&self, data: &[u8], result: &RawValue, kind: ListKind, sight: &impl Sight) -> Judged {
        let message = self.asked();
        let first = !matches!(splice::get(&message.bytes, &["params", "cursor"]), Ok(Some(_)));
        let Some(listed) = Listed::read(result, kind) else {
            return Judged { ending: Some(Ending::Ok), ..Judged::dropped("its list cannot be read") };
        };
        let passed = with_result(data, result, &listed.filtered(first, message.era, sight));
        let ending = ended(&listed.fields);
        if let (ListKind::Tools, Ending::Ok, Passed::Changed(passed)) = (kind, ending, &passed) {
            sight.page_seen(message, data, passed);
        }
        Judged { ending: Some(ending), ..Judged::passing(passed) }
    }

    fn redacted(&self, result: &RawValue) -> Result<Option<Box<RawValue>>, &'static str> {
        let Some(redaction) = &self.redaction else { return Ok(None) };
        redaction.result(result).map(Some).ok_or("its result cannot be redacted")
    }

    fn notification(
        &self,
        data: &[u8],
        method: &str,
        params: Option<&RawValue>,
        sight: &impl Sight,
    ) -> Judged {
        let fields = params.map(Fields::read);
        let Ok(fields) = fields.transpose() else { return Judged::dropped("its params have a key twice") };
        let named = |key: &'static str| fields.as_ref().and_then(|fields| text(fields, key));
        let passes = match method {
            "notifications/progress"
            | "notifications/message"
            | "notifications/cancelled"
            | "notifications/elicitation/complete" => {
                let told = |redaction: &Redaction, params: &RawValue| redaction.notification(method, params);
                return told_of(data, params, self.redaction.as_ref(), told);
            }
            "notifications/subscriptions/acknowledged" => true,
            "notifications/prompts/list_changed" => {
                sight.list_changed(ListKind::Prompts);
                true
            }
            // One notification tells of both (MCP 2025-11-25, resources).
            "notifications/resources/list_changed" => {
                sight.list_changed(ListKind::Resources);
                sight.list_changed(ListKind::Templates);
                true
            }
            "notifications/tools/list_changed" => {
                sight.tools_changed();
                true
            }
            "notifications/resources/updated" => named("uri").is_some_and(|uri| sight.resource(&uri)),
            "notifications/tasks" if fields.as_ref().is_some_and(|fields| asks_refused(fields, sight)) => {
                return Judged::dropped(ASKS);
            }
            "notifications/tasks" | "notifications/tasks/status" => {
                return match named("taskId").and_then(|id| sight.task_redaction(&id)) {
                    Some(redaction) => told_of(data, params, redaction.as_ref(), Redaction::result),
                    None => Judged::dropped("it tells of another caller's task"),
                };
            }
            _ => false,
        };
        match passes {
            true => Judged::passing(Passed::AsIs),
            false => Judged::dropped("policy does not know this notification, or hides what it is about"),
        }
    }
}

/// The message with another result, error or params.
fn with_result(data: &[u8], result: &RawValue, new: &str) -> Passed {
    splice::put(data, result, new)
        .map_or(Passed::Dropped("a part of it cannot be replaced"), |bytes| Passed::Changed(bytes.into()))
}

fn ended(fields: &Fields<'_>) -> Ending {
    match fields.get("isError").is_some_and(|flag| flag.get() == "true") {
        true => Ending::ToolError,
        false => Ending::Ok,
    }
}

/// Whether a result asks the client, before the call goes on, for what policy does not let its server ask.
fn asks_refused(fields: &Fields<'_>, sight: &impl Sight) -> bool {
    let Some(requests) = fields.get("inputRequests") else { return false };
    let lets = |request: &RawValue| {
        let method = Fields::read(request).ok().and_then(|request| request.text("method").ok().flatten());
        method.is_some_and(|method| sight.request(&method))
    };
    !Fields::read(requests).is_ok_and(|requests| requests.iter().all(|(_, request)| lets(request)))
}

/// A result that a cache on the way must not serve to another caller; `None` where it says so itself.
fn private(result: &RawValue) -> Option<Box<RawValue>> {
    let scope = splice::get(result.get().as_bytes(), &["cacheScope"]).ok().flatten()?;
    if scope == "\"private\"" {
        return None;
    }
    let private = splice::set(result.get().as_bytes(), &["cacheScope"], &splice::string("private")).ok()?;
    RawValue::from_string(String::from_utf8(private).ok()?).ok()
}

/// A notification with its params as `told` lets them pass.
fn told_of(
    data: &[u8],
    params: Option<&RawValue>,
    redaction: Option<&Redaction>,
    told: impl Fn(&Redaction, &RawValue) -> Option<Box<RawValue>>,
) -> Judged {
    let (Some(redaction), Some(params)) = (redaction, params) else { return Judged::passing(Passed::AsIs) };
    match told(redaction, params) {
        Some(masked) => Judged::passing(with_result(data, params, masked.get())),
        None => Judged::dropped("it cannot be redacted"),
    }
}

/// The task that a call became: `taskId` in the result (2026-07-28) or in its `task` (2025-11-25).
fn task_of(fields: &Fields<'_>) -> Option<String> {
    if let Some(id) = text(fields, "taskId") {
        return Some(id.into_owned());
    }
    let task = Fields::read(fields.get("task")?).ok()?;
    text(&task, "taskId").map(Cow::into_owned)
}

fn text<'a>(fields: &Fields<'a>, key: &'static str) -> Option<Cow<'a, str>> {
    fields.text(key).ok().flatten()
}
