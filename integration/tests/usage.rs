//! What a tenant has used: budgets, what policy reads of usage, and the workflow that a call says it belongs to.

use portcullis_integration::agent::Answer;
use portcullis_integration::fixture::{ROLES, Std};
use portcullis_integration::wait::until;
use serde_json::{Value, json};

/// Every call of a tool costs one.
const COST: &str = "package mcp.authz\n\ncost := 1 if input.method == \"tools/call\"\n";

/// A gate where tenant `a` has this budget, with this policy beside the stock ones.
fn gate(budget: u32, policy: &str, change: impl FnOnce(&mut Value)) -> Std {
    Std::prepared(change, |house| {
        house.tenant("a", &format!("budget: {{per_month: {budget}}}\n{ROLES}"));
        house.write("policies/usage.rego", policy);
    })
}

async fn call(std: &Std) -> Answer {
    std.alice().calls("safe", json!({})).await
}

async fn metric(std: &Std, line: &str) {
    until(line, async || std.gate.admin("/metrics").await.1.contains(line).then_some(())).await;
}

/// The driver of the case IS-04.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_calls_at_once_on_a_budget_for_ten_let_ten_through() {
    let std = gate(10, COST, |_| {});
    let alice = std.alice();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move { alice.calls("safe", json!({})).await })
        })
        .collect();
    let mut passed = 0;
    for call in calls {
        let answer = call.await.expect("a call");
        if !answer.is_error_result() && answer.code().is_none() {
            passed += 1;
            continue;
        }
        assert_eq!(
            (&answer.detail()["reason"], answer.status.as_u16()),
            (&json!("budget"), 200),
            "{answer:?}"
        );
        assert!(answer.detail()["retry_after_ms"].as_u64().is_some_and(|ms| ms >= 1000), "{answer:?}");
        assert_eq!(answer.detail()["retryable"], true);
        assert_eq!(answer.headers["ratelimit-limit"], "10");
        let text = answer.result()["content"][0]["text"].to_string();
        assert!(text.contains("10 per calendar month (UTC)"), "{text}");
    }
    assert_eq!((passed, std.upstream.received("tools/call").len()), (10, 10));
    assert!(
        !std.carol().calls("safe", json!({})).await.is_error_result(),
        "another tenant's budget is its own"
    );
    metric(&std, "portcullis_cost_charged_total 11").await;
    metric(&std, r#"portcullis_refusals_total{method="tools/call",reason="budget"} 40"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_reached_the_server_costs_nothing() {
    let std = gate(3, COST, |_| {});
    assert!(!call(&std).await.is_error_result());
    let Std { gate, upstream, issuer } = std;
    drop(upstream);
    let std = Std { gate, upstream: portcullis_integration::upstream::Upstream::start(), issuer };
    // The connection that was open may have taken one with it, of which nobody knows how far it came.
    drop(call(&std).await);
    for _ in 0..5 {
        let answer = call(&std).await;
        assert_eq!(answer.detail()["reason"], "unreachable", "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_reads_what_was_spent_in_calls_and_lists_also_after_a_crash() {
    let policy = [COST, "\ndeny contains \"spent\" if {\n\tinput.method == \"tools/call\"\n\tinput.usage.cost_this_month >= 2\n}\n"].concat();
    let std = gate(1000, &policy, |_| {});
    for _ in 0..2 {
        assert_eq!(std.alice().sees().await, ["safe"]);
        assert!(!call(&std).await.is_error_result());
    }
    assert!(std.alice().sees().await.is_empty(), "the list is asked with the same usage as the call");
    assert_eq!(call(&std).await.code(), Some(-32602));
    metric(&std, "portcullis_spending_waiting 0").await;
    let std = std.restarted();
    assert!(std.alice().sees().await.is_empty(), "it was kept");
    assert_eq!(std.carol().sees().await, ["safe"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_reads_what_is_left_of_the_rate_before_it_is_used_up() {
    let policy = "package mcp.authz\n\ndeny contains \"slow down\" if {\n\tinput.phase == \"call\"\n\tinput.usage.rate_remaining < 3\n}\n";
    let rate = json!({"tenant": {"requests": 6, "per": "1d", "burst": 6}});
    let std = gate(1, policy, |config| config["rates"] = rate);
    assert!(!call(&std).await.is_error_result());
    for _ in 0..5 {
        let answer = call(&std).await;
        if answer.is_error_result() {
            let text = answer.result()["content"][0]["text"].to_string();
            assert!(text.contains("slow down"), "{text}");
            return;
        }
    }
    panic!("policy never saw it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workflow_that_a_call_says_it_belongs_to_reaches_policy_and_the_audit() {
    let policy = "package mcp.authz\n\ndeny contains \"no such workflow\" if {\n\tinput.phase == \"call\"\n\tinput.server.name == \"up\"\n\tnot known\n}\n\nknown if input.request.workflow == \"wf_1\"\n";
    let std = gate(1, policy, |_| {});
    let says = async |baggage: &str| {
        let params = json!({"name": "safe", "arguments": {}, "_meta": {"baggage": baggage}});
        std.alice().modern("tools/call", params).await.is_error_result()
    };
    assert!(!says("a=b,workflow=wf_1").await);
    assert!(says("workflow=wf_2").await);
    assert!(says("workflow=wf_1,workflow=wf_1").await, "said twice is not said");
    assert!(call(&std).await.is_error_result());
    let told = |kind: &str| -> Vec<Value> {
        std.gate.recorded(kind, "safe").iter().map(|line| line["workflow"].clone()).collect()
    };
    assert_eq!(told("intent"), [json!("wf_1")]);
    let refusals = until("three refusals", async || Some(told("refused")).filter(|all| all.len() == 3)).await;
    assert_eq!(refusals, [json!("wf_2"), Value::Null, Value::Null]);
}
