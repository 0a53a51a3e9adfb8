//! A tool's input schema with constraints in it: it accepts what the tool accepts and the constraints hold to, and no more.
//!
//! # Why at the place, and beside it where that cannot be
//! Models read `properties`, and some of their makers refuse an `allOf` at the top. So a constraint goes to the place that
//! the schema has for its argument. Where patterns, tuples or other rules could speak of that place as well, it stands in
//! an `allOf` beside them, and all of them hold.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::decide::constraint::merge::{Shown, unseen};
use crate::decide::constraint::place::Step;
use crate::decide::constraint::schema::{Members, raw};
use crate::decide::constraint::{Constraint, Constraints, Test, references};

/// The copy of a tool's own schema to which its references lead.
const OWN: &str = "own";

/// What a list shows of a tool's input schema.
#[derive(Debug)]
pub enum Narrowed {
    /// The schema as it is.
    AsIs,
    /// This one.
    To(Box<RawValue>),
    /// None: no arguments fit both the tool and policy, or the schema cannot be read.
    Unusable,
}

impl Constraints {
    /// The tool's input schema with the constraints in it. What they do not touch stays as it was written, byte for byte.
    pub(in crate::decide) fn narrow(&self, input_schema: Option<&RawValue>) -> Narrowed {
        if self.is_empty() {
            return Narrowed::AsIs;
        }
        self.narrowed(input_schema).map_or(Narrowed::Unusable, Narrowed::To)
    }

    fn narrowed(&self, input_schema: Option<&RawValue>) -> Option<Box<RawValue>> {
        let mut schema = match input_schema {
            None => raw(&json!({"type": "object"}))?,
            Some(schema) => with_own_copy(schema)?,
        };
        for constraint in &self.0 {
            let mut root = Root { schema };
            let shown = constraint.shown(&mut root)?;
            schema = at(Some(&root.schema), constraint.place.steps(), Level::Top, &shown)?;
        }
        Some(schema)
    }
}

/// A whole schema, to which definitions can be added.
struct Root {
    schema: Box<RawValue>,
}

impl Root {
    /// Adds a definition under a name that is free, and tells where it is.
    fn define(&mut self, name: &str, make: impl FnOnce(&str) -> Value) -> Option<String> {
        let mut members = Members::read(&self.schema)?;
        let mut definitions = match members.value("$defs") {
            None if !members.has("$defs") => serde_json::Map::new(),
            Some(Value::Object(definitions)) => definitions,
            Some(_) | None => return None,
        };
        let free =
            (0..).map(|i| format!("policy-{name}-{i}")).find(|name| !definitions.contains_key(name))?;
        let to = format!("#/$defs/{free}");
        definitions.insert(free, make(&to));
        members.set("$defs", raw(&Value::Object(definitions))?);
        let schema = members.write()?;
        self.schema = schema;
        Some(to)
    }
}

/// The schema; where references lead to what narrowing may change, they lead to a copy of it that stays.
fn with_own_copy(schema: &RawValue) -> Option<Box<RawValue>> {
    let value: Value = serde_json::from_str(schema.get()).ok()?;
    match &value {
        Value::Bool(true) => return raw(&json!({})),
        Value::Object(_) => {}
        _ => return None,
    }
    if !references::any(&value, references::outside_definitions) {
        return Some(schema.to_owned());
    }
    // The name is settled first, so that every reference can be turned at once.
    let mut root = Root { schema: schema.to_owned() };
    let to = root.define(OWN, |_| Value::Null)?;
    let mut own = serde_json::from_str::<Value>(root.schema.get()).ok()?;
    references::turn(&mut own, references::outside_definitions, &to);
    let mut copy = own.clone();
    let inner = copy.as_object_mut()?;
    ["$defs", "definitions", "$schema", "$id"].iter().for_each(|name| drop(inner.remove(*name)));
    let name = to.strip_prefix("#/$defs/")?;
    own.get_mut("$defs")?.as_object_mut()?.insert(name.to_owned(), copy);
    raw(&own)
}

impl Constraint {
    /// The constraint as it can stand in the schema.
    fn shown(&self, root: &mut Root) -> Option<Shown<'_>> {
        let choice = match &self.test {
            Test::OneOf(choice) => Some(choice.as_slice()),
            Test::Schema(_) => None,
        };
        let mut schema = self.schema.clone();
        if let Some(members) = schema.as_object_mut() {
            members.remove("$schema");
        }
        if references::any(&schema, references::within) {
            let to = root.define("constraint", |to| {
                references::turn(&mut schema, references::within, to);
                schema
            })?;
            schema = json!({"$ref": to});
        }
        Some(Shown { schema, choice })
    }
}

/// Whether the schema is of the arguments themselves, which are an object in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Top,
    Below,
}

/// `schema` (`None`: there is none) with the constraint at the end of `steps`; `None` where nothing can fit it.
fn at(schema: Option<&RawValue>, steps: &[Step], level: Level, shown: &Shown<'_>) -> Option<Box<RawValue>> {
    let Some((step, rest)) = steps.split_first() else {
        let there = schema.map(|raw| serde_json::from_str(raw.get())).transpose().ok()?;
        return raw(&shown.with(there)?);
    };
    let mut members = match schema.map(RawValue::get) {
        None | Some("true") => Members::default(),
        Some(_) => Members::read(schema?)?,
    };
    if let Some(to) = members.remove("$ref") {
        let to: Value = serde_json::from_str(to.get()).ok()?;
        members.push("allOf", json!({"$ref": to}))?;
    }
    if level == Level::Below {
        members.remove("default");
    }
    match step {
        Step::Member(name) => {
            must_be(&mut members, "object", level)?;
            member(&mut members, name, steps, rest, shown)?;
            members.push("required", json!(name))?;
        }
        Step::Each => {
            must_be(&mut members, "array", level)?;
            elements(&mut members, steps, rest, shown)?;
            let least = members.value("minItems").and_then(|least| least.as_u64()).unwrap_or(0);
            members.set("minItems", raw(&json!(least.max(1)))?);
        }
    }
    members.write()
}

/// Leaves of the types only this one.
fn must_be(members: &mut Members<'_>, kind: &str, level: Level) -> Option<()> {
    match members.value("type") {
        None if level == Level::Top => return Some(()),
        None => {}
        Some(Value::String(only)) => return (only == kind).then_some(()),
        Some(Value::Array(kinds)) if kinds.iter().any(|one| one == kind) => {}
        Some(_) => return None,
    }
    members.set("type", raw(&json!(kind))?);
    Some(())
}

fn member(
    members: &mut Members<'_>,
    name: &str,
    steps: &[Step],
    rest: &[Step],
    shown: &Shown<'_>,
) -> Option<()> {
    let written = members.get("properties").map(ToOwned::to_owned);
    let mut properties = match &written {
        None => Members::default(),
        Some(written) => Members::read(written)?,
    };
    let others = members.get("additionalProperties").filter(|schema| schema.get() != "true");
    let patterns = members.value("patternProperties").is_some_and(|all| all != json!({}));
    let watched = members.has("unevaluatedProperties");
    let below = match (properties.get(name), others) {
        (Some(there), _) => at(Some(there), rest, Level::Below, shown)?,
        (None, _) if patterns => return members.push("allOf", alone(steps, shown)),
        (None, Some(others)) => at(Some(others), rest, Level::Below, shown)?,
        (None, None) if watched => return unknown(members, steps, shown),
        (None, None) => at(None, rest, Level::Below, shown)?,
    };
    properties.set(name, below);
    let properties = properties.write()?;
    members.set("properties", properties);
    Some(())
}

/// A member that only `unevaluatedProperties` and what stands beside it can tell of.
fn unknown(members: &mut Members<'_>, steps: &[Step], shown: &Shown<'_>) -> Option<()> {
    const KNOWING: [&str; 7] =
        ["allOf", "anyOf", "oneOf", "if", "dependentSchemas", "$dynamicRef", "$recursiveRef"];
    let closed = members.get("unevaluatedProperties").is_some_and(|schema| schema.get() == "false");
    if closed && !KNOWING.iter().any(|name| members.has(name)) && !members.has("additionalProperties") {
        return None;
    }
    members.push("allOf", unseen(alone(steps, shown)))
}

fn elements(members: &mut Members<'_>, steps: &[Step], rest: &[Step], shown: &Shown<'_>) -> Option<()> {
    let items = members.get("items");
    let tuple = members.has("prefixItems") || items.is_some_and(|items| items.get().starts_with('['));
    let watched = items.is_none() && members.has("unevaluatedItems");
    if watched {
        return members.push("allOf", unseen(alone(steps, shown)));
    }
    if tuple {
        return members.push("allOf", alone(steps, shown));
    }
    let below = at(items, rest, Level::Below, shown)?;
    members.set("items", below);
    Some(())
}

/// The constraint by itself, as a schema of where `steps` begin.
fn alone(steps: &[Step], shown: &Shown<'_>) -> Value {
    match steps.split_first() {
        None => shown.schema.clone(),
        Some((Step::Member(name), rest)) => {
            json!({"type": "object", "properties": {name: alone(rest, shown)}, "required": [name]})
        }
        Some((Step::Each, rest)) => json!({"type": "array", "items": alone(rest, shown), "minItems": 1}),
    }
}
