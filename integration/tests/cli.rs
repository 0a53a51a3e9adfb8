//! The command line as an operator types it: what it prints, and the exit code that a script sees.

use std::fs;
use std::process::Output;

use portcullis_integration::fixture::Std;
use portcullis_integration::gate::{House, minimal};
use portcullis_integration::wait;
use serde_json::{Value, json};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn check_says_every_mistake_of_configuration_and_policies_at_once() {
    let house = House::bare("servers: {}\ndrain: soon\n");
    house.write("policies/authz.rego", "package mcp.authz\n\nallow if input.caler.user == \"ana\"\n");
    let checked = house.command(&["check", "--config", "portcullis.yaml", "--policies", "policies"]);
    assert_eq!(checked.status.code(), Some(3), "{checked:?}");
    let told = err(&checked);
    for place in ["portcullis.yaml:1:1", "portcullis.yaml:2:8", "policies/authz.rego:3:"] {
        assert!(told.contains(place), "nothing at {place}: {told}");
    }
    assert!(told.contains("caler"), "{told}");
    assert_eq!(out(&checked), "3 mistakes\n");
}

#[test]
fn check_passes_what_the_gate_would_start_with() {
    let house = House::new(&minimal("up", "http://127.0.0.1:9/mcp"), &[]);
    let checked = house.command(&["check"]);
    assert_eq!((checked.status.code(), out(&checked).as_str()), (Some(0), "valid\n"), "{checked:?}");
}

#[test]
fn a_url_is_made_listed_and_revoked_while_no_gate_runs() {
    let house = House::new(&minimal("up", "http://127.0.0.1:9/mcp"), &[]);
    let made = house.json(&["url", "create", "--tenant", "a", "--server", "up", "--expires", "7d"]);
    assert!(made["url"].as_str().expect("a URL").starts_with("http://gw.test/mcp/"), "{made}");
    let list = || house.json(&["url", "list", "--tenant", "a"]);
    assert_eq!(list()[0]["id"], made["id"]);
    assert_eq!(house.json(&["url", "list", "--tenant", "b"]), json!([]));
    house.json(&["url", "revoke", "--tenant", "a", made["id"].as_str().expect("an id")]);
    assert_eq!(list(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_line_of_the_audit_is_found_and_named() {
    let std = Std::start();
    assert!(!std.alice().calls("safe", json!({})).await.is_error_result());
    let closed = async || (std.gate.audit().last()?["kind"] == "outcome").then_some(());
    wait::until("the outcome", closed).await;
    let house = std.gate.house();
    let verified = house.command(&["audit", "verify", "audit"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    assert!(out(&verified).starts_with("whole: "), "{verified:?}");
    copy_changed(house);
    let verified = house.command(&["audit", "verify", "changed"]);
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    assert!(out(&verified).starts_with("BROKEN: "), "{verified:?}");
    assert!(out(&verified).contains("line 2 (seq 2): the line was changed"), "{verified:?}");
}

/// Copies the audit to `changed`, where the second line says another tenant.
fn copy_changed(house: &House) {
    fs::create_dir(house.path("changed")).expect("a writable directory");
    for file in fs::read_dir(house.path("audit")).expect("the audit").flatten() {
        let mut bytes = fs::read(file.path()).expect("readable");
        if file.file_name().to_string_lossy().ends_with(".jsonl") {
            let text = String::from_utf8(bytes).expect("text");
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines[1] = lines[1].replace("\"tenant\":\"a\"", "\"tenant\":\"b\"");
            bytes = (lines.join("\n") + "\n").into_bytes();
        }
        fs::write(house.path("changed").join(file.file_name()), bytes).expect("a writable directory");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_found_in_the_audit_with_its_outcome() {
    let std = Std::start();
    std.alice().calls("safe", json!({})).await;
    let shown = wait::until("both lines", async || {
        let shown =
            std.gate.house().command(&["audit", "show", "audit", "--tool", "safe", "--output", "json"]);
        let lines: Vec<Value> = serde_json::from_slice(&shown.stdout).ok()?;
        (lines.len() == 2).then_some(lines)
    })
    .await;
    assert_eq!((&shown[0]["kind"], &shown[1]["kind"]), (&json!("intent"), &json!("outcome")));
    assert_eq!((&shown[0]["user"], &shown[1]["status"]), (&json!("alice"), &json!("ok")));
}

#[test]
fn explain_answers_with_its_exit_code() {
    let roles =
        "roles:\n  clerk:\n    - servers: [up]\n      methods: [read]\n      when: {region: caller.region}\n";
    let house = House::new(&minimal("up", "http://127.0.0.1:9/mcp"), &[("a", roles)]);
    let explain = |tool: &str, more: &[&str]| {
        let asked =
            ["policy", "explain", "--tenant", "a", "--server", "up", "--roles", "clerk", "--tool", tool];
        house.command(&[&asked[..], &["--attribute", "region=EMEA"], more].concat())
    };
    let allowed = explain("list_orders", &["--arguments", r#"{"region": "EMEA"}"#]);
    assert_eq!(allowed.status.code(), Some(0), "{allowed:?}");
    assert!(out(&allowed).contains("rule        a/clerk/0"), "{allowed:?}");
    let outside = explain("list_orders", &["--arguments", r#"{"region": "US"}"#]);
    assert_eq!(outside.status.code(), Some(2), "{outside:?}");
    assert_eq!(explain("delete_order", &[]).status.code(), Some(2));
}
