//! Packages whose rules read nothing but data: they are worked out once, when the policy is loaded.
//!
//! # Why the gate must prove it
//! Their values take the place of their rules, so a rule that reads `input`, the time or another package must never be
//! among them. Where the tree leaves a doubt, the package stays as it is: slower, and as right.

use std::collections::BTreeSet;

use crate::decide::bundle::Bundle;
use crate::decide::check::AUTHZ;
use crate::decide::paths::{Makes, Module, Step, dotted};
use crate::decide::{builtin, reads};

/// The packages of a policy that are settled by its data alone.
pub(in crate::decide) fn packages(bundle: &Bundle, serving: &[Module]) -> BTreeSet<Vec<String>> {
    if serving.iter().any(replaces) {
        return BTreeSet::new();
    }
    let all: BTreeSet<&Vec<String>> = serving.iter().map(|module| &module.package).collect();
    let mut settled: BTreeSet<Vec<String>> = all.iter().map(|package| (*package).clone()).collect();
    settled.retain(|package| {
        let asked = overlap(&AUTHZ.map(str::to_owned), package);
        let alone = !asked && all.iter().all(|other| *other == package || !overlap(other, package));
        alone && !bundle.defines(package) && !called_from_outside(package, serving)
    });
    for module in serving {
        if !reads_data_only(module, &all) {
            settled.remove(&module.package);
        }
    }
    settled
}

/// Whether a rule puts something in the place of data or of a function; what hangs on it cannot be worked out before.
fn replaces(module: &Module) -> bool {
    let references = module.rules.iter().flat_map(|rule| &rule.references);
    references
        .filter(|reference| reference.replaced)
        .any(|reference| module.resolve(&reference.steps).first().and_then(Step::name) != Some("input"))
}

fn overlap(one: &[String], other: &[String]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

fn called_from_outside(package: &[String], serving: &[Module]) -> bool {
    let prefix = format!("data.{}.", package.join("."));
    let others = serving.iter().filter(|module| module.package != package);
    let mut calls = others.flat_map(|module| {
        module.rules.iter().flat_map(|rule| &rule.calls).map(|call| dotted(&module.resolve(&call.name)))
    });
    calls.any(|name| name.starts_with(&prefix))
}

fn reads_data_only(module: &Module, packages: &BTreeSet<&Vec<String>>) -> bool {
    let imports = module.imports.iter().map(|(_, path, _)| path.clone());
    let references = module.rules.iter().flat_map(|rule| &rule.references);
    let mut paths = references.map(|reference| module.resolve(&reference.steps)).chain(imports);
    let outside = |steps: &[Step]| match steps.first().and_then(Step::name) {
        Some("input") => true,
        Some("data") => leads_to_another(steps, &module.package, packages),
        _ => false,
    };
    !paths.any(|steps| outside(&steps)) && !reads::calls_passing(module) && calls_known(module)
}

/// Whether a path of `data` may lead to a package that is not the module's own.
fn leads_to_another(steps: &[Step], own: &[String], packages: &BTreeSet<&Vec<String>>) -> bool {
    let path: Vec<String> = steps.iter().skip(1).map_while(Step::name).map(str::to_owned).collect();
    packages.iter().any(|package| package.as_slice() != own && overlap(&path, package))
}

/// Whether every function that is called is the engine's or the module's own.
fn calls_known(module: &Module) -> bool {
    let own = |name: &str| {
        let functions = module.rules.iter().filter(|rule| matches!(rule.makes, Makes::Function(_)));
        functions.map(|rule| rule.name.join(".")).any(|function| function == name)
    };
    let mut calls = module.rules.iter().flat_map(|rule| &rule.calls);
    calls.all(|call| {
        let name = dotted(&module.resolve(&call.name));
        builtin::exists(&name) || own(&name)
    })
}
