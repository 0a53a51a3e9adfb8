use std::sync::atomic::{AtomicBool, Ordering};

use crate::decide::Outcome;
use crate::decide::tests::*;
use crate::decode::ListKind;

#[test]
fn nothing_is_allowed_unless_a_rule_allows_it() {
    let decide = Given::rego("allow if input.caller.tenant == \"other\"").decide();
    assert_eq!(
        refusal(call(&decide, alice(), "list_a", "{}")),
        Refusal::UnknownTool(ToolName::parse("list_a").unwrap())
    );
    assert!(!sees(&decide, &alice(), "list_a"));
    let denied = ask(&decide, "tools/list", Subject::Server, Action::List(ListKind::Tools));
    assert_eq!(
        refusal(denied),
        Refusal::Denied { code: None, message: "no rule of the policy allows it".into() }
    );
}

#[test]
fn allow_is_only_exactly_true() {
    for value in ["1", "\"true\"", "{\"allow\": true}", "[true]", "null"] {
        let given = Given::rego("allow := v if { input.tool; v := data.answer }");
        given.write("data.json", &format!("{{\"answer\": {value}}}"));
        assert!(given.problems().contains("`allow` must be true or false"), "{value}");
    }
}

#[test]
fn any_element_of_deny_denies_with_every_reason_in_order() {
    let decide = Given::rego(
        "default allow := false\nallow if true\n\
         deny contains \"the books are closed\" if input.phase == \"call\"\n\
         deny contains {\"code\": \"frozen\", \"message\": \"ask finance\"} if input.phase == \"call\"",
    )
    .decide();
    assert!(sees(&decide, &alice(), "list_a"));
    let denied = call(&decide, alice(), "list_a", "{}").unwrap_err();
    assert_eq!(
        denied.refusal,
        Refusal::Denied { code: Some("frozen".into()), message: "ask finance; the books are closed".into() }
    );
    assert_eq!(denied.deny.len(), 2);
}

#[test]
fn what_deny_hides_from_the_list_does_not_exist_and_the_audit_has_the_reason() {
    let decide =
        Given::rego("allow if true\ndeny contains \"secret\" if input.tool.name == \"danger\"").decide();
    assert!(!sees(&decide, &alice(), "danger"));
    let denied = call(&decide, alice(), "danger", "{}").unwrap_err();
    assert_eq!(denied.refusal.to_string(), "Unknown tool: danger");
    assert_eq!(denied.deny, [(None, "secret".to_owned())]);
}

#[test]
fn hidden_resources_and_prompts_are_not_found() {
    let decide = Given::rego("allow if startswith(input.resource.uri, \"file:///pub/\")").decide();
    let read = |uri: &str| {
        ask(
            &decide,
            "resources/read",
            Subject::Resource(uri.into()),
            Action::ReadResource { uri: uri.into() },
        )
    };
    assert!(read("file:///pub/a").is_ok());
    assert_eq!(refusal(read("file:///secret")), Refusal::NotFound("resource"));
    let prompt = Action::GetPrompt { name: "root".into(), arguments: None };
    assert_eq!(
        refusal(ask(&decide, "prompts/get", Subject::Prompt("root".into()), prompt)),
        Refusal::NotFound("prompt")
    );
}

#[test]
fn a_visible_resource_may_still_not_be_subscribed() {
    let decide = Given::rego("allow if input.method == \"resources/read\"").decide();
    let subscribe = Action::Subscribe { uri: "file:///a".into() };
    let refused =
        refusal(ask(&decide, "resources/subscribe", Subject::Resource("file:///a".into()), subscribe));
    assert!(matches!(refused, Refusal::Denied { .. }), "{refused:?}");
}

#[test]
fn an_error_while_it_decides_refuses_and_says_nothing_of_the_policy() {
    let decide =
        Given::rego("allow if true\ndeny contains \"x\" if to_number(input.arguments.amount) > 10").decide();
    assert!(call(&decide, alice(), "list_a", "{\"amount\": \"3\"}").is_ok());
    let refused = refusal(call(&decide, alice(), "list_a", "{\"amount\": \"many\"}"));
    assert_eq!(refused, Refusal::PolicyFailed);
    assert!(call(&decide, alice(), "list_a", "{\"amount\": \"3\"}").is_ok(), "the next question is answered");
}

#[test]
fn a_policy_that_runs_away_is_stopped_and_refuses() {
    let mut given = Given::rego(
        "allow if true\ndeny contains \"x\" if { some a in input.arguments.l; some b in input.arguments.l; \
         some c in input.arguments.l; a + b + c < 0 }",
    );
    given.timeout = Duration::from_millis(20);
    let decide = given.decide();
    let list = serde_json::to_string(&(0..5000).collect::<Vec<_>>()).unwrap();
    let start = std::time::Instant::now();
    let refused = refusal(call(&decide, alice(), "list_a", &format!("{{\"l\": {list}}}")));
    assert_eq!(refused, Refusal::PolicyFailed);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_wrong_type_in_an_answer_refuses() {
    for (rule, value) in [
        ("rules := input.arguments.v", "7"),
        ("deny := input.arguments.v", "\"no\""),
        ("deny := input.arguments.v", "[7]"),
        ("redact := input.arguments.v", "[\"salary\"]"),
        ("cost := input.arguments.v", "-1"),
        ("constraints := input.arguments.v", "[]"),
    ] {
        let decide = Given::rego(&format!("allow if true\n{rule}")).decide();
        let refused = refusal(call(&decide, alice(), "list_a", &format!("{{\"v\": {value}}}")));
        assert_eq!(refused, Refusal::PolicyFailed, "{rule} = {value}");
    }
}

#[test]
fn a_permit_carries_the_rules_the_masks_the_cost_and_the_revision() {
    let decide = Given::rego(
        "allow if count(rules) > 0\nrules contains \"managers\" if \"regional-manager\" in input.caller.roles\n\
         redact contains \"/employees/*/salary\"\ncost := 2.5\nannotations[\"team\"] := \"erp\"",
    )
    .decide();
    let permit = call(&decide, alice(), "list_a", "{}").unwrap();
    let verdict = permit.verdict();
    assert_eq!(verdict.rules, [Arc::from("managers")]);
    assert_eq!(verdict.redact, [Arc::from("/employees/*/salary")]);
    assert_eq!((verdict.cost, verdict.annotations["team"].as_str()), (2.5, Some("erp")));
    assert_eq!(verdict.revision, *decide.revision());
}

#[test]
fn what_a_key_that_does_not_apply_holds_is_absent_and_never_null() {
    let decide = Given::rego(
        "allow if { not input.scope; not input.caller.agent; not input.usage; not input.resource; not input.prompt; \
         not input.request.workflow; not input.request.client.version; input.request.client.verified == false; \
         input.request.source_ip == \"10.0.0.7\"; input.tool.class == \"read\"; input.server.tags == [\"erp\"] }",
    )
    .decide();
    assert!(call(&decide, alice(), "list_a", "{}").is_ok());
}

#[test]
fn an_explanation_says_how_it_ends_and_by_which_rules() {
    let decide = Given::rego(
        "allow if input.tool.name != \"hidden\"\nrules contains \"all\" if allow\n\
         deny contains \"later\" if { input.phase == \"call\"; input.tool.name == \"closed\" }\n\
         constraints[\"region\"] := {\"const\": input.caller.attributes.region}",
    )
    .decide();
    let (caller, server, circumstances) = (alice(), server(), circumstances());
    let explain = |name: &str| {
        let subject = tool(name);
        decide.explain(&Question {
            caller: &caller,
            server: &server,
            method: "tools/call",
            subject: &subject,
            arguments: None,
            circumstances: &circumstances,
        })
    };
    assert_eq!(explain("hidden").outcome, Outcome::Hidden);
    assert_eq!(explain("closed").outcome, Outcome::Denied);
    let open = explain("open");
    assert_eq!((open.outcome, open.rules.len()), (Outcome::Allowed, 1));
    assert_eq!(open.constraints["region"]["const"], "EMEA");
}

#[test]
fn arguments_that_cannot_be_read_refuse_although_no_rule_fails() {
    let decide = Given::rego("allow if true\ndeny contains \"x\" if input.arguments.a == 1").decide();
    let deep = format!("{{\"a\": 1, \"b\": {}{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(refusal(call(&decide, alice(), "list_a", &deep)), Refusal::PolicyFailed);
}

/// On one thread, so that only a call that gives its thread away lets the other run.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_function_on_large_arguments_holds_up_nobody_else() {
    let mut given = Given::rego(
        "allow := true\ndeny contains \"empty\" if {\n\tinput.phase == \"call\"\n\tcount(split(input.arguments.text, \"\")) == 0\n}",
    );
    given.timeout = Duration::from_secs(60);
    let decide = given.decide();
    let asking = tokio::spawn(async move {
        let other = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&other);
        drop(tokio::spawn(async move { set.store(true, Ordering::SeqCst) }));
        let arguments = format!(r#"{{"text":"{}"}}"#, "x".repeat(2_000_000));
        let permit = call(&decide, alice(), "list_invoices", &arguments);
        (permit.is_ok(), other.load(Ordering::SeqCst))
    });
    assert_eq!(asking.await.unwrap(), (true, true));
}
