//! The record under crashes and on a disk without room.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_integration::agent::{Agent, Answer};
use portcullis_integration::fixture::{AUDIENCE, ROLES, Std, config};
use portcullis_integration::gate::House;
use portcullis_integration::issuer::Issuer;
use portcullis_integration::upstream::Upstream;
use portcullis_integration::wait;
use serde_json::{Value, json};

/// F29.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_of_a_line_costs_that_line_and_no_other() {
    let std = Std::start();
    for n in 0..5 {
        std.alice().calls("safe", json!({"marker": n.to_string()})).await;
    }
    let before = std.gate.recorded("intent", "safe").len();
    let Std { gate, .. } = std;
    let house = gate.kill();
    let segments = std::fs::read_dir(house.path("audit")).expect("the audit").flatten().map(|e| e.path());
    let newest =
        segments.filter(|p| p.is_file() && !p.to_string_lossy().contains("HEAD")).max().expect("a segment");
    let torn = std::fs::read_to_string(&newest).expect("text") + "{\"seq\": 99, \"kin";
    std::fs::write(&newest, torn).expect("writable");
    let gate = house.open(1);
    wait::until("its recovery", async || gate.audit().iter().any(|l| l["kind"] == "recovered").then_some(()))
        .await;
    assert_eq!(gate.recorded("intent", "safe").len(), before);
}

/// F47.
#[test]
fn a_broken_store_is_not_made_anew() {
    let std = Std::start();
    let Std { gate, upstream: _upstream, .. } = std;
    let house = gate.kill();
    let state = std::fs::read_dir(house.path("state")).expect("the state").flatten().map(|e| e.path());
    let store =
        state.filter(|p| p.is_file()).max_by_key(|p| p.metadata().expect("a file").len()).expect("the store");
    std::fs::write(&store, b"not a database".repeat(1000)).expect("writable");
    let mut process = house.run();
    assert!(!process.wait().success());
    assert!(process.output().contains("state"), "{}", process.output());
    assert!(std::fs::read(&store).expect("it is there").starts_with(b"not a database"));
}

/// Calls until the gate is gone, and counts what was answered.
async fn calls_on(agent: Agent, answered: Arc<AtomicUsize>) {
    let call = || agent.modern_request("tools/call", json!({"name": "safe", "arguments": {}}));
    while let Ok(response) = call().send().await {
        let Ok(body) = response.bytes().await else { return };
        let message: Value = serde_json::from_slice(&body).expect("a whole answer");
        assert!(message.get("result").is_some(), "{message}");
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

/// F29, again and again, while calls are made.
#[tokio::test(flavor = "multi_thread")]
async fn however_often_it_is_killed_nothing_that_was_answered_is_missing_on_the_record() {
    let mut std = Std::start();
    let answered = Arc::new(AtomicUsize::new(0));
    for round in 1..=3 {
        std.alice().sees().await;
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            callers.spawn(calls_on(std.alice(), answered.clone()));
        }
        wait::until("calls", async || (answered.load(Ordering::SeqCst) > round * 10).then_some(())).await;
        std = std.restarted();
        callers.join_all().await;
    }
    std.gate.terminate();
    assert!(std.gate.ended(), "{}", std.gate.log());
    let verified = std.gate.house().command(&["audit", "verify", "audit"]);
    assert!(verified.status.success(), "{verified:?}");
    let (intents, made) = (std.gate.recorded("intent", "safe"), std.upstream.received("tools/call").len());
    assert!(
        intents.len() >= made && made >= answered.load(Ordering::SeqCst),
        "{made} calls of {} on the record",
        intents.len()
    );
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for line in std.gate.audit().iter().filter(|l| l["kind"] == "outcome") {
        *ends.entry(line["invocation"].to_string()).or_default() += 1;
    }
    let open: Vec<_> =
        intents.iter().filter(|i| ends.get(&i["invocation"].to_string()) != Some(&1)).collect();
    assert!(open.is_empty(), "{} calls have no end, or two: {open:?}", open.len());
}

/// F27, on a disk that is really full.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_calls_until_there_is_room_and_tears_no_line() {
    let (upstream, issuer) = (Upstream::start(), Issuer::new("https://idp.test", "key-1"));
    let house = House::new(&config(&upstream.url), &[("a", ROLES), ("b", ROLES)]);
    house.write("jwks.json", &issuer.jwks().to_string());
    let Some(gate) = house.open_on_a_small_disk("audit", "1m") else {
        return eprintln!("not played: this system lets a test mount no disk");
    };
    let token = issuer.sign(&issuer.claims(AUDIENCE, "a", "alice"));
    let alice = Agent::new(&gate.server("up"), Some(&token));
    let works = |answer: &Answer| answer.message().get("result").is_some();
    assert!(works(&alice.calls("safe", json!({})).await));
    let disk = PathBuf::from(format!("/proc/{}/root", gate.id()))
        .join(gate.house().path("audit").strip_prefix("/").expect("a whole path"));
    // Longer than the disk: the last write of it fails.
    assert!(std::fs::write(disk.join("filler"), vec![0; 2 << 20]).is_err());
    upstream.forget();
    let refused = wait::until("the last page to be full", async || {
        let answer = alice.calls("safe", json!({})).await;
        (!works(&answer)).then_some(answer)
    })
    .await;
    let before = upstream.received("tools/call").len();
    assert_eq!(refused.code(), Some(-31500), "{refused:?}");
    assert_eq!(alice.calls("safe", json!({})).await.code(), Some(-31500));
    assert_eq!(upstream.received("tools/call").len(), before);
    assert_eq!(gate.admin("/readyz").await.0, 503);
    std::fs::remove_file(disk.join("filler")).expect("it is there");
    wait::until("its recovery", async || works(&alice.calls("safe", json!({})).await).then_some(())).await;
    assert_eq!(gate.admin("/readyz").await.0, 200);
    let segments = std::fs::read_dir(&disk).expect("the audit").flatten().map(|e| e.path());
    let segment = segments.filter(|p| p.extension().is_some_and(|e| e == "jsonl")).max().expect("a segment");
    let text = std::fs::read_to_string(segment).expect("text");
    for (number, line) in text.lines().enumerate() {
        let line: Value = serde_json::from_str(line).expect("a whole line");
        assert_eq!(line["seq"], number + 1);
    }
}
