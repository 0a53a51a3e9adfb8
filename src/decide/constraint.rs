//! What policy narrows an argument to: one schema, enforced at the call and shown in the list.
//!
//! # Why an absent argument is refused
//! What a server does without an argument is the server's choice, and often "all of them". A constrained argument must
//! therefore be given, and the list says so in `required`. An argument whose name differs by case only is refused too:
//! some servers would read it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jsonschema::{PatternOptions, Validator};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The constraints of a verdict.
#[derive(Debug, Default)]
pub(in crate::decide) struct Constraints(Vec<Constraint>);

/// One argument's constraint.
#[derive(Debug)]
struct Constraint {
    argument: String,
    schema: Value,
    test: Test,
}

/// How a value is held to it.
#[derive(Debug)]
enum Test {
    /// One of these, which need no validator.
    OneOf(Vec<Value>),
    /// Whatever the schema says.
    Schema(Box<Validator>),
}

/// A schema that cannot be held to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the constraint of `{argument}` {why}")]
pub(in crate::decide) struct BadConstraint {
    argument: String,
    why: String,
}

/// What an argument is called in the list's schema.
type Members<'a> = Vec<(String, Cow<'a, RawValue>)>;

impl Constraints {
    /// Readies schemas. A reference must stay within its schema: nothing is ever fetched.
    pub(in crate::decide) fn ready(schemas: Vec<(String, Value)>) -> Result<Self, BadConstraint> {
        schemas
            .into_iter()
            .map(|(argument, schema)| Constraint::ready(argument, schema))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether there are none.
    pub(in crate::decide) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The schemas by argument.
    pub(in crate::decide) fn schemas(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|constraint| (constraint.argument.as_str(), &constraint.schema))
    }

    /// Holds arguments to the constraints.
    pub(in crate::decide) fn hold(&self, arguments: Option<&RawValue>) -> Result<(), Refusal> {
        if self.is_empty() {
            return Ok(());
        }
        let text = arguments.map_or("{}", RawValue::get);
        let given: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text)
            .map_err(|_| Refusal::BadParams("`arguments` must be an object".to_owned()))?;
        self.0.iter().try_for_each(|constraint| constraint.hold(&given))
    }
}

impl Constraint {
    fn ready(argument: String, schema: Value) -> Result<Self, BadConstraint> {
        let test = match plain(&schema) {
            Some(choice) => Test::OneOf(choice),
            None => match validator(&schema) {
                Ok(validator) => Test::Schema(Box::new(validator)),
                Err(why) => return Err(BadConstraint { argument, why }),
            },
        };
        Ok(Self { argument, schema, test })
    }

    fn hold(&self, given: &BTreeMap<Cow<'_, str>, &RawValue>) -> Result<(), Refusal> {
        let Some(raw) = given.get(self.argument.as_str()) else {
            return Err(self.refusal(format!("it must be given, and {}", self.must())));
        };
        let folded = fold(&self.argument);
        if let Some(twin) = given.keys().find(|name| **name != self.argument && fold(name) == folded) {
            return Err(self.refusal(format!("`{twin}` beside it could be taken for it; leave that out")));
        }
        let value: Value =
            serde_json::from_str(raw.get()).map_err(|_| self.refusal("it cannot be read".to_owned()))?;
        match &self.test {
            Test::OneOf(choice) if choice.contains(&value) => Ok(()),
            Test::OneOf(_) => Err(self.refusal(self.must())),
            Test::Schema(validator) => match validator.validate(&value) {
                Ok(()) => Ok(()),
                Err(error) => Err(self.refusal(error.masked_with("the value").to_string())),
            },
        }
    }

    /// What the value must be, in words that a model can act on.
    fn must(&self) -> String {
        match (&self.schema.get("const"), self.schema.get("enum").and_then(Value::as_array)) {
            (Some(only), _) => format!("must be {only}"),
            (None, Some(choice)) => {
                let choice: Vec<String> = choice.iter().map(Value::to_string).collect();
                format!("must be one of {}", choice.join(", "))
            }
            (None, None) => format!("must fit {}", self.schema),
        }
    }

    fn refusal(&self, message: String) -> Refusal {
        Refusal::Constrained { argument: self.argument.clone(), message }
    }
}

/// A name as a reader that does not mind case might read it (`ſ` and the Kelvin sign too).
fn fold(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

/// The choice that a schema leaves, where it says nothing else and its values are equal only to themselves.
fn plain(schema: &Value) -> Option<Vec<Value>> {
    const SILENT: [&str; 4] = ["title", "description", "examples", "$comment"];
    let members = schema.as_object()?;
    let mut speaking = members.iter().filter(|(name, _)| !SILENT.contains(&name.as_str()));
    let choice = match (speaking.next(), speaking.next()) {
        (Some((name, value)), None) if name == "const" => vec![value.clone()],
        (Some((name, Value::Array(choice))), None) if name == "enum" => choice.clone(),
        _ => return None,
    };
    let simple = |value: &Value| matches!(value, Value::String(_) | Value::Bool(_) | Value::Null);
    choice.iter().all(simple).then_some(choice)
}

fn validator(schema: &Value) -> Result<Validator, String> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err("is not a JSON Schema: it must be an object".to_owned());
    }
    if let Some(name) = foreign(schema) {
        return Err(format!("leads out of its schema: `{name}` may only begin with `#`"));
    }
    jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::regex())
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .build(schema)
        .map_err(|e| format!("is not a JSON Schema: {e}"))
}

/// A member that leads out of its schema, or moves what its references stand on.
fn foreign(schema: &Value) -> Option<&str> {
    match schema {
        Value::Object(members) => members.iter().find_map(|(name, value)| match (name.as_str(), value) {
            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(to)) if to.starts_with('#') => None,
            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(_)) => Some(name.as_str()),
            ("$id" | "id", Value::String(_)) => Some(name.as_str()),
            (_, inner) => foreign(inner),
        }),
        Value::Array(items) => items.iter().find_map(foreign),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

// --- the list ---

impl Constraints {
    /// The tool's input schema with the constraints in it; `None`: unchanged. What they do not touch stays as it was
    /// written, byte for byte.
    pub(in crate::decide) fn narrow(&self, input_schema: &RawValue) -> Option<Box<RawValue>> {
        if self.is_empty() {
            return None;
        }
        let mut schema: Members<'_> = members(input_schema)?;
        let mut properties = member(&schema, "properties").and_then(members).unwrap_or_default();
        for constraint in &self.0 {
            let narrowed = constraint.narrow(member(&properties, &constraint.argument));
            set(&mut properties, &constraint.argument, raw(&narrowed)?);
        }
        let required = self.required(member(&schema, "required"));
        let properties = write(&properties)?;
        set(&mut schema, "properties", properties);
        set(&mut schema, "required", raw(&required)?);
        write(&schema)
    }

    fn required(&self, there: Option<&RawValue>) -> Value {
        let mut names: Vec<Value> =
            there.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        for constraint in &self.0 {
            if !names.iter().any(|name| name == &constraint.argument) {
                names.push(Value::String(constraint.argument.clone()));
            }
        }
        Value::Array(names)
    }
}

impl Constraint {
    /// The property and the constraint in one: its description and whatever else is kept, what the constraint says
    /// stands beside it, and what both say holds twice.
    fn narrow(&self, property: Option<&RawValue>) -> Value {
        let there: Option<Value> = property.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let (Some(Value::Object(mut property)), Value::Object(constraint)) = (there, &self.schema) else {
            return self.schema.clone();
        };
        if matches!(self.test, Test::OneOf(_)) {
            for name in ["const", "enum", "default", "examples"] {
                property.remove(name);
            }
        }
        let mut also = Map::new();
        for (name, value) in constraint {
            match property.get(name) {
                None => {
                    property.insert(name.clone(), value.clone());
                }
                Some(_) if name == "description" || name == "title" => {}
                Some(same) if same == value => {}
                Some(_) => {
                    also.insert(name.clone(), value.clone());
                }
            }
        }
        if !also.is_empty() {
            let all = property.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(all) = all {
                all.push(Value::Object(also));
            }
        }
        Value::Object(property)
    }
}

/// The members of an object in their order, each as it was written.
fn members(raw: &RawValue) -> Option<Members<'_>> {
    struct Ordered;
    impl<'de> serde::de::Visitor<'de> for Ordered {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    let members = serde::Deserializer::deserialize_map(&mut reader, Ordered).ok()?;
    Some(members.into_iter().map(|(name, raw)| (name, Cow::Borrowed(raw))).collect())
}

fn member<'a>(members: &'a Members<'_>, name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(other, _)| other == name).map(|(_, raw)| &**raw)
}

fn set<'a>(members: &mut Members<'a>, name: &str, value: Box<RawValue>) {
    match members.iter_mut().find(|(other, _)| other == name) {
        Some((_, there)) => *there = Cow::Owned(value),
        None => members.push((name.to_owned(), Cow::Owned(value))),
    }
}

fn write(members: &Members<'_>) -> Option<Box<RawValue>> {
    let mut text = String::from("{");
    for (i, (name, value)) in members.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(name).ok()?);
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    RawValue::from_string(text).ok()
}

fn raw(value: &Value) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(value).ok()
}
