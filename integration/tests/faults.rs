//! What breaks around the gate, and what must hold while it does: the caller gets a well-formed answer with its own id or
//! a closed stream, in time; every forwarded call has an intent and an outcome; the other tenant notices nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use portcullis_integration::agent::{Agent, Answer, events};
use portcullis_integration::fixture::{AUDIENCE, ROLES, Std};
use portcullis_integration::issuer::Issuer;
use portcullis_integration::mcp::{respond, text};
use portcullis_integration::reply::{Reply, Step};
use portcullis_integration::upstream::{Exchange, Upstream};
use portcullis_integration::wait;
use serde_json::{Value, json};

fn result(exchange: &Exchange) -> Value {
    respond(&exchange.message(), exchange)
}

/// The answer to a failed call: 200, the caller's own id, one of the codes, and `data` that says what to do.
fn is_refusal(answer: &Answer, codes: &[i64]) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let message = answer.message();
    assert_eq!(message["id"], 1, "{answer:?}");
    assert!(answer.code().is_some_and(|c| codes.contains(&c)), "{answer:?}");
    let data = &message["error"]["data"];
    assert!(
        data["reason"].is_string() && data["retryable"].is_boolean() && data["invocation"].is_string(),
        "{answer:?}"
    );
}

async fn outcome_of_the_last_call(std: &Std) -> Value {
    wait::until("the outcome", async || {
        let intent = std.gate.recorded("intent", "safe").pop()?["invocation"].clone();
        std.gate.audit().into_iter().find(|l| l["kind"] == "outcome" && l["invocation"] == intent)
    })
    .await
}

/// F01.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_connections_is_said_to_be_unreachable() {
    let std = Std::start();
    std.alice().sees().await;
    let Std { gate, upstream, issuer } = std;
    drop(upstream);
    let token = issuer.sign(&issuer.claims(AUDIENCE, "a", "alice"));
    let began = Instant::now();
    let answer = Agent::new(&gate.server("up"), Some(&token)).calls("safe", json!({})).await;
    is_refusal(&answer, &[-31502, -31503]);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(!answer.everything().contains("127.0.0.1"), "{answer:?}");
}

/// F03.
#[tokio::test(flavor = "multi_thread")]
async fn a_dripping_answer_ends_at_the_limit_for_the_whole_call() {
    let std = Std::start_with(|c| {
        c["servers"]["up"]["timeouts"] = json!({"connect": "1s", "read": "1s", "total": "2s"})
    });
    std.alice().sees().await;
    std.upstream.answers_calls(|e| Reply::drip(&result(e), Duration::from_millis(500)));
    let began = Instant::now();
    is_refusal(&std.alice().calls("safe", json!({})).await, &[-31504]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(!std.carol().modern("tools/list", json!({})).await.result().is_null());
}

/// F04.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_no_answer() {
    let std = Std::start();
    std.alice().sees().await;
    std.upstream.answers_calls(|e| Reply::truncated(&result(e)));
    is_refusal(&std.alice().calls("safe", json!({})).await, &[-31502]);
    outcome_of_the_last_call(&std).await;
}

/// F05.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_ends_without_a_made_up_result_and_is_not_asked_for_again() {
    let std = Std::start();
    std.alice().sees().await;
    let note = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}});
    let first = portcullis_integration::reply::event(&note);
    std.upstream.answers_calls(move |_| {
        Reply::stream(&first, &[Step::Pause(Duration::from_millis(200)), Step::Reset])
    });
    let request = std.alice().modern_request(
        "tools/call",
        json!({"name": "safe", "arguments": {}, "_meta": {"progressToken": 1}}),
    );
    let mut answer = request.send().await.expect("an answer");
    let mut seen = Vec::new();
    while let Ok(Some(part)) = answer.chunk().await {
        seen.extend_from_slice(&part);
    }
    let messages = events(&String::from_utf8_lossy(&seen));
    assert!(messages.iter().all(|m| m.get("result").is_none()), "{messages:?}");
    outcome_of_the_last_call(&std).await;
    assert_eq!(std.upstream.received("tools/call").len(), 1, "a call was made twice");
}

/// F06.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_html_is_not_relayed() {
    let std = Std::start();
    std.alice().sees().await;
    for status in [500, 502, 503, 200] {
        std.upstream.answers_calls(move |_| Reply::html(status, "<h1>stack trace of the server</h1>"));
        let answer = std.alice().calls("safe", json!({})).await;
        is_refusal(&answer, &[-31502, -31503]);
        assert!(!answer.everything().contains("stack trace"), "{answer:?}");
    }
}

/// F07.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_patience_is_not_the_tenants_limit() {
    let std = Std::start();
    std.alice().sees().await;
    std.upstream.answers_calls(|_| Reply::new(429, &[("Retry-After", "3600")], b"slow down"));
    let answer = std.alice().calls("safe", json!({})).await;
    is_refusal(&answer, &[-31503]);
    let wait = answer.message()["error"]["data"]["retry_after_ms"].as_u64().expect("when to retry");
    assert!(wait <= 3_600_000);
    assert_eq!(std.upstream.received("tools/call").len(), 1, "it was asked again");
}

/// F10.
#[tokio::test(flavor = "multi_thread")]
async fn an_endless_answer_or_event_is_cut() {
    let std = Std::start_with(|c| c["limits"] = json!({"answer_bytes": "1MiB", "event_bytes": "1MiB"}));
    std.alice().sees().await;
    std.upstream.answers_calls(|e| {
        let big = json!({"jsonrpc": "2.0", "id": e.message()["id"], "result": text(&"x".repeat(4 << 20))});
        Reply::json(&big)
    });
    is_refusal(&std.alice().calls("safe", json!({})).await, &[-31502]);
    std.upstream.answers_calls(|_| Reply::events(&format!("data: {}\n\n", "x".repeat(4 << 20))));
    let answer = std.alice().calls("safe", json!({})).await;
    assert!(
        answer.messages().iter().all(|m| m.get("result").is_none()) && answer.body.len() < 1 << 20,
        "{} bytes",
        answer.body.len()
    );
}

/// F12.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_closes_between_two_calls_costs_no_call() {
    let std = Std::start();
    std.alice().sees().await;
    std.upstream.answers_calls(|e| {
        let whole = Reply::json(&result(e));
        Reply([whole.0, vec![Step::Close]].concat()) // it does not say that it will close
    });
    for n in 0..20 {
        let answer = std.alice().calls("safe", json!({"marker": n.to_string()})).await;
        assert!(answer.code().is_none(), "call {n}: {answer:?}");
    }
    assert_eq!(std.upstream.received("tools/call").len(), 20);
}

/// F15 and F16.
#[tokio::test(flavor = "multi_thread")]
async fn known_keys_outlive_an_identity_provider_that_is_down_or_talks_nonsense() {
    let provider = Upstream::start();
    let issuer = Issuer::new("https://idp.test", "key-1");
    let broken = Arc::new(AtomicBool::new(false));
    let (jwks, failing) = (issuer.jwks(), broken.clone());
    provider.answers(move |_| {
        if failing.load(Ordering::SeqCst) {
            Reply::html(200, "<html>down</html>")
        } else {
            Reply::json(&jwks)
        }
    });
    let url = format!("http://{}/jwks", provider.address);
    let std = Std::start_with(|c| {
        c["identity"]["jwt"][0]["jwks"] = json!({"url": url, "refresh": "1s", "max_stale": "1h"})
    });
    let token = issuer.sign(&issuer.claims(AUDIENCE, "a", "alice"));
    assert_eq!(std.agent(&token).calls("safe", json!({})).await.status, 200);
    broken.store(true, Ordering::SeqCst);
    let before = provider.exchanges().len();
    wait::until("a failed refresh", async || {
        // Keys are fetched again when somebody calls.
        std.agent(&token).calls("safe", json!({})).await;
        (provider.exchanges().len() > before + 1).then_some(())
    })
    .await;
    assert_eq!(std.agent(&token).calls("safe", json!({})).await.status, 200);
    let stranger = Issuer::new("https://idp.test", "key-of-nobody");
    let forged = stranger.sign(&stranger.claims(AUDIENCE, "a", "alice"));
    let asked = provider.exchanges().len();
    for _ in 0..50 {
        assert!(matches!(std.agent(&forged).calls("safe", json!({})).await.status.as_u16(), 401 | 503));
    }
    assert!(provider.exchanges().len() < asked + 20, "unknown keys make the gate hammer its provider");
}

/// F17.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_for_the_server_nothing_is_forwarded() {
    let tokens = Upstream::start();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokens.answers(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Reply::html(500, "no tokens today")
    });
    let token_url = format!("http://{}/token", tokens.address);
    let oauth = json!({"oauth": {"token_url": token_url, "client_id": "gate", "client_secret": {"inline": "client-secret-1"}}});
    let std = Std::start_with(|c| c["accounts"][0]["credential"] = oauth);
    std.carol().sees().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let alice = std.alice();
        calls.spawn(async move { alice.calls("safe", json!({})).await });
    }
    for answer in calls.join_all().await {
        assert!(answer.code().is_some(), "{answer:?}");
    }
    assert!(std.upstream.received("tools/call").is_empty());
    assert!(asked.load(Ordering::SeqCst) <= 20, "{} requests for a token", asked.load(Ordering::SeqCst));
}

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
