//! A constraint beside what the tool's own schema says of the same value: both hold.
//!
//! # Why some keywords go into an `allOf`
//! `additionalProperties` means the members that the `properties` beside it do not name, `then` follows the `if` beside
//! it. Such a keyword put beside another's would mean something else, so its schema stays whole.

use serde_json::{Map, Value, json};

/// What means the same whatever stands beside it.
const ALONE: [&str; 18] = [
    "type",
    "const",
    "enum",
    "pattern",
    "format",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "required",
];

/// What says nothing.
pub(in crate::decide::constraint) const SILENT: [&str; 4] = ["title", "description", "examples", "$comment"];

/// A constraint as the list shows it.
pub(in crate::decide::constraint) struct Shown<'a> {
    /// Its schema, ready to stand in the tool's.
    pub schema: Value,
    /// The values that it leaves, where it says nothing else.
    pub choice: Option<&'a [Value]>,
}

impl Shown<'_> {
    /// Both in one; `None` where nothing can fit both, or `property` is no schema.
    pub(in crate::decide::constraint) fn with(&self, property: Option<Value>) -> Option<Value> {
        let mut property = match (property, &self.schema) {
            (_, Value::Bool(false)) | (Some(Value::Bool(false)), _) => return None,
            (None | Some(Value::Bool(true)), schema) => return Some(schema.clone()),
            (Some(property), Value::Bool(_)) => return Some(property),
            (Some(Value::Object(property)), _) => property,
            (Some(_), _) => return None,
        };
        let mut schema = self.schema.as_object()?.clone();
        if let Some(choice) = self.choice {
            choose(&property, &mut schema, choice)?;
            ["const", "enum", "examples"].iter().for_each(|name| drop(property.remove(*name)));
        }
        property.remove("default");
        free_references(&mut property)?;
        match schema.keys().all(|name| ALONE.contains(&name.as_str()) || SILENT.contains(&name.as_str())) {
            true => beside(&mut property, schema)?,
            false => also(&mut property, Value::Object(schema))?,
        }
        Some(Value::Object(property))
    }
}

/// Leaves of a choice what the tool's own `const` and `enum` admit; `None` where that is nothing.
fn choose(property: &Map<String, Value>, schema: &mut Map<String, Value>, choice: &[Value]) -> Option<()> {
    let admits = |value: &&Value| {
        property.get("const").is_none_or(|only| only == *value)
            && property.get("enum").and_then(Value::as_array).is_none_or(|all| all.contains(value))
    };
    let left: Vec<Value> = choice.iter().filter(admits).cloned().collect();
    if left.is_empty() {
        return None;
    }
    if schema.contains_key("enum") {
        schema.insert("enum".to_owned(), Value::Array(left));
    }
    Some(())
}

/// Puts members beside those that are there; what is there with another value stays, and both hold.
fn beside(property: &mut Map<String, Value>, schema: Map<String, Value>) -> Option<()> {
    let mut left = Map::new();
    for (name, value) in schema {
        match property.get(&name) {
            None => drop(property.insert(name, value)),
            Some(there) if *there == value || SILENT.contains(&name.as_str()) => {}
            Some(_) => drop(left.insert(name, value)),
        }
    }
    if left.is_empty() { Some(()) } else { also(property, Value::Object(left)) }
}

/// One more schema that must hold. Twice negated, it says nothing to an `unevaluatedProperties` beside it of the members
/// that it knows.
fn also(property: &mut Map<String, Value>, schema: Value) -> Option<()> {
    let watched =
        ["unevaluatedProperties", "unevaluatedItems"].iter().any(|name| property.contains_key(*name));
    let schema = if watched { unseen(schema) } else { schema };
    let all = property.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
    all.as_array_mut()?.push(schema);
    Some(())
}

/// A schema that holds and leaves no trace of what it looked at.
pub(in crate::decide::constraint) fn unseen(schema: Value) -> Value {
    json!({"not": {"not": schema}})
}

/// Lets a reference stand alone: before 2019-09 what stood beside one did not count.
fn free_references(property: &mut Map<String, Value>) -> Option<()> {
    let Some(to) = property.remove("$ref") else { return Some(()) };
    also_free(property, json!({"$ref": to}))
}

fn also_free(property: &mut Map<String, Value>, schema: Value) -> Option<()> {
    property.entry("allOf").or_insert_with(|| Value::Array(Vec::new())).as_array_mut()?.push(schema);
    Some(())
}
