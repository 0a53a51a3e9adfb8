//! Changes that take effect while the gate runs, and mistakes that do not.

use portcullis_integration::fixture::{ROLES, Std};
use portcullis_integration::wait;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_grant_is_seen_without_a_restart() {
    let std = Std::start();
    let alice = std.alice();
    assert_eq!(alice.sees().await, ["safe"]);
    std.gate.house().tenant("a", &ROLES.replace("[safe]", "[safe, danger]"));
    wait::until("the new tool", async || (alice.sees().await == ["safe", "danger"]).then_some(())).await;
    assert!(!alice.calls("danger", json!({})).await.is_error_result());
    assert_eq!(std.carol().sees().await, ["safe"], "the other tenant got it too");
    std.gate.house().tenant("a", ROLES);
    wait::until("its end", async || (alice.sees().await == ["safe"]).then_some(())).await;
    assert_eq!(alice.calls("danger", json!({})).await.code(), Some(-32602));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_session_is_judged_by_the_policy_of_the_moment() {
    let std = Std::start();
    let alice = std.alice().initialized().await;
    let call = || alice.legacy("tools/call", json!({"name": "safe", "arguments": {}}));
    assert!(call().await.code().is_none());
    std.gate.house().tenant("a", &ROLES.replace("[safe]", "[nothing]"));
    wait::until("the grant's end", async || (call().await.code() == Some(-32602)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_data_keeps_the_policy_before_it_and_says_where_it_is_broken() {
    let mut std = Std::start();
    let alice = std.alice();
    let broken = [
        ("roles:\n  reader:\n    - servers: [up\n", "data.yaml"),
        ("roles:\n  reader:\n    - servers: [up]\n      tols: [safe]\n", "tols"),
        ("roles:\n  reader:\n    - servers: [up]\n      tools: []\n", "tools"),
    ];
    for (text, word) in broken {
        std.gate.house().tenant("a", text);
        std.gate.logged(&[word]);
        assert_eq!(alice.sees().await, ["safe"], "after {text}");
    }
    let (_, ready) = std.gate.admin("/readyz").await;
    assert!(ready.contains("policy"), "health says nothing of it: {ready}");
    std.gate.house().tenant("a", &ROLES.replace("[safe]", "[safe, danger]"));
    wait::until("the repair", async || (alice.sees().await == ["safe", "danger"]).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_rate_counts_from_the_reload_on() {
    let std = Std::start();
    let alice = std.alice();
    for _ in 0..10 {
        assert!(!alice.calls("safe", json!({})).await.is_error_result());
    }
    std.gate.house().tenant("a", &format!("rates:\n  tenant: {{requests: 2, per: 1h, burst: 2}}\n{ROLES}"));
    let refused = wait::until("the limit", async || {
        Some(alice.calls("safe", json!({})).await).filter(|a| a.is_error_result())
    })
    .await;
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    assert_eq!(refused.headers["ratelimit-remaining"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_in_a_file_is_read_at_each_call() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "a secret of the day before").expect("writable");
    let std = Std::start_with(|c| c["accounts"][0]["credential"] = json!({"bearer": {"file": file.path()}}));
    for secret in ["first-secret", "second-secret"] {
        std::fs::write(file.path(), secret).expect("writable");
        assert!(!std.alice().calls("safe", json!({})).await.is_error_result());
        let call = std.upstream.received("tools/call").pop().expect("the call");
        assert_eq!(call.header("authorization"), [format!("Bearer {secret}")]);
    }
}
