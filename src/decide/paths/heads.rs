//! Heads of rules that may be undefined in one turn of a loop and not in another.
//!
//! # Why they are refused
//! Rego skips such a turn. The engine drops what the turns before it gave, so that `deny contains rule.message` denies
//! nothing where the last rule has no message (regorus 0.14.1, `eval_output_expr_in_loop`). A name that is bound in the
//! body is always defined in the head.

use serde_json::Value;

use crate::decide::builtin;
use crate::decide::paths::tree::{bindings, chain, list, place, single};
use crate::decide::paths::{Step, dotted};
use crate::decide::problem::At;

/// Where a rule's head has such an expression.
pub(super) fn unsure(rule: &Value) -> Option<At> {
    let (kind, head) = single(rule.get("head")?)?;
    if kind == "Func" || !loops(rule) {
        return None;
    }
    let mut bound = Vec::new();
    bindings(rule.get("bodies")?, &mut bound);
    bound.retain(|name| name != "input" && name != "data");
    let values = [head.get("key"), head.pointer("/assign/value")];
    let indices = indices(head.get("refr")?);
    values.into_iter().flatten().chain(indices).find_map(|value| undefined(value, &bound))
}

/// The expressions between the brackets of a reference.
fn indices(refr: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    let mut node = Some(refr);
    while let Some(("RefDot" | "RefBrack", body)) = node.and_then(single) {
        found.extend(body.get("index"));
        node = body.get("refr");
    }
    found
}

/// Whether a body may have more than one turn.
fn loops(node: &Value) -> bool {
    match node {
        Value::Object(members) => members.iter().any(|(kind, body)| match kind.as_str() {
            "SomeIn" | "SomeVars" => true,
            "RefBrack" => body.get("index").is_some_and(picks) || loops(body),
            "Call" => {
                body.get("fcn").and_then(chain).is_some_and(|name| dotted(&name) == "walk") || loops(body)
            }
            _ => loops(body),
        }),
        Value::Array(items) => items.iter().any(loops),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether an index holds a variable, which may stand for one after another.
fn picks(node: &Value) -> bool {
    match single(node) {
        Some(("Var", body)) => !matches!(body.get("value").and_then(Value::as_str), Some("input" | "data")),
        Some(("span", _)) => false,
        _ => match node {
            Value::Object(members) => members.values().any(picks),
            Value::Array(items) => items.iter().any(picks),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        },
    }
}

/// Where an expression may be undefined in one turn and not in another.
fn undefined(node: &Value, bound: &[String]) -> Option<At> {
    match single(node) {
        Some(("RefDot" | "RefBrack", _)) => varies(node, bound).then(|| place(node)),
        Some(("SetCompr" | "ArrayCompr" | "ObjectCompr", _)) => None,
        Some(("Call", call)) => {
            let name = call.get("fcn").and_then(chain).map(|name| dotted(&name)).unwrap_or_default();
            match builtin::exists(&name) {
                true => list(call.get("params")).find_map(|argument| undefined(argument, bound)),
                false => Some(place(node)),
            }
        }
        _ => match node {
            Value::Object(members) => members.values().find_map(|body| undefined(body, bound)),
            Value::Array(items) => items.iter().find_map(|item| undefined(item, bound)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        },
    }
}

fn varies(reference: &Value, bound: &[String]) -> bool {
    let Some(steps) = chain(reference) else { return true };
    let local =
        steps.first().and_then(Step::name).is_some_and(|first| bound.iter().any(|name| name == first));
    local || indices(reference).into_iter().any(picks)
}
