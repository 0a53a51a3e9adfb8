//! What the gate runs on changes under it: configuration, tenants, signals, its own end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis_integration::fixture::{ROLES, Std, config};
use portcullis_integration::gate::House;
use portcullis_integration::issuer::Issuer;
use portcullis_integration::reply::{Reply, Step};
use portcullis_integration::upstream::Upstream;
use portcullis_integration::wait;
use serde_json::{Value, json};

use crate::{outcome_of_the_last_call, result};

/// F40.
#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_drop_nothing() {
    let std = Std::start();
    let going = Arc::new(AtomicBool::new(true));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (alice, going) = (std.alice(), going.clone());
        callers.spawn(async move {
            let mut failed = Vec::new();
            while going.load(Ordering::SeqCst) {
                let answer = alice.calls("safe", json!({})).await;
                failed.extend(
                    Some(answer).filter(|a| a.status != 200 || a.code().is_some() || a.is_error_result()),
                );
            }
            failed
        });
    }
    for round in 0..20 {
        std.gate.house().tenant("a", &format!("{ROLES}# {round}\n"));
        if round % 5 == 4 {
            std.gate.house().tenant("a", "roles: [");
        }
        tokio::time::sleep(Duration::from_millis(100)).await; // the load itself, not a wait for anything
    }
    going.store(false, Ordering::SeqCst);
    let failed: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), failed.first());
}

/// F46.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_cancels_in_the_modern_era_and_not_in_the_legacy_one() {
    let std = Std::start();
    let legacy = std.alice().initialized().await;
    legacy.sees().await;
    std.upstream.answers_calls(|_| Reply(vec![Step::Hang]));
    let impatient = Duration::from_millis(500);
    let modern = std.alice().modern_request("tools/call", json!({"name": "safe", "arguments": {}}));
    assert!(modern.timeout(impatient).send().await.is_err());
    wait::until("the end of the server's call", async || (std.upstream.gone() == 1).then_some(())).await;
    outcome_of_the_last_call(&std).await;

    std.upstream.forget();
    std.upstream.answers_calls(|e| {
        Reply([vec![Step::Pause(Duration::from_secs(2))], Reply::json(&result(e)).0].concat())
    });
    let call = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "safe", "arguments": {}}});
    let request = legacy.post().header("MCP-Protocol-Version", "2025-11-25").json(&call).timeout(impatient);
    assert!(request.send().await.is_err());
    outcome_of_the_last_call(&std).await;
    assert_eq!(std.upstream.gone(), 0, "the legacy call was cut");
}

/// Graceful stop: what is in flight is finished, what is new is not taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_what_is_in_flight() {
    let mut std = Std::start();
    std.alice().sees().await;
    std.upstream.answers_calls(|e| {
        Reply([vec![Step::Pause(Duration::from_millis(1500))], Reply::json(&result(e)).0].concat())
    });
    let alice = std.alice();
    let calling = tokio::spawn(async move { alice.calls("safe", json!({"marker": "late"})).await });
    wait::until("the call", async || std.upstream.received("tools/call").pop()).await;
    std.gate.terminate();
    let answer = calling.await.expect("it ends");
    assert_eq!(answer.result()["content"][0]["text"], "safe late");
    assert!(std.gate.ended(), "{}", std.gate.log());
}

/// F49.
#[test]
fn an_empty_list_of_authorities_is_a_mistake() {
    let std_config = portcullis_integration::fixture::config("http://127.0.0.1:9/mcp");
    let mut config = std_config;
    config["listen"][0]["tls"] = json!({"certificate": "gate.crt", "key": "gate.key", "client_authorities": "clients.pem", "client_required": true});
    let house = portcullis_integration::gate::House::new(&config, &[("a", ROLES)]);
    let pair = portcullis_integration::certificate::Authority::new("gates").server("gw.test");
    pair.write(&house.path(""), "gate");
    house.write("jwks.json", &Issuer::new("https://idp.test", "k").jwks().to_string());
    house.write("clients.pem", "");
    let mut process = house.run();
    assert!(!process.wait().success());
    assert!(process.output().contains("clients.pem"), "{}", process.output());
}

/// F41.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_streams_end_with_its_account_and_the_others_go_on() {
    let std = Std::start_with(|c| c["limits"] = json!({"stream_keepalive": "200ms"}));
    let (alice, carol) = (std.alice().initialized().await, std.carol().initialized().await);
    let open = async |agent: &portcullis_integration::agent::Agent| {
        agent.request(reqwest::Method::GET).send().await.expect("a stream")
    };
    let (mut gone, mut stays) = (open(&alice).await, open(&carol).await);
    assert_eq!((gone.status().as_u16(), stays.status().as_u16()), (200, 200));
    let text = std::fs::read_to_string(std.gate.house().path("portcullis.yaml")).expect("text");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    config["accounts"].as_array_mut().expect("a list").retain(|account| account["tenant"] != "a");
    std.gate.house().write("portcullis.yaml", &config.to_string());
    let end = async { while gone.chunk().await.expect("a whole stream").is_some() {} };
    tokio::time::timeout(wait::DEADLINE, end).await.expect("the stream ends");
    std.upstream.forget();
    let refused = alice.legacy("tools/call", json!({"name": "safe", "arguments": {}})).await;
    assert!(refused.code().is_some() && std.upstream.exchanges().is_empty(), "{refused:?}");
    std::fs::remove_dir_all(std.gate.house().path("policies/tenants/a")).expect("it is there");
    let asks = json!({"name": "safe", "arguments": {}});
    let stranger = std.agent(&std.token("nobody-here", "alice", |_| {}));
    let unknown = stranger.legacy("tools/call", asks.clone()).await;
    let alike = async || {
        let refused = alice.legacy("tools/call", asks.clone()).await;
        ((refused.status, refused.code()) == (unknown.status, unknown.code())).then_some(())
    };
    wait::until("the answer of a tenant that never was", alike).await;
    assert!(stays.chunk().await.expect("a whole stream").is_some(), "the other tenant's stream has ended");
}

#[test]
fn a_hangup_while_the_gate_starts_is_not_its_end_but_a_reload() {
    let upstream = Upstream::start();
    let mut config = config(&upstream.url);
    let slow = "touch asked; while ! cat vault.key; do sleep 0.02; done";
    config["state"]["sealing_key"] = json!({"command": ["sh", "-c", slow]});
    let house = House::new(&config, &[("a", ROLES), ("b", ROLES)]);
    house.write("jwks.json", &Issuer::new("https://idp.test", "k").jwks().to_string());
    let mut process = house.run();
    let patience = std::time::Instant::now() + wait::DEADLINE;
    while !house.path("asked").exists() {
        assert!(std::time::Instant::now() < patience, "it does not start: {}", process.output());
        std::thread::sleep(Duration::from_millis(5));
    }
    process.signal("HUP");
    house.write("vault.key", &"0123456789abcdef".repeat(4));
    process
        .until("a reload", |lines| lines.iter().any(|l| l.contains("Configuration reloaded")).then_some(()));
}
