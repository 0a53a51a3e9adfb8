//! Why a call was refused: the command line, the audit and the admin interface tell the same, and the agent only the reason.

use std::process::Output;

use portcullis_integration::fixture::{ROLES, Std};
use portcullis_integration::gate::{House, minimal};
use portcullis_integration::reply::Reply;
use portcullis_integration::{mcp, wait};
use serde_json::json;

const TEAM: &str = "
  project-manager:
    - {servers: [up], tools: ['list_*', 'get_*'], methods: [read]}
  buyer:
    - {servers: [up], tools: [create_purchase_order]}
";

const SENTENCE: &str = "alice may not create a purchase order (`create_purchase_order` of `up`): role `project-manager` has no \
                        grant for it; the grants at `up` name list_*, get_*.";

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn explain_says_in_one_sentence_why_alice_may_not_create_a_purchase_order() {
    let house = House::new(&minimal("up", "http://127.0.0.1:9/mcp"), &[("a", &format!("{ROLES}{TEAM}"))]);
    let told = house.command(&[
        "policy",
        "explain",
        "--tenant",
        "a",
        "--user",
        "alice",
        "--roles",
        "project-manager",
        "--server",
        "up",
        "--tool",
        "create_purchase_order",
    ]);
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    assert_eq!(out(&told).lines().next(), Some(SENTENCE));
    assert!(
        out(&told).contains("change      give them the role `buyer`, whose grant a/buyer/0 covers it"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_explained_from_the_audit_and_by_the_admin_interface_and_not_to_the_agent() {
    let mut std = Std::start();
    std.upstream.answers(|exchange| match exchange.rpc().as_str() {
        "tools/list" => {
            let tools = json!([{"name": "create_purchase_order", "inputSchema": {"type": "object"}}]);
            let result =
                json!({"resultType": "complete", "tools": tools, "ttlMs": 60_000, "cacheScope": "private"});
            Reply::json(&json!({"jsonrpc": "2.0", "id": exchange.message()["id"], "result": result}))
        }
        _ => mcp::answer(exchange),
    });
    std.gate.house().tenant("a", &format!("{ROLES}{TEAM}"));
    std.gate.logged(&["Policy reloaded"]);
    let alice = std.alice_as(&["project-manager"], "EMEA");
    alice.calls("create_purchase_order", json!({"amount": 4711})).await;
    let refused = async || std.gate.recorded("refused", "create_purchase_order").pop();
    let line = wait::until("the refusal on the record", refused).await;
    let told = explain(&std, line["invocation"].as_str().expect("an invocation"));
    assert_eq!(out(&told).lines().next(), Some(SENTENCE), "{told:?}");
    for words in
        [": refused: unknown_tool; the policy that serves now", "unknown     arguments: they are not kept"]
    {
        assert!(out(&told).contains(words), "{words}: {told:?}");
    }
    assert!(!out(&told).contains("4711"));
    let invocation = line["invocation"].as_str().expect("an invocation");
    let (status, _) = std.gate.admin(&format!("/v1/explain?invocation={invocation}")).await;
    assert_eq!(status, 401, "the admin token is needed");
    let answer = std.gate.explain(invocation).await;
    assert_eq!(answer["sentence"], SENTENCE);
    assert!(!answer.to_string().contains(".rego"), "{answer}");
    let reply = alice.calls("create_purchase_order", json!({})).await;
    let reply = format!("{reply:?}");
    assert!(!reply.contains("project-manager") && !reply.contains("buyer"), "{reply}");
}

fn explain(std: &Std, invocation: &str) -> Output {
    std.gate.house().command(&["policy", "explain", "--invocation", invocation])
}

#[test]
fn a_directory_of_policies_is_tested_with_its_cases() {
    let house = House::new(&minimal("up", "http://127.0.0.1:9/mcp"), &[("a", &format!("{ROLES}{TEAM}"))]);
    let cases = "callers:\n  alice: {tenant: a, user: alice, roles: [project-manager]}\ncases:\n\
                 - {name: alice lists, caller: alice, call: {server: up, tool: list_orders}, expect: allow, rule: a/project-manager/0}\n\
                 - {name: alice does not buy, caller: alice, call: {server: up, tool: create_purchase_order}, expect: hidden}\n";
    house.write("policies/tenants/a/team_cases.yaml", cases);
    let test =
        || house.command(&["policy", "test", "policies", "--config", "portcullis.yaml", "--threshold", "90"]);
    let told = test();
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert!(out(&told).contains("pass  alice does not buy"), "{told:?}");
    house.write("policies/tenants/a/team_cases.yaml", &cases.replace("expect: hidden", "expect: allow"));
    let told = test();
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(out(&told).contains(SENTENCE), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_put_to_what_the_running_gate_serves_and_a_scoped_url_may_be_its_caller() {
    let std = Std::start();
    let url = json!({"tenant": "a", "server": "up", "roles": ["reader"], "methods": ["custom"]});
    let (id, _) = std.gate.create_url(&url).await;
    std.gate.house().write("policies/late.rego", "package mcp.authz\n\nallow if input.caler == 1\n");
    let ask = |house: &House, more: &[&str]| {
        let call = ["policy", "explain", "--tenant", "a", "--server", "up", "--tool", "safe"];
        let told = house.command(&[&call[..], more].concat());
        (told.status.code(), String::from_utf8_lossy(&told.stderr).into_owned())
    };
    let (code, told) = ask(std.gate.house(), &["--roles", "reader"]);
    assert!(code == Some(0) && told.contains("judged by what the running gate serves"), "{told}");
    for (scope, code) in
        [(["--scope-methods", "read"], 2), (["--scope-methods", "custom"], 0), (["--scope-tags", "other"], 2)]
    {
        let (told, said) = ask(std.gate.house(), &[&["--roles", "reader"][..], &scope].concat());
        assert_eq!(told, Some(code), "{scope:?} {said}");
    }
    let (code, told) = ask(std.gate.house(), &["--scope", &id]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = ask(std.gate.house(), &["--scope", "su_nobodys"]);
    assert!(code == Some(1) && told.contains("no scoped URL"), "{told}");
    let house = std.gate.kill();
    let (code, told) = ask(&house, &["--roles", "reader"]);
    assert!(code == Some(3) && told.contains("judged by `"), "the directory is broken: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policys_author_should_look_at_again_is_logged_when_the_gate_loads_it() {
    let own = "package mcp.authz\n\nallow if input.arguments.marker == \"x\"\n";
    let mut std = Std::prepared(
        |_| {},
        |house| {
            house.write("policies/own.rego", own);
        },
    );
    std.gate.logged(&["should look at this again", "own.rego:3", "input.arguments"]);
    std.gate.house().write("policies/next.rego", &own.replace("marker", "region"));
    std.gate.logged(&["should look at this again", "next.rego:3", "input.arguments"]);
}
