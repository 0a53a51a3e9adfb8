//! The data that every engine begins with: the data files, and what the settled packages make of them.
//!
//! # Why each engine has a copy
//! Values are counted by reference, and counts that threads share cost more than the copies.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use regorus::Value;

use crate::decide::bundle::{Bundle, Text};
use crate::decide::problem::PolicyProblem;
use crate::decide::rego::{build, located, step, timer};

/// How long settled packages may take: nobody waits for them.
const PATIENCE: Duration = Duration::from_secs(120);

/// Data, ready to be copied.
pub(super) struct Data(Value);

impl Data {
    /// The data files, with the values of the settled packages among them.
    pub(super) fn settle(
        bundle: &Bundle,
        settled: &BTreeSet<Vec<String>>,
        modules: &BTreeMap<String, Vec<String>>,
    ) -> Result<Self, Vec<PolicyProblem>> {
        let problem = |e: String, texts: &[Text]| vec![located(&e, texts)];
        let mut data = Value::from_json_str(&bundle.data.to_string())
            .map_err(|e| problem(e.to_string(), &bundle.modules))?;
        let mut values = Vec::new();
        for package in settled {
            let own = |text: &&Text| modules.get(&text.file) == Some(package);
            let texts: Vec<Text> = bundle.modules.iter().filter(own).cloned().collect();
            values.push((package, value(package, &texts, &data).map_err(|e| problem(e, &texts))?));
        }
        for (package, value) in values {
            let nested = package.iter().rev().fold(value, |value, name| {
                Value::from(BTreeMap::from([(Value::from(name.as_str()), value)]))
            });
            join(&mut data, nested);
        }
        Ok(Self(data))
    }

    /// A copy that shares nothing with another.
    pub(super) fn copy(&self) -> Value {
        Copier::default().copy(&self.0)
    }
}

/// What a package comes to.
fn value(package: &[String], texts: &[Text], data: &Value) -> Result<Value, String> {
    let mut engine = build(texts.iter(), data.clone())?;
    engine.set_execution_timer_config(timer(PATIENCE));
    let path = package.iter().fold("data".to_owned(), |path, name| step(&path, name));
    let results = engine.eval_query(path, false).map_err(|e| format!("{e:#}"))?;
    let value = results.result.first().and_then(|result| result.expressions.first());
    Ok(value.map_or_else(Value::new_object, |expression| expression.value.clone()))
}

/// Puts an object into another one that has nothing in its place.
fn join(into: &mut Value, from: Value) {
    match (into.as_object_mut(), from) {
        (Ok(into), Value::Object(from)) => {
            for (name, value) in from.iter() {
                match into.get_mut(name) {
                    Some(there) => join(there, value.clone()),
                    None => {
                        into.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (_, from) => *into = from,
    }
}

/// Copies values; what the original holds twice, the copy holds twice as well.
#[derive(Default)]
struct Copier(HashMap<usize, Value>);

impl Copier {
    fn copy(&mut self, value: &Value) -> Value {
        let Some(address) = address(value) else { return value.clone() };
        if let Some(copied) = self.0.get(&address) {
            return copied.clone();
        }
        let copied = self.fresh(value);
        self.0.insert(address, copied.clone());
        copied
    }

    fn fresh(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::from(&**text),
            Value::Array(items) => Value::from(items.iter().map(|v| self.copy(v)).collect::<Vec<_>>()),
            Value::Set(items) => Value::from(items.iter().map(|v| self.copy(v)).collect::<BTreeSet<_>>()),
            Value::Object(members) => {
                let pairs = members.iter().map(|(name, member)| (self.copy(name), self.copy(member)));
                Value::from(pairs.collect::<BTreeMap<_, _>>())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Undefined => value.clone(),
        }
    }
}

/// Where a counted value lies.
fn address(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.as_ptr().addr()),
        Value::Array(items) => Some(std::ptr::from_ref(&**items).addr()),
        Value::Set(items) => Some(std::ptr::from_ref(&**items).addr()),
        Value::Object(members) => Some(std::ptr::from_ref(&**members).addr()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Undefined => None,
    }
}
