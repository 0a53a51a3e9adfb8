//! What whoever asks about calls is told: the decision, and the reason that the call itself would be given.

use std::fmt::Write;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::decode::Era;
use crate::decode::access::MOST;
use crate::name::Invocation;
use crate::refusal::Refusal;
use crate::respond::table::{self, Asked};
use crate::respond::{Answer, Body};

/// Would it pass, with these arguments; or why not.
type Would<'a> = Result<&'a Map<String, Value>, &'a Refusal>;

/// A decision (AuthZEN Authorization API 1.0 section 5.5).
#[derive(Serialize)]
struct Decision<'a> {
    decision: bool,
    context: Context<'a>,
}

/// What is told beside the decision.
#[derive(Serialize)]
struct Context<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    constraints: Option<&'a Map<String, Value>>,
    invocation: Invocation,
}

impl<'a> Context<'a> {
    fn of(would: Would<'a>, invocation: Invocation) -> Self {
        let refusal = would.err();
        Self {
            reason: refusal.map(Refusal::told),
            message: refusal.map(ToString::to_string),
            code: match refusal {
                Some(Refusal::Denied { code, .. }) => code.as_deref(),
                Some(_) | None => None,
            },
            argument: match refusal {
                Some(Refusal::Constrained { argument, .. }) => Some(argument),
                Some(_) | None => None,
            },
            constraints: would.ok().filter(|limits| !limits.is_empty()),
            invocation,
        }
    }
}

impl<'a> Decision<'a> {
    fn of(would: Would<'a>, invocation: Invocation) -> Self {
        Self { decision: would.is_ok(), context: Context::of(would, invocation) }
    }
}

/// The answer to one question.
pub(crate) fn decision<S>(would: Would<'_>, invocation: Invocation) -> Answer<S> {
    Answer::json(StatusCode::OK, bytes(&Decision::of(would, invocation)))
}

/// The answer to several (section 7.2).
pub(crate) fn decisions<'a, S>(all: impl Iterator<Item = (Would<'a>, Invocation)>) -> Answer<S> {
    #[derive(Serialize)]
    struct Decisions<'a> {
        evaluations: Vec<Decision<'a>>,
    }
    let evaluations = all.map(|(would, invocation)| Decision::of(would, invocation)).collect();
    Answer::json(StatusCode::OK, bytes(&Decisions { evaluations }))
}

/// The answer to a request that has no decision: a message in words (section 10.1.2).
pub(crate) fn error<S>(refusal: &Refusal, invocation: Invocation) -> Answer<S> {
    let status = match refusal {
        Refusal::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::NotRecorded => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        other => table::status(other),
    };
    let text = format!("{refusal} (invocation {invocation})\n");
    let body = Body::Full(Bytes::from(text));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    table::headers(refusal, Answer { status, headers: vec![(CONTENT_TYPE, plain)], body })
}

/// What would become of one call of a plan.
pub(crate) struct Planned<'a> {
    pub server: &'a str,
    pub tool: &'a str,
    pub answer: Would<'a>,
    pub invocation: Invocation,
}

#[derive(Serialize)]
struct Foretold<'a> {
    server: &'a str,
    tool: &'a str,
    would_pass: bool,
    #[serde(flatten)]
    context: Context<'a>,
}

#[derive(Serialize)]
struct Plan<'a> {
    calls: Vec<Foretold<'a>>,
}

/// The result of the gate's own tool.
pub(crate) fn plan<'a, S>(all: impl Iterator<Item = Planned<'a>>, asked: &Asked) -> Answer<S> {
    let calls = all.map(|call| Foretold {
        server: call.server,
        tool: call.tool,
        would_pass: call.answer.is_ok(),
        context: Context::of(call.answer, call.invocation),
    });
    let plan = Plan { calls: calls.collect() };
    let mut result = serde_json::json!({
        "content": [{"type": "text", "text": words(&plan)}],
        "structuredContent": plan,
        "isError": false,
    });
    if let (Era::Modern, Value::Object(result)) = (asked.era, &mut result) {
        result.insert("resultType".to_owned(), "complete".into());
    }
    let id = asked.id.as_ref().and_then(|id| RawValue::from_string(id.as_json().to_owned()).ok());
    Answer::json(StatusCode::OK, bytes(&Response { jsonrpc: "2.0", id, result }))
}

#[derive(Serialize)]
struct Response {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<RawValue>>,
    result: Value,
}

fn words(plan: &Plan<'_>) -> String {
    let passing = plan.calls.iter().filter(|call| call.would_pass).count();
    let mut text = format!("{passing} of {} calls would pass.", plan.calls.len());
    for Foretold { server, tool, context, .. } in &plan.calls {
        let _ = match (&context.message, context.constraints) {
            (Some(why), _) => write!(text, "\n- {tool} at {server} would be refused: {why}"),
            (None, Some(limits)) => {
                let limits = limits.iter().map(|(name, schema)| format!("{name} fits {schema}"));
                let limits = limits.collect::<Vec<_>>().join(" and ");
                write!(text, "\n- {tool} at {server} would pass where {limits}")
            }
            (None, None) => write!(text, "\n- {tool} at {server} would pass"),
        };
    }
    text.push_str("\nRates, budgets and the servers' own answers are not foretold.");
    text
}

/// The gate's own tool as a list shows it.
pub(crate) fn own_tool(name: &str) -> Option<Box<RawValue>> {
    let text = |what: &str| serde_json::json!({"type": "string", "description": what});
    let call = serde_json::json!({
        "type": "object",
        "properties": {
            "tool": text("The tool's name, as its server lists it"),
            "arguments": {"type": "object", "description": "The arguments that you would give; without them you are told what they must be"},
            "server": text("The server, where it is another one than this"),
        },
        "required": ["tool"],
        "additionalProperties": false,
    });
    let told = serde_json::json!({
        "type": "object",
        "properties": {
            "server": {"type": "string"},
            "tool": {"type": "string"},
            "would_pass": {"type": "boolean"},
            "reason": {"type": "string"},
            "message": {"type": "string"},
            "code": {"type": "string"},
            "argument": {"type": "string"},
            "constraints": {"type": "object"},
            "invocation": {"type": "string"},
        },
        "required": ["server", "tool", "would_pass", "invocation"],
    });
    let input = serde_json::json!({
        "type": "object",
        "properties": {"calls": {"type": "array", "minItems": 1, "maxItems": MOST, "items": call}},
        "required": ["calls"],
        "additionalProperties": false,
    });
    let output = serde_json::json!({
        "type": "object",
        "properties": {"calls": {"type": "array", "items": told}},
        "required": ["calls"],
    });
    let tool = serde_json::json!({
        "name": name,
        "title": "Check access",
        "description": "Says which of the tool calls that you plan would be allowed, and why the others would not, without making any of them. Ask before the first call of a plan. Rates, budgets and the servers' own answers are not foretold.",
        "inputSchema": input,
        "outputSchema": output,
        "annotations": {"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false},
    });
    serde_json::value::to_raw_value(&tool).ok()
}

fn bytes(value: &impl Serialize) -> Bytes {
    // These documents are made of strings and booleans; they always serialise.
    serde_json::to_vec(value).unwrap_or_default().into()
}
