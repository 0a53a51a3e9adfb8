//! How well callers must authenticate, as policy asks for it.

use portcullis_integration::fixture::Std;
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
