//! Why not: the stock policies' grants in words, and where Rego of one's own stops.

use serde_json::json;

use super::*;
use crate::decide::{Detail, Known};

/// The stock policies with roles of tenant `acme`.
fn stock(data: &str) -> Given {
    let given = Given::new(&[("tenants/acme/data.yaml", data)]);
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/policies")).unwrap().flatten() {
        if file.path().is_file() {
            fs::copy(file.path(), given.path().join(file.file_name())).unwrap();
        }
    }
    given
}

const ROLES: &str = "
roles:
  project-manager:
    - {servers: [netsuite], tools: ['list_*', 'get_*'], methods: [read], when: {region: caller.region}}
    - {servers: [sap]}
  buyer:
    - {servers: [netsuite], tools: [create_purchase_order]}
deny:
  - {tools: ['*_delete_*'], message: deletions go through the service desk, code: no_deletion, unless_roles: [admin]}
";

fn named(name: &str) -> Subject {
    Subject::Tool(Arc::new(Tool::named(&server(), ToolName::parse(name).unwrap())))
}

/// The sentence, and the lines below it.
fn why(
    decide: &Decide,
    caller: &Caller,
    name: &str,
    arguments: Option<&str>,
    known: Known,
) -> (String, String) {
    let (server, subject, circumstances) = (server(), named(name), circumstances());
    let arguments = arguments.map(|text| RawValue::from_string(text.to_owned()).unwrap());
    let question = Question {
        caller,
        server: &server,
        method: "tools/call",
        subject: &subject,
        arguments: arguments.as_deref(),
        circumstances: &circumstances,
    };
    let told = decide.explain(&question);
    let why = decide.why(&question, &told, known);
    (why.sentence.clone(), why.told(&told, Detail::Whole))
}

fn manager() -> Caller {
    caller_for_test("acme", "alice", &["project-manager"])
}

#[test]
fn one_sentence_says_why_alice_may_not_create_a_purchase_order() {
    let decide = stock(ROLES).decide();
    let alice = manager().with_attribute("region", json!("EMEA"));
    let (sentence, text) = why(&decide, &alice, "create_purchase_order", None, Known::Whole);
    assert_eq!(
        sentence,
        "alice may not create a purchase order (`create_purchase_order` of `netsuite`): role `project-manager` has no \
         grant for it; the grants at `netsuite` name list_*, get_*."
    );
    for line in [
        "not by      acme/project-manager/0: its tools are list_*, get_*, and not `create_purchase_order`",
        "not by      acme/project-manager/1: it is for sap, and not for `netsuite`",
        "change      give them the role `buyer`, whose grant acme/buyer/0 covers it",
        "change      in acme/project-manager/0: add `create_purchase_order` to its `tools`, and add `create` to its `methods`",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn each_reason_has_its_words() {
    let decide = stock(ROLES).decide();
    let emea = || manager().with_attribute("region", json!("EMEA"));
    let ask = |caller: &Caller, name: &str, arguments| why(&decide, caller, name, arguments, Known::Whole).0;
    let allowed = ask(&emea(), "list_invoices", None);
    assert!(allowed.ends_with(" by acme/project-manager/0, where `region` is \"EMEA\"."), "{allowed}");
    let outside = ask(&emea(), "list_invoices", Some(r#"{"region": "US"}"#));
    assert!(
        outside.ends_with("argument `region` is outside what you may use: must be \"EMEA\"."),
        "{outside}"
    );
    let lacking = ask(&manager(), "list_invoices", None);
    assert!(lacking.ends_with("its `when` needs `region`, which the caller does not have."), "{lacking}");
    let denied = ask(&emea(), "ns_delete_record", None);
    assert!(denied.ends_with("deletions go through the service desk (no_deletion)."), "{denied}");
    let nobody = ask(&caller_for_test("acme", "eve", &[]), "list_invoices", None);
    assert!(nobody.ends_with("(`list_invoices` of `netsuite`): they have no role."), "{nobody}");
    let stranger = ask(&caller_for_test("acme", "eve", &["guest"]), "list_invoices", None);
    assert!(stranger.ends_with("tenant `acme` grants nothing to `guest`."), "{stranger}");
}

#[test]
fn what_is_not_known_of_the_caller_is_said_and_not_guessed() {
    let decide = stock(ROLES).decide();
    let (sentence, _) = why(&decide, &manager(), "list_invoices", None, Known::WithoutAttributes);
    assert_eq!(
        sentence,
        "it is not known whether alice may list invoices (`list_invoices` of `netsuite`): acme/project-manager/0 covers it, \
         if the caller has `region`, which the audit does not keep."
    );
}

#[test]
fn rego_of_ones_own_is_told_by_the_first_statement_of_each_body_that_fails() {
    let decide = Given::rego(
        "default allow := false\n\nallow if {\n\tis_manager\n\tinput.tool.class == \"read\"\n}\n\n\
         allow if {\n\tsome role in input.caller.roles\n\tstartswith(role, \"admin\")\n}\n\n\
         is_manager if \"manager\" in input.caller.roles",
    )
    .decide();
    let clerk = caller_for_test("acme", "eve", &["clerk"]);
    let (_, text) = why(&decide, &clerk, "list_invoices", None, Known::Whole);
    let told: Vec<&str> =
        text.lines().filter(|line| line.starts_with("not by") || line.starts_with("   ")).collect();
    let told = told.iter().map(|line| line.rsplit_once("authz.rego").map_or(*line, |(_, rest)| rest));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ":6:5: `is_manager` does not hold",
            "              is_manager = undefined",
            ":15:16: `\"manager\" in input.caller.roles` does not hold",
            "              input.caller.roles = [\"clerk\"]",
            ":12:5: `startswith(role, \"admin\")` does not hold",
            "              startswith(role, \"admin\") = false",
            "              role = \"clerk\"",
        ]
    );
    let manager = caller_for_test("acme", "eve", &["manager"]);
    let (_, text) = why(&decide, &manager, "pay_invoices", None, Known::Whole);
    assert!(text.contains("authz.rego:7:5: `input.tool.class == \"read\"` does not hold"), "{text}");
}

#[test]
fn a_tenants_administrator_is_told_no_file_and_no_expression() {
    let decide = Given::rego("allow if input.caller.user == \"ana\"").decide();
    let (server, subject, circumstances, eve) = (server(), named("get_x"), circumstances(), manager());
    let question = Question {
        caller: &eve,
        server: &server,
        method: "tools/call",
        subject: &subject,
        arguments: None,
        circumstances: &circumstances,
    };
    let told = decide.explain(&question);
    let why = decide.why(&question, &told, Known::Whole);
    assert!(why.told(&told, Detail::Whole).contains("authz.rego:3"));
    let outside = why.told(&told, Detail::WithoutInternals);
    assert!(!outside.contains("rego") && !outside.contains("ana"), "{outside}");
}
