//! What policy narrows an argument to: one schema, enforced at the call and shown in the list.
//!
//! # Why an absent argument is refused
//! What a server does without an argument is the server's choice, and often "all of them". A constrained argument must
//! therefore be given, and the list says so in `required`; so must one within another, and an array whose elements are
//! constrained must have one. An argument whose name differs by case only is refused too: some servers would read it.

mod merge;
mod narrow;
mod place;
mod references;
mod schema;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::decide::constraint::place::{Place, Step};
use crate::refusal::Refusal;

pub use narrow::Narrowed;

/// The constraints of a verdict.
#[derive(Debug, Default)]
pub(in crate::decide) struct Constraints(Vec<Constraint>);

/// One argument's constraint.
#[derive(Debug)]
struct Constraint {
    /// As policy wrote it.
    argument: String,
    place: Place,
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
        let nothing = RawValue::NULL;
        let arguments = arguments.unwrap_or(nothing);
        self.0.iter().try_for_each(|constraint| constraint.hold(arguments))
    }
}

impl Constraint {
    fn ready(argument: String, schema: Value) -> Result<Self, BadConstraint> {
        let place = match Place::parse(&argument) {
            Ok(place) => place,
            Err(why) => return Err(BadConstraint { argument, why }),
        };
        let test = match plain(&schema) {
            Some(choice) => Test::OneOf(choice),
            None => match validator(&schema) {
                Ok(validator) => Test::Schema(Box::new(validator)),
                Err(why) => return Err(BadConstraint { argument, why }),
            },
        };
        Ok(Self { argument, place, schema, test })
    }

    fn hold(&self, arguments: &RawValue) -> Result<(), Refusal> {
        match arguments.get().trim_start().starts_with('{') || arguments.get() == "null" {
            true => self.walk(arguments, "", self.place.steps()),
            false => Err(Refusal::BadParams("`arguments` must be an object".to_owned())),
        }
    }

    /// Follows `steps` down from the value at `at`.
    fn walk(&self, value: &RawValue, at: &str, steps: &[Step]) -> Result<(), Refusal> {
        match steps.split_first() {
            None => self.test(value, at),
            Some((Step::Member(name), rest)) => self.member(value, at, name, rest),
            Some((Step::Each, rest)) => {
                let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
                    return Err(self.refusal(at, "must be an array".to_owned()));
                };
                if items.is_empty() {
                    return Err(self.refusal(at, "must not be empty".to_owned()));
                }
                let mut items = items.iter().enumerate();
                items.try_for_each(|(i, item)| self.walk(item, &format!("{at}/{i}"), rest))
            }
        }
    }

    fn member(&self, object: &RawValue, at: &str, name: &str, rest: &[Step]) -> Result<(), Refusal> {
        let below = place::below(at, name);
        let text = if at.is_empty() && object.get() == "null" { "{}" } else { object.get() };
        let Ok(given) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(text) else {
            return Err(self.refusal(at, "must be an object".to_owned()));
        };
        let Some(value) = given.get(name) else {
            let absent = rest.iter().fold(below, |at, step| step.onto(&at));
            return Err(self.refusal(&absent, format!("it must be given, and {}", self.must())));
        };
        let folded = fold(name);
        if let Some(twin) = given.keys().find(|other| **other != *name && fold(other) == folded) {
            let why = format!("`{twin}` beside it could be taken for it; leave that out");
            return Err(self.refusal(&below, why));
        }
        self.walk(value, &below, rest)
    }

    fn test(&self, raw: &RawValue, at: &str) -> Result<(), Refusal> {
        let value: Value =
            serde_json::from_str(raw.get()).map_err(|_| self.refusal(at, "it cannot be read".to_owned()))?;
        match &self.test {
            Test::OneOf(choice) if choice.contains(&value) => Ok(()),
            Test::OneOf(_) => Err(self.refusal(at, self.must())),
            Test::Schema(validator) => match validator.validate(&value) {
                Ok(()) => Ok(()),
                Err(error) => Err(self.refusal(at, error.masked_with("the value").to_string())),
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

    /// `at`: the place that is not as it must be; an argument of the top level goes by its name.
    fn refusal(&self, at: &str, message: String) -> Refusal {
        let argument = if self.place.is_written() { at } else { &self.argument };
        Refusal::Constrained { argument: argument.to_owned(), message }
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
    if let Some(name) = references::foreign(schema) {
        return Err(format!("leads out of its schema: `{name}` may only be `#` or begin with `#/`"));
    }
    jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::regex())
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .build(schema)
        .map_err(|e| format!("is not a JSON Schema: {e}"))
}
