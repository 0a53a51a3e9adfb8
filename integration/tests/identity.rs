//! How well callers must authenticate, as policy asks for it.

use portcullis_integration::api::Api;
use portcullis_integration::fixture::{KEY_BOB, Std};
use serde_json::json;

const SECOND_FACTOR: &str = r#"
package mcp.authz

deny contains {"message": "this needs a second factor", "challenge": {"acr_values": ["mfa"], "max_age": 300}} if {
	input.phase == "call"
	input.tool.name == "safe"
	not input.caller.authentication.acr == "mfa"
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_must_authenticate_better_is_told_how_and_passes_when_they_did() {
    let std = Std::prepared(
        |_| {},
        |house| drop(house.write("policies/second_factor.rego", SECOND_FACTOR.trim_start())),
    );
    assert_eq!(std.alice().sees().await, ["safe"], "the tool is shown");
    let refused = std.alice().calls("safe", json!({})).await;
    assert_eq!(refused.status, 401);
    let told = refused.headers["www-authenticate"].to_str().expect("text");
    for part in [
        "error=\"insufficient_user_authentication\"",
        "error_description=\"this needs a second factor\"",
        "acr_values=\"mfa\"",
        "max_age=\"300\"",
        "resource_metadata=",
    ] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    assert!(std.upstream.received("tools/call").is_empty());
    let better = std.token("a", "alice", |claims| drop(claims.insert("acr".into(), json!("mfa"))));
    assert!(!std.agent(&better).calls("safe", json!({})).await.is_error_result());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_tries_many_api_keys_is_told_to_wait() {
    let std = Std::start_with(|config| config["limits"] = json!({"unknown_urls": 5}));
    let wanted = json!({"tenant": "a", "agent": "batch", "roles": ["reader"]});
    let made = Api::operator(&std.gate).post("/v1/keys", wanted).await.done(201);
    let call = async |key: &str| std.agent(key).calls("safe", json!({})).await.status.as_u16();
    let held = made["key"].as_str().expect("a key");
    assert_eq!(call(held).await, 200);
    let mut statuses = Vec::new();
    for number in 0..8 {
        statuses.push(call(&format!("pck_{}", format!("{number:02}").repeat(21))).await);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 503, 503]);
    assert_eq!(call(held).await, 503, "nothing is looked up for it meanwhile");
    assert_eq!(call(KEY_BOB).await, 200, "a configured key is no look-up");
    assert_eq!(call(&std.alice_token()).await, 200, "nor is a token");
}
