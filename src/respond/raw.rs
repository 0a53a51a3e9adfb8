//! JSON taken apart one level at a time, each part as its exact text: what is not changed is not written again.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The members of an object, in their order; an object with a key twice is refused.
pub(in crate::respond) struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// The members of `text`, if it is an object.
    pub(in crate::respond) fn of(text: &'a RawValue) -> Option<Self> {
        serde_json::from_str(text.get()).ok()
    }

    /// One member.
    pub(in crate::respond) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// One member, if it is a string.
    pub(in crate::respond) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        text(self.get(key)?)
    }
}

/// The string that `value` is, if it is one.
pub(in crate::respond) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Key<'_>>(value.get()).ok().map(|key| key.0)
}

/// The elements of an array, if it is one.
pub(in crate::respond) fn elements(text: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(text.get()).ok()
}

/// A string as JSON.
pub(in crate::respond) fn quoted(text: &str) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(text).ok()
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            if members.iter().any(|(seen, _)| *seen == key.0) {
                return Err(A::Error::custom("a key is there twice"));
            }
            members.push((key.0, value));
        }
        Ok(Members(members))
    }
}

/// Writes an object member by member.
pub(in crate::respond) struct Object {
    text: String,
    empty: bool,
}

impl Object {
    /// An object that will be about `size` bytes long.
    pub(in crate::respond) fn sized(size: usize) -> Self {
        let mut text = String::with_capacity(size);
        text.push('{');
        Self { text, empty: true }
    }

    /// Adds one member; `value` is JSON.
    pub(in crate::respond) fn add(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text.push_str(value);
    }

    /// Adds one member that is an array of `values`, each JSON.
    pub(in crate::respond) fn add_array<'v>(&mut self, key: &str, values: impl Iterator<Item = &'v str>) {
        self.key(key);
        self.text.push_str(&array(values));
    }

    fn key(&mut self, key: &str) {
        if !self.empty {
            self.text.push(',');
        }
        self.empty = false;
        match quoted(key) {
            Some(quoted) => self.text.push_str(quoted.get()),
            None => self.text.push_str("\"\""),
        }
        self.text.push(':');
    }

    /// The object as JSON.
    pub(in crate::respond) fn finish(mut self) -> Option<Box<RawValue>> {
        self.text.push('}');
        RawValue::from_string(self.text).ok()
    }
}

/// An array of `values`, each JSON.
pub(in crate::respond) fn array<'v>(values: impl Iterator<Item = &'v str>) -> String {
    let mut text = String::from("[");
    for (index, value) in values.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(value);
    }
    text.push(']');
    text
}
