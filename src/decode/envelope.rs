//! The JSON-RPC envelope: exactly `jsonrpc`, `id`, `method`, `params`, or `jsonrpc`, `id`, `result` or `error`.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::MapAccess;
use serde_json::value::RawValue;

use super::RequestId;
use super::json::{self, Flaw};
use super::object::{Members, Object, Scalar, Text};
use super::params::Params;
use crate::refusal::Refusal;

/// One message of a client, before its method is known.
#[derive(Debug)]
pub(super) enum Envelope<'a> {
    /// A request, or a notification where there is no id.
    Call {
        /// The id.
        id: Option<RequestId>,
        /// The method, decoded.
        method: Cow<'a, str>,
        /// The params, empty where there are none.
        params: Box<Params<'a>>,
    },
    /// An answer to a request of the server.
    Response {
        /// The id of that request.
        id: RequestId,
    },
}

/// The members as they came.
#[derive(Debug, Default)]
struct Fields<'a> {
    jsonrpc: Scalar<'a>,
    id: Option<&'a RawValue>,
    method: Scalar<'a>,
    params: Given<'a>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
}

/// The params as they were given.
#[derive(Debug, Default)]
enum Given<'a> {
    #[default]
    Absent,
    Object(Box<Params<'a>>),
    Other,
}

impl<'de> Members<'de> for Fields<'de> {
    const KNOWN: &'static [&'static str] = &["jsonrpc", "id", "method", "params", "result", "error"];
    const CLOSED: bool = true;

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
            "params" => {
                let object = Object { into: Params::default(), left };
                let params = members.next_value_seed(object)?;
                self.params = params.map_or(Given::Other, |params| Given::Object(Box::new(params)));
            }
            "result" => self.result = Some(members.next_value()?),
            _ => self.error = Some(members.next_value()?),
        }
        Ok(())
    }
}

/// Reads the envelope and the params of one message.
pub(super) fn read(text: &str, depth: usize) -> Result<Envelope<'_>, Refusal> {
    let object = Object { into: Fields::default(), left: depth };
    let Some(fields) = json::read(text, object)? else {
        return Err(Refusal::Invalid("a message is an object".into()));
    };
    if fields.jsonrpc.text() != Some("2.0") {
        return Err(Refusal::Invalid("`jsonrpc` must be \"2.0\"".into()));
    }
    let id = fields.id.map(RequestId::read).transpose()?;
    match fields {
        Fields { method: Scalar::Text(method), params, result: None, error: None, .. } => {
            call(id, method, params, depth.saturating_sub(2))
        }
        Fields { method: Scalar::Absent, params: Given::Absent, result, error, .. } => {
            response(id, result, error, depth.saturating_sub(1))
        }
        Fields { method: Scalar::Other, .. } => Err(Refusal::Invalid("`method` must be a string".into())),
        Fields { method: Scalar::Text(_), .. } => {
            Err(Refusal::Invalid("`result` or `error` beside `method`".into()))
        }
        Fields { method: Scalar::Absent, .. } => Err(Refusal::Invalid("`params` without `method`".into())),
    }
}

fn call<'a>(
    id: Option<RequestId>,
    method: Cow<'a, str>,
    params: Given<'a>,
    left: usize,
) -> Result<Envelope<'a>, Refusal> {
    let params = match params {
        Given::Absent => Box::default(),
        Given::Object(params) => params,
        Given::Other => return Err(Refusal::MalformedParams("`params` must be an object".into())),
    };
    params.check(left)?;
    Ok(Envelope::Call { id, method, params })
}

fn response<'a>(
    id: Option<RequestId>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    left: usize,
) -> Result<Envelope<'a>, Refusal> {
    let (body, id) = match (result, error, id) {
        (Some(body), None, Some(id)) | (None, Some(body), Some(id)) => (body, id),
        (Some(_), Some(_), _) => return Err(Refusal::Invalid("both `result` and `error`".into())),
        (None, None, _) => return Err(Refusal::Invalid("there is no `method`".into())),
        (_, _, None) => return Err(Refusal::Invalid("a response without an id".into())),
    };
    if !json::is_object(body) {
        return Err(Refusal::Invalid("`result` and `error` are objects".into()));
    }
    json::walk(body, left)?;
    Ok(Envelope::Response { id })
}

/// The id of a message that was refused, where it is JSON and has exactly one.
pub(super) fn salvaged_id(text: &str) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct OnlyId<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    text.trim_start().starts_with('{').then_some(())?;
    RequestId::read(serde_json::from_str::<OnlyId<'_>>(text).ok()?.id).ok()
}

impl RequestId {
    /// A string, or an integer of 64 bits: no fraction, no exponent, not null.
    pub(in crate::decode) fn read(raw: &RawValue) -> Result<Self, Flaw> {
        let text = raw.get();
        if text.starts_with('"') {
            return Self::string(text);
        }
        let integer = text.bytes().all(|b| b.is_ascii_digit() || b == b'-') && text != "-0";
        if integer && (text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()) {
            return Ok(Self(text.into()));
        }
        Err(Flaw::Invalid("the id must be a string or an integer of 64 bits".into()))
    }

    /// Servers escape as they like, so that ids are compared in one spelling.
    fn string(text: &str) -> Result<Self, Flaw> {
        if !text.contains('\\') {
            return Ok(Self(text.into()));
        }
        let decoded = json::read(text, json::Key)?;
        let spelled = serde_json::to_string(&*decoded).map_err(|error| Flaw::Invalid(error.to_string()))?;
        Ok(Self(spelled.into()))
    }
}
