//! Cases by what they attack: `bytes` (one document, two readings), `framing` (JSON-RPC), `era` (revision and headers).

mod bytes;
mod era;
mod framing;

use ::bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;

use super::{Decoded, Era, Message, Rejected, Version, decode};
use crate::inbound::{Head, Target};
use crate::name::ServerName;
use crate::refusal::Refusal;

pub(super) fn head(method: &str, fields: &[(&str, &str)]) -> Head {
    let mut headers = http::HeaderMap::new();
    for (name, value) in fields {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(HeaderName::try_from(*name).unwrap(), value);
    }
    Head {
        method: method.parse().unwrap(),
        target: Target::Server(ServerName::parse("netsuite").unwrap()),
        headers,
        peer: "127.0.0.1:1".parse().unwrap(),
        certificate: None,
    }
}

pub(super) fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/json");
const DEPTH: usize = 64;
const LEGACY: Option<Version> = Some(Version::V2025_11_25);

type Answer = Result<Decoded, Box<Rejected>>;

/// A request in a 2025-11-25 session.
fn legacy(body: impl AsRef<[u8]>) -> Answer {
    let head = head("POST", &[JSON, ("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", "s")]);
    decode(&head, Bytes::copy_from_slice(body.as_ref()), LEGACY, DEPTH)
}

/// A request with these header fields, outside any session.
fn with(fields: &[(&str, &str)], body: &str) -> Answer {
    let fields: Vec<_> = [JSON].iter().chain(fields).copied().collect();
    decode(&head("POST", &fields), Bytes::copy_from_slice(body.as_bytes()), None, DEPTH)
}

fn one(answer: Answer) -> Message {
    match answer {
        Ok(Decoded::One(message)) => message,
        other => panic!("not one message: {other:?}"),
    }
}

fn refusal(answer: Answer) -> Refusal {
    answer.expect_err("it was taken").refusal
}

#[track_caller]
fn invalid(answer: Answer) {
    let refusal = refusal(answer);
    assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
}

#[track_caller]
fn not_json(answer: Answer) {
    let refusal = refusal(answer);
    assert!(matches!(refusal, Refusal::NotJson(_)), "{refusal:?}");
}

#[track_caller]
fn mismatch(answer: Answer) {
    let rejected = answer.expect_err("it was taken");
    assert!(matches!(rejected.refusal, Refusal::HeaderMismatch(_)), "{rejected:?}");
}

fn era(answer: Answer) -> Era {
    one(answer).era
}
