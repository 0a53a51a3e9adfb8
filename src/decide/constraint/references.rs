//! `$ref` in schemas: what leads nowhere else, and what must be turned when a schema is put into another.

use serde_json::Value;

/// What moves a schema's base, or is looked up by name in the whole document.
const NAMED: [&str; 7] =
    ["$id", "id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef"];

/// What is data and no schema.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];

/// A member that leads out of its schema, or moves what its references stand on.
pub(in crate::decide::constraint) fn foreign(schema: &Value) -> Option<&str> {
    match schema {
        Value::Object(members) => members.iter().find_map(|(name, value)| match (name.as_str(), value) {
            ("$ref", Value::String(to)) => (to != "#" && !to.starts_with("#/")).then_some(name.as_str()),
            (known, Value::String(_) | Value::Bool(_)) if NAMED.contains(&known) => Some(name.as_str()),
            (data, _) if DATA.contains(&data) => None,
            (_, inner) => foreign(inner),
        }),
        Value::Array(items) => items.iter().find_map(foreign),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Whether the schema has a reference that `wanted` is true of.
pub(in crate::decide::constraint) fn any(schema: &Value, wanted: fn(&str) -> bool) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(name, value)| match (name.as_str(), value) {
            ("$ref", Value::String(to)) => wanted(to),
            (data, _) if DATA.contains(&data) => false,
            (_, inner) => any(inner, wanted),
        }),
        Value::Array(items) => items.iter().any(|item| any(item, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Lets every reference that `wanted` is true of lead to the same place below `root` (`#/$defs/name`).
pub(in crate::decide::constraint) fn turn(schema: &mut Value, wanted: fn(&str) -> bool, root: &str) {
    match schema {
        Value::Object(members) => members.iter_mut().for_each(|(name, value)| match (name.as_str(), value) {
            ("$ref", Value::String(to)) if wanted(to) => {
                *to = format!("{root}{}", to.strip_prefix('#').unwrap_or_default());
            }
            (data, _) if DATA.contains(&data) => {}
            (_, inner) => turn(inner, wanted, root),
        }),
        Value::Array(items) => items.iter_mut().for_each(|item| turn(item, wanted, root)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Any reference within the schema.
pub(in crate::decide::constraint) fn within(to: &str) -> bool {
    to == "#" || to.starts_with("#/")
}

/// One that leads to what narrowing changes, and not to a definition.
pub(in crate::decide::constraint) fn outside_definitions(to: &str) -> bool {
    within(to) && !to.starts_with("#/$defs/") && !to.starts_with("#/definitions/")
}
