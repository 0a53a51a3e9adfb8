//! The server behind the gate misbehaves.

use std::time::{Duration, Instant};

use portcullis_integration::agent::{Agent, events};
use portcullis_integration::fixture::{AUDIENCE, Std};
use portcullis_integration::mcp::{answer as well, text};
use portcullis_integration::reply::{Reply, Step, event};
use serde_json::json;

use crate::{is_refusal, outcome_of_the_last_call, result};

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

/// F11.
#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_answer_is_neither_unpacked_nor_passed_on() {
    let std = Std::start();
    std.alice().sees().await;
    let bomb = Reply::gzip(&vec![b' '; 32 << 20]);
    let Some(Step::Bytes(bytes)) = bomb.0.first() else { panic!("one step") };
    assert!(bytes.len() < 1 << 20, "it is a bomb");
    let stream = [("Content-Type", "text/event-stream"), ("Content-Encoding", "gzip")];
    let replies = [bomb, Reply::new(200, &stream, b"data: {}\n\n")];
    let before = std.gate.memory();
    for reply in replies {
        std.upstream.answers_calls(move |_| reply.clone());
        is_refusal(&std.alice().calls("safe", json!({})).await, &[-31502]);
    }
    let more = std.gate.peak().saturating_sub(before);
    assert!(more < 16 << 20, "{more} bytes more");
}

/// F45.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_stops_saying_that_its_list_changed_makes_no_storm() {
    const NEWS: usize = 3000;
    let std = Std::start();
    let alice = std.alice().initialized().await;
    let changed = event(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    std.upstream.answers(move |e| match e.method.as_str() {
        "GET" => Reply::stream(&changed.repeat(NEWS), &[Step::Hang]),
        _ => well(e),
    });
    let mut stream = alice.request(reqwest::Method::GET).send().await.expect("a stream");
    let told = tokio::spawn(async move {
        let mut bytes = 0;
        // It is told at least once, and then no more than it is to know.
        while let Ok(Ok(Some(part))) = tokio::time::timeout(Duration::from_millis(700), stream.chunk()).await
        {
            bytes += part.len();
        }
        bytes
    });
    for n in 0..20 {
        assert!(
            !alice
                .legacy("tools/call", json!({"name": "safe", "arguments": {"marker": n.to_string()}}))
                .await
                .result()
                .is_null()
        );
    }
    let bytes = told.await.expect("it ends");
    assert!(bytes > 0 && bytes < NEWS * 40, "{bytes} bytes of news came through");
    let lists = std.upstream.received("tools/list").len();
    assert!(lists <= 21, "{lists} lists for 20 calls");
}
