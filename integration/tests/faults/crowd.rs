//! More of everything than the gate is meant for: connections, streams, large answers, slow policies.

use std::time::{Duration, Instant};

use portcullis_integration::agent::Agent;
use portcullis_integration::fixture::Std;
use portcullis_integration::mcp::text;
use portcullis_integration::reply::Reply;
use portcullis_integration::wait;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// F38.
#[tokio::test(flavor = "multi_thread")]
async fn when_files_run_out_health_and_calls_under_way_go_on_and_the_rest_comes_back() {
    let std = Std::start();
    let alice = std.alice();
    alice.sees().await;
    std.gate.limit("--nofile=256");
    let mut crowd = Vec::new();
    for _ in 0..400 {
        crowd.push(TcpStream::connect(std.gate.address()).await.expect("the backlog has room"));
    }
    for _ in 0..10 {
        let live = tokio::time::timeout(Duration::from_secs(2), std.gate.admin("/readyz")).await;
        assert_eq!(live.expect("health answers").0, 200);
        assert!(!alice.calls("safe", json!({})).await.result().is_null());
    }
    drop(crowd);
    wait::until("room", async || {
        let request = std.alice().modern_request("tools/call", json!({"name": "safe", "arguments": {}}));
        request.send().await.is_ok().then_some(())
    })
    .await;
    let log = std.gate.log();
    assert!(!log.contains("panicked") && !log.contains("Accept() failed"), "{log}");
}

/// F39. The bound is that of a build for tests; the benchmark has the figure of the release.
#[tokio::test(flavor = "multi_thread")]
async fn idle_streams_are_cheap_kept_alive_and_counted_for_each_tenant() {
    const MOST: usize = 400;
    const BYTES_EACH: u64 = 96 << 10;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the own limit");
    let std = Std::start_with(|c| {
        c["limits"] = json!({"streams_per_tenant": MOST, "stream_keepalive": "300ms"});
    });
    let (alice, carol) = (std.alice().initialized().await, std.carol().initialized().await);
    let before = std.gate.memory();
    let mut streams = Vec::new();
    for _ in 0..MOST {
        let stream = alice.request(reqwest::Method::GET).send().await.expect("a stream");
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let each = std.gate.memory().saturating_sub(before) / MOST as u64;
    println!("{each} bytes for each idle stream");
    assert!(each < BYTES_EACH, "{each} bytes for each idle stream");
    let one_more = alice.send(alice.request(reqwest::Method::GET)).await;
    assert!(one_more.status != 200 || one_more.code().is_some(), "{one_more:?}");
    assert_eq!(carol.request(reqwest::Method::GET).send().await.expect("a stream").status(), 200);
    for stream in &mut streams {
        let mut seen = String::new();
        while !seen.contains(":\r\n\r\n") {
            let part = tokio::time::timeout(wait::DEADLINE, stream.chunk()).await.expect("a sign of life");
            seen.push_str(&String::from_utf8_lossy(&part.expect("a whole stream").expect("it stays open")));
        }
    }
}

/// F42, as far as a test can have it: what the gate holds is bounded by its caps, whatever servers send.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_too_large_fill_no_memory_however_many_come_at_once() {
    const CALLS: u64 = 24;
    let std = Std::start_with(|c| c["limits"] = json!({"answer_bytes": "1MiB"}));
    std.alice().sees().await;
    std.upstream.answers_calls(|e| {
        let big = json!({"jsonrpc": "2.0", "id": e.message()["id"], "result": text(&"x".repeat(6 << 20))});
        Reply::json(&big)
    });
    let before = std.gate.memory();
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let alice = std.alice();
        calls.spawn(async move { alice.calls("safe", json!({})).await });
    }
    for answer in calls.join_all().await {
        assert_eq!(answer.code(), Some(-31502), "{:?}", answer.status);
    }
    let more = std.gate.peak().saturating_sub(before);
    assert!(more < CALLS * (2 << 20) + (16 << 20), "{more} bytes more");
}

/// F44.
#[tokio::test(flavor = "multi_thread")]
async fn policies_that_run_in_circles_are_stopped_and_keep_nobody_from_asking_for_health() {
    let std = Std::start_with(|c| c["policies"]["timeout"] = json!("1500ms"));
    std.gate.house().write(
        "policies/circles.rego",
        "package mcp.authz\n\nimport rego.v1\n\nrules contains \"circles\" if {\n\tinput.arguments.list\n\tcount([1 | some a in input.arguments.list; some b in input.arguments.list; some c in input.arguments.list; a + b == c]) > 0\n}\n",
    );
    let list: Vec<_> = (0..3000).collect();
    // Two threads serve, eight calls run in circles.
    let refused = async |agent: Agent, list: Vec<u32>| {
        let answer = agent.calls("safe", json!({"list": list})).await;
        answer.is_error_result() || answer.code().is_some()
    };
    wait::until("the policy", async || refused(std.alice(), list.clone()).await.then_some(())).await;
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        calls.spawn(refused(std.alice(), list.clone()));
    }
    let mut waits = Vec::new();
    while !calls.is_empty() {
        let asked = Instant::now();
        assert_eq!(std.gate.admin("/livez").await.0, 200);
        waits.push(asked.elapsed());
        while let Some(ended) = calls.try_join_next() {
            assert!(ended.expect("it ends"), "a call in circles was let through");
        }
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    waits.sort();
    // The median, for the machine may have other work; whoever waits for a policy waits longer.
    let wait = waits.get(waits.len() / 2).expect("health was asked for");
    assert!(*wait < Duration::from_millis(500), "health took {wait:?}");
}
