//! The cases that the policy engine's own source ships, found where cargo has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regorus::test_utils::process_value;
use regorus::{Engine, Value};

/// One case: modules, data, inputs, a query, and what must come of it.
pub struct Case {
    /// File and note: `every/tests.yaml: all`.
    pub name: String,
    value: Value,
}

/// What must come of a case.
pub enum Want {
    /// The results of its inputs, one after the other.
    Values(Vec<Value>),
    /// An error that says this.
    Error(String),
    /// That it ends.
    Anything,
}

/// Which Rego a case is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// What the gate reads.
    V1,
    /// The one before, without `if` and `contains`.
    V0,
}

impl Case {
    /// Every case of the files under a folder of the engine's `tests`.
    pub fn all(folder: &str) -> Vec<Self> {
        let root = source().join("tests").join(folder);
        let mut files = Vec::new();
        walk(&root, &mut files);
        files.sort();
        files.iter().flat_map(|path| Self::of(&root, path)).collect()
    }

    fn of(root: &Path, path: &Path) -> Vec<Self> {
        let file = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(path).unwrap();
        let yaml = Value::from_yaml_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
        let cases = yaml["cases"].as_array().unwrap_or_else(|e| panic!("{file}: {e}"));
        let case = |value: &Value| {
            let note = value["note"].as_string().unwrap();
            Self { name: format!("{file}: {note}"), value: value.clone() }
        };
        cases.iter().map(case).collect()
    }

    /// Whether the case says this of itself.
    pub fn says(&self, key: &str) -> bool {
        !matches!(self.value[key], Value::Undefined | Value::Bool(false))
    }

    /// Whether it asks for built-in functions that fail silently. The gate's never do.
    pub fn is_lenient(&self) -> bool {
        self.value["strict"] == Value::Bool(false)
    }

    /// The modules' texts.
    pub fn modules(&self) -> Vec<String> {
        let modules = self.value["modules"].as_array().unwrap();
        modules.iter().map(|module| module.as_string().unwrap().to_string()).collect()
    }

    /// What is asked.
    pub fn query(&self) -> String {
        self.value["query"].as_string().unwrap().to_string()
    }

    /// Its data.
    pub fn data(&self) -> Value {
        match &self.value["data"] {
            Value::Undefined | Value::Null => Value::new_object(),
            data => data.clone(),
        }
    }

    /// Its inputs; one that is undefined where it has none.
    pub fn inputs(&self) -> Vec<Value> {
        match &self.value["input"] {
            Value::Undefined => vec![Value::Undefined],
            input => many(input),
        }
    }

    /// What must come of it.
    pub fn want(&self) -> Want {
        let errors = ["error", "want_error"].map(|key| &self.value[key]);
        let error = errors.into_iter().find_map(|error| error.as_string().ok());
        match (&self.value["want_result"], error) {
            (Value::Undefined, Some(error)) => Want::Error(error.to_string()),
            (Value::Undefined, None) => Want::Anything,
            (value, _) => Want::Values(many(value).iter().map(|v| process_value(v).unwrap()).collect()),
        }
    }

    /// An engine with its modules and data, set up as the gate sets up its own.
    pub fn engine(&self, edition: Edition) -> Result<Engine, String> {
        let mut engine = Engine::new();
        engine.set_gather_prints(true);
        engine.set_rego_v0(edition == Edition::V0);
        for (at, module) in self.modules().into_iter().enumerate() {
            engine.add_policy(format!("rego_{at}"), module).map_err(|e| e.to_string())?;
        }
        engine.add_data(self.data()).map_err(|e| e.to_string())?;
        Ok(engine)
    }

    /// Plays it: what is wrong, if anything.
    pub fn play(&self, edition: Edition) -> Result<(), String> {
        match (self.results(edition), self.want()) {
            (Ok(_), Want::Anything) => Ok(()),
            (Ok(results), Want::Values(wanted)) if results == wanted => Ok(()),
            (Ok(results), Want::Values(wanted)) if results.is_empty() && wanted == [Value::Undefined] => {
                Ok(())
            }
            (Ok(results), Want::Values(wanted)) => Err(format!("{results:?}, and not {wanted:?}")),
            (Ok(results), Want::Error(error)) => Err(format!("{results:?}, and not the error `{error}`")),
            (Err(e), Want::Error(error)) if e.contains(&error) => Ok(()),
            (Err(e), _) => Err(e),
        }
    }

    fn results(&self, edition: Edition) -> Result<Vec<Value>, String> {
        let mut engine = self.engine(edition)?;
        let mut results = Vec::new();
        for input in self.inputs() {
            engine.set_input(input);
            let answer = engine.eval_query(self.query(), false).map_err(|e| e.to_string())?;
            let single = answer.result.len() == 1;
            for one in answer.result {
                let values = one.expressions.iter().map(|e| e.value.clone());
                match one.bindings.as_object().is_ok_and(|bindings| !bindings.is_empty()) {
                    true => results.push(one.bindings),
                    false if single => results.extend(values),
                    false => results.push(Value::from(values.collect::<Vec<_>>())),
                }
            }
        }
        Ok(results)
    }
}

/// A value, or those under `many!`.
fn many(value: &Value) -> Vec<Value> {
    match &value["many!"] {
        Value::Array(values) => values.to_vec(),
        _ => vec![value.clone()],
    }
}

/// Where cargo has the engine's source.
pub fn source() -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let metadata = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let engine = packages.iter().find(|package| package["name"] == "regorus").unwrap();
    Path::new(engine["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => walk(&path, files),
            false if path.extension().is_some_and(|e| e == "yaml") => files.push(path),
            false => {}
        }
    }
}
