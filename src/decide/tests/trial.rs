//! Tests and cases as their authors run them.

use super::*;
use crate::decide::{Coverage, Servers, Trials, Wanted};

const SERVING: &str = "package mcp.authz\n\nallow if {\n\tinput.caller.user == \"ana\"\n}\n\ncost := 3 if {\n\tinput.tool.class == \"write\"\n}\n";

impl Given {
    fn tried(&self, filter: &str) -> Result<Trials, String> {
        let wanted = Wanted {
            directory: self.path(),
            filter,
            coverage: Coverage::Counted,
            servers: &Servers::new(),
            now: circumstances().time,
        };
        let here = format!("{}/", self.path().display());
        Decide::test(&wanted).map_err(|problems| lines(&problems).replace(&here, ""))
    }
}

/// Where the only test stops: the statement, and the values of its parts.
fn stop(body: &str) -> (String, Vec<(String, String)>) {
    let test = format!("package a_test\n\nimport data.mcp.authz\n\ntest_a if {{\n{body}\n}}\n");
    let trials = Given::new(&[("a.rego", SERVING), ("a_test.rego", &test)]).tried("").unwrap();
    let stop = trials.tested[0].stops[0].clone();
    (stop.statement, stop.values)
}

fn value(text: &str, value: &str) -> (String, String) {
    (text.to_owned(), value.to_owned())
}

#[test]
fn a_test_that_fails_says_which_statement_and_with_which_values() {
    assert_eq!(
        stop("x := {\"a\": \"b\"}\nx.a == \"read\""),
        ("x.a == \"read\"".to_owned(), vec![value("x.a", "\"b\"")])
    );
    let (statement, values) = stop("authz.allow with input as {\"caller\": {\"user\": \"eve\"}}");
    assert!(statement.starts_with("authz.allow with input as"), "{statement}");
    assert_eq!(values, [value("authz.allow", "undefined")]);
    let (_, values) = stop("every y in [\"a\", \"b\"] { y == \"b\" }");
    assert_eq!(values, [value("y for which it does not hold", "[\"a\"]")]);
    let (_, values) = stop("startswith(concat(\"\", [\"a\", \"b\"]), upper(\"a\"))");
    assert!(values.contains(&value("concat(\"\", [\"a\", \"b\"])", "\"ab\"")), "{values:?}");
    let (statement, _) = stop("some x in [1, 2]\nnot x < 3");
    assert_eq!(statement, "not x < 3");
}

#[test]
fn coverage_counts_the_lines_that_serve_and_no_tests() {
    let test =
        "package a_test\n\ntest_a if data.mcp.authz.allow with input as {\"caller\": {\"user\": \"ana\"}}\n";
    let trials = Given::new(&[("a.rego", SERVING), ("a_test.rego", test)]).tried("").unwrap();
    assert!(trials.tested[0].problem.is_none());
    let files: Vec<(bool, &[u32], &[u32])> =
        trials.covered.iter().map(|c| (c.file.ends_with("/a.rego"), &*c.covered, &*c.missed)).collect();
    assert_eq!(files, [(true, &[4][..], &[7, 8][..])]);
}

#[test]
fn only_tests_with_the_wanted_name_are_run() {
    let test = "package a_test\n\ntest_one if true\n\ntest_other if true\n";
    let given = Given::new(&[("a.rego", SERVING), ("a_test.rego", test)]);
    let names: Vec<String> = given.tried("other").unwrap().tested.into_iter().map(|t| t.name).collect();
    assert_eq!(names, ["test_other"]);
}

const CASES: &str = "
servers: {erp: {tags: [finance], tools: [{name: 'pay_*', operation: update}]}}
callers: {ana: {tenant: acme, user: ana}}
cases:
  - {name: ana may pay, caller: ana, call: {server: erp, tool: pay_bill}, expect: allow, constraints: {}}
  - name: eve may not
    caller: {tenant: acme, user: eve}
    call: {server: erp, tool: pay_bill}
    expect: hidden
  - {name: wrongly expected, caller: ana, call: {server: erp, tool: pay_bill}, expect: refuse, rule: a, code: c}
";

#[test]
fn cases_are_judged_by_the_policy_and_are_no_data() {
    let given = Given::new(&[("a.rego", SERVING), ("acme_cases.yaml", CASES)]);
    let trials = given.tried("").unwrap();
    let told: Vec<(&str, Option<&str>)> = trials
        .tested
        .iter()
        .map(|t| (t.name.as_str(), t.problem.as_ref().map(|p| p.what.as_str())))
        .collect();
    assert_eq!(
        told,
        [
            ("ana may pay", None),
            ("eve may not", None),
            (
                "wrongly expected",
                Some(
                    "expected refuse, and it is allow; expected the rule `a`; the rules are: none; expected the code `c`, \
                     which no rule of `deny` gives"
                )
            ),
        ]
    );
    assert_eq!(trials.tested[2].line, 10);
    assert!(given.load().is_ok(), "the gate takes the directory as it is");
}

#[test]
fn every_mistake_in_a_case_file_is_told_with_its_place() {
    let bad = "servers: {erp: {tags: finance}}\ncases:\n  - caler: ana\n    call: {server: epr, tool: x}\n    expect: maybe\n";
    let told = Given::new(&[("a.rego", SERVING), ("bad_cases.yaml", bad)]).tried("").unwrap_err();
    for place in [
        "bad_cases.yaml:1:17: `tags` is no list of texts",
        "bad_cases.yaml:3:5: there is no key `caler` here; the nearest is `caller`",
        "bad_cases.yaml:4:12: there is no server `epr`",
        "bad_cases.yaml:5:5: `maybe` cannot be expected; write allow, refuse or hidden",
    ] {
        assert!(told.contains(place), "{place}\n{told}");
    }
}
