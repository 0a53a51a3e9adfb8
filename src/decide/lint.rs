//! What a policy may well say and hardly means: told by `check`, and no reason to refuse it.

mod conflicts;
mod roles;
mod scans;

use std::collections::BTreeSet;
use std::path::Path;

use crate::decide::bundle::Bundle;
use crate::decide::check::AUTHZ;
use crate::decide::paths::{Module, Rule, Step};
use crate::decide::problem::{At, PolicyProblem};
use crate::decide::{Decide, Servers, reads, rego, settled};

impl Decide {
    /// What in a policy directory its author should look at again. Where `servers` are given, roles are held against them.
    /// A directory that does not load has nothing here: its mistakes come first.
    #[must_use]
    pub fn lint(directory: &Path, servers: Option<&Servers>) -> Vec<PolicyProblem> {
        let (bundle, mut broken) = Bundle::read(directory);
        let serving = rego::parse(&bundle.modules, &mut broken);
        if !broken.is_empty() {
            return Vec::new();
        }
        let settled = settled::packages(&bundle, &serving);
        let mut doubts = arguments(&serving);
        doubts.extend(conflicts::find(&bundle.modules));
        doubts.extend(scans::find(&bundle.modules, &serving, &settled));
        doubts.extend(servers.map(|servers| roles::find(&bundle, servers)).unwrap_or_default());
        doubts.sort();
        doubts.dedup();
        doubts
    }
}

/// Where `allow`, or a rule that it rests on, reads the arguments.
fn arguments(serving: &[Module]) -> Vec<PolicyProblem> {
    let rules: Vec<(&Module, &Rule)> = serving
        .iter()
        .filter(|module| module.package == AUTHZ)
        .flat_map(|module| module.rules.iter().map(move |rule| (module, rule)))
        .collect();
    let mut open = vec!["allow".to_owned()];
    let mut seen: BTreeSet<String> = open.iter().cloned().collect();
    let mut doubts = Vec::new();
    while let Some(name) = open.pop() {
        for (module, rule) in rules.iter().filter(|(_, rule)| rule.name.first() == Some(&name)) {
            doubts.extend(reading(module, rule).map(|at| of_arguments(module, at)));
            open.extend(named(rule).filter(|other| seen.insert(other.clone())));
        }
    }
    doubts
}

/// Where a rule reads the arguments.
fn reading(module: &Module, rule: &Rule) -> Option<At> {
    let paths = rule.references.iter().filter(|reference| !reference.replaced);
    let mut paths = paths.map(|reference| reads::expand(module, rule, &reference.steps));
    paths.find_map(|path| match path.as_slice() {
        [Step::Name(input, at), Step::Name(member, _), ..] if input == "input" && member == "arguments" => {
            Some(*at)
        }
        _ => None,
    })
}

/// The names that a rule begins its references and calls with.
fn named(rule: &Rule) -> impl Iterator<Item = String> {
    let references = rule.references.iter().map(|reference| &reference.steps);
    let calls = rule.calls.iter().map(|call| &call.name);
    references.chain(calls).filter_map(|steps| steps.first().and_then(Step::name)).map(str::to_owned)
}

fn of_arguments(module: &Module, at: At) -> PolicyProblem {
    let what = "`allow` rests on `input.arguments`, which a list does not have: the tool is hidden, or shown and then refused";
    let fix = "say what an argument may be in `constraints`, as in `constraints[\"region\"] := {\"const\": …}`, which lists show and the gate holds calls to";
    PolicyProblem::new(&module.file, at, what, fix)
}
