//! Objects of the protocol: the keys that have a meaning, each once, and none that could be taken for one of them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::json::{Key, Seen, Walk, deeper, quoted, twice};
use super::keys;

/// An object of the protocol: which keys it has, and what is kept of them.
pub(super) trait Members<'de> {
    /// The keys that the protocol gives a meaning, 32 at most.
    const KNOWN: &'static [&'static str];
    /// Whether there may be no others.
    const CLOSED: bool = false;

    /// Takes the value of one known key; inside it, `left` containers may open.
    fn member<A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        left: usize,
        members: &mut A,
    ) -> Result<(), A::Error>;
}

/// Reads an object of the protocol; `None` where the value is something else.
#[derive(Debug)]
pub(super) struct Object<T> {
    /// What to fill.
    pub(super) into: T,
    /// How many containers may still open, this object included.
    pub(super) left: usize,
}

impl<'de, T: Members<'de>> DeserializeSeed<'de> for Object<T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Members<'de>> Visitor<'de> for Object<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Option<T>, A::Error> {
        Walk { left: self.left }.visit_seq(elements).map(|()| None)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Option<T>, A::Error> {
        const { assert!(T::KNOWN.len() <= 32, "one bit each") };
        let left = deeper(self.left)?;
        let mut known = 0_u32;
        let mut strangers = Seen::default();
        while let Some(key) = members.next_key_seed(Key)? {
            if let Some((bit, name)) = find::<T>(&key) {
                if known & bit != 0 {
                    return Err(twice(&key));
                }
                known |= bit;
                self.into.member(name, left, &mut members)?;
            } else {
                stranger::<T, A::Error>(&key)?;
                strangers.insert(key)?;
                members.next_value_seed(Walk { left })?;
            }
        }
        Ok(Some(self.into))
    }
}

fn find<'de, T: Members<'de>>(key: &str) -> Option<(u32, &'static str)> {
    let (at, name) = (0_u32..).zip(T::KNOWN).find(|(_, name)| **name == key)?;
    Some((1_u32.checked_shl(at)?, name))
}

fn stranger<'de, T: Members<'de>, E: Error>(key: &str) -> Result<(), E> {
    if let Some(protocol) = keys::lookalike(key, T::KNOWN) {
        return Err(E::custom(format_args!("the key {} could be taken for `{protocol}`", quoted(key))));
    }
    if T::CLOSED {
        return Err(E::custom(format_args!("the member {} is not one of a message", quoted(key))));
    }
    Ok(())
}

/// A value that is kept only where it is a string; anything else is walked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) enum Scalar<'de> {
    /// The key is not there.
    #[default]
    Absent,
    /// A string, decoded.
    Text(Cow<'de, str>),
    /// Any other value.
    Other,
}

impl Scalar<'_> {
    /// Whether the key is not there.
    pub(super) fn is_absent(&self) -> bool {
        *self == Self::Absent
    }

    /// The string, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Other => None,
        }
    }
}

/// Reads a [`Scalar`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    /// How many containers may still open.
    pub(super) left: usize,
}

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Scalar<'de>, A::Error> {
        Walk { left: self.left }.visit_seq(elements).map(|()| Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Scalar<'de>, A::Error> {
        Walk { left: self.left }.visit_map(members).map(|()| Scalar::Other)
    }
}
