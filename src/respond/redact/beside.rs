//! What a server says beside results: errors, notifications, questions to the caller, the state of tasks.
//!
//! # Why so little passes
//! Pointers are written for results. Nothing tells where in a log line or an error the same value stands, so of these only
//! passes what the protocol itself needs.

use serde_json::value::RawValue;

use crate::decode::reply::Fields;
use crate::respond::raw::{Object, quoted};
use crate::respond::redact::{Redaction, WITHHELD, meta};

/// Errors of the protocol itself, whose data a client needs to go on (MCP 2026-07-28 basic, error codes).
const PROTOCOL: std::ops::RangeInclusive<i64> = -32022..=-32020;

/// What becomes of a member.
enum Fate {
    Passes,
    Withheld,
    Goes,
}

impl Redaction {
    /// A JSON-RPC error: its code, and its words only where they are the protocol's own.
    pub(crate) fn error(&self, error: &RawValue) -> Option<Box<RawValue>> {
        let members = Fields::read(error).ok()?;
        let code: i64 = members.get("code")?.get().parse().ok()?;
        if PROTOCOL.contains(&code) {
            return Some(error.to_owned());
        }
        let mut object = Object::sized(128);
        object.add("code", &code.to_string());
        object.add("message", quoted(WITHHELD)?.get());
        object.finish()
    }

    /// The params of a notification that concerns a call.
    pub(crate) fn notification(&self, method: &str, params: &RawValue) -> Option<Box<RawValue>> {
        let fate = |key: &str| match (method, key) {
            ("notifications/progress", "message") | ("notifications/message", "data") => Fate::Withheld,
            ("notifications/progress", "progressToken" | "progress" | "total")
            | ("notifications/message", "level" | "logger")
            | ("notifications/cancelled", "requestId")
            | ("notifications/elicitation/complete", "elicitationId") => Fate::Passes,
            (_, _) => Fate::Goes,
        };
        only(params, fate)
    }

    /// The params of a request of the server to its caller; `None` where it is not to be passed.
    pub(crate) fn request(&self, method: &str, params: &RawValue) -> Option<Box<RawValue>> {
        match method {
            "ping" | "roots/list" => only(params, |_| Fate::Goes),
            "elicitation/create" => only(params, |key| match key {
                "message" => Fate::Withheld,
                "mode" | "url" | "elicitationId" | "requestedSchema" | "task" => Fate::Passes,
                _ => Fate::Goes,
            }),
            "sampling/createMessage" => self.sampling(params),
            _ => None,
        }
    }

    fn sampling(&self, params: &RawValue) -> Option<Box<RawValue>> {
        let members = Fields::read(params).ok()?;
        let mut object = Object::sized(params.get().len());
        for (key, value) in members.iter() {
            match key {
                "messages" => object.add(key, self.messages(value)?.get()),
                "systemPrompt" => object.add(key, quoted(WITHHELD)?.get()),
                "_meta" => object.add(key, meta(value)?.get()),
                "maxTokens" | "temperature" | "modelPreferences" | "includeContext" | "toolChoice"
                | "tools" | "task" => object.add(key, value.get()),
                _ => {}
            }
        }
        object.finish()
    }

    /// The questions of a call in several rounds, by their names; `None` where one of them is not to be passed.
    pub(in crate::respond::redact) fn requests(&self, requests: &RawValue) -> Option<Box<RawValue>> {
        let requests = Fields::read(requests).ok()?;
        let mut object = Object::sized(256);
        for (name, request) in requests.iter() {
            let members = Fields::read(request).ok()?;
            let method = members.text("method").ok()??;
            let mut asked = Object::sized(256);
            asked.add("method", quoted(&method)?.get());
            if let Some(params) = members.get("params") {
                asked.add("params", self.request(&method, params)?.get());
            }
            object.add(name, asked.finish()?.get());
        }
        object.finish()
    }

    /// A task as lists and results tell of it, without its words.
    pub(crate) fn task(&self, task: &RawValue) -> Option<Box<RawValue>> {
        only(task, |key| if of_task(key) { Fate::Passes } else { Fate::Goes })
    }
}

/// The members of a task that are the protocol's own.
pub(in crate::respond::redact) fn of_task(key: &str) -> bool {
    matches!(
        key,
        "taskId"
            | "status"
            | "createdAt"
            | "lastUpdatedAt"
            | "ttl"
            | "ttlMs"
            | "pollInterval"
            | "pollIntervalMs"
    )
}

/// The object with each member as its name decides; `_meta` keeps what is the protocol's.
fn only(object: &RawValue, fate: impl Fn(&str) -> Fate) -> Option<Box<RawValue>> {
    let members = Fields::read(object).ok()?;
    let mut changed = Object::sized(object.get().len());
    for (key, value) in members.iter() {
        match fate(key) {
            _ if key == "_meta" => changed.add(key, meta(value)?.get()),
            Fate::Passes => changed.add(key, value.get()),
            Fate::Withheld => changed.add(key, quoted(WITHHELD)?.get()),
            Fate::Goes => {}
        }
    }
    changed.finish()
}
