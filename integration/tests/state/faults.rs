//! A store that is down, slow, read-only or silent: a clear state, nothing passes that needs it, nothing is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::config::Topology;
use portcullis::store::Table;
use portcullis::store::redis::RedisStore;
use portcullis_integration::agent::Agent;
use portcullis_integration::redis::Redis;
use portcullis_integration::wait::until;
use serde_json::{Value, json};

use crate::engines::{at, config, on};
use crate::gates::{gates, scoped_url};

/// What a busy machine may add to a deadline.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_whose_store_is_not_there_does_not_start_and_says_why() {
    let mut redis = Redis::start();
    let [std] = gates(&redis, |config| config["state"]["password"] = json!("hunter2-of-redis"));
    let house = std.gate.kill();
    redis.kill();
    let mut process = house.run();
    assert!(!process.wait().success());
    let said = process.output();
    assert!(said.contains(&format!("redis://127.0.0.1:{}", redis.port())), "{said}");
    assert!(said.to_lowercase().contains("connection refused"), "{said}");
    assert!(!said.contains("hunter2-of-redis"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_down_lets_nobody_in_by_url_and_everything_is_there_when_it_comes_back() {
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let [std] = gates(&redis, |_| {});
    let (_, path) = scoped_url(&std).await;
    let holder = Agent::new(&format!("{}{path}", std.gate.url), None);
    assert_eq!(holder.calls("safe", json!({})).await.status, 200);
    redis.kill();
    until("the refusal", async || (holder.calls("safe", json!({})).await.status != 200).then_some(())).await;
    std.upstream.forget();
    let refused = holder.calls("safe", json!({})).await;
    assert_eq!(refused.status, 503, "not `unknown`: it may well be good");
    assert!(std.upstream.received("tools/call").is_empty());
    let (status, body) = std.gate.admin("/readyz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["reasons"][0]["what"].clone()), (503, json!("store")), "{body}");
    assert_eq!(std.alice().calls("safe", json!({})).await.status, 200, "who needs no store is served");
    redis.run();
    until("the store again", async || (holder.calls("safe", json!({})).await.status == 200).then_some(()))
        .await;
    assert_eq!(std.gate.admin("/readyz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_queues_no_call_and_nothing_old_is_served() {
    let redis = Redis::start();
    let store = on(&redis).await;
    store.put(Table::Urls, b"warm", b"v", None).await.unwrap();
    store.get(Table::Urls, b"warm").await.unwrap().expect("it is there");
    redis.signal("STOP");
    let begun = Instant::now();
    until("the end of what was kept", async || store.get(Table::Urls, b"warm").await.is_err().then_some(()))
        .await;
    let trusted = begun.elapsed();
    assert!(trusted < Duration::from_millis(1300) + SLACK, "{trusted:?}");
    let begun = Instant::now();
    let mut asked = tokio::task::JoinSet::new();
    for call in 0..500_u32 {
        let store = Arc::clone(&store);
        asked
            .spawn(async move { store.get(Table::Urls, &call.to_be_bytes()).await.unwrap_err().to_string() });
    }
    let answers = asked.join_all().await;
    let took = begun.elapsed();
    println!("what was kept counted for {trusted:?}; 500 at once were refused in {took:?}");
    assert!(took < Duration::from_millis(500) + SLACK, "{took:?}");
    assert!(answers.iter().all(|why| why.contains("redis://test")), "{answers:?}");
    redis.signal("CONT");
    until("the store again", async || store.get(Table::Urls, b"warm").await.ok().flatten()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_two_seconds_is_survived_without_a_restart() {
    let redis = Redis::start();
    let store = on(&redis).await;
    store.put(Table::Grants, b"k", b"v", None).await.unwrap();
    redis.cli(&["CLIENT", "PAUSE", "2000", "ALL"]);
    let late = store.get(Table::Locks, b"k").await.unwrap_err().to_string();
    assert!(late.contains("no answer in 500ms"), "{late}");
    until("the end of the pause", async || store.put(Table::Grants, b"k", b"w", None).await.ok()).await;
    assert_eq!(store.get(Table::Grants, b"k").await.unwrap().unwrap().value, b"w");
    store.health().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_no_writes_and_is_told_apart() {
    let primary = Redis::start();
    let replica = primary.replica();
    let refused = RedisStore::open(Arc::new(config(Topology::Alone(at(&replica))))).await.unwrap_err();
    assert!(refused.to_string().contains("a replica"), "{refused}");
    let store = on(&primary).await;
    let version = store.put(Table::Grants, b"k", b"before", None).await.unwrap();
    primary.cli(&["REPLICAOF", "127.0.0.1", &replica.port().to_string()]);
    let refused = store.put(Table::Grants, b"k", b"meanwhile", Some(version)).await.unwrap_err();
    assert!(refused.to_string().starts_with("the store failed: redis://test"), "{refused}");
    until("its health to say so", async || store.health().is_err().then_some(())).await;
    primary.cli(&["REPLICAOF", "NO", "ONE"]);
    until("the primary", async || store.put(Table::Grants, b"k", b"after", Some(version)).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_server_that_is_killed_again_and_again() {
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = on(&redis).await;
    let mut acknowledged: Vec<u32> = Vec::new();
    for round in 0..5_u32 {
        let mut writers = tokio::task::JoinSet::new();
        for number in round * 400..(round + 1) * 400 {
            let store = Arc::clone(&store);
            writers.spawn(async move {
                store.put(Table::Grants, &number.to_be_bytes(), b"v", None).await.ok().map(|_| number)
            });
        }
        while acknowledged.len() < (round as usize) * 40 + 40 {
            acknowledged.extend(writers.join_next().await.unwrap().unwrap());
        }
        redis.kill();
        acknowledged.extend(writers.join_all().await.into_iter().flatten());
        redis.run();
        until("the store again", async || store.get(Table::Grants, b"none").await.ok()).await;
        let there = store.scan(Table::Grants, b"").await.unwrap();
        for number in &acknowledged {
            assert!(there.iter().any(|(key, _)| *key == number.to_be_bytes()), "{number} is lost");
        }
    }
    println!("{} writes were acknowledged over five crashes", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_is_made_anew_whichever_it_is() {
    let redis = Redis::start();
    let store = on(&redis).await;
    for round in 0..6_u32 {
        let listed = redis.cli(&["CLIENT", "LIST"]);
        // The connection for reads tracks; the one for writes does not.
        let wanted = |line: &&str| match round % 2 {
            0 => line.contains("flags=t"),
            _ => line.contains("flags=N") && !line.contains("cmd=client|list"),
        };
        let line = listed.lines().find(wanted).unwrap_or_else(|| panic!("no such connection: {listed}"));
        let id = line.strip_prefix("id=").and_then(|rest| rest.split(' ').next()).expect("an id");
        redis.cli(&["CLIENT", "KILL", "ID", id]);
        let write = async || store.put(Table::Urls, b"k", &round.to_be_bytes(), None).await.ok();
        let version = until("a write", write).await;
        let found = until("a read", async || store.get(Table::Urls, b"k").await.ok().flatten()).await;
        assert_eq!(found.version, version);
    }
}
