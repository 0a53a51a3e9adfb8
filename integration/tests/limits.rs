//! Limits on size and time, and HTTP that could be read in two ways.

use std::time::{Duration, Instant};

use portcullis_integration::fixture::Std;
use portcullis_integration::mcp::LEGACY;
use portcullis_integration::raw::{Raw, raw};
use portcullis_integration::wait;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","arguments":{}}}"#;

/// A request with these header lines, sent as it stands.
async fn send(std: &Std, lines: &str, body: &str) -> Raw {
    let token = std.alice_token();
    let head = format!("POST /servers/up/mcp HTTP/1.1\r\nAuthorization: Bearer {token}\r\n{lines}\r\n");
    raw(std.gate.address(), [head.as_bytes(), body.as_bytes()].concat().as_slice()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn large_calls_pass() {
    let std = Std::start();
    for size in [100 << 10, 3900 << 10] {
        let marker = "x".repeat(size);
        let answer = std.alice().calls("safe", json!({"marker": marker})).await;
        assert_eq!(answer.status, 200, "{size} bytes");
        assert_eq!(answer.result()["content"][0]["text"].as_str().expect("text").len(), size + 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_413_with_a_length_and_without() {
    let std = Std::start();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "safe", "arguments": {"marker": "x".repeat(5 << 20)}}}).to_string();
    let with_length = send(
        &std,
        &format!("Host: gw.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
        &body,
    )
    .await;
    assert_eq!(with_length.statuses(), [413]);
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let without = send(
        &std,
        "Host: gw.test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n",
        &chunked,
    )
    .await;
    assert_eq!(without.statuses(), [413]);
    assert!(std.upstream.received("tools/call").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_over_the_limit_is_431() {
    let std = Std::start();
    for headers in [
        format!("X-Big: {}\r\n", "a".repeat(40 << 10)),
        "X-Many: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(800),
    ] {
        let answer =
            send(&std, &format!("Host: gw.test\r\n{headers}Content-Length: {}\r\n", CALL.len()), CALL).await;
        assert!(matches!(answer.statuses().as_slice(), [431 | 400]), "{:?}", answer.statuses());
    }
    assert!(std.upstream.received("tools/call").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_json_in_utf8_and_without_encoding_is_read() {
    let std = Std::start();
    let cases = [
        ("Content-Type", "text/plain"),
        ("Content-Type", "application/json; charset=utf-16le"),
        ("Content-Type", "application/json; charset=utf-7"),
        ("Content-Encoding", "gzip"),
        ("Content-Encoding", "identity, deflate"),
    ];
    let alice = std.alice();
    for (name, value) in cases {
        let mut request = alice.post().header("MCP-Protocol-Version", LEGACY).header(name, value).body(CALL);
        if name != "Content-Type" {
            request = request.header("Content-Type", "application/json");
        }
        assert_eq!(alice.send(request).await.status, 415, "{name}: {value}");
    }
    assert!(std.upstream.received("tools/call").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn http_that_could_be_read_in_two_ways_is_refused() {
    let std = Std::start();
    let typed = "Content-Type: application/json\r\n";
    let length = CALL.len();
    let chunked = format!("{length:x}\r\n{CALL}\r\n0\r\n\r\n");
    let smuggled = "0\r\n\r\nGET /livez HTTP/1.1\r\nHost: gw.test\r\n\r\n".to_owned();
    let cases = [
        (
            "Content-Length and Transfer-Encoding",
            format!("Host: gw.test\r\n{typed}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n"),
            smuggled,
        ),
        ("no Host", format!("{typed}Content-Length: {length}\r\n"), CALL.to_owned()),
        (
            "two Hosts",
            format!("Host: gw.test\r\nHost: evil.test\r\n{typed}Content-Length: {length}\r\n"),
            CALL.to_owned(),
        ),
        (
            "two lengths",
            format!("Host: gw.test\r\n{typed}Content-Length: {length}\r\nContent-Length: 3\r\n"),
            CALL.to_owned(),
        ),
        (
            "two encodings",
            format!("Host: gw.test\r\n{typed}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
            chunked.clone(),
        ),
        ("an unknown encoding", format!("Host: gw.test\r\n{typed}Transfer-Encoding: xchunked\r\n"), chunked),
        (
            "a space before the colon",
            format!("Host: gw.test\r\n{typed}Content-Length : {length}\r\n"),
            CALL.to_owned(),
        ),
    ];
    for (what, lines, body) in cases {
        let answer = send(&std, &lines, &body).await;
        let statuses = answer.statuses();
        assert!(matches!(statuses.as_slice(), [] | [400 | 501]), "{what}: {statuses:?}");
        let text = String::from_utf8_lossy(&answer.bytes);
        let closed = answer.closed || text.to_ascii_lowercase().contains("connection: close");
        assert!(closed, "{what}: what follows would be read as a request: {text}");
        assert!(statuses != [400] || text.contains(r#""reason":"bad_http""#), "{what}: {text}");
    }
    assert!(std.gate.audit_text().contains(r#""reason":"bad_http""#), "refusals are on the record");
    assert!(std.upstream.received("tools/call").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_host_or_origin_is_403() {
    let std = Std::start_with(|c| c["origins"] = json!(["https://console.acme.example"]));
    let alice = std.alice();
    let status = async |name: &str, value: &str| {
        let request =
            alice.modern_request("tools/call", json!({"name": "safe", "arguments": {}})).header(name, value);
        alice.send(request).await.status.as_u16()
    };
    for host in ["evil.test", "gw.test.evil.test", "gw.test@evil.test", "gw.test/livez?"] {
        assert!(matches!(status("Host", host).await, 400 | 403), "{host}");
    }
    assert_eq!(status("Origin", "https://evil.test").await, 403);
    assert_eq!(status("Origin", "null").await, 403);
    std.upstream.forget();
    assert_eq!(status("Host", "GW.test").await, 200);
    assert_eq!(status("Origin", "https://console.acme.example").await, 200);
    assert_eq!(std.upstream.received("tools/call").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nested_too_deep_is_refused() {
    let std = Std::start();
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"safe","arguments":{{"a":{}{}}}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let alice = std.alice().initialized().await;
    let request = alice
        .post()
        .header("Content-Type", "application/json")
        .header("MCP-Protocol-Version", LEGACY)
        .body(deep);
    let answer = alice.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (400, Some(-32600)));
    assert!(std.upstream.received("tools/call").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_given_up() {
    let std = Std::start_with(|c| c["limits"] = json!({"body_timeout": "1s"}));
    let began = Instant::now();
    let answer =
        send(&std, "Host: gw.test\r\nContent-Type: application/json\r\nContent-Length: 100\r\n", "{").await;
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(matches!(answer.statuses().as_slice(), [] | [408]), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_do_not_hurt_those_within() {
    let std = Std::start_with(|c| c["limits"] = json!({"connections": 20}));
    let alice = std.alice();
    assert!(!alice.calls("safe", json!({})).await.is_error_result());
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.extend(TcpStream::connect(std.gate.address()).await);
    }
    assert!(!alice.calls("safe", json!({})).await.is_error_result());
    drop(idle);
    wait::until("room again", async || {
        let fresh = std.alice();
        let request = fresh.modern_request("tools/call", json!({"name": "safe", "arguments": {}}));
        request.send().await.ok().filter(|a| a.status() == 200)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_and_an_unknown_path_is_404() {
    let std = Std::start();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    let mut socket = TcpStream::connect(std.gate.address()).await.expect("the gate listens");
    for path in ["/", "/livez", "/metrics", "/v1/urls", "/servers/nobody/mcp", "/mcp/"] {
        socket.write_all(request(path).as_bytes()).await.expect("open");
        let mut part = vec![0; 8192];
        let n = socket.read(&mut part).await.expect("open");
        let head = String::from_utf8_lossy(&part[..n]).into_owned();
        assert!(head.starts_with("HTTP/1.1 40"), "{path}: {head}");
        if n == 0 || head.to_lowercase().contains("connection: close") {
            socket = TcpStream::connect(std.gate.address()).await.expect("the gate listens");
        }
    }
}
