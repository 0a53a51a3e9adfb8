//! What can be told of a policy before it runs: every mistake, with its place.
//!
//! # Why so strict
//! What is undefined in Rego is silent. A misspelt path, key or function of a rule that denies means that nothing is
//! denied, and nobody sees it. So names that lead nowhere are refused here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::decide::bundle::Bundle;
use crate::decide::contract::{KEYS, Kind};
use crate::decide::paths::{Call, Makes, Module, Rule, Step, dotted};
use crate::decide::problem::{At, PolicyProblem, nearest};
use crate::decide::rego::GATE;
use crate::decide::{builtin, reads};

/// The package that answers.
pub(in crate::decide) const AUTHZ: [&str; 2] = ["mcp", "authz"];

/// The contract's keys that a policy defines, and whether each has a value whatever is asked.
pub(in crate::decide) type Defined = BTreeMap<&'static str, Presence>;

/// Whether a key has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::decide) enum Presence {
    /// It may be undefined.
    Maybe,
    /// It has a default, or is a set that elements are put into.
    Always,
}

/// Everything that can be told of serving modules and of tests.
pub(in crate::decide) fn check(
    bundle: &Bundle,
    serving: &[Module],
    tests: &[Module],
) -> (Defined, Vec<PolicyProblem>) {
    let names = Names::of(bundle, serving, tests);
    let mut problems: Vec<_> = serving.iter().flat_map(reads::check).collect();
    for module in serving.iter().chain(tests) {
        problems.extend(names.calls(module));
        problems.extend(names.missing_rules(module));
    }
    for module in serving {
        problems.extend(names.rules_over_data(module));
        problems.extend(reserved(module));
        problems.extend(module.rules.iter().filter_map(|rule| unsure(module, rule)));
        problems.extend(module.rules.iter().filter_map(|rule| wrong_kind(module, rule)));
        problems.extend(names.slips(module));
    }
    let defined = defined(serving);
    if defined.is_empty() && problems.is_empty() {
        problems.push(no_answer(serving));
    }
    (defined, problems)
}

/// The key of the contract that a rule defines, its kind, and whether the rule defines only a member of it.
fn key_of(module: &Module, rule: &Rule) -> Option<(&'static str, Kind, bool)> {
    let path: Vec<&str> = module.package.iter().chain(&rule.name).map(String::as_str).collect();
    let (first, rest) = path.strip_prefix(&AUTHZ)?.split_first()?;
    let (key, kind) = KEYS.iter().find(|(key, _)| key == first)?;
    Some((key, *kind, rule.partial || !rest.is_empty()))
}

fn defined(serving: &[Module]) -> Defined {
    let rules = serving.iter().flat_map(|module| module.rules.iter().map(move |rule| (module, rule)));
    let mut defined = Defined::new();
    for (module, rule) in rules {
        if let Some((key, _, member)) = key_of(module, rule) {
            let always = !member && (rule.default || rule.makes == Makes::Set);
            let presence = if always { Presence::Always } else { Presence::Maybe };
            let known = defined.entry(key).or_insert(presence);
            *known = presence.max(*known);
        }
    }
    defined
}

fn no_answer(serving: &[Module]) -> PolicyProblem {
    let authz = serving.iter().find(|module| module.package == AUTHZ);
    let file = authz.or(serving.first()).map_or("", |module| module.file.as_str());
    let what = match authz {
        Some(_) => "package `mcp.authz` defines nothing that the gate reads",
        None => "there is no package `mcp.authz`, which the gate asks",
    };
    let keys = KEYS.map(|(key, _)| key).join(", ");
    PolicyProblem::new(file, At::START, what, format!("define `allow`; the gate reads {keys}"))
}

/// Heads of which the engine could lose a part.
fn unsure(module: &Module, rule: &Rule) -> Option<PolicyProblem> {
    let what = "where this is undefined in one turn of the loop, what other turns gave is lost";
    let fix = "give it a name in the body, as in `message := rule.message`, and write that name here";
    rule.unsure.map(|at| PolicyProblem::new(&module.file, at, what, fix))
}

/// The gate's own rule.
fn reserved(module: &Module) -> Option<PolicyProblem> {
    let own = |rule: &&Rule| rule.name.first().is_some_and(|name| name == GATE);
    let taken = module.rules.iter().filter(|_| module.package == AUTHZ).find(own)?;
    let what = format!("`{GATE}` is the gate's own rule");
    Some(PolicyProblem::new(&module.file, taken.at, what, "give the rule another name"))
}

fn wrong_kind(module: &Module, rule: &Rule) -> Option<PolicyProblem> {
    let (key, kind, member) = key_of(module, rule)?;
    let fits = match (kind, rule.makes) {
        (_, Makes::Function(_)) => false,
        (Kind::Boolean, makes) => !member && matches!(makes, Makes::True | Makes::Boolean | Makes::Unknown),
        (Kind::Set, makes) => {
            !member && matches!(makes, Makes::Set | Makes::SetValue | Makes::Array | Makes::Unknown)
        }
        (Kind::Object, makes) => {
            let object = matches!(makes, Makes::Object | Makes::Unknown);
            let text = matches!(makes, Makes::Text | Makes::Number | Makes::Boolean | Makes::True);
            object || (member && key == "annotations" && text)
        }
        (Kind::Number, makes) => !member && matches!(makes, Makes::Number | Makes::Unknown),
    };
    let what = format!("`{key}` must be {}, and this rule makes something else", kind.name());
    (!fits).then(|| PolicyProblem::new(&module.file, rule.at, what, kind.example(key)))
}

/// Every name that a policy can use.
struct Names<'a> {
    /// Functions by their full path, with the number of their arguments.
    functions: BTreeMap<String, BTreeSet<usize>>,
    /// Rules by their full path; those whose name goes on when they run end there.
    rules: BTreeSet<Vec<&'a str>>,
    /// Packages.
    packages: BTreeSet<Vec<&'a str>>,
    /// Rules of `mcp.authz` that another rule names.
    used: BTreeSet<String>,
    bundle: &'a Bundle,
}

impl<'a> Names<'a> {
    fn of(bundle: &'a Bundle, serving: &'a [Module], tests: &'a [Module]) -> Self {
        let (functions, rules, packages, used) = Default::default();
        let mut names = Self { functions, rules, packages, used, bundle };
        for module in serving.iter().chain(tests) {
            names.packages.insert(module.package.iter().map(String::as_str).collect());
            for rule in &module.rules {
                names.add(module, rule);
            }
        }
        for module in serving {
            names.uses(module);
        }
        names
    }

    fn add(&mut self, module: &'a Module, rule: &'a Rule) {
        let path: Vec<&str> = module.package.iter().chain(&rule.name).map(String::as_str).collect();
        if let Makes::Function(arguments) = rule.makes {
            self.functions.entry(format!("data.{}", path.join("."))).or_default().insert(arguments);
        }
        self.rules.insert(path);
    }

    fn uses(&mut self, module: &Module) {
        for rule in &module.rules {
            let calls = rule.calls.iter().map(|call| &call.name);
            for steps in rule.references.iter().map(|reference| &reference.steps).chain(calls) {
                let path = dotted(&module.resolve(steps));
                let local = (module.package == AUTHZ).then(|| path.split('.').next().unwrap_or_default());
                let full = path.strip_prefix("data.mcp.authz.").map(|rest| rest.split('.').next());
                self.used.extend(full.flatten().or(local).map(str::to_owned));
            }
        }
    }

    fn calls(&self, module: &Module) -> Vec<PolicyProblem> {
        let calls = module.rules.iter().flat_map(|rule| &rule.calls);
        calls.filter_map(|call| self.call(module, call)).collect()
    }

    fn call(&self, module: &Module, call: &Call) -> Option<PolicyProblem> {
        let name = dotted(&module.resolve(&call.name));
        let local = format!("data.{}.{name}", module.package.join("."));
        let own = self.functions.get(&name).or_else(|| self.functions.get(&local));
        let problem = |what: String, fix: String| Some(PolicyProblem::new(&module.file, call.at, what, fix));
        if let Some(arguments) = own {
            // One argument more is where the result goes.
            let fits = arguments.iter().any(|n| call.arguments == *n || call.arguments == n + 1);
            let takes = arguments.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ");
            let what = format!("`{name}` is given {} arguments", call.arguments);
            return if fits { None } else { problem(what, format!("it takes {takes}")) };
        }
        if let Some((what, fix)) = builtin::refused(&name, call) {
            return problem(what, fix);
        }
        if builtin::exists(&name) {
            // One argument more is where the result goes.
            let takes = builtin::takes(&name).filter(|n| call.arguments != *n && call.arguments != n + 1);
            let what = format!("`{name}` is given {} arguments", call.arguments);
            return takes.and_then(|n| problem(what, format!("it takes {n}")));
        }
        let known = builtin::NAMES.iter().copied().chain(self.functions.keys().map(String::as_str));
        let fix = nearest(&name, known).map(|near| format!("the nearest is `{near}`"));
        problem(format!("there is no function `{name}`"), fix.unwrap_or_default())
    }

    /// References into a package of this policy that no rule and no data file defines.
    fn missing_rules(&self, module: &Module) -> Vec<PolicyProblem> {
        let references = module.rules.iter().flat_map(|rule| &rule.references);
        let paths = references.filter(|reference| !reference.replaced).map(|r| module.resolve(&r.steps));
        let imports = module.imports.iter().map(|(_, path, _)| path.clone());
        paths.chain(imports).filter_map(|steps| self.missing_rule(module, &steps)).collect()
    }

    fn missing_rule(&self, module: &Module, steps: &[Step]) -> Option<PolicyProblem> {
        let names: Vec<&str> = steps.iter().map_while(Step::name).collect();
        let (first, path) = names.split_first()?;
        let inside = self.packages.iter().any(|p| path.len() > p.len() && path.starts_with(p));
        if *first != "data" || !inside || self.known(path) {
            return None;
        }
        let at = steps.iter().rev().find_map(Step::at).unwrap_or(At::START);
        let full = names.join(".");
        let known: Vec<String> = self.rules.iter().map(|rule| format!("data.{}", rule.join("."))).collect();
        let fix =
            nearest(&full, known.iter().map(String::as_str)).map(|near| format!("the nearest is `{near}`"));
        let what = format!("no rule and no data file defines `{full}`");
        Some(PolicyProblem::new(&module.file, at, what, fix.unwrap_or_default()))
    }

    fn known(&self, path: &[&str]) -> bool {
        let rule = self.rules.iter().any(|rule| path.starts_with(rule) || rule.starts_with(path));
        let package = self.packages.iter().any(|package| package.starts_with(path));
        rule || package || within(&self.bundle.data, path)
    }

    /// Rules whose place a data file has taken.
    fn rules_over_data(&self, module: &Module) -> Vec<PolicyProblem> {
        let mut problems = Vec::new();
        for rule in &module.rules {
            let path: Vec<&str> = module.package.iter().chain(&rule.name).map(String::as_str).collect();
            if within(&self.bundle.data, &path) {
                let what = format!("`data.{}` is a rule here and a value in a data file", path.join("."));
                problems.push(PolicyProblem::new(&module.file, rule.at, what, "keep one of the two"));
            }
        }
        problems
    }

    /// Rules of the contract's package whose name is nearly one of its keys and that nobody uses.
    fn slips(&self, module: &Module) -> Vec<PolicyProblem> {
        if module.package != AUTHZ {
            return Vec::new();
        }
        let mut problems = Vec::new();
        for rule in &module.rules {
            let Some(name) = rule.name.first() else { continue };
            let known = KEYS.iter().any(|(key, _)| key == name);
            if known || self.used.contains(name) || matches!(rule.makes, Makes::Function(_)) {
                continue;
            }
            if let Some(key) = nearest(name, KEYS.map(|(key, _)| key)) {
                let what = format!("nothing reads `{name}`");
                let fix = format!("the nearest key that the gate reads is `{key}`");
                problems.push(PolicyProblem::new(&module.file, rule.at, what, fix));
            }
        }
        problems
    }
}

fn within(data: &Value, path: &[&str]) -> bool {
    path.iter().try_fold(data, |value, name| value.get(name)).is_some()
}
