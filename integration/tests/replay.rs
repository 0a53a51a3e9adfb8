//! Recorded decisions judged again: traffic through a gate, then another policy over its audit.

use std::process::Output;

use portcullis_integration::fixture::{ROLES, Std};
use portcullis_integration::wait;
use serde_json::{Value, json};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wider_and_a_narrower_policy_are_seen_on_yesterdays_traffic() {
    let std = Std::start();
    let alice = std.alice_as(&["reader", "people"], "EMEA");
    alice.calls("safe", json!({"marker": "salary-4711"})).await;
    alice.calls("employees", json!({})).await;
    alice.calls("danger", json!({})).await;
    alice.calls("delete_everything", json!({})).await;
    let regional = std.alice_as(&["regional"], "EMEA");
    regional.calls("list_all_netsuite_invoices", json!({"region": "EMEA"})).await;
    wait::until("the lines", async || {
        let refused = ["danger", "delete_everything"].map(|tool| std.gate.recorded("refused", tool).len());
        let made = std.gate.recorded("intent", "list_all_netsuite_invoices").len();
        (refused == [1, 1] && made == 1).then_some(())
    })
    .await;
    let house = std.gate.house();
    let after = ROLES
        .replace("tools: [safe]", "tools: [safe, danger]")
        .replace("tools: [employees]", "tools: [none]");
    for file in ["authz", "deny", "grants", "index", "limits", "methods", "scope"] {
        let text = std::fs::read_to_string(house.path(&format!("policies/{file}.rego"))).expect("a policy");
        house.write(&format!("after/{file}.rego"), &text);
    }
    house.write("after/tenants/a/data.yaml", &after);
    let replay = |against: &str, more: &[&str]| {
        house.command(&[&["policy", "replay", "audit", "--against", against], more].concat())
    };
    let same = replay("policies", &[]);
    assert_eq!(same.status.code(), Some(0), "{same:?}");
    let told = replay("after", &["--output", "json"]);
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    let report: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let tool = |name: &str| report["tools"][format!("up/{name}")].clone();
    assert_eq!(tool("danger"), json!({"allowed": 1}), "{report}");
    assert_eq!(tool("employees"), json!({"refused": 1}), "{report}");
    assert_eq!(tool("list_all_netsuite_invoices"), json!({"unknown": 1}), "{report}");
    assert_eq!((tool("safe"), tool("delete_everything")), (Value::Null, Value::Null), "{report}");
    assert_eq!(report["findings"], json!([]));
    let danger = std.gate.recorded("refused", "danger")[0]["invocation"].clone();
    let example = report["examples"].as_array().expect("examples").iter().find(|one| one["what"] == "danger");
    assert_eq!(example.expect("an example")["invocation"], danger);
    assert_eq!(report["rules"]["a/reader/0"]["allowed"], 1);
    house.write("expected.yaml", "- {who: a/reader, server: up, tool: danger}\n");
    let expected = replay("after", &["--expected", "expected.yaml"]);
    assert_eq!(expected.status.code(), Some(0), "what is expected: {expected:?}");
    house.write("expected.yaml", "- {who: a/people, server: up, tool: \"delete_*\"}\n");
    let expected = replay("after", &["--expected", "expected.yaml"]);
    assert_eq!(expected.status.code(), Some(2), "{expected:?}");
    let told = String::from_utf8_lossy(&expected.stderr).into_owned();
    assert!(told.contains("expected, and not so: a/people up tool delete_*"), "{told}");
    let text = out(&replay("after", &["--format", "markdown", "--tenant", "a"]));
    assert!(text.contains("- `up/danger`: 1 newly allowed") && !text.contains("4711"), "{text}");
    let nothing = replay("after", &["--until", "2000-01-01T00:00:00Z"]);
    assert_eq!(nothing.status.code(), Some(0));
    assert!(out(&nothing).starts_with("0 recorded decisions"), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_a_chain_that_was_edited_says_so() {
    let std = Std::start();
    std.alice().calls("safe", json!({})).await;
    wait::until("the line", async || std.gate.recorded("intent", "safe").pop()).await;
    let house = std.gate.kill();
    let segment = std::fs::read_dir(house.path("audit")).expect("the audit").flatten();
    let segment =
        segment.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "jsonl"));
    let segment = segment.expect("a segment");
    let text = std::fs::read_to_string(&segment).expect("text").replace("\"alice\"", "\"bobby\"");
    std::fs::write(&segment, text).expect("writable");
    let told = house.command(&["policy", "replay", "audit", "--against", "policies"]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("the audit chain is not whole"), "{told:?}");
    assert!(out(&told).contains("THE CHAIN IS NOT WHOLE"), "{told:?}");
}
