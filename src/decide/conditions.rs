//! The conditions of grants in tenants' data, tried before anybody calls: one that cannot be held to refuses every call.

use serde_json::{Value, json};

use crate::decide::bundle::Bundle;
use crate::decide::constraint::Constraints;
use crate::decide::fit;
use crate::decide::problem::{At, PolicyProblem};
use crate::decide::yaml::below;

/// The stock rule that makes constraints of conditions: only under it are they known to be conditions.
const LIMITS: &str = include_str!("../../policies/limits.rego");

/// Every condition and mask of a grant that means nothing.
pub(in crate::decide) fn check(bundle: &Bundle) -> Vec<PolicyProblem> {
    if !bundle.modules.iter().any(|module| module.text == LIMITS) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (tenant, entry) in members(bundle.data.get("tenants")) {
        let root = below(&below("/tenants", tenant), "roles");
        for (role, grants) in members(entry.get("roles")) {
            for (i, grant) in grants.as_array().into_iter().flatten().enumerate() {
                let at = below(&below(&root, role), &i.to_string());
                problems.extend(conditions(bundle, grant, &below(&at, "when")));
                problems.extend(masks(bundle, grant, &below(&at, "redact")));
            }
        }
    }
    problems
}

fn conditions(bundle: &Bundle, grant: &Value, at: &str) -> Vec<PolicyProblem> {
    let tried = members(grant.get("when")).filter_map(|(argument, condition)| {
        let schema = if condition.is_object() { condition.clone() } else { json!({}) };
        let bad = Constraints::ready(vec![(argument.clone(), schema)]).err()?;
        Some(problem(bundle, &below(at, argument), bad.to_string()))
    });
    tried.collect()
}

fn masks(bundle: &Bundle, grant: &Value, at: &str) -> Vec<PolicyProblem> {
    let masks = grant.get("redact").and_then(Value::as_array).into_iter().flatten().enumerate();
    let bad = masks.filter_map(|(i, mask)| Some((i, mask.as_str().filter(|mask| !is_pointer(mask))?)));
    bad.map(|(i, mask)| {
        let what =
            format!("`{mask}` is no JSON Pointer: begin with `/`, write `~0` for `~` and `~1` for `/`");
        problem(bundle, &below(at, &i.to_string()), what)
    })
    .collect()
}

/// Whether a text is a JSON Pointer (RFC 6901).
pub(in crate::decide) fn is_pointer(text: &str) -> bool {
    let escapes = |text: &str| text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    (text.is_empty() || text.starts_with('/')) && escapes(text)
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn problem(bundle: &Bundle, pointer: &str, what: String) -> PolicyProblem {
    let (file, at) = fit::place(bundle, pointer).unwrap_or_else(|| ("data".to_owned(), At::START));
    PolicyProblem::new(&file, at, what, "")
}
