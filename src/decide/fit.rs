//! Data that does not fit its schema: a policy directory says in `tenant.schema.json` what a tenant's data may hold.

use std::path::Path;

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::decide::bundle::{Bundle, Text};
use crate::decide::problem::At;
use crate::decide::{PolicyProblem, yaml};

/// The file, wherever in the directory it stands.
pub(in crate::decide) const NAME: &str = "tenant.schema.json";

/// Every member of `data.tenants` that its schema does not take, with its place.
pub(in crate::decide) fn problems(bundle: &Bundle) -> Vec<PolicyProblem> {
    let Some(Value::Object(tenants)) = bundle.data.get("tenants") else { return Vec::new() };
    let mut problems = Vec::new();
    for schema in &bundle.schemas {
        match compile(schema) {
            Ok(schema) => {
                // To say only whether it fits is several times quicker than to say where it does not.
                for (tenant, data) in tenants.iter().filter(|(_, data)| !schema.is_valid(data)) {
                    let root = yaml::below("/tenants", tenant);
                    problems.extend(schema.iter_errors(data).map(|error| misfit(bundle, &root, &error)));
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems
}

fn compile(schema: &Text) -> Result<jsonschema::Validator, PolicyProblem> {
    let bad = |why: String| {
        PolicyProblem::new(
            &schema.file,
            At::START,
            format!("no JSON Schema: {why}"),
            "mend it, or take it away",
        )
    };
    let value: Value = serde_json::from_str(&schema.text).map_err(|error| bad(error.to_string()))?;
    jsonschema::options().build(&value).map_err(|error| bad(error.to_string()))
}

fn misfit(bundle: &Bundle, root: &str, error: &jsonschema::ValidationError<'_>) -> PolicyProblem {
    let pointer = format!("{root}{}", error.instance_path());
    let pointer = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.first().map_or(pointer.clone(), |key| yaml::below(&pointer, key))
        }
        _ => pointer,
    };
    let (file, at) = place(bundle, &pointer).unwrap_or_else(|| ("data".to_owned(), At::START));
    let what = format!("`data{}`: {error}", pointer.replace('/', "."));
    PolicyProblem::new(&file, at, what, format!("write what `{NAME}` takes"))
}

/// The file in which a member of `data` stands, and where.
pub(in crate::decide) fn place(bundle: &Bundle, pointer: &str) -> Option<(String, At)> {
    bundle.documents.iter().find_map(|placed| Some((placed.file.clone(), placed.at(pointer)?)))
}

/// Whether a file is the schema of tenants' data.
pub(in crate::decide) fn is_schema(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| file == NAME)
}
