//! A gate on Redis with sentinels, and the primary dies: during traffic, and while a token is refreshed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use portcullis_integration::agent::Agent;
use portcullis_integration::fixture::Std;
use portcullis_integration::provider::{CLIENT, Provider, comes_back};
use portcullis_integration::redis::Redis;
use portcullis_integration::wait::until;
use serde_json::json;

/// The token that the server got last.
fn token(std: &Std) -> String {
    let sent = std.upstream.received("tools/call").pop().expect("a call");
    (*sent.header("authorization").first().expect("a token")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_during_calls_and_a_refresh_takes_nothing_with_it_and_no_call_fails() {
    let mut primary = Redis::start();
    let _replicas = [primary.replica(), primary.replica()];
    let sentinel = primary.sentinel("main", 1);
    let provider = Provider::start(60);
    let std = Std::start_with(|config| {
        let url = format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port());
        config["state"] = json!({"directory": "state", "url": url, "replicas": 1});
        config["accounts"][0]["credential"] = json!({"authorization_code": {
            "issuer": provider.issuer, "client_id": CLIENT.0, "client_secret": {"inline": CLIENT.1},
            "scopes": ["openid", "offline_access"],
        }});
    });
    let begun = std.gate.house().json(&["account", "connect", "a", "up"]);
    let back = provider.consents(begun["url"].as_str().expect("a URL")).await;
    assert_eq!(comes_back(&std.gate.url, &back).await.0, 200);
    let (_, path) = std.gate.create_url(&json!({"tenant": "a", "server": "up", "roles": ["reader"]})).await;
    // What the provider has granted is on its way to the gate when the primary dies.
    provider.set(json!({"hold_answers": true})).await;
    let (alice, stop, good) = (std.alice(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let traffic = {
        let (stop, good) = (Arc::clone(&stop), Arc::clone(&good));
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let answer = alice.calls("safe", json!({})).await;
                assert!(answer.code().is_none() && !answer.is_error_result(), "{answer:?}");
                good.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    until("a refresh under way", async || (provider.waiting().await == 1).then_some(())).await;
    let first = token(&std);
    primary.kill();
    provider.release().await;
    let before = good.load(Ordering::SeqCst);
    until("the new token", async || (token(&std) != first).then_some(())).await;
    let agent = Agent::new(&format!("{}{path}", std.gate.url), None);
    until("the scoped URL on the new primary", async || {
        let answer = agent.calls("safe", json!({})).await;
        assert_ne!(answer.status, 404, "an acknowledged URL is unknown");
        (answer.status == 200 && answer.code().is_none()).then_some(())
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    traffic.await.expect("no call fails");
    assert!(good.load(Ordering::SeqCst) > before);
    let second = token(&std);
    let std = std.restarted();
    let answer = std.alice().calls("safe", json!({})).await;
    assert!(answer.code().is_none(), "what the provider gave is on the new primary: {answer:?}");
    assert_eq!(token(&std), second);
    let asked = provider.asked().await;
    assert!(asked.iter().all(|asked| asked["status"] == 200), "no refresh token was used twice: {asked:?}");
}
