//! What a server sends: one JSON-RPC message, read strictly enough to be judged and filtered.
//!
//! # Why
//! A list filter that takes the first `tools` while the client takes the last one filters nothing. So keys that a filter
//! reads may be there once only, and nothing may be there that could be taken for one of them.

use std::borrow::Cow;

use serde::de::MapAccess;
use serde_json::value::RawValue;

use super::RequestId;
use super::json::{self, Flaw};
use super::object::{Members, Object, Scalar, Text};

/// Why a server's message is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadReply(String);

impl From<Flaw> for BadReply {
    fn from(flaw: Flaw) -> Self {
        Self(flaw.to_string())
    }
}

/// One message of a server.
#[derive(Debug)]
pub enum Reply<'a> {
    /// The answer to a request.
    Response {
        /// The request's id; an error about an unreadable request has none.
        id: Option<RequestId>,
        /// What came of it.
        outcome: Outcome<'a>,
    },
    /// A request of the server (legacy).
    Request {
        /// Its id.
        id: RequestId,
        /// Its method, decoded.
        method: Cow<'a, str>,
        /// Its params, an object.
        params: Option<&'a RawValue>,
    },
    /// A notification.
    Notification {
        /// Its method, decoded.
        method: Cow<'a, str>,
        /// Its params, an object.
        params: Option<&'a RawValue>,
    },
}

/// What came of a request.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// A result, an object.
    Result(&'a RawValue),
    /// An error.
    Error {
        /// Its code.
        code: i64,
        /// Its text, decoded.
        message: Cow<'a, str>,
        /// The whole error object.
        raw: &'a RawValue,
    },
}

/// Reads one message of a server. Of its payload only the syntax is checked; see [`Fields`] and [`strict`].
///
/// # Errors
/// Not JSON in UTF-8, not one JSON-RPC 2.0 message, a key of the envelope twice or in another spelling.
pub fn read(bytes: &[u8]) -> Result<Reply<'_>, BadReply> {
    let text = json::text(bytes)?;
    let object = Object { into: Envelope::default(), left: json::DEEPEST };
    let Some(fields) = json::read(text, object)? else { return Err(bad("not an object")) };
    if fields.jsonrpc.text() != Some("2.0") {
        return Err(bad("`jsonrpc` is not \"2.0\""));
    }
    let id = fields.id.filter(|raw| raw.get() != "null").map(RequestId::read).transpose()?;
    match fields {
        Envelope { method: Scalar::Absent, result: Some(raw), error: None, .. } => result(id, raw),
        Envelope { method: Scalar::Absent, result: None, error: Some(raw), .. } => {
            Ok(Reply::Response { id, outcome: error(raw)? })
        }
        Envelope { method: Scalar::Text(method), params, result: None, error: None, .. } => {
            call(id, method, params)
        }
        Envelope { .. } => Err(bad("neither a request, a notification nor a response")),
    }
}

/// What a server may ask of a client (2024-11-05 … 2025-11-25; nothing since): `None` for any other method.
#[must_use]
pub fn server_method(name: &str) -> Option<&'static str> {
    const ALL: [&str; 8] = [
        "ping",
        "sampling/createMessage",
        "elicitation/create",
        "roots/list",
        "tasks/get",
        "tasks/result",
        "tasks/list",
        "tasks/cancel",
    ];
    ALL.into_iter().find(|known| *known == name)
}

/// The messages of an array that a 2025-03-26 server may send, or the one message itself.
///
/// # Errors
/// Not JSON in UTF-8, or an empty array.
pub fn split(bytes: &[u8]) -> Result<Vec<&[u8]>, BadReply> {
    let text = json::text(bytes)?;
    if !text.trim_start().starts_with('[') {
        return Ok(vec![bytes]);
    }
    let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| bad(&error.to_string()))?;
    if elements.is_empty() {
        return Err(bad("an empty batch"));
    }
    Ok(elements.into_iter().map(|element| element.get().as_bytes()).collect())
}

/// Checks a payload at every level: no key twice, bounded depth, numbers that a double can hold.
///
/// # Errors
/// What is wrong with it.
pub fn strict(raw: &RawValue, depth: usize) -> Result<(), BadReply> {
    Ok(json::walk(raw, json::bounded(depth))?)
}

fn bad(what: &str) -> BadReply {
    BadReply(what.to_owned())
}

fn result<'a>(id: Option<RequestId>, raw: &'a RawValue) -> Result<Reply<'a>, BadReply> {
    if id.is_none() || !json::is_object(raw) {
        return Err(bad("a result without an id, or that is no object"));
    }
    Ok(Reply::Response { id, outcome: Outcome::Result(raw) })
}

fn error(raw: &RawValue) -> Result<Outcome<'_>, BadReply> {
    let fields = Fields::read(raw)?;
    let code = fields.get("code").and_then(|code| code.get().parse().ok());
    match (code, fields.text("message")?) {
        (Some(code), Some(message)) => Ok(Outcome::Error { code, message, raw }),
        (_, _) => Err(bad("an error without an integer code and a message")),
    }
}

fn call<'a>(
    id: Option<RequestId>,
    method: Cow<'a, str>,
    params: Option<&'a RawValue>,
) -> Result<Reply<'a>, BadReply> {
    if params.is_some_and(|params| !json::is_object(params)) {
        return Err(bad("`params` is no object"));
    }
    Ok(match id {
        Some(id) => Reply::Request { id, method, params },
        None => Reply::Notification { method, params },
    })
}

/// The envelope, with members of the server's own beside the known ones.
#[derive(Debug, Default)]
struct Envelope<'a> {
    jsonrpc: Scalar<'a>,
    id: Option<&'a RawValue>,
    method: Scalar<'a>,
    params: Option<&'a RawValue>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
}

impl<'de> Members<'de> for Envelope<'de> {
    const KNOWN: &'static [&'static str] = &["jsonrpc", "id", "method", "params", "result", "error"];

    fn member<A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        left: usize,
        members: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "jsonrpc" => self.jsonrpc = members.next_value_seed(Text { left })?,
            "method" => self.method = members.next_value_seed(Text { left })?,
            "id" => self.id = Some(members.next_value()?),
            "params" => self.params = Some(members.next_value()?),
            "result" => self.result = Some(members.next_value()?),
            _ => self.error = Some(members.next_value()?),
        }
        Ok(())
    }
}

/// The members of one object in their order, each key once; their values are raw text.
#[derive(Debug)]
pub struct Fields<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// Reads the members of an object, such as a result, a tool or a resource.
    ///
    /// # Errors
    /// Not an object, or a key twice (compared decoded).
    pub fn read(raw: &'a RawValue) -> Result<Self, BadReply> {
        if !json::is_object(raw) {
            return Err(bad("not an object"));
        }
        Ok(Self { members: json::read(raw.get(), json::Members)? })
    }

    /// Reads the members of an object and, in the same pass, the elements of its member `list`, which stands among the
    /// members as `null`.
    ///
    /// # Errors
    /// As [`Fields::read`]; or the list is not there or no array, or another key could be taken for it.
    pub fn with_list(raw: &'a RawValue, list: &'static str) -> Result<(Self, Vec<&'a RawValue>), BadReply> {
        if !json::is_object(raw) {
            return Err(bad("not an object"));
        }
        let (members, elements) = json::read(raw.get(), json::MembersAndList(list))?;
        let fields = Self { members };
        fields.unmistakable(list)?;
        elements.map(|elements| (fields, elements)).ok_or_else(|| bad("the list is not there"))
    }

    /// The members, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members.iter().map(|(name, value)| (&**name, *value))
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// The member of that name as text.
    ///
    /// # Errors
    /// It is there and not a string, or another key could be taken for it.
    pub fn text(&self, key: &'static str) -> Result<Option<Cow<'a, str>>, BadReply> {
        self.unmistakable(key)?;
        let read = |raw: &'a RawValue| json::read(raw.get(), json::Key).map_err(BadReply::from);
        self.get(key).map(read).transpose()
    }

    /// The elements of the member of that name; none where it is not there.
    ///
    /// # Errors
    /// It is there and not an array, or another key could be taken for it.
    pub fn list(&self, key: &'static str) -> Result<Vec<&'a RawValue>, BadReply> {
        self.unmistakable(key)?;
        let Some(raw) = self.get(key) else { return Ok(Vec::new()) };
        serde_json::from_str(raw.get()).map_err(|_| bad("a list that is no array"))
    }

    /// Refuses a member that some client could take for `key`.
    fn unmistakable(&self, key: &'static str) -> Result<(), BadReply> {
        let known = &[key];
        let like = |name: &str| name != key && super::keys::lookalike(name, known).is_some();
        match self.members.iter().find(|(name, _)| like(name)) {
            Some((name, _)) => {
                Err(BadReply(format!("the key {} could be taken for `{key}`", json::quoted(name))))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
