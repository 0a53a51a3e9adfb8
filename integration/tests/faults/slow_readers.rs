//! Clients that ask and do not read: they cost their own connection for a while, a bounded piece of memory, and nobody else.

use std::time::Duration;

use bytes::Bytes;
use portcullis_integration::fixture::Std;
use portcullis_integration::mcp::{MODERN, text};
use portcullis_integration::reply::{Reply, Step, chunk, event};
use portcullis_integration::wait;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A gate that loses patience soon, before an account of one place.
fn impatient() -> Std {
    Std::start_with(|c| {
        c["limits"] = json!({"write_timeout": "500ms"});
        c["accounts"][0]["slots"] = json!(1);
        c["slot_wait"] = json!("10s");
    })
}

fn call() -> Value {
    let meta = json!({"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}});
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "safe", "arguments": {}, "_meta": meta}})
}

/// Alice asks and does not read.
async fn asks(std: &Std) -> TcpStream {
    let body = call().to_string();
    let head = format!(
        "POST /servers/up/mcp HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\n\
         Mcp-Name: safe\r\nContent-Length: {}\r\n\r\n{body}",
        std.alice_token(),
        body.len()
    );
    let mut socket = TcpStream::connect(std.gate.address()).await.expect("the gate listens");
    socket.write_all(head.as_bytes()).await.expect("it reads");
    socket
}

/// A stream of events without an end, 64 KiB each.
fn endless() -> Reply {
    let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x".repeat(64 << 10)}});
    let part = Step::Bytes(chunk(event(&note).as_bytes()));
    Reply::stream(": open\n\n", &[vec![part; 1024], vec![Step::Hang]].concat())
}

async fn connections(std: &Std) -> u64 {
    let (_, metrics) = std.gate.admin("/metrics").await;
    let line = metrics.lines().find_map(|l| l.strip_prefix("portcullis_connections_open "));
    line.and_then(|n| n.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_an_answer_loses_the_connection_and_holds_no_place() {
    let std = impatient();
    std.alice().sees().await;
    std.upstream.answers_calls(|e| {
        Reply::json(
            &json!({"jsonrpc": "2.0", "id": e.message()["id"], "result": text(&"x".repeat(12 << 20))}),
        )
    });
    let before = connections(&std).await;
    let unread = asks(&std).await;
    wait::until("the call", async || std.upstream.received("tools/call").pop()).await;
    // The place is free as soon as the server has answered, long before the client has read.
    assert!(!std.alice().calls("safe", json!({})).await.result().is_null());
    wait::until("the end of its connection", async || (connections(&std).await <= before + 1).then_some(()))
        .await;
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_a_stream_gives_its_place_back_and_fills_no_memory() {
    let std = impatient();
    std.alice().sees().await;
    std.upstream.answers_calls(|_| endless());
    let before = std.gate.memory();
    let unread = asks(&std).await;
    wait::until("the end of the server's call", async || (std.upstream.gone() == 1).then_some(())).await;
    let more = std.gate.peak().saturating_sub(before);
    assert!(more < 16 << 20, "{more} bytes more for one reader");
    std.upstream.answers_calls(portcullis_integration::mcp::answer);
    assert!(!std.alice().calls("safe", json!({})).await.result().is_null());
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_stays_shut_over_http2_ends_the_stream_in_time() {
    let std = impatient();
    std.alice().sees().await;
    std.upstream.answers_calls(|_| endless());
    let socket = TcpStream::connect(std.gate.address()).await.expect("the gate listens");
    let (mut sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let driver = tokio::spawn(connection);
    let request = http::Request::post(std.gate.server("up"))
        .header("authorization", format!("Bearer {}", std.alice_token()))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", "tools/call")
        .header("mcp-name", "safe");
    let (answer, mut body) = sender.send_request(request.body(()).expect("a request"), false).expect("open");
    body.send_data(Bytes::from(call().to_string()), true).expect("open");
    // What comes is kept and never given back to the window.
    let unread = answer.await.expect("an answer");
    wait::until("the end of the server's call", async || (std.upstream.gone() == 1).then_some(())).await;
    std.upstream.answers_calls(portcullis_integration::mcp::answer);
    let free = tokio::time::timeout(Duration::from_secs(5), std.alice().calls("safe", json!({}))).await;
    assert!(!free.expect("a place").result().is_null());
    drop(unread);
    driver.abort();
}
