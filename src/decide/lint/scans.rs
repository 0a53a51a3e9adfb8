//! Loops over the tenants' grants in rules that run for every question: 10,000 grants cost milliseconds, and an index costs
//! nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::decide::bundle::Text;
use crate::decide::paths::tree::{chain, list, single};
use crate::decide::paths::{Module, Rule, Step};
use crate::decide::problem::{At, PolicyProblem};
use crate::decide::{reads, rego};

/// Every such loop outside of packages that are worked out once.
pub(super) fn find(
    texts: &[Text],
    serving: &[Module],
    settled: &BTreeSet<Vec<String>>,
) -> Vec<PolicyProblem> {
    let mut doubts = Vec::new();
    for module in serving.iter().filter(|module| !settled.contains(&module.package)) {
        let Some(ast) =
            texts.iter().find(|text| text.file == module.file).and_then(|text| rego::ast(text).ok())
        else {
            continue;
        };
        for (ast, rule) in list(ast.get("rules")).zip(&module.rules) {
            let mut walked = Vec::new();
            loops(ast, &mut walked);
            let scans = walked.iter().filter(|(_, steps)| over_grants(&reads::expand(module, rule, steps)));
            doubts.extend(scans.map(|(at, _)| doubt(module, rule, *at)));
        }
    }
    doubts
}

/// What is looped over: paths, with where each stands.
fn loops(node: &Value, into: &mut Vec<(At, Vec<Step>)>) {
    match node {
        Value::Object(members) => {
            for (kind, body) in members {
                let over = match kind.as_str() {
                    "SomeIn" => body.get("collection"),
                    "Every" => body.get("domain"),
                    "RefBrack" if any(body.get("index")) => body.get("refr"),
                    _ => None,
                };
                if let Some(over) = over {
                    into.extend(
                        chain(over)
                            .map(|steps| (steps.first().and_then(Step::at).unwrap_or(At::START), steps)),
                    );
                }
                loops(body, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| loops(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether an index is `_`, which stands for every one.
fn any(index: Option<&Value>) -> bool {
    let name = index.and_then(single).filter(|(kind, _)| *kind == "Var");
    name.and_then(|(_, body)| body.get("value")?.as_str()).is_some_and(|name| name.starts_with('_'))
}

/// Whether a path of data leads to all tenants, or to the grants of one.
fn over_grants(steps: &[Step]) -> bool {
    let is = |at: usize, name: &str| steps.get(at).and_then(Step::name) == Some(name);
    is(0, "data")
        && is(1, "tenants")
        && (steps.len() == 2 || steps.iter().skip(2).any(|step| step.name() == Some("roles")))
}

fn doubt(module: &Module, rule: &Rule, at: At) -> PolicyProblem {
    let what = format!("`{}` goes through grants one by one, for every question", rule.name.join("."));
    let fix = "arrange them by what is asked for in a package that reads no `input`, which the gate works out once, as `index.rego` of the stock policies does";
    PolicyProblem::new(&module.file, at, what, fix)
}
