//! A question → the `input` of the contract. What does not apply is absent, never null; what is there and cannot be
//! read is an error, for a rule that denies would not see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use regorus::Value;
use serde_json::value::RawValue;

use crate::catalogue::Tool;
use crate::decide::rego::Failure;
use crate::decide::{Circumstances, Phase, Question, Subject};
use crate::identify::{Authentication, Caller, Scope};

/// The `input` of one question.
pub(super) fn of(question: &Question<'_>, phase: Phase) -> Result<Value, Failure> {
    let (tool, resource, prompt) = match question.subject {
        Subject::Tool(one) => (Some(tool(one)?), None, None),
        Subject::Resource(uri) => (None, Some(object([("uri", Some(text(uri)))])), None),
        Subject::Prompt(name) => (None, None, Some(object([("name", Some(text(name)))]))),
        Subject::Server => (None, None, None),
    };
    let server = object([
        ("name", Some(text(question.server.name.as_str()))),
        ("tags", Some(texts(&question.server.tags))),
    ]);
    let arguments = question.arguments.map(|raw| json("arguments", raw)).transpose()?;
    Ok(object([
        ("phase", Some(text(phase.as_str()))),
        ("method", Some(text(question.method))),
        ("caller", Some(caller(question.caller, question.circumstances))),
        ("scope", question.caller.scope().map(scope)),
        ("server", Some(server)),
        ("tool", tool),
        ("resource", resource),
        ("prompt", prompt),
        ("arguments", arguments),
        ("request", Some(request(question.circumstances))),
        ("usage", usage(question.circumstances)),
    ]))
}

fn json(what: &str, raw: &RawValue) -> Result<Value, Failure> {
    Value::from_json_str(raw.get()).map_err(|_| Failure::Failed(format!("the {what} cannot be read as JSON")))
}

fn caller(caller: &Caller, circumstances: &Circumstances) -> Value {
    let attributes = caller.attributes().iter();
    let attributes = attributes.map(|(name, value)| (text(name), Value::from(value.clone())));
    object([
        ("tenant", Some(text(caller.tenant().as_str()))),
        ("user", caller.user().map(|user| text(user.as_str()))),
        ("agent", caller.agent().map(|agent| text(agent.as_str()))),
        ("roles", Some(texts(caller.roles()))),
        ("groups", Some(texts(caller.groups()))),
        ("attributes", Some(Value::from(attributes.collect::<BTreeMap<_, _>>()))),
        ("authentication", Some(authentication(caller.authentication(), circumstances))),
    ])
}

fn authentication(authentication: &Authentication, circumstances: &Circumstances) -> Value {
    let age = authentication.at.map(|at| Value::from(age(at, circumstances.time).as_secs()));
    object([
        ("kind", Some(text(authentication.kind.as_str()))),
        ("issuer", authentication.issuer.as_deref().map(text)),
        ("scopes", (!authentication.scopes.is_empty()).then(|| texts(&authentication.scopes))),
        ("age_seconds", age),
        ("acr", authentication.acr.as_deref().map(text)),
        ("amr", (!authentication.amr.is_empty()).then(|| texts(&authentication.amr))),
    ])
}

fn age(at: SystemTime, now: jiff::Timestamp) -> Duration {
    SystemTime::from(now).duration_since(at).unwrap_or_default()
}

/// A scoped URL that does not narrow by method or tag has no such key.
fn scope(scope: &Arc<Scope>) -> Value {
    object([
        ("id", Some(text(scope.id.as_str()))),
        ("methods", (!scope.methods.is_empty()).then(|| texts(&scope.methods))),
        ("tags", (!scope.tags.is_empty()).then(|| texts(&scope.tags))),
        ("expires_at", scope.expires_at.map(|at| Value::from(at.to_string()))),
    ])
}

fn tool(tool: &Tool) -> Result<Value, Failure> {
    let annotations = tool.annotations.as_deref().map(|raw| json("tool's annotations", raw)).transpose()?;
    Ok(object([
        ("name", Some(text(tool.name.as_str()))),
        ("operation", Some(text(&tool.operation))),
        ("class", Some(text(tool.class.as_str()))),
        ("tags", Some(texts(&tool.tags))),
        ("pinned", Some(Value::Bool(tool.pinned))),
        ("annotations", annotations),
    ]))
}

fn request(circumstances: &Circumstances) -> Value {
    let client = circumstances.client.as_ref().map(|(name, version)| {
        object([
            ("name", Some(text(name))),
            ("version", version.as_deref().map(text)),
            ("verified", Some(Value::Bool(false))),
        ])
    });
    object([
        ("id", Some(Value::from(circumstances.invocation.to_string()))),
        ("time", Some(Value::from(circumstances.time.to_string()))),
        ("source_ip", Some(Value::from(circumstances.source_ip.to_string()))),
        ("protocol", circumstances.protocol.map(text)),
        ("client", client),
        ("workflow", circumstances.workflow.as_deref().map(text)),
    ])
}

fn usage(circumstances: &Circumstances) -> Option<Value> {
    let (left, cost) = (circumstances.rate_remaining, circumstances.cost_this_month);
    let usage =
        || object([("rate_remaining", left.map(Value::from)), ("cost_this_month", cost.map(Value::from))]);
    (left.is_some() || cost.is_some()).then(usage)
}

fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let present = members.into_iter().filter_map(|(name, value)| Some((text(name), value?)));
    Value::from(present.collect::<BTreeMap<_, _>>())
}

fn texts(list: &[Arc<str>]) -> Value {
    Value::from(list.iter().map(|one| text(one)).collect::<Vec<_>>())
}

fn text(text: &str) -> Value {
    Value::from(text)
}

/// Inputs that every policy must have an answer to, whatever the answer is: a policy that fails on one of them
/// refuses everybody, and its author should hear so before it serves.
pub(super) fn minimal() -> Vec<Value> {
    const REST: &str = r#""caller":{"tenant":"t","user":"u","agent":"a","roles":["r"],"groups":[],"attributes":{},
        "authentication":{"kind":"jwt","issuer":"i","scopes":["s"],"age_seconds":1,"acr":"a","amr":["m"]}},
        "server":{"name":"s","tags":[]},
        "request":{"id":"0190a2b4-0000-7000-8000-000000000000","time":"2026-01-01T00:00:00Z","source_ip":"127.0.0.1",
        "protocol":"2025-11-25","client":{"name":"c","version":"1","verified":false}}"#;
    const TOOL: &str =
        r#""tool":{"name":"list_x","operation":"list","class":"read","tags":[],"pinned":false}"#;
    let inputs = [
        format!(r#"{{"phase":"call","method":"ping",{REST}}}"#),
        format!(r#"{{"phase":"list","method":"tools/call",{TOOL},{REST}}}"#),
        format!(r#"{{"phase":"call","method":"tools/call","arguments":{{}},{TOOL},{REST}}}"#),
        format!(r#"{{"phase":"call","method":"resources/read","resource":{{"uri":"file:///x"}},{REST}}}"#),
        format!(r#"{{"phase":"call","method":"prompts/get","prompt":{{"name":"p"}},{REST}}}"#),
    ];
    inputs.iter().filter_map(|json| Value::from_json_str(json).ok()).collect()
}
