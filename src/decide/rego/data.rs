//! The data that every engine begins with: the data files, and what the settled packages make of them.
//!
//! # Why each engine has a copy, and not of everything
//! Values are counted by reference, and counts that threads share cost more than the copies. What no rule reads that is still
//! to be evaluated, as the stock policies read their tenants' files by the index alone, only an explanation asks for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use regorus::Value;

use crate::decide::bundle::{Bundle, Text};
use crate::decide::paths::{Module, Step};
use crate::decide::problem::PolicyProblem;
use crate::decide::rego::{build, index, located, step, timer, value};

/// How long settled packages may take: nobody waits for them.
const PATIENCE: Duration = Duration::from_secs(120);

/// The data files, as the engine has them.
#[derive(Clone)]
pub(in crate::decide) struct Values(pub(super) Value);

impl Values {
    /// Those of a bundle.
    ///
    /// # Errors
    /// There is a number that the engine cannot hold.
    pub(in crate::decide) fn of(bundle: &Bundle) -> Result<Self, PolicyProblem> {
        value::of(&bundle.data).map(Self).map_err(|e| located(&e, &bundle.modules))
    }
}

/// Data, ready to be copied.
pub(super) struct Data {
    all: Value,
    /// As much of it as rules read.
    read: Value,
}

impl Data {
    /// The data files, with the values of the settled packages among them.
    pub(super) fn settle(
        bundle: &Bundle,
        Values(data): &Values,
        settled: &BTreeSet<Vec<String>>,
        serving: &[Module],
    ) -> Result<Self, Vec<PolicyProblem>> {
        let problem = |e: String, texts: &[Text]| vec![located(&e, texts)];
        let mut data = data.clone();
        let mut values = Vec::new();
        for package in settled {
            let files: Vec<&str> =
                serving.iter().filter(|m| m.package == *package).map(|m| m.file.as_str()).collect();
            let own = |text: &&Text| files.contains(&text.file.as_str());
            let texts: Vec<Text> = bundle.modules.iter().filter(own).cloned().collect();
            values.push((package, settle(package, &texts, &data).map_err(|e| problem(e, &texts))?));
        }
        for (package, value) in values {
            let nested = package.iter().rev().fold(value, |value, name| {
                Value::from(BTreeMap::from([(Value::from(name.as_str()), value)]))
            });
            join(&mut data, nested);
        }
        let open = serving.iter().filter(|module| !settled.contains(&module.package));
        let paths: Vec<Vec<String>> = open.flat_map(read_by).collect();
        let read = under(&data, &paths.iter().map(Vec::as_slice).collect::<Vec<_>>());
        Ok(Self { all: data, read })
    }

    /// A copy of what rules read, which shares nothing with another.
    pub(super) fn copy(&self) -> Value {
        Copier::default().copy(&self.read)
    }

    /// The same of everything.
    pub(super) fn whole(&self) -> Value {
        Copier::default().copy(&self.all)
    }
}

/// The paths of `data` that a module reads, each as far as it is known beforehand.
fn read_by(module: &Module) -> Vec<Vec<String>> {
    let references = module.rules.iter().flat_map(|rule| &rule.references);
    let imports = module.imports.iter().map(|(_, path, _)| path.clone());
    let paths = references.map(|reference| module.resolve(&reference.steps)).chain(imports);
    let data = paths.filter(|steps| steps.first().and_then(Step::name) == Some("data"));
    data.map(|steps| steps.iter().skip(1).map_while(Step::name).map(str::to_owned).collect()).collect()
}

/// What of a value lies on one of the paths, or below its end.
fn under(value: &Value, paths: &[&[String]]) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    if paths.iter().any(|path| path.is_empty()) {
        return value.clone();
    }
    let kept = members.iter().filter_map(|(name, member)| {
        let name_text = name.as_string().ok()?;
        let below: Vec<&[String]> = paths
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(first, _)| **first == **name_text)
            .map(|(_, rest)| rest)
            .collect();
        (!below.is_empty()).then(|| (name.clone(), under(member, &below)))
    });
    Value::from(kept.collect::<BTreeMap<_, _>>())
}

/// What a package comes to.
fn settle(package: &[String], texts: &[Text], data: &Value) -> Result<Value, String> {
    let stock = matches!(texts, [only] if only.text == index::TEXT);
    match stock.then(|| index::of(data)).flatten() {
        Some(index) => Ok(index),
        None => evaluated(package, texts, data),
    }
}

fn evaluated(package: &[String], texts: &[Text], data: &Value) -> Result<Value, String> {
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
        let Some(address) = shared(value) else { return self.fresh(value) };
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

/// Where a counted value lies that is held more than once.
fn shared(value: &Value) -> Option<usize> {
    let (address, holders) = match value {
        Value::String(text) => (text.as_ptr().addr(), Arc::strong_count(text)),
        Value::Array(items) => (Arc::as_ptr(items).addr(), Arc::strong_count(items)),
        Value::Set(items) => (Arc::as_ptr(items).addr(), Arc::strong_count(items)),
        Value::Object(members) => (Arc::as_ptr(members).addr(), Arc::strong_count(members)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Undefined => return None,
    };
    (holders > 1).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that a grant can say, also wrongly, in every combination that is not refused by the engine itself.
    fn grants() -> Vec<serde_json::Value> {
        let choices: [(&str, &[&str]); 9] = [
            ("servers", &["", "[]", r#"["a", "tag:erp", "*", "a"]"#, r#"["a", 1]"#, r#""a""#]),
            ("tools", &["", "[]", r#"["x", "x_*", "*", "**", "*x*", "a*b", ""]"#, "[null]"]),
            ("methods", &["", r#"["read"]"#]),
            ("tags", &["", r#"["t"]"#]),
            ("resources", &["", "[]", r#"["u*"]"#]),
            ("prompts", &["", r#"["p"]"#]),
            ("when", &["", "{}", r#"{"r": "x"}"#, "[]"]),
            ("redact", &["", r#"["/a"]"#]),
            ("tool", &["", r#"["x"]"#]),
        ];
        let mut grants = vec![String::new()];
        for (word, values) in choices {
            grants = grants
                .iter()
                .flat_map(|grant| {
                    values.iter().map(move |value| match *value {
                        "" => grant.clone(),
                        value => {
                            format!("{grant}{}\"{word}\": {value}", if grant.is_empty() { "" } else { ", " })
                        }
                    })
                })
                .collect();
        }
        grants.iter().map(|grant| serde_json::from_str(&format!("{{{grant}}}")).unwrap()).collect()
    }

    fn both(data: &serde_json::Value) -> (Option<Value>, Result<Value, String>) {
        let data = Value::from_json_str(&data.to_string()).unwrap();
        let package = ["mcp", "index"].map(str::to_owned);
        let text = Text { file: "index.rego".to_owned(), text: index::TEXT.to_owned() };
        (index::of(&data), evaluated(&package, &[text], &data))
    }

    #[test]
    fn the_index_is_the_one_that_the_engine_makes() {
        let grants = grants();
        let roles = grants.chunks(300).enumerate().map(|(n, grants)| (format!("r{n}"), grants.into()));
        let roles: serde_json::Map<String, serde_json::Value> = roles.collect();
        let acme = serde_json::json!({"roles": roles, "deny": [{"message": "no"}], "rates": {}});
        for data in [
            serde_json::json!({"tenants": {"acme": acme, "bare": {}, "shut": {"deny": false}, "none": {"roles": {}}}}),
            serde_json::json!({"tenants": {}}),
            serde_json::json!({}),
        ] {
            let (ours, theirs) = both(&data);
            assert_eq!(ours.unwrap(), theirs.unwrap());
        }
    }

    #[test]
    fn data_of_another_shape_are_left_to_the_engine() {
        for tenants in [
            r#"[]"#,
            r#"{"t": []}"#,
            r#"{"t": {"roles": []}}"#,
            r#"{"t": {"roles": {"r": {}}}}"#,
            r#"{"t": {"roles": {"r": ["x"]}}}"#,
            r#"{"a/b": {"roles": {"c": [{"servers": ["x"]}]}}, "a": {"roles": {"b/c": [{"servers": ["y"]}]}}}"#,
        ] {
            let tenants: serde_json::Value = serde_json::from_str(tenants).unwrap();
            assert_eq!(both(&serde_json::json!({"tenants": tenants})).0, None, "{tenants}");
        }
    }
}
