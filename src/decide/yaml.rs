//! Data files: YAML or JSON text → a JSON value that knows where its members stand.
//!
//! # Why stricter than OPA
//! OPA reads YAML 1.1, in which a bare `no` is `false`; YAML 1.2 reads it as a text. What the two read differently is
//! refused, as are duplicate keys, so that a security team's own tools and the gate always see the same data.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde::de::{Deserialize, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::decide::problem::{At, PolicyProblem};

/// One data file.
#[derive(Debug)]
pub(in crate::decide) struct Document {
    /// What it says.
    pub(in crate::decide) value: Value,
    text: String,
    /// Where its members stand, by JSON Pointer: looked up when something is to be said of one.
    places: OnceLock<HashMap<String, At>>,
}

impl Document {
    /// Reads YAML.
    pub(in crate::decide) fn yaml(file: &str, text: &str) -> Result<Self, Vec<PolicyProblem>> {
        let documents = MarkedYaml::load_from_str(text).map_err(|e| vec![unreadable(file, &e)])?;
        let mut reader = Reader { file, text, problems: Vec::new() };
        if let Some(second) = documents.get(1) {
            reader.problem(second, "a second YAML document", "keep one document per file");
        }
        let value = documents.first().map_or(Value::Null, |document| reader.value(document));
        if reader.problems.is_empty() { Ok(Self::new(value, text)) } else { Err(reader.problems) }
    }

    /// Reads JSON (RFC 8259), which may not repeat a key.
    pub(in crate::decide) fn json(file: &str, text: &str) -> Result<Self, Vec<PolicyProblem>> {
        let unique = serde_json::from_str::<Unique>(text).map_err(|e| vec![not_json(file, &e)])?;
        Ok(Self::new(unique.0, text))
    }

    fn new(value: Value, text: &str) -> Self {
        Self { value, text: text.to_owned(), places: OnceLock::new() }
    }

    /// Where a member stands, or its nearest parent.
    pub(in crate::decide) fn at(&self, pointer: &str) -> At {
        let places = self.places.get_or_init(|| places(&self.text));
        let mut pointer = pointer;
        loop {
            if let Some(at) = places.get(pointer) {
                return *at;
            }
            match pointer.rsplit_once('/') {
                Some((parent, _)) => pointer = parent,
                None => return At::START,
            }
        }
    }
}

/// Appends a name to a JSON Pointer (RFC 6901).
pub(in crate::decide) fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// JSON is YAML too; what YAML cannot read merely has no places.
fn places(text: &str) -> HashMap<String, At> {
    let documents = MarkedYaml::load_from_str(text).unwrap_or_default();
    let mut places = HashMap::new();
    if let Some(document) = documents.first() {
        places.insert(String::new(), place(document));
        note(document, "", &mut places);
    }
    places
}

/// Notes where the members of a value stand: that of a mapping by its key.
fn note(node: &MarkedYaml<'_>, pointer: &str, places: &mut HashMap<String, At>) {
    let mut member = |name: &str, stands: &MarkedYaml<'_>, member: &MarkedYaml<'_>| {
        let pointer = below(pointer, name);
        note(member, &pointer, places);
        places.insert(pointer, place(stands));
    };
    match &node.data {
        YamlData::Sequence(items) => {
            items.iter().enumerate().for_each(|(at, item)| member(&at.to_string(), item, item));
        }
        YamlData::Mapping(members) => {
            for (key, value) in members {
                if let Some(name) = key.data.as_str() {
                    member(name, key, value);
                }
            }
        }
        YamlData::Value(_)
        | YamlData::Representation(..)
        | YamlData::Tagged(..)
        | YamlData::Alias(_)
        | YamlData::BadValue => {}
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<PolicyProblem>,
}

impl Reader<'_> {
    fn value(&mut self, node: &MarkedYaml<'_>) -> Value {
        match &node.data {
            YamlData::Value(scalar) => self.scalar(node, scalar),
            YamlData::Sequence(items) => items.iter().map(|item| self.value(item)).collect(),
            YamlData::Mapping(members) => {
                let members: Vec<_> = members.iter().collect();
                Value::Object(self.members(&members))
            }
            YamlData::Representation(..) | YamlData::Tagged(..) | YamlData::Alias(_) | YamlData::BadValue => {
                self.problem(
                    node,
                    "a value that JSON does not have",
                    "write a text, number, list or mapping",
                );
                Value::Null
            }
        }
    }

    fn members(&mut self, members: &[(&MarkedYaml<'_>, &MarkedYaml<'_>)]) -> Map<String, Value> {
        let mut object = Map::new();
        for (key, member) in members {
            let Some(name) = self.key(key) else { continue };
            let value = self.value(member);
            object.insert(name, value);
        }
        object
    }

    fn key(&mut self, node: &MarkedYaml<'_>) -> Option<String> {
        if let YamlData::Value(scalar) = &node.data
            && let Value::String(name) = self.scalar(node, scalar)
        {
            return Some(name);
        }
        self.problem(node, "a key that is not a text", "put it in quotes");
        None
    }

    fn scalar(&mut self, node: &MarkedYaml<'_>, scalar: &Scalar<'_>) -> Value {
        match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => Value::Bool(*value),
            Scalar::Integer(value) => Value::from(*value),
            Scalar::FloatingPoint(value) => match serde_json::Number::from_f64(value.into_inner()) {
                Some(number) => Value::Number(number),
                None => {
                    self.problem(node, "a number that JSON does not have", "write a finite number");
                    Value::Null
                }
            },
            Scalar::String(text) => {
                if two_readings(text) && !self.quoted(node) {
                    let what = format!("`{text}` is a text in YAML 1.2 and a boolean in YAML 1.1");
                    self.problem(node, &what, "write true or false, or put it in quotes");
                }
                Value::String(text.to_string())
            }
        }
    }

    fn quoted(&self, node: &MarkedYaml<'_>) -> bool {
        let at = place(node);
        let line = self.text.lines().nth((at.line as usize).saturating_sub(1)).unwrap_or_default();
        let first = line.chars().nth((at.column as usize).saturating_sub(1));
        matches!(first, Some('"' | '\''))
    }

    fn problem(&mut self, node: &MarkedYaml<'_>, what: &str, fix: &str) {
        self.problems.push(PolicyProblem::new(self.file, place(node), what, fix));
    }
}

fn two_readings(text: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn place(node: &MarkedYaml<'_>) -> At {
    let start = node.span.start;
    At { line: number(start.line()), column: number(start.col()).saturating_add(1) }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn unreadable(file: &str, error: &saphyr::ScanError) -> PolicyProblem {
    let at =
        At { line: number(error.marker().line()), column: number(error.marker().col()).saturating_add(1) };
    PolicyProblem::new(file, at, format!("not YAML: {}", error.info()), "")
}

fn not_json(file: &str, error: &serde_json::Error) -> PolicyProblem {
    let at = At { line: number(error.line()).max(1), column: number(error.column()).max(1) };
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    PolicyProblem::new(file, at, format!("not JSON: {what}"), "")
}

/// A JSON value without duplicate keys.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        UniqueSeed.deserialize(deserializer).map(Self)
    }
}

struct UniqueSeed;

impl<'de> DeserializeSeed<'de> for UniqueSeed {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(UniqueSeed)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(serde::de::Error::custom(format_args!("duplicate key `{name}`")));
            }
            let value = members.next_value_seed(UniqueSeed)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}
