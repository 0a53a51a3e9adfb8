//! The one table of refusals: HTTP status, JSON-RPC code, reason and whether a retry helps.
//!
//! # Why 200
//! Only HTTP 200 with a JSON-RPC error, or with a result that says `isError`, reaches every official SDK client as
//! structured data. Other statuses are kept for what the transport itself defines.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::decode::{Era, RequestId};
use crate::name::Invocation;
use crate::refusal::{Exhausted, Refusal};
use crate::respond::Answer;

/// What an answer to a refusal needs to know of the message.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The id to echo, where it could be read.
    pub id: Option<RequestId>,
    /// The era of the message, where it could be told.
    pub era: Era,
    /// Whether it is a `tools/call`, whose refusals the model itself should read.
    pub tool_call: bool,
    /// The message in flight.
    pub invocation: Invocation,
}

/// A row of the table.
struct Row {
    status: u16,
    code: i64,
    retryable: bool,
    form: Form,
}

/// How the caller is told.
#[derive(PartialEq)]
enum Form {
    /// A JSON-RPC error without an id: the message was not read or not believed.
    WithoutId,
    /// A JSON-RPC error with the message's id.
    Error,
    /// A tool result with `isError`, where the message is a tool call; else as `Error`.
    ToolResult,
}

const fn row(status: u16, code: i64, retryable: bool, form: Form) -> Row {
    Row { status, code, retryable, form }
}

/// Section 4 of the design, row by row.
fn row_of(refusal: &Refusal, era: Era) -> Row {
    use Form::{Error, ToolResult, WithoutId};
    let modern = era == Era::Modern;
    match refusal {
        Refusal::ForeignHost => row(403, -31403, false, WithoutId),
        Refusal::ForeignOrigin => row(403, -31403, false, WithoutId),
        Refusal::NoSuchPath => row(404, -31404, false, WithoutId),
        Refusal::UnknownUrl => row(404, -31404, false, WithoutId),
        Refusal::MethodNotAllowed { .. } => row(405, -32600, false, WithoutId),
        Refusal::BadHttp(_) => row(400, -32600, false, WithoutId),
        Refusal::HeaderTooLarge { .. } => row(431, -32600, false, WithoutId),
        Refusal::BodyTooLarge { .. } => row(413, -32600, false, WithoutId),
        Refusal::BodyTimeout => row(408, -32600, true, WithoutId),
        Refusal::Overloaded(_) => row(503, -31503, true, WithoutId),
        Refusal::NotAuthenticated => row(401, -31401, false, WithoutId),
        Refusal::BadCredential(_) => row(401, -31401, false, WithoutId),
        Refusal::BadDpopProof(_) | Refusal::StepUp { .. } => row(401, -31401, false, WithoutId),
        Refusal::UseDpopNonce { .. } => row(401, -31401, true, WithoutId),
        Refusal::IdentityUnavailable => row(503, -31503, true, WithoutId),
        Refusal::InsufficientScope { .. } => row(403, -31403, false, WithoutId),
        Refusal::UnsupportedMedia(_) => row(415, -32600, false, WithoutId),
        Refusal::NotJson(_) => row(400, -32700, false, WithoutId),
        Refusal::Invalid(_) => row(400, -32600, false, Error),
        Refusal::MalformedParams(_) => row(400, -32602, false, Error),
        Refusal::BadParams(_) => row(200, -32602, false, Error),
        Refusal::HeaderMismatch(_) => row(400, -32020, false, Error),
        Refusal::UnsupportedVersion { .. } if modern => row(400, -32022, false, Error),
        Refusal::UnsupportedVersion { .. } => row(400, -32600, false, WithoutId),
        Refusal::MissingCapability(_) => row(400, -32021, false, Error),
        Refusal::UnknownMethod(_) => row(if modern { 404 } else { 200 }, -32601, false, Error),
        Refusal::UnknownSession => row(404, -31404, false, WithoutId),
        Refusal::SessionRequired => row(400, -32600, false, WithoutId),
        Refusal::UnknownTool(_) | Refusal::NotPinned { .. } => row(200, -32602, false, Error),
        // Only resources ever had a code of their own for it, up to 2025-11-25.
        Refusal::NotFound("resource") | Refusal::NotApproved { what: "resource", .. } if !modern => {
            row(200, -32002, false, Error)
        }
        Refusal::NotFound(_) | Refusal::NotApproved { .. } => row(200, -32602, false, Error),
        Refusal::Denied { .. } => row(200, -31403, false, ToolResult),
        Refusal::Constrained { .. } => row(200, -31403, false, ToolResult),
        Refusal::PolicyFailed => row(200, -31403, false, ToolResult),
        Refusal::OtherSubject => row(403, -31403, false, WithoutId),
        Refusal::TooMany(_) => row(200, -31429, true, ToolResult),
        Refusal::NeedsReauth { .. } => row(200, -31407, false, Error),
        Refusal::NoAccount(_) => row(200, -31407, false, Error),
        Refusal::CredentialUnavailable { .. } => row(200, -31503, true, Error),
        Refusal::Unreachable { .. } => row(200, -31502, true, Error),
        Refusal::TimedOut { .. } => row(200, -31504, false, Error),
        Refusal::BadAnswer { .. } => row(200, -31502, false, Error),
        Refusal::UpstreamBusy { .. } => row(200, -31503, true, Error),
        Refusal::ClientGone => row(200, -31499, false, Error),
        Refusal::NotRecorded => row(200, -31500, true, Error),
        Refusal::Internal => row(200, -32603, false, Error),
    }
}

impl Refusal {
    /// The JSON-RPC code that the caller gets.
    #[must_use]
    pub fn code(&self, era: Era) -> i64 {
        row_of(self, era).code
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany(exhausted) => Some(exhausted.retry),
            Self::UpstreamBusy { retry, .. } => *retry,
            Self::Overloaded(_) | Self::IdentityUnavailable | Self::CredentialUnavailable { .. } => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }
}

#[derive(Serialize)]
struct Document<'a, P: Serialize> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a serde_json::value::RawValue>,
    #[serde(flatten)]
    payload: P,
}

#[derive(Serialize)]
struct ErrorPayload<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    code: i64,
    message: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct ResultPayload<'a> {
    result: ToolResult<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolResult<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
    content: [Text; 1],
    is_error: bool,
    #[serde(rename = "_meta")]
    meta: Meta<'a>,
}

#[derive(Serialize)]
struct Text {
    #[serde(rename = "type")]
    kind: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Meta<'a> {
    #[serde(rename = "dev.portcullis/refusal")]
    refusal: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    reason: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    invocation: Invocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supported: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "requiredCapabilities")]
    required: Option<Required>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
}

/// `ClientCapabilities` (2026-07-28 basic/index, error codes).
#[derive(Serialize)]
struct Required {
    extensions: BTreeMap<&'static str, serde_json::Map<String, serde_json::Value>>,
}

impl Required {
    fn extension(name: &'static str) -> Self {
        Self { extensions: BTreeMap::from([(name, serde_json::Map::new())]) }
    }
}

impl<'a> Data<'a> {
    fn of(refusal: &'a Refusal, row: &Row, invocation: Invocation) -> Self {
        let mut data = Self {
            reason: refusal.told(),
            retryable: row.retryable,
            retry_after_ms: refusal
                .retry_after()
                .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            invocation,
            code: None,
            argument: None,
            supported: None,
            requested: None,
            required: None,
            server: None,
        };
        match refusal {
            Refusal::Denied { code, .. } => data.code = code.as_deref(),
            Refusal::Constrained { argument, .. } => data.argument = Some(argument),
            Refusal::UnsupportedVersion { requested } => {
                data.supported = Some(["2026-07-28"]);
                data.requested = Some(requested);
            }
            Refusal::MissingCapability(extension) => data.required = Some(Required::extension(extension)),
            Refusal::NeedsReauth { server } | Refusal::NoAccount(server) => {
                data.server = Some(server.as_str())
            }
            _ => {}
        }
        data
    }
}

/// The HTTP status of a refusal that is told outside of JSON-RPC, where 200 would say that all is well.
pub(in crate::respond) fn status(refusal: &Refusal) -> StatusCode {
    match StatusCode::from_u16(row_of(refusal, Era::Modern).status) {
        Ok(StatusCode::OK) | Err(_) => StatusCode::BAD_REQUEST,
        Ok(status) => status,
    }
}

/// The answer to a refused message. `challenge` is the `WWW-Authenticate` value for 401 and 403.
pub(crate) fn answer<S>(refusal: &Refusal, asked: &Asked, challenge: Option<HeaderValue>) -> Answer<S> {
    let row = row_of(refusal, asked.era);
    let data = Data::of(refusal, &row, asked.invocation);
    let id = match row.form {
        Form::WithoutId => None,
        Form::Error | Form::ToolResult => asked.id.as_ref().and_then(raw),
    };
    let body = if row.form == Form::ToolResult && asked.tool_call {
        tool_result(refusal, asked, id.as_deref(), data)
    } else {
        let error = ErrorObject { code: row.code, message: refusal.to_string(), data };
        to_bytes(&Document { jsonrpc: "2.0", id: id.as_deref(), payload: ErrorPayload { error } })
    };
    let status = StatusCode::from_u16(row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = Answer::json(status, body);
    if let Some(challenge) = challenge {
        answer = answer.with(WWW_AUTHENTICATE, challenge);
    }
    headers(refusal, answer)
}

fn raw(id: &RequestId) -> Option<Box<serde_json::value::RawValue>> {
    serde_json::value::RawValue::from_string(id.as_json().to_owned()).ok()
}

fn tool_result(
    refusal: &Refusal,
    asked: &Asked,
    id: Option<&serde_json::value::RawValue>,
    data: Data<'_>,
) -> Bytes {
    let advice = match (data.retryable, data.retry_after_ms) {
        (true, Some(ms)) => format!(" Retrying helps after {ms} ms."),
        (true, None) => " Retrying may help.".to_owned(),
        (false, _) => " Retrying the same call will not help.".to_owned(),
    };
    let text = format!("Refused: {refusal}.{advice} (invocation {})", asked.invocation);
    let result = ToolResult {
        result_type: (asked.era == Era::Modern).then_some("complete"),
        content: [Text { kind: "text", text }],
        is_error: true,
        meta: Meta { refusal: data },
    };
    to_bytes(&Document { jsonrpc: "2.0", id, payload: ResultPayload { result } })
}

fn to_bytes(document: &impl Serialize) -> Bytes {
    // These documents are made of strings and numbers; they always serialise.
    serde_json::to_vec(document).unwrap_or_default().into()
}

pub(in crate::respond) fn headers<S>(refusal: &Refusal, mut answer: Answer<S>) -> Answer<S> {
    if let Refusal::MethodNotAllowed { allow } = refusal {
        answer = answer.with(ALLOW, HeaderValue::from_static(allow));
    }
    if let Refusal::UseDpopNonce { nonce } = refusal
        && let Ok(nonce) = HeaderValue::from_str(nonce)
    {
        answer = answer.with(HeaderName::from_static("dpop-nonce"), nonce);
    }
    if let Some(wait) = refusal.retry_after() {
        answer = answer.with(RETRY_AFTER, seconds(wait).into());
    }
    if let Refusal::TooMany(Exhausted { limit, remaining, retry, .. }) = refusal {
        answer = answer
            .with(HeaderName::from_static("ratelimit-limit"), HeaderValue::from(*limit))
            .with(HeaderName::from_static("ratelimit-remaining"), HeaderValue::from(*remaining))
            .with(HeaderName::from_static("ratelimit-reset"), seconds(*retry).into());
    }
    answer
}

/// Whole seconds, rounded up and at least one: `Retry-After: 0` would invite a loop.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests;
