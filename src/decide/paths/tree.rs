//! Reading the engine's syntax tree, which it gives as JSON: every node is an object of one member, its kind.

use serde_json::Value;

use crate::decide::paths::Step;
use crate::decide::problem::At;

/// The text of a span.
pub(in crate::decide) fn spelt(span: &Value, text: &str) -> Option<String> {
    let offset = |key| span.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    text.get(offset("start")?..offset("end")?).map(str::to_owned)
}

/// A reference's steps; `None` where it does not begin with a name.
pub(in crate::decide) fn chain(node: &Value) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut node = node;
    loop {
        let (kind, body) = single(node)?;
        match kind {
            "Var" => {
                steps.push(Step::Name(body.get("value")?.as_str()?.to_owned(), place(node)));
                steps.reverse();
                return Some(steps);
            }
            "RefDot" => {
                let field = body.get("field")?;
                let name = field.get(1)?.as_str()?.to_owned();
                steps.push(Step::Name(name, field.get(0).map_or(At::START, span)));
                node = body.get("refr")?;
            }
            "RefBrack" => {
                let index = body.get("index")?;
                steps.push(text(index).map_or(Step::Any, |name| Step::Name(name, place(index))));
                node = body.get("refr")?;
            }
            _ => return None,
        }
    }
}

/// What a chain of brackets and dots begins with, where that is not a name.
pub(in crate::decide) fn innermost(node: &Value) -> Option<&Value> {
    let mut node = node;
    while let Some(("RefDot" | "RefBrack", body)) = single(node) {
        node = body.get("refr")?;
    }
    Some(node)
}

pub(in crate::decide) fn bindings(node: &Value, into: &mut Vec<String>) {
    match node {
        Value::Object(members) => {
            for (kind, body) in members {
                let bound = match kind.as_str() {
                    "AssignExpr" => body.get("lhs"),
                    "SomeIn" | "args" => Some(body),
                    _ => None,
                };
                if let Some(bound) = bound {
                    variables(bound, into);
                }
                bindings(body, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| bindings(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn variables(node: &Value, into: &mut Vec<String>) {
    match node {
        Value::Object(members) => {
            for (kind, body) in members {
                match (kind.as_str(), body.get("value").and_then(Value::as_str)) {
                    ("Var", Some(name)) => into.push(name.to_owned()),
                    _ => variables(body, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| variables(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

pub(in crate::decide) fn text(node: &Value) -> Option<String> {
    let literal = node.pointer("/String/value").or_else(|| node.pointer("/RawString/value"))?;
    literal.as_str().map(str::to_owned)
}

pub(in crate::decide) fn names(node: &Value) -> Vec<String> {
    chain(node).unwrap_or_default().iter().filter_map(Step::name).map(str::to_owned).collect()
}

pub(in crate::decide) fn single(node: &Value) -> Option<(&str, &Value)> {
    let (kind, body) = node.as_object()?.iter().next()?;
    Some((kind, body))
}

pub(in crate::decide) fn list(node: Option<&Value>) -> impl Iterator<Item = &Value> {
    node.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default().iter()
}

pub(in crate::decide) fn place(node: &Value) -> At {
    single(node).and_then(|(_, body)| body.get("span")).map_or(At::START, span)
}

pub(in crate::decide) fn span(span: &Value) -> At {
    let number = |key| span.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    At { line: number("line").unwrap_or(1), column: number("col").unwrap_or(1) }
}
