//! JSON put together from parts that are each their exact text: what is not changed is not written again.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The string that `value` is, if it is one.
pub(in crate::respond) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0)
}

/// The elements of an array, if it is one.
pub(in crate::respond) fn elements(text: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(text.get()).ok()
}

/// A string as JSON.
pub(in crate::respond) fn quoted(text: &str) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(text).ok()
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
        push_array(&mut self.text, values);
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
    pub(in crate::respond) fn finish(self) -> Option<Box<RawValue>> {
        RawValue::from_string(self.into_text()).ok()
    }

    /// The object as the text of JSON, not read again: it is made of JSON.
    pub(in crate::respond) fn into_text(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// An array of `values`, each JSON.
pub(in crate::respond) fn array<'v>(values: impl Iterator<Item = &'v str>) -> String {
    let mut text = String::new();
    push_array(&mut text, values);
    text
}

fn push_array<'v>(text: &mut String, values: impl Iterator<Item = &'v str>) {
    text.push('[');
    for (index, value) in values.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(value);
    }
    text.push(']');
}
