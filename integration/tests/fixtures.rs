//! The samples themselves: every agent with every server, and no gate between them. What fails here is not the gate's.

use std::time::Duration;

use portcullis_integration::agent::Agent;
use portcullis_integration::issuer::Issuer;
use portcullis_integration::reply::{Reply, Step};
use portcullis_integration::sdk::{Client, Mode, SdkServer, Server};
use portcullis_integration::upstream::Upstream;
use portcullis_integration::wait;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn every_agent_talks_with_every_sample_server() {
    let steps = json!([
        {"do": "list_tools"},
        {"do": "call_tool", "name": "safe", "arguments": {"marker": "m"}},
        {"do": "call_tool", "name": "progress", "arguments": {"n": 3}},
        {"do": "call_tool", "name": "employees"},
        {"do": "read_resource", "uri": "file:///pub/a"},
        {"do": "read_resource", "uri": "file:///nowhere"},
        {"do": "list_resource_templates"},
        {"do": "get_prompt", "name": "hello", "arguments": {"name": "Ada"}},
        {"do": "complete", "prompt": "hello", "argument": {"name": "name", "value": "A"}},
        {"do": "call_tool", "name": "secret_echo"},
    ]);
    for kind in [Server::Python, Server::TypeScript] {
        let server = SdkServer::start(kind);
        let everyone = Client::all_play(Client::ALL, &server.url, Some("sesame"), steps.clone());
        for (_, mode, seen) in everyone.await {
            let legacy = mode == Mode::Legacy;
            assert_eq!(seen.ok(0)["protocol"], if legacy { "2025-11-25" } else { "2026-07-28" });
            assert_eq!(seen.ok(1)["tools"].as_array().expect("tools").len(), 10);
            assert_eq!(seen.ok(2)["content"][0]["text"], "safe m");
            assert_eq!(seen.ok(3)["progress"].as_array().expect("progress").len(), 3);
            assert_eq!(seen.ok(4)["structuredContent"]["employees"][0]["salary"], 100);
            assert_eq!(seen.ok(5)["contents"][0]["text"], "public a");
            assert_eq!(seen.error(6)["code"], -32602);
            assert_eq!(seen.ok(7)["resourceTemplates"][0]["uriTemplate"], "file:///pub/{name}");
            assert!(seen.ok(8)["messages"][0].to_string().contains("Ada"));
            assert_eq!(seen.ok(9)["completion"]["values"], json!(["Ada", "Alan"]));
            assert_eq!(seen.ok(10)["content"][0]["text"], "Bearer sesame");
        }
        assert_eq!(server.received("completion/complete").len(), Client::ALL.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_everything_server_of_npm_answers() {
    let server = SdkServer::start(Server::Everything);
    let steps =
        json!([{"do": "list_tools"}, {"do": "call_tool", "name": "echo", "arguments": {"message": "hi"}}]);
    for (_, _, seen) in Client::all_play(Client::of_the_legacy_era(), &server.url, None, steps).await {
        assert!(seen.ok(1)["tools"].as_array().expect("tools").len() > 5);
        assert!(seen.ok(2)["content"][0]["text"].to_string().contains("hi"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recording_server_answers_every_agent() {
    let upstream = Upstream::start();
    let steps = json!([
        {"do": "list_tools"},
        {"do": "call_tool", "name": "safe", "arguments": {"marker": "m"}},
        {"do": "read_resource", "uri": "file:///pub/a"},
        {"do": "get_prompt", "name": "hello"},
    ]);
    for (client, mode, seen) in Client::all_play(Client::ALL, &upstream.url, None, steps).await {
        assert_eq!(seen.ok(1)["tools"].as_array().expect("tools").len(), 6, "{client:?} {mode:?}");
        assert_eq!(seen.ok(2)["content"][0]["text"], "safe m");
        assert_eq!(seen.ok(3)["contents"][0]["text"], "the text");
        assert!(seen.ok(4)["messages"][0].is_object());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recording_server_keeps_every_byte_and_misbehaves_when_told() {
    let upstream = Upstream::start();
    let agent = Agent::new(&upstream.url, Some("sesame")).initialized().await;
    let answer = agent.legacy("tools/call", json!({"name": "safe", "arguments": {"marker": "x"}})).await;
    assert_eq!(answer.result()["content"][0]["text"], "safe x");
    let call = &upstream.received("tools/call")[0];
    assert_eq!(call.header("authorization"), ["Bearer sesame"]);
    assert!(upstream.bytes().windows(call.body.len()).any(|w| w == call.body));

    upstream.answers_calls(|_| Reply::html(500, "<p>no</p>"));
    assert_eq!(agent.calls("safe", json!({})).await.status, 500);
    upstream.answers_calls(|_| Reply::stream(": hello\n\n", &[Step::Reset]));
    let broken = agent.modern_request("tools/call", json!({"name": "safe"})).send().await.expect("a head");
    assert!(broken.bytes().await.is_err());

    upstream.answers_calls(|_| Reply(vec![Step::Hang]));
    let impatient =
        agent.modern_request("tools/call", json!({"name": "safe"})).timeout(Duration::from_millis(300));
    assert!(impatient.send().await.is_err());
    wait::until("the end of the connection", async || (upstream.gone() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_servers_refuse_who_brings_no_proof() {
    let issuer = Issuer::new("https://gate.test", "vouch-1");
    let keys = Upstream::start();
    let jwks = issuer.jwks();
    keys.answers(move |_| Reply::json(&jwks));
    let jwks_url = format!("http://{}/jwks.json", keys.address);
    let environment = [
        ("TXN_JWKS_URL", jwks_url.as_str()),
        ("TXN_AUDIENCE", "netsuite"),
        ("EXPECTED_CREDENTIAL", "Authorization: Bearer key-of-a"),
    ];
    let mut claims = issuer.claims("netsuite", "a", "alice");
    claims.insert("exp".into(), json!(portcullis_integration::issuer::now() + 30));
    claims.insert("txn".into(), json!("0199"));
    let good = issuer.sign_as(&claims, "txntoken+jwt", jsonwebtoken::Algorithm::ES256);
    let wrong_type = issuer.sign(&claims);
    for kind in [Server::Python, Server::TypeScript] {
        let server = SdkServer::start_with(kind, &environment);
        let call = async |credential: &str, token: &str| {
            let agent = Agent::new(&server.url, Some(credential)).with("Txn-Token", token);
            agent.calls("whoami", json!({})).await
        };
        assert_eq!(call("key-of-a", &wrong_type).await.status, 401);
        assert_eq!(call("key-of-b", &good).await.status, 401);
        let seen = call("key-of-a", &good).await.result();
        assert!(seen["content"][0]["text"].as_str().expect("text").contains("alice"), "{seen}");
    }
}
