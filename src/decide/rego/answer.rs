//! What a policy answered: the contract's keys, each of its type or the answer is none.

use std::sync::Arc;

use regorus::Value;
use serde_json::Map;

use crate::decide::conditions::is_pointer;
use crate::decide::rego::Failure;
use crate::refusal::Challenge;

mod challenge;

/// The contract's keys, read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::decide) struct Answer {
    /// `allow`: only exactly true.
    pub(in crate::decide) allow: bool,
    /// `deny`: code and message, sorted.
    pub(in crate::decide) deny: Vec<(Option<String>, String)>,
    /// What would lift every denial, where each says so.
    pub(in crate::decide) challenge: Option<Challenge>,
    /// `rules`, sorted.
    pub(in crate::decide) rules: Vec<Arc<str>>,
    /// `constraints`: argument and schema.
    pub(in crate::decide) constraints: Vec<(String, serde_json::Value)>,
    /// `redact`, sorted.
    pub(in crate::decide) redact: Vec<Arc<str>>,
    /// `cost`.
    pub(in crate::decide) cost: f64,
    /// `annotations`.
    pub(in crate::decide) annotations: Map<String, serde_json::Value>,
}

impl Answer {
    /// Reads the answer: pairs of a key and a list of its value, which is empty where the key is undefined.
    pub(super) fn read(value: &Value) -> Result<Self, Failure> {
        let mut answer = Self::default();
        match value {
            Value::Undefined => Ok(answer),
            Value::Array(pairs) => {
                for pair in pairs.iter() {
                    match &pair[1_usize][0_usize] {
                        Value::Undefined => {}
                        value => answer.take(&pair[0_usize], value)?,
                    }
                }
                Ok(answer)
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Set(_)
            | Value::Object(_) => Err(Failure::Failed("the answer is not a list".to_owned())),
        }
    }

    fn take(&mut self, key: &Value, value: &Value) -> Result<(), Failure> {
        let Value::String(key) = key else { return Ok(()) };
        match &**key {
            "allow" => self.allow = boolean(value)?,
            "deny" => {
                self.deny = denials(value)?;
                self.challenge = challenge::of(&elements("deny", value)?)?;
            }
            "rules" => self.rules = texts("rules", value)?,
            "constraints" => self.constraints = object("constraints", value)?.into_iter().collect(),
            "redact" => self.redact = pointers(value)?,
            "cost" => self.cost = cost(value)?,
            "annotations" => self.annotations = object("annotations", value)?,
            _ => {}
        }
        Ok(())
    }
}

fn wrong<T>(key: &'static str, what: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::WrongType { key, what: what.into() })
}

fn boolean(value: &Value) -> Result<bool, Failure> {
    match value {
        Value::Bool(allow) => Ok(*allow),
        _ => wrong("allow", "must be true or false"),
    }
}

/// The elements of a set, or of a list that serves as one.
fn elements<'a>(key: &'static str, value: &'a Value) -> Result<Vec<&'a Value>, Failure> {
    match value {
        Value::Set(set) => Ok(set.iter().collect()),
        Value::Array(list) => Ok(list.iter().collect()),
        _ => wrong(key, "must be a set"),
    }
}

fn texts(key: &'static str, value: &Value) -> Result<Vec<Arc<str>>, Failure> {
    let mut texts = Vec::new();
    for element in elements(key, value)? {
        match element {
            Value::String(text) => texts.push(Arc::from(&**text)),
            _ => return wrong(key, "must hold texts only"),
        }
    }
    texts.sort();
    Ok(texts)
}

fn denials(value: &Value) -> Result<Vec<(Option<String>, String)>, Failure> {
    let mut denials = Vec::new();
    for element in elements("deny", value)? {
        match denial(element) {
            Some(denial) => denials.push(denial),
            None => return wrong("deny", "must hold texts, or objects {code, message, challenge}"),
        }
    }
    denials.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    Ok(denials)
}

fn denial(element: &Value) -> Option<(Option<String>, String)> {
    let text = |value: &Value| value.as_string().ok().map(|text| text.to_string());
    match element {
        Value::String(message) => Some((None, message.to_string())),
        Value::Object(members) => {
            let member = |name: &str| members.get(&Value::from(name));
            let message = text(member("message")?)?;
            match member("code") {
                Some(code) => Some((Some(text(code)?), message)),
                None => Some((None, message)),
            }
        }
        _ => None,
    }
}

fn object(key: &'static str, value: &Value) -> Result<Map<String, serde_json::Value>, Failure> {
    let Value::Object(members) = value else { return wrong(key, "must be an object") };
    let mut object = Map::new();
    for (name, member) in members.iter() {
        let Value::String(name) = name else { return wrong(key, "must have texts for its names") };
        match serde_json::to_value(member) {
            Ok(member) => object.insert(name.to_string(), member),
            Err(e) => return wrong(key, format!("holds what JSON cannot: {e}")),
        };
    }
    Ok(object)
}

fn pointers(value: &Value) -> Result<Vec<Arc<str>>, Failure> {
    let pointers = texts("redact", value)?;
    match pointers.iter().find(|pointer| !is_pointer(pointer)) {
        Some(pointer) => {
            wrong("redact", format!("holds `{pointer}`, which is no JSON Pointer: begin with `/`"))
        }
        None => Ok(pointers),
    }
}

fn cost(value: &Value) -> Result<f64, Failure> {
    match value.as_f64() {
        Ok(cost) if cost.is_finite() && cost >= 0.0 => Ok(cost),
        _ => wrong("cost", "must be a number that is not negative"),
    }
}
