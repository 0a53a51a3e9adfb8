//! Credentials that sign the very request that is sent, verified by the libraries of the other side; and the webhook.

use portcullis_integration::fixture::Std;
use portcullis_integration::upstream::Upstream;
use portcullis_integration::verify::{request, verified, verify};
use serde_json::{Value, json};

/// A gate whose account has this credential, at a server with a query in its URL.
fn gate(credential: Value) -> Std {
    let upstream = Upstream::start();
    let url = format!("{}?script=customscript_mcp&deploy=1%2B1", upstream.url);
    Std::before(upstream, |config| {
        config["servers"]["up"]["url"] = json!(url);
        config["accounts"][0]["credential"] = credential;
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn netsuites_token_based_authentication_is_what_oauthlib_verifies() {
    let (consumer_secret, token_secret) = ("consumer secret/1+&%", "token-secret-0123456789");
    let std = gate(json!({"oauth1": {
        "realm": "1234567_SB1", "consumer_key": "consumerkey1", "token_id": "tokenid00001",
        "consumer_secret": {"inline": consumer_secret}, "token_secret": {"inline": token_secret},
    }}));
    let mut nonces = Vec::new();
    for _ in 0..2 {
        assert!(std.alice().calls("safe", json!({"marker": "ü & 1"})).await.code().is_none());
        let sent = std.upstream.received("tools/call").pop().expect("a call");
        let account = json!({
            "realm": "1234567_SB1", "consumer_key": "consumerkey1", "token_id": "tokenid00001",
            "consumer_secret": consumer_secret, "token_secret": token_secret, "nonces_seen": nonces,
        });
        nonces.push(verified(&request("oauth1", &account, &sent)));
        let mut elsewhere = request("oauth1", &account, &sent);
        elsewhere["url"] = json!(elsewhere["url"].as_str().expect("a URL").replace("deploy=1", "deploy=2"));
        assert!(!verify(&elsewhere).0, "the signature is over the URL");
    }
    let text = String::from_utf8_lossy(&std.upstream.bytes()).into_owned();
    assert!(!text.contains(consumer_secret) && !text.contains(token_secret), "they are never sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_signature_version_4_is_what_botocore_computes() {
    let account = json!({
        "region": "eu-central-1", "service": "bedrock-agentcore",
        "access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "session_token": "session-token-0123456789",
    });
    let mut credential = account.clone();
    for secret in ["secret_access_key", "session_token"] {
        credential[secret] = json!({"inline": account[secret]});
    }
    let std = gate(json!({"aws_sigv4": credential}));
    assert!(std.alice().calls("safe", json!({"marker": "ü & 1"})).await.code().is_none());
    let sent = std.upstream.received("tools/call").pop().expect("a call");
    verified(&request("sigv4", &account, &sent));
    let mut changed = request("sigv4", &account, &sent);
    changed["body"] = json!(changed["body"].as_str().expect("text").replace("safe", "evil"));
    assert!(!verify(&changed).0, "the signature is over the body");
    let text = String::from_utf8_lossy(&std.upstream.bytes()).into_owned();
    assert!(!text.contains("wJalrXUtnFEMI"), "the key is never sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_in_the_query_goes_up_and_is_warned_of() {
    let std = gate(json!({"query": {"name": "api key", "value": {"inline": "query secret/1"}}}));
    assert!(std.alice().calls("safe", json!({})).await.code().is_none());
    let sent = std.upstream.received("tools/call").pop().expect("a call");
    assert_eq!(sent.path, "/mcp?script=customscript_mcp&deploy=1%2B1&api+key=query+secret%2F1");
    let checked = std.gate.house().command(&["check", "--config", "portcullis.yaml"]);
    assert!(String::from_utf8_lossy(&checked.stderr).contains("written into logs"), "{checked:?}");
    assert!(!std.gate.log().contains("query+secret") && !std.gate.audit_text().contains("query+secret"));
}
