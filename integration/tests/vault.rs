//! The keys that seal credentials, changed while the gate serves.

use std::fs;

use portcullis_integration::fixture::Std;
use portcullis_integration::wait;
use serde_json::{Value, json};

const SECRET: &str = "acme's own token";

/// Alice's call, and what the gate authenticated with at the server.
async fn credential(std: &Std) -> Vec<String> {
    let answer = std.alice().calls("safe", json!({})).await;
    assert!(!answer.is_error_result(), "{answer:?}");
    let call = std.upstream.received("tools/call").pop().expect("the call");
    call.header("authorization").iter().map(ToString::to_string).collect()
}

fn configure(std: &Std, keys: &Value) {
    let file = std.gate.house().path("portcullis.yaml");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&file).expect("it")).expect("JSON");
    let state = config["state"].as_object_mut().expect("state");
    state.retain(|key, _| key == "directory");
    state.extend(keys.as_object().expect("keys").clone());
    fs::write(file, config.to_string()).expect("writable");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sealing_key_is_changed_without_a_restart_and_the_old_one_may_go() {
    let std = Std::prepared(
        |c| c["accounts"][0]["credential"] = json!({"bearer": "sealed"}),
        |house| drop(house.write("new.key", &"5e".repeat(32))),
    );
    std.gate.seal("a", "up", SECRET).await;
    let expected = [format!("Bearer {SECRET}")];
    assert_eq!(credential(&std).await, expected);
    let house = std.gate.house();
    let before = house.json(&["vault", "status"]);
    configure(
        &std,
        &json!({"sealing_key": {"file": "new.key"}, "retired_sealing_keys": [{"file": "state/seal.key"}]}),
    );
    wait::until("the new key", async || {
        Some(house.json(&["vault", "status"])).filter(|now| now["current"] != before["current"])
    })
    .await;
    assert_eq!(credential(&std).await, expected, "while both are there");
    let done = house.json(&["vault", "rekey"]);
    // The tenant's, and that of the gate's own signing keys.
    assert_eq!((&done["rewrapped"], &done["failed"]), (&json!(2), &json!(0)), "{done}");
    assert_eq!(house.json(&["vault", "rekey"])["current"], 2);
    fs::remove_file(house.path("state/seal.key")).expect("the old key");
    configure(&std, &json!({"sealing_key": {"file": "new.key"}}));
    let std = std.restarted();
    assert_eq!(credential(&std).await, expected, "with the new one alone");
    assert!(!std.gate.log().contains("5e5e"), "a key is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gate_leaves_no_memory_behind() {
    let std = Std::start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", std.gate.id())).expect("its limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
