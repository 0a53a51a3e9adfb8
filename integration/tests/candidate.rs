//! A candidate policy beside the one that serves: compared on live traffic, let decide, promoted, taken back.

use std::process::Output;

use portcullis_integration::fixture::{ROLES, Std};
use portcullis_integration::gate::{Gate, House};
use portcullis_integration::wait;
use serde_json::{Value, json};

/// What the candidate gives tenant `a`: another tool, and `safe` no more.
const WIDER: &str = "roles:\n  reader:\n    - {servers: [up], tools: [danger]}\n";

/// A gate whose candidate differs for tenant `a`.
fn beside(candidate: Value) -> Std {
    Std::prepared(
        |config| config["policies"]["candidate"] = candidate,
        |house| {
            candidate_of(house, WIDER);
            house.write("candidate/tenants/b/data.yaml", ROLES);
        },
    )
}

fn candidate_of(house: &House, data: &str) {
    house.stock("candidate");
    house.write("candidate/tenants/a/data.yaml", data);
}

fn out(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn done(gate: &Gate, arguments: &[&str]) -> Value {
    gate.house().json(&[&["policy"], arguments].concat())
}

async fn metric(gate: &Gate, name: &str) -> String {
    let (_, text) = gate.admin("/metrics").await;
    let line = text.lines().find(|line| line.starts_with(&format!("portcullis_{name} ")));
    line.and_then(|line| line.rsplit(' ').next()).unwrap_or("absent").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn live_traffic_shows_what_a_candidate_would_change_and_nothing_changes() {
    let std = beside(json!("candidate"));
    let alice = std.alice();
    assert_eq!(alice.sees().await, ["safe"], "the candidate decides");
    assert!(!alice.calls("safe", json!({"marker": "secret-4711"})).await.is_error_result());
    assert_eq!(alice.calls("danger", json!({"marker": "secret-4711"})).await.code(), Some(-32602));
    assert_eq!(std.carol().sees().await, ["safe"]);
    let line = std.gate.recorded("intent", "safe").pop().expect("the call");
    assert_eq!(line["candidate"]["changes"], json!(["newly_refused"]), "{line}");
    assert_eq!(line["candidate"]["decision"], "hidden");
    let refused =
        wait::until("the refusal on the record", async || std.gate.recorded("refused", "danger").pop());
    assert_eq!(refused.await["candidate"]["rules"], json!(["a/reader/0"]));
    let of = |what: &str| format!("candidate_differences_total{{about=\"message\",change=\"{what}\"}}");
    assert_eq!(metric(&std.gate, &of("newly_refused")).await, "1");
    assert_eq!(metric(&std.gate, &of("newly_allowed")).await, "1");
    let report = done(&std.gate, &["shadow", "report"]);
    assert_eq!(report["by_change"]["newly_refused"], 2, "the call and the list: {report}");
    assert_eq!(report["by_tool"], json!({"up/danger": 2, "up/safe": 2}));
    assert_eq!(report["by_role"], json!({"reader": 4}));
    assert_eq!(report["by_rule"], json!({"a/reader/0": 4}));
    assert!(report["differences"][0]["examples"][0].is_string());
    let told = std.gate.house().command(&["policy", "shadow", "report", "--since", "1h"]);
    assert!(out(&told).contains("up  danger  as reader  by a/reader/0: 1 message, 1 list"), "{}", out(&told));
    assert!(!format!("{report}{}", std.gate.audit_text()).contains("4711"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_decides_for_the_tenants_that_are_named_until_it_is_taken_back() {
    let std = beside(json!("candidate"));
    std.gate.house().write("candidate/tenants/b/data.yaml", WIDER);
    let (alice, carol) = (std.alice(), std.carol());
    let two = wait::until("both tenants' candidate", async || {
        let carol = carol.sees().await;
        let listed =
            std.gate.audit().into_iter().any(|line| line["kind"] == "shadow" && line["tenant"] == "b");
        listed.then_some(carol)
    });
    assert_eq!(two.await, ["safe"]);
    let status = done(&std.gate, &["canary", "--tenant", "a"]);
    assert_eq!(status["candidate"]["stage"], "canary");
    assert_eq!((alice.sees().await, carol.sees().await), (vec!["danger".into()], vec!["safe".into()]));
    assert!(!alice.calls("danger", json!({})).await.is_error_result());
    assert_eq!(alice.calls("safe", json!({})).await.code(), Some(-32602));
    let line = std.gate.recorded("intent", "danger").pop().expect("the call");
    assert_eq!(line["revision"], status["candidate"]["revision"], "the line names who decided");
    assert_eq!(line["candidate"]["stage"], "canary");
    assert_eq!(line["candidate"]["live"]["decision"], "hidden");
    assert_eq!(metric(&std.gate, "candidate_decisions_total").await, "3");
    let told = std.gate.house().command(&["policy", "canary", "--tenant", "acmee"]);
    assert!(out(&told).contains("there is no tenant `acmee`"), "{}", out(&told));
    done(&std.gate, &["rollback"]);
    assert_eq!(alice.sees().await, ["safe"], "it still decides");
    let steps: Vec<Value> = std.gate.audit().into_iter().filter(|line| line["kind"] == "policy").collect();
    let events: Vec<&str> = steps.iter().filter_map(|step| step["event"].as_str()).collect();
    assert_eq!(events.iter().rev().take(2).collect::<Vec<_>>(), [&"rolled_back", &"canary"], "{steps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_candidate_serves_after_a_restart_whatever_becomes_of_its_directory() {
    let std = beside(json!("candidate"));
    let alice = std.alice();
    let revision = done(&std.gate, &["shadow", "status"])["candidate"]["revision"].clone();
    let told = std.gate.house().command(&["policy", "promote", "--revision", "another"]);
    assert!(out(&told).contains("and not at `another`"), "{}", out(&told));
    assert_eq!(alice.sees().await, ["safe"]);
    let status = done(&std.gate, &["promote", "--revision", revision.as_str().expect("a revision")]);
    assert_eq!((&status["live"]["revision"], &status["live"]["promoted"]), (&revision, &json!(true)));
    assert_eq!(alice.sees().await, ["danger"]);
    std.gate.house().write("candidate/tenants/a/data.yaml", "roles: [broken");
    let std = std.restarted();
    let alice = std.alice();
    assert_eq!(alice.sees().await, ["danger"], "the restart has taken it back");
    let (_, ready) = std.gate.admin("/readyz").await;
    assert!(ready.contains("\"ready\":true") && ready.contains("promoted candidate"), "{ready}");
    done(&std.gate, &["rollback"]);
    assert_eq!(alice.sees().await, ["safe"]);
    let std = std.restarted();
    assert_eq!(std.alice().sees().await, ["safe"], "the restart has taken it back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_directory_ends_a_promotion_for_good() {
    let std = beside(json!("candidate"));
    let alice = std.alice();
    done(&std.gate, &["promote"]);
    assert_eq!(alice.sees().await, ["danger"]);
    std.gate.house().tenant("a", &ROLES.replace("[safe]", "[safe, danger]"));
    wait::until("what the directory says", async || (alice.sees().await == ["safe", "danger"]).then_some(()))
        .await;
    std.gate.house().tenant("a", ROLES);
    wait::until("what it said before", async || (alice.sees().await == ["safe"]).then_some(())).await;
    let std = std.restarted();
    assert_eq!(std.alice().sees().await, ["safe"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_is_of_one_revision_and_survives_a_restart() {
    let std = beside(json!("candidate"));
    done(&std.gate, &["canary", "--percent", "100"]);
    assert_eq!(std.alice().sees().await, ["danger"]);
    let std = std.restarted();
    let alice = std.alice();
    assert_eq!(alice.sees().await, ["danger"], "the restart has taken it back");
    std.gate.house().write("candidate/tenants/a/data.yaml", &WIDER.replace("danger", "danger, safe"));
    wait::until("the shadow of the next revision", async || (alice.sees().await == ["safe"]).then_some(()))
        .await;
    assert_eq!(done(&std.gate, &["shadow", "status"])["candidate"]["stage"], "shadow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_candidate_is_told_and_changes_nothing_for_callers() {
    let mut std = beside(json!({"directory": "candidate", "canary": {"tenants": ["a"]}}));
    let alice = std.alice();
    assert_eq!(alice.sees().await, ["danger"], "the configuration says so");
    std.gate.house().write("candidate/tenants/a/data.yaml", "roles: [broken");
    std.gate.logged(&["candidate policy not loaded", "data.yaml"]);
    assert_eq!(alice.sees().await, ["danger"]);
    let (_, ready) = std.gate.admin("/readyz").await;
    assert!(ready.contains("\"ready\":true") && ready.contains("\"candidate\""), "{ready}");
    assert_eq!(metric(&std.gate, "candidate_reloads_total{outcome=\"kept_old\"}").await, "1");
    let told = std.gate.house().command(&["check"]);
    assert_eq!(told.status.code(), Some(3), "{}", out(&told));
    let std = std.restarted();
    assert_eq!(std.alice().sees().await, ["safe"], "nothing serves but what loads");
    let told = std.gate.house().command(&["policy", "promote"]);
    assert!(out(&told).contains("the candidate cannot be loaded"), "{}", out(&told));
}
