//! A YAML list that people write beside a policy (callers, expectations), with the place of each of its items.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::decide::PolicyProblem;
use crate::decide::problem::At;
use crate::decide::yaml::Document;

/// One such file.
#[derive(Debug)]
pub struct Written {
    file: String,
    document: Document,
}

impl Written {
    /// Reads the file as strictly as a policy's own data.
    ///
    /// # Errors
    /// It cannot be read, or is no YAML.
    pub fn read(file: &Path) -> Result<Self, Vec<PolicyProblem>> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| {
            let what = format!("it cannot be read: {error}");
            vec![PolicyProblem::new(&name, At::START, what, "name a readable YAML file")]
        })?;
        let document = Document::yaml(&name, &text)?;
        Ok(Self { file: name, document })
    }

    /// Its items.
    ///
    /// # Errors
    /// It is no list, or an item does not have the form of `T`: each with its place.
    pub fn items<T: DeserializeOwned>(&self) -> Result<Vec<T>, Vec<PolicyProblem>> {
        let items = match &self.document.value {
            Value::Array(items) => items.as_slice(),
            Value::Null => &[],
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                let fix = "begin each item with `- `";
                return Err(vec![PolicyProblem::new(&self.file, At::START, "it is not a list", fix)]);
            }
        };
        let (mut read, mut problems) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            match T::deserialize(item) {
                Ok(item) => read.push(item),
                Err(why) => problems.push(self.problem(index, why.to_string())),
            }
        }
        if problems.is_empty() { Ok(read) } else { Err(problems) }
    }

    /// Something that is wrong with an item, by its number from 0.
    #[must_use]
    pub fn problem(&self, item: usize, what: impl Into<String>) -> PolicyProblem {
        PolicyProblem::new(&self.file, self.document.at(&format!("/{item}")), what, "")
    }
}
