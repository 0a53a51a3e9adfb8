//! Two gates on one Redis, and an account that a person connected: one refresh for both, whoever dies.

use std::path::Path;

use portcullis_integration::agent::Answer;
use portcullis_integration::fixture::Std;
use portcullis_integration::gate::House;
use portcullis_integration::provider::{CLIENT, Provider, comes_back};
use portcullis_integration::redis::Redis;
use portcullis_integration::wait::until;
use serde_json::{Value, json};

/// Two gates with the same account. They share the gate's key and the sealing key, as the gates of a deployment must.
fn gates(redis: &Redis, provider: &Provider) -> [Std; 2] {
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let change = |config: &mut Value| {
        config["state"] = json!({"directory": "state", "url": url});
        config["accounts"][0]["credential"] = json!({"authorization_code": {
            "issuer": provider.issuer, "client_id": CLIENT.0, "client_secret": {"inline": CLIENT.1},
            "scopes": ["openid", "offline_access"],
        }});
    };
    let one = Std::start_with(change);
    let keys = one.gate.house().path("state");
    let two = Std::prepared(change, |house| share(&keys, house));
    [one, two]
}

fn share(keys: &Path, house: &House) {
    std::fs::create_dir_all(house.path("state")).expect("a writable directory");
    for key in ["gate.key", "seal.key"] {
        std::fs::copy(keys.join(key), house.path("state").join(key)).expect("the keys");
    }
}

/// Begun on one gate, the consent comes back to the other.
async fn connect(gates: &[Std; 2], provider: &Provider) {
    let begun = gates[0].gate.house().json(&["account", "connect", "a", "up"]);
    let back = provider.consents(begun["url"].as_str().expect("a URL")).await;
    let (status, page) = comes_back(&gates[1].gate.url, &back).await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(comes_back(&gates[0].gate.url, &back).await.0, 400, "it is good once, on every gate");
}

async fn call(std: &Std) -> Answer {
    let answer = std.alice().calls("safe", json!({})).await;
    assert!(answer.code().is_none() && !answer.is_error_result(), "{answer:?}");
    answer
}

/// The token that the server got last.
fn token(std: &Std) -> String {
    let sent = std.upstream.received("tools/call").pop().expect("a call");
    (*sent.header("authorization").first().expect("a token")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_at_once_on_two_gates_make_one_refresh_and_all_succeed() {
    let (redis, provider) = (Redis::start(), Provider::start(12));
    let gates = gates(&redis, &provider);
    connect(&gates, &provider).await;
    let standing = gates[0].gate.house().json(&["account", "status", "a"]);
    let ends: jiff::Timestamp =
        standing[0]["expires_at"].as_str().expect("an end").parse().expect("a moment");
    until("the token's end", async || (jiff::Timestamp::now() > ends).then_some(())).await;
    let alices = [gates[0].alice(), gates[1].alice()];
    let calls: Vec<_> = (0..100)
        .map(|number| {
            let alice = alices[number % 2].clone();
            tokio::spawn(async move { alice.calls("safe", json!({})).await })
        })
        .collect();
    for one in calls {
        let answer = one.await.expect("a call");
        assert!(answer.code().is_none() && !answer.is_error_result(), "{answer:?}");
    }
    assert_eq!(provider.refreshes().await, 1);
    assert_eq!(token(&gates[0]), token(&gates[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_a_token_ends_and_a_gate_is_killed_in_the_middle_of_its_refresh() {
    let (redis, provider) = (Redis::start(), Provider::start(60));
    let [one, two] = {
        let gates = gates(&redis, &provider);
        connect(&gates, &provider).await;
        gates
    };
    // The other gate is not used before, so that this one renews the token, ahead of its end.
    call(&one).await;
    let first = token(&one);
    provider.set(json!({"hold": true})).await;
    let alice = one.alice();
    let using = tokio::spawn(async move {
        loop {
            alice.calls("safe", json!({})).await;
        }
    });
    until("a refresh under way", async || (provider.waiting().await == 1).then_some(())).await;
    using.abort();
    let Std { gate, upstream: _upstream, issuer: _issuer } = one;
    let house = gate.kill();
    provider.set(json!({"hold": false})).await;
    until("a refresh by the other gate", async || {
        call(&two).await;
        (provider.refreshes().await == 1).then_some(())
    })
    .await;
    call(&two).await;
    until("the new token", async || {
        call(&two).await;
        (token(&two) != first).then_some(())
    })
    .await;
    let asked = provider.asked().await;
    assert!(asked.iter().all(|asked| asked["status"] == 200), "no refresh token was used twice: {asked:?}");
    drop(house.open(1));
}
