//! Cases of what is recorded.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use portcullis_integration::fixture::Std;
use portcullis_integration::mcp::{answer, respond};
use portcullis_integration::raw::raw;
use portcullis_integration::reply::{Reply, Step};
use portcullis_integration::wait;
use serde_json::json;

/// AL-01.
#[tokio::test(flavor = "multi_thread")]
async fn control_characters_make_no_lines_of_their_own() {
    let std = Std::start();
    let name = "x\n{\"level\":\"info\",\"msg\":\"allowed\"}";
    let answer = std.alice().legacy("tools/call", json!({"name": name, "arguments": {}})).await;
    assert!(answer.status == 200 || answer.status == 400, "{answer:?}");
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe"}}"#;
    let head = format!(
        "POST /servers/up/mcp HTTP/1.1\r\nHost: gw.test\r\nUser-Agent: a\x1b[31m\"forged\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        std.alice_token(),
        body.len()
    );
    raw(std.gate.address(), head.as_bytes()).await;
    assert!(
        !std.gate.log().lines().any(|l| l.starts_with("{\"level\":\"info\",\"msg\"")),
        "{}",
        std.gate.log()
    );
    assert!(!std.gate.audit_text().contains('\u{1b}'));
    assert!(!std.gate.audit().iter().any(|l| l["msg"] == "allowed"));
}

/// AL-03.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_on_the_record_once_and_every_refusal_too() {
    let std = Std::start();
    let alice = std.alice();
    for n in 0..10 {
        alice.calls("safe", json!({"marker": n.to_string()})).await;
        alice.calls("danger", json!({})).await;
    }
    let distinct = |kind: &str, tool: &str| {
        let lines = std.gate.recorded(kind, tool);
        let names: BTreeSet<_> = lines.iter().map(|l| l["invocation"].to_string()).collect();
        (lines.len(), names.len())
    };
    wait::until("the refusals", async || (distinct("refused", "danger") == (10, 10)).then_some(())).await;
    assert_eq!(distinct("intent", "safe"), (10, 10));
    assert_eq!(std.upstream.received("tools/call").len(), 10);
}

/// AL-05, and F27: it recovers when there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_the_record_nothing_is_forwarded() {
    let std = Std::start();
    let alice = std.alice();
    assert!(!alice.calls("safe", json!({})).await.is_error_result());
    room(&std, "1");
    std.upstream.forget();
    let refused = alice.calls("safe", json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (200, Some(-31500)), "{refused:?}");
    assert!(std.upstream.received("tools/call").is_empty());
    assert_ne!(std.gate.admin("/readyz").await.0, 200);
    room(&std, "unlimited");
    wait::until("its recovery", async || alice.calls("safe", json!({})).await.code().is_none().then_some(()))
        .await;
}

/// AL-06.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_fails_after_the_call_leaves_the_outcome_unknown_and_stops_the_next() {
    let std = Std::start();
    let alice = std.alice();
    alice.sees().await;
    std.upstream.answers(|e| match e.rpc().as_str() {
        "tools/call" => {
            let late = Reply::json(&respond(&e.message(), e));
            Reply([vec![Step::Pause(Duration::from_secs(1))], late.0].concat())
        }
        _ => answer(e),
    });
    let calling = tokio::spawn({
        let alice = alice.clone();
        async move { alice.calls("safe", json!({})).await }
    });
    wait::until("the call", async || (!std.upstream.received("tools/call").is_empty()).then_some(())).await;
    room(&std, "1");
    assert_eq!(calling.await.expect("it ends").status, 200);
    assert_eq!(alice.calls("safe", json!({})).await.code(), Some(-31500));
    assert_eq!(std.upstream.received("tools/call").len(), 1);
    assert_eq!(std.gate.recorded("intent", "safe").len(), 1);
}

/// AL-07.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_nobody_knows_do_not_become_labels() {
    let std = Std::start();
    for n in 0..300 {
        std.alice().calls(&format!("nobodys-tool-{n}"), json!({})).await;
    }
    let (status, metrics) = std.gate.admin("/metrics").await;
    assert_eq!(status, 200);
    assert!(!metrics.contains("nobodys-tool"), "{metrics}");
    assert!(!metrics.contains("alice"));
}

/// Lets the gate's files grow to so many bytes and no more.
fn room(std: &Std, bytes: &str) {
    let limit = Command::new("prlimit")
        .args(["--pid", &std.gate.id().to_string(), &format!("--fsize={bytes}:")])
        .status();
    assert!(limit.expect("prlimit runs").success());
}
