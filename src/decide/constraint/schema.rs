//! A JSON Schema taken apart into its members and put together again: what is not touched stays byte for byte.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

/// The members of an object in their order, each as it was written.
#[derive(Default)]
pub(in crate::decide::constraint) struct Members<'a>(Vec<(String, Cow<'a, RawValue>)>);

impl<'a> Members<'a> {
    /// Reads an object; `None` where it is none, or has a key twice and could be read in two ways.
    pub(in crate::decide::constraint) fn read(raw: &'a RawValue) -> Option<Self> {
        struct Ordered;
        impl<'de> serde::de::Visitor<'de> for Ordered {
            type Value = Vec<(String, Cow<'de, RawValue>)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((name, Cow::Borrowed(value)));
                }
                Ok(members)
            }
        }
        let mut reader = serde_json::Deserializer::from_str(raw.get());
        let members = serde::Deserializer::deserialize_map(&mut reader, Ordered).ok()?;
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let twice = names.windows(2).any(|pair| pair.first() == pair.last());
        (!twice).then_some(Self(members))
    }

    pub(in crate::decide::constraint) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, raw)| &**raw)
    }

    /// The member read as a value.
    pub(in crate::decide::constraint) fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    pub(in crate::decide::constraint) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(in crate::decide::constraint) fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some((_, there)) => *there = Cow::Owned(value),
            None => self.0.push((name.to_owned(), Cow::Owned(value))),
        }
    }

    pub(in crate::decide::constraint) fn remove(&mut self, name: &str) -> Option<Cow<'a, RawValue>> {
        let at = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.remove(at).1)
    }

    /// One more element of the array `name`, which is made where it is missing; `None` where it is no array.
    pub(in crate::decide::constraint) fn push(&mut self, name: &str, element: Value) -> Option<()> {
        let there = if self.has(name) { self.value(name)? } else { Value::Array(Vec::new()) };
        let Value::Array(mut elements) = there else { return None };
        if !elements.contains(&element) {
            elements.push(element);
        }
        self.set(name, raw(&Value::Array(elements))?);
        Some(())
    }

    pub(in crate::decide::constraint) fn write(&self) -> Option<Box<RawValue>> {
        let mut text = String::from("{");
        for (i, (name, value)) in self.0.iter().enumerate() {
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
}

pub(in crate::decide::constraint) fn raw(value: &Value) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(value).ok()
}
