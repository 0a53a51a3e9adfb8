//! The pieces that both directions are made of: JSON objects member by member, heads without an era, answers as messages.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::value::RawValue;

use crate::decode::reply::Fields;
use crate::decode::splice;
use crate::decode::sse::Events;
use crate::refusal::Refusal;

/// `MCP-Protocol-Version` of the modern era.
pub(in crate::bridge) const MODERN: HeaderValue = HeaderValue::from_static("2026-07-28");
/// What the protocol's own keys in `_meta` begin with (2026-07-28 basic/index, `_meta`).
pub(in crate::bridge) const RESERVED: &str = "io.modelcontextprotocol/";

/// A JSON object as it is written.
#[derive(Default)]
pub(in crate::bridge) struct Object(String);

impl Object {
    /// With one member more, whose value is JSON.
    pub(in crate::bridge) fn with(mut self, key: &str, json: &str) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(splice::string(key).get());
        self.0.push(':');
        self.0.push_str(json);
        self
    }

    /// With one member more, if it is there.
    pub(in crate::bridge) fn with_some(self, key: &str, json: Option<&RawValue>) -> Self {
        match json {
            Some(json) => self.with(key, json.get()),
            None => self,
        }
    }

    /// With all members of an object but some.
    pub(in crate::bridge) fn with_all(self, fields: &Fields<'_>, but: &[&str]) -> Self {
        let kept = fields.iter().filter(|(key, _)| !but.contains(key));
        kept.fold(self, |object, (key, value)| object.with(key, value.get()))
    }

    pub(in crate::bridge) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::bridge) fn end(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

/// A request, as JSON.
pub(in crate::bridge) fn request(id: &str, method: &str, params: &str) -> Bytes {
    let object = Object::default().with("jsonrpc", "\"2.0\"").with("id", id);
    object.with("method", splice::string(method).get()).with("params", params).end().into()
}

/// A notification, as JSON.
pub(in crate::bridge) fn notification(method: &str, params: &str) -> Bytes {
    let object = Object::default().with("jsonrpc", "\"2.0\"");
    object.with("method", splice::string(method).get()).with("params", params).end().into()
}

/// The answer to a request, as JSON: `outcome` is `result` or `error`.
pub(in crate::bridge) fn response(id: &str, outcome: &str, json: &str) -> Bytes {
    Object::default().with("jsonrpc", "\"2.0\"").with("id", id).with(outcome, json).end().into()
}

/// An error, as JSON.
pub(in crate::bridge) fn error(code: i64, message: &str) -> String {
    Object::default().with("code", &code.to_string()).with("message", splice::string(message).get()).end()
}

/// A member of a document that was judged, so that it has each key once.
pub(in crate::bridge) fn part<'a>(document: &'a [u8], path: &[&str]) -> Option<&'a RawValue> {
    let text = splice::get(document, path).ok().flatten()?;
    serde_json::from_str(text).ok()
}

/// Text of a member, decoded.
pub(in crate::bridge) fn text(json: &RawValue) -> Option<String> {
    serde_json::from_str(json.get()).ok()
}

/// The members of the `params` of a request that was judged.
pub(in crate::bridge) fn params(request: &[u8]) -> Result<Option<&RawValue>, Refusal> {
    #[derive(serde::Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    let envelope: Envelope<'_> = serde_json::from_slice(request).map_err(|_| Refusal::Internal)?;
    Ok(envelope.params)
}

/// A head without what belongs to one era.
pub(in crate::bridge) fn bare(headers: &HeaderMap) -> HeaderMap {
    let of_an_era = |name: &str| {
        matches!(
            name,
            "mcp-protocol-version" | "mcp-session-id" | "mcp-method" | "mcp-name" | "last-event-id"
        ) || name.starts_with("mcp-param-")
    };
    let kept = headers.iter().filter(|(name, _)| !of_an_era(name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A value as it is mirrored in a header: plain where that is safe, else behind the Base64 sentinel (SEP-2243).
pub(in crate::bridge) fn mirrored(value: &str) -> Result<HeaderValue, Refusal> {
    let plain = value.bytes().all(|b| (b' '..=b'~').contains(&b))
        && value.trim() == value
        && !(value.starts_with("=?base64?") && value.ends_with("?="));
    let value = match plain {
        true => Cow::Borrowed(value),
        false => Cow::Owned(format!("=?base64?{}?=", STANDARD.encode(value))),
    };
    HeaderValue::from_str(&value).map_err(|_| Refusal::Internal)
}

/// The messages of a whole body, be it a document or a stream of events.
pub(in crate::bridge) fn messages(body: &Bytes, is_events: bool, limit: usize) -> Vec<Bytes> {
    if !is_events {
        return if body.is_empty() { Vec::new() } else { vec![body.clone()] };
    }
    let mut events = Events::new(limit);
    events.push(body);
    let mut messages = Vec::new();
    while let Ok(Some(event)) = events.next_event() {
        messages.extend(event.data.filter(|data| !data.is_empty()));
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_cannot_carry_goes_behind_the_sentinel_of_sep_2243() {
        for (value, header) in [
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            ("us west 1", "us west 1"),
            ("", ""),
        ] {
            assert_eq!(mirrored(value).unwrap(), header, "{value:?}");
        }
    }

    #[test]
    fn an_object_is_written_member_by_member() {
        assert_eq!(Object::default().end(), "{}");
        let object = Object::default().with("a\"b", "1").with("c", "[2]").end();
        assert_eq!(object, r#"{"a\"b":1,"c":[2]}"#);
    }
}
