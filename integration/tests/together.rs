//! Two gates on one Redis: rates and slots are those of both, whoever dies.

use std::fs;
use std::path::Path;
use std::time::Duration;

use portcullis_integration::agent::Agent;
use portcullis_integration::fixture::Std;
use portcullis_integration::gate::House;
use portcullis_integration::mcp;
use portcullis_integration::redis::Redis;
use portcullis_integration::reply::{Reply, Step};
use portcullis_integration::wait::until;
use serde_json::{Value, json};

/// Two gates with one store and the same keys.
fn gates(redis: &Redis, change: impl Fn(&mut Value)) -> [Std; 2] {
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let change = |config: &mut Value| {
        config["state"] = json!({"directory": "state", "url": url, "limits_within": "2s"});
        change(config);
    };
    let one = Std::start_with(change);
    let keys = one.gate.house().path("state");
    let two = Std::prepared(change, |house| share(&keys, house, &["gate.key", "seal.key"]));
    [one, two]
}

fn share(keys: &Path, house: &House, names: &[&str]) {
    fs::create_dir_all(house.path("state")).expect("a writable directory");
    for name in names {
        fs::copy(keys.join(name), house.path("state").join(name)).expect("the keys");
    }
}

/// Of one tool, so that the gate's own questions about the server's list count for nothing.
fn an_hour(requests: u32) -> impl Fn(&mut Value) {
    move |config| {
        config["rates"] = json!({"tools": {"safe": {"requests": requests, "per": "1h", "burst": requests}}})
    }
}

/// How many of so many calls, in turn on each, are let through.
async fn passed(alices: &[Agent], calls: usize) -> usize {
    let mut passed = 0;
    for number in 0..calls {
        let answer = alices[number % alices.len()].calls("safe", json!({})).await;
        assert!(answer.code().is_none(), "{answer:?}");
        passed += usize::from(!answer.is_error_result());
    }
    passed
}

async fn shares(std: &Std) -> bool {
    std.gate.admin("/metrics").await.1.lines().any(|line| line == "portcullis_limits_shared 1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_rate_is_that_of_both_gates_together() {
    let redis = Redis::start();
    let gates = gates(&redis, an_hour(6));
    let alices = gates.each_ref().map(Std::alice);
    assert_eq!(passed(&alices, 12).await, 6);
    assert_eq!(gates.iter().map(|gate| gate.upstream.received("tools/call").len()).sum::<usize>(), 6);
    let refused = alices[1].calls("safe", json!({})).await;
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    let carol = gates[1].carol().calls("safe", json!({})).await;
    assert!(!carol.is_error_result(), "another tenant has a rate of its own: {carol:?}");
    assert!(shares(&gates[0]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_calls_go_on_within_each_gates_own_limits() {
    let redis = Redis::start();
    let mut gates = gates(&redis, an_hour(4));
    let alices = gates.each_ref().map(Std::alice);
    assert_eq!(passed(&alices, 2).await, 2);
    redis.signal("STOP");
    // Each gate counted one, and has three of its own left.
    assert_eq!(passed(&alices, 12).await, 6);
    gates[0].gate.logged(&["counted on this gate alone"]);
    assert!(!shares(&gates[0]).await);
}

fn two_slots(config: &mut Value) {
    config["accounts"][0]["slots"] = json!(2);
    config["slot_wait"] = json!("200ms");
}

/// The server takes its time for calls.
fn hold(std: &Std) {
    std.upstream.answers_calls(|exchange| {
        let Reply(mut steps) = mcp::answer(exchange);
        steps.insert(0, Step::Pause(Duration::from_secs(3)));
        Reply(steps)
    });
}

fn begin(std: &Std) -> tokio::task::JoinHandle<bool> {
    let alice = std.alice();
    tokio::spawn(async move { !alice.calls("safe", json!({})).await.is_error_result() })
}

async fn held(std: &Std, calls: usize) {
    until("calls at the server", async || (std.upstream.received("tools/call").len() == calls).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_slots_are_two_on_both_gates_and_those_of_a_killed_gate_come_back() {
    let redis = Redis::start();
    let [one, two] = gates(&redis, two_slots);
    hold(&one);
    hold(&two);
    let calls = [begin(&one), begin(&two)];
    held(&one, 1).await;
    held(&two, 1).await;
    let alices = [one.alice(), two.alice()];
    for alice in &alices {
        let full = alice.calls("safe", json!({})).await;
        assert!(full.is_error_result() && full.headers.contains_key("retry-after"), "{full:?}");
    }
    for call in calls {
        assert!(call.await.expect("a call"));
    }
    // What was given back on one gate is there for the other: both places for the first, and then it is killed.
    let lost = [begin(&one), begin(&one)];
    held(&one, 3).await;
    let Std { gate, upstream: _upstream, issuer: _issuer } = one;
    drop(gate.kill());
    for call in lost {
        call.abort();
    }
    two.upstream.answers_calls(mcp::answer);
    let refused = two.alice().calls("safe", json!({})).await;
    assert!(refused.is_error_result(), "the places are still those of the killed gate: {refused:?}");
    until("the places of the killed gate", async || {
        let answer = two.alice().calls("safe", json!({})).await;
        (!answer.is_error_result()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_with_other_keys_than_the_others_does_not_start_and_says_which() {
    let redis = Redis::start();
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let change = |config: &mut Value| config["state"] = json!({"directory": "state", "url": url});
    let one = Std::start_with(change);
    let keys = one.gate.house().path("state");
    let config = fs::read_to_string(one.gate.house().path("portcullis.yaml")).expect("it");
    let said = |names: &[&str], words: &str| {
        let house = House::bare(&config);
        house.stock("policies");
        house.write("jwks.json", &one.issuer.jwks().to_string());
        share(&keys, &house, names);
        let mut process = house.run();
        let line = process.until(words, |lines| lines.iter().find(|line| line.contains(words)).cloned());
        assert!(!process.wait().success());
        line
    };
    let gate_key = said(&["seal.key"], "is not the key of the other gates");
    assert!(gate_key.contains("state/gate.key"), "{gate_key}");
    let sealing_key = said(&["gate.key"], "is not the sealing key of the other gates");
    assert!(sealing_key.contains("state/seal.key"), "{sealing_key}");
    // Another gate key for all of them.
    let house = one.gate.kill();
    fs::remove_file(house.path("state/gate.key")).expect("the key");
    assert_eq!(house.json(&["state", "new-gate-key"])["forgotten"], true);
    drop(house.open(1));
}
