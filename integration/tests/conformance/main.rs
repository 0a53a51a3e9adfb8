//! The cases that the policy engine's own source ships as passing, played by the engine as the gate builds it.
//!
//! # Why these, and not OPA's own
//! The engine names the folders of OPA's conformance cases that it passes (`tests/opa.passing`) and fetches the cases from a
//! repository; they are in no registry. What it ships beside that list is what can be had from where the engine comes from.

mod shipped;

use std::collections::BTreeMap;

use shipped::{Case, Edition};

/// Where the cases lie: those of the interpreter, and those of the virtual machine, whose answers must be the same.
const FOLDERS: [&str; 2] = ["interpreter/cases", "rvm/rego/cases"];

/// What is played, and what is not and why. A new version of the engine states these figures anew.
const COUNTS: [(&str, usize); 8] = [
    ("played", 866),
    ("played, in the Rego before v1", 86),
    ("not: asks for built-in functions that fail silently", 4),
    ("not: extends the language (`or`)", 2),
    ("not: for Azure's targets", 75),
    ("not: puts another clock into the engine", 5),
    ("not: the engine's authors skip it, or know that the interpreter differs", 90),
    ("not: the same error in the compiler's words", 6),
];

/// Refused by both; the case has the words of the virtual machine's compiler.
const OTHER_WORDS: [&str; 6] = [
    "imports.yaml: unknown_function_through_import",
    "imports.yaml: non_function_value_rule_through_import",
    "imports.yaml: rule_path_prefix_through_import",
    "partial_object_rules.yaml: partial_object_and_partial_set_same_name_conflict",
    "partial_object_rules.yaml: partial_object_complete_rule_conflicts_with_partial_object",
    "partial_object_rules.yaml: partial_object_partial_set_conflicts_with_partial_object",
];

/// Why a case is not played.
fn reason(case: &Case) -> Option<&'static str> {
    let says = |keys: &[&str]| keys.iter().any(|key| case.says(key));
    if says(&[
        "skip",
        "skip_interpreter",
        "allow_interpreter_success",
        "allow_interpreter_incorrect_behavior",
    ]) {
        Some("not: the engine's authors skip it, or know that the interpreter differs")
    } else if case.is_lenient() {
        Some("not: asks for built-in functions that fail silently")
    } else if case.name.starts_with("rego-extensions/") {
        Some("not: extends the language (`or`)")
    } else if case.name.starts_with("target/") {
        Some("not: for Azure's targets")
    } else if says(&["time_source", "execution_timer", "global_execution_timer"]) {
        Some("not: puts another clock into the engine")
    } else if OTHER_WORDS.contains(&case.name.as_str()) {
        Some("not: the same error in the compiler's words")
    } else {
        None
    }
}

/// What came of one case: under which count it goes. A case that only the Rego before v1 can say is played in that: the
/// rules are evaluated by the same code.
fn play(case: &Case) -> Result<&'static str, String> {
    if let Some(reason) = reason(case) {
        return Ok(reason);
    }
    match case.play(Edition::V1) {
        Ok(()) => Ok("played"),
        Err(e) => case
            .play(Edition::V0)
            .map(|()| "played, in the Rego before v1")
            .map_err(|old| format!("{}\n    {}\n    {}", case.name, e.trim(), old.trim())),
    }
}

#[test]
fn the_engine_passes_the_cases_that_it_ships() {
    let cases: Vec<Case> = FOLDERS.iter().flat_map(|folder| Case::all(folder)).collect();
    let mut counts: BTreeMap<&str, usize> = COUNTS.iter().map(|(what, _)| (*what, 0)).collect();
    let mut failures = Vec::new();
    for case in &cases {
        match play(case) {
            Ok(what) => *counts.entry(what).or_default() += 1,
            Err(e) => failures.push(e),
        }
    }
    println!("{} cases", cases.len());
    counts.iter().for_each(|(what, count)| println!("{count:>6} {what}"));
    assert!(failures.is_empty(), "{} cases fail:\n  {}", failures.len(), failures.join("\n  "));
    assert_eq!(counts, BTreeMap::from(COUNTS));
}
