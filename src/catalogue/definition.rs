//! What a model reads of a tool, a prompt or a resource, and its digest: the same for the same meaning, however the server writes it.
//!
//! # Why these members
//! Name, title, description, both schemas and annotations are what agents put before a model or decide by. `_meta`, icons
//! and the like change from one answer to the next at some servers, and reach no model by the protocol.
//!
//! Of a resource's annotations `lastModified` is left out: it changes with the content, which is not pinned.
//!
//! # Why duplicates are refused
//! A text with `description` twice would be pinned by one of them and read by the other. It has no digest at all, so that
//! it matches no pin.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::catalogue::thing::Thing;
use crate::decode::reply;
use crate::name::ToolName;

/// A longer name or URI is none; in bytes.
const LONGEST_NAME: usize = 4096;

/// How deep a definition may be nested.
const DEPTH: usize = 100;

/// SHA-256 (FIPS 180-4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest that is written so in hexadecimal.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(hex, &mut bytes).ok().map(|()| Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The name of a tool or a prompt, the URI of a resource, or a template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct ItemName(Arc<str>);

impl ItemName {
    pub(in crate::catalogue) fn new(name: Arc<str>) -> Self {
        Self(name)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn read(thing: Thing, name: &str) -> Option<Self> {
        let fits = match thing {
            Thing::Tool => ToolName::parse(name).is_ok(),
            Thing::Prompt | Thing::Resource | Thing::Template => {
                !name.is_empty() && name.len() <= LONGEST_NAME
            }
        };
        fits.then(|| Self(name.into()))
    }
}

impl std::borrow::Borrow<str> for ItemName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Why a definition is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Two readers could read it in two ways, or it is nested too deep.
    #[error("{0}")]
    Ambiguous(String),
    /// It is no object with a name.
    #[error("it has no name that it may have")]
    Nameless,
}

/// A tool, prompt or resource as it is put before a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// What it is.
    pub thing: Thing,
    /// Its name.
    pub name: ItemName,
    /// Those of [`Thing::members`] that it has.
    pub members: BTreeMap<&'static str, Value>,
}

impl Definition {
    /// Reads one as its server lists it.
    ///
    /// # Errors
    /// It can be read in two ways, or has no name.
    pub fn read(thing: Thing, text: &RawValue) -> Result<Self, Unreadable> {
        reply::strict(text, DEPTH).map_err(|why| Unreadable::Ambiguous(why.to_string()))?;
        let value: Value = serde_json::from_str(text.get()).map_err(|_| Unreadable::Nameless)?;
        Self::of(thing, &value).ok_or(Unreadable::Nameless)
    }

    /// The definition in a JSON object; `None`: it has no name that such a thing may have.
    #[must_use]
    pub fn of(thing: Thing, item: &Value) -> Option<Self> {
        let name = ItemName::read(thing, item.get(thing.key())?.as_str()?)?;
        let member = |key: &&'static str| item.get(*key).map(|value| (*key, lasting(thing, key, value)));
        let members = thing.members().iter().filter_map(member).filter(|(_, value)| !value.is_null());
        Some(Self { thing, name, members: members.collect() })
    }

    /// The digest of its canonical form: JSON without spaces, keys in order at every level.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut text = String::from("{");
        let name = Value::from(self.name.as_str());
        let mut members: Vec<(&str, &Value)> =
            self.members.iter().map(|(key, value)| (*key, value)).collect();
        members.push((self.thing.key(), &name));
        members.sort_unstable_by_key(|(key, _)| *key);
        for (key, value) in members {
            text.push_str(if text.len() > 1 { "," } else { "" });
            text.push_str(&Value::from(key).to_string());
            text.push(':');
            canonical(value, &mut text);
        }
        text.push('}');
        Digest::of(text.as_bytes())
    }

    /// A member that is text.
    #[must_use]
    pub fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member).and_then(Value::as_str)
    }
}

/// A member without what changes by itself.
fn lasting(thing: Thing, member: &str, value: &Value) -> Value {
    let mut value = value.clone();
    if let (Thing::Resource | Thing::Template, "annotations", Value::Object(told)) =
        (thing, member, &mut value)
    {
        told.remove("lastModified");
    }
    value
}

/// A JSON value in canonical form: without spaces, keys in order at every level.
///
/// # Errors
/// It is no JSON.
pub fn canonical_text(raw: &RawValue) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    canonical(&serde_json::from_str(raw.get())?, &mut text);
    Ok(text)
}

/// Writes `value` with the keys of every object in order, whatever the map behind it does.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Definition, Unreadable> {
        Definition::read(Thing::Tool, &RawValue::from_string(text.to_owned()).unwrap())
    }

    fn digest(text: &str) -> Digest {
        read(text).unwrap().digest()
    }

    #[test]
    fn order_and_spaces_do_not_change_a_digest_and_a_word_does() {
        let one = r#"{"name":"a","description":"Reads.","inputSchema":{"type":"object","properties":{"x":{},"y":{}}}}"#;
        let other = r#"{ "inputSchema": {"properties":{"y":{},"x":{}}, "type":"object"}, "description":"Re\u0061ds.", "name":"a", "outputSchema": null }"#;
        assert_eq!(digest(one), digest(other));
        for changed in [
            one.replace("Reads.", "Reads. "),
            one.replace("\"x\":{}", "\"x\":{\"description\":\"now\"}"),
            one.replace("\"name\":\"a\"", "\"name\":\"a\",\"title\":\"A\""),
            one.replace("\"name\":\"a\"", "\"name\":\"a\",\"annotations\":{\"readOnlyHint\":true}"),
        ] {
            assert_ne!(digest(one), digest(&changed), "{changed}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_has_no_digest() {
        assert!(read(r#"{"name":"a","description":"good","description":"evil"}"#).is_err());
        assert!(read(r#"{"name":"a","inputSchema":{"x":1,"\u0078":2}}"#).is_err());
        assert_eq!(read(r#"{"description":"nameless"}"#), Err(Unreadable::Nameless));
    }

    #[test]
    fn what_no_model_reads_may_change() {
        assert_eq!(digest(r#"{"name":"a","_meta":{"at":1}}"#), digest(r#"{"name":"a","_meta":{"at":2}}"#));
    }

    #[test]
    fn prompts_and_resources_are_pinned_by_what_is_shown_of_them() {
        let digest =
            |thing, text: &str| Definition::of(thing, &serde_json::from_str(text).unwrap()).unwrap().digest();
        let prompt =
            r#"{"name":"greet","description":"Greets.","arguments":[{"name":"who","required":true}]}"#;
        let other = prompt.replace("true", "false");
        assert_ne!(digest(Thing::Prompt, prompt), digest(Thing::Prompt, &other));
        let resource = r#"{"uri":"a:b","name":"B","annotations":{"lastModified":"2026-01-01","audience":["user"]},"size":1}"#;
        let touched = resource.replace("2026", "2027").replace("\"size\":1", "\"size\":2");
        assert_eq!(digest(Thing::Resource, resource), digest(Thing::Resource, &touched));
        assert_ne!(
            digest(Thing::Resource, resource),
            digest(Thing::Resource, &touched.replace("user", "assistant"))
        );
        assert!(Definition::of(Thing::Template, &serde_json::json!({"uri": "a:b"})).is_none());
    }
}
