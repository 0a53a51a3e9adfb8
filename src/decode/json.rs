//! Strict JSON: UTF-8, no key twice at any level (compared decoded), bounded depth, numbers that a double can hold.
//!
//! # Why
//! Everything is read by `serde_json`, once for the shape and once for the keys, with no tree in between. Captured
//! pieces (`RawValue`) are checked for syntax only, so whatever is kept is walked as well. Lone surrogates and numbers
//! such as `1e400` are found by the walk.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::refusal::Refusal;

/// The deepest limit: below that at which `serde_json` itself gives up.
pub(super) const DEEPEST: usize = 120;

/// Why a text is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    /// It is not JSON.
    #[error("{0}")]
    NotJson(String),
    /// It is JSON that two readers could read in two ways, or that is too deep.
    #[error("{0}")]
    Invalid(String),
}

impl From<Flaw> for Refusal {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::NotJson(what) => Self::NotJson(what),
            Flaw::Invalid(what) => Self::Invalid(what),
        }
    }
}

/// The body as text: UTF-8 without a byte order mark.
pub(super) fn text(body: &[u8]) -> Result<&str, Flaw> {
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(Flaw::NotJson("it starts with a byte order mark".into()));
    }
    std::str::from_utf8(body)
        .map_err(|error| Flaw::NotJson(format!("not UTF-8 at byte {}", error.valid_up_to())))
}

/// Reads the whole of `text`, and nothing behind it.
pub(super) fn read<'a, S: DeserializeSeed<'a>>(text: &'a str, seed: S) -> Result<S::Value, Flaw> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| flaw(text, &error))
}

/// Walks a captured piece.
pub(super) fn walk(raw: &RawValue, left: usize) -> Result<(), Flaw> {
    read(raw.get(), Walk { left })
}

/// The limit that applies where the operator asks for `depth`.
pub(super) fn bounded(depth: usize) -> usize {
    depth.clamp(1, DEEPEST)
}

/// Whether a captured piece is an object.
pub(super) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// A text that is no JSON at all is said to be that, even if something else about it was noticed first.
fn flaw(text: &str, error: &serde_json::Error) -> Flaw {
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => Flaw::NotJson(error.to_string()),
        Category::Data => match serde_json::from_str::<IgnoredAny>(text) {
            Err(syntax) => Flaw::NotJson(syntax.to_string()),
            Ok(IgnoredAny) => Flaw::Invalid(without_place(&error.to_string())),
        },
    }
}

/// Places inside a captured piece would mislead.
fn without_place(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(what, _)| what).to_owned()
}

/// A key as a message may quote it.
pub(super) fn quoted(key: &str) -> String {
    let mut text: String = key.chars().take(64).flat_map(char::escape_debug).collect();
    if key.chars().nth(64).is_some() {
        text.push('…');
    }
    format!("`{text}`")
}

/// Checks a value and keeps nothing of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    /// How many containers may still open.
    pub(super) left: usize,
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let inner = Self { left: deeper(self.left)? };
        while elements.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inner = Self { left: deeper(self.left)? };
        let mut seen = Seen::default();
        while let Some(key) = members.next_key_seed(Key)? {
            seen.insert(key)?;
            members.next_value_seed(inner)?;
        }
        Ok(())
    }
}

pub(super) fn deeper<E: Error>(left: usize) -> Result<usize, E> {
    left.checked_sub(1).ok_or_else(|| E::custom("it is nested too deeply"))
}

/// A key, decoded; borrowed where it has no escapes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// How many keys are compared one by one before they are hashed.
const FEW: usize = 8;

/// The keys of one object so far. Small objects cost no allocation, large ones no quadratic time.
#[derive(Debug, Default)]
pub(super) struct Seen<'de> {
    few: [&'de str; FEW],
    count: usize,
    others: Option<HashSet<Cow<'de, str>>>,
}

impl<'de> Seen<'de> {
    /// Takes the next key; `__proto__` is none that a JavaScript server reads as it is written.
    pub(super) fn insert<E: Error>(&mut self, key: Cow<'de, str>) -> Result<(), E> {
        let among_few = self.few.iter().take(self.count).any(|before| *before == key);
        if among_few || self.others.as_ref().is_some_and(|others| others.contains(&key)) {
            return Err(twice(&key));
        }
        if key == "__proto__" {
            return Err(E::custom("the key `__proto__` is not taken"));
        }
        match (key, self.few.get_mut(self.count)) {
            (Cow::Borrowed(key), Some(free)) => {
                *free = key;
                self.count += 1;
            }
            (key, _) => {
                self.others.get_or_insert_default().insert(key);
            }
        }
        Ok(())
    }
}

pub(super) fn twice<E: Error>(key: &str) -> E {
    E::custom(format_args!("the key {} is there twice", quoted(key)))
}

/// Reads the members of an object, each key once, and keeps the text of their values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Members;

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut seen = Seen::default();
        let mut found = Vec::new();
        while let Some(key) = members.next_key_seed(Key)? {
            seen.insert(key.clone())?;
            found.push((key, members.next_value()?));
        }
        Ok(found)
    }
}

/// Reads the members of an object as [`Members`] does, and of the member of that name the elements as well, so that a
/// long list is read once.
#[derive(Debug, Clone, Copy)]
pub(super) struct MembersAndList(pub(super) &'static str);

/// Members, and the elements of one of them where it is there. It stands among the members as `null`.
pub(super) type Listed<'de> = (Vec<(Cow<'de, str>, &'de RawValue)>, Option<Vec<&'de RawValue>>);

impl<'de> DeserializeSeed<'de> for MembersAndList {
    type Value = Listed<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MembersAndList {
    type Value = Listed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut seen, mut found, mut list) = (Seen::default(), Vec::new(), None);
        while let Some(key) = members.next_key_seed(Key)? {
            seen.insert(key.clone())?;
            let value = if key == self.0 {
                list = Some(members.next_value()?);
                RawValue::NULL
            } else {
                members.next_value()?
            };
            found.push((key, value));
        }
        Ok((found, list))
    }
}
