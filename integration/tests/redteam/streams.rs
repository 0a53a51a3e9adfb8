//! Cases of streams, pages and HTTP/2.

use std::time::{Duration, Instant};

use portcullis_integration::fixture::Std;
use portcullis_integration::raw::{drip, raw};
use portcullis_integration::wait::DEADLINE;
use serde_json::json;

use crate::server;

/// HT-26.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_drips_is_cut_at_its_deadline() {
    let std = Std::start_with(|c| c["limits"] = json!({"header_timeout": "1s"}));
    let began = Instant::now();
    let answer =
        drip(std.gate.address(), b"POST /mcp HTTP/1.1\r\nX: ", Duration::from_millis(100), DEADLINE).await;
    assert!(began.elapsed() < Duration::from_secs(4), "it was open for {:?}", began.elapsed());
    assert!(matches!(answer.statuses().as_slice(), [] | [408]), "{answer:?}");
    assert!(std.upstream.exchanges().iter().all(|e| e.rpc() != "tools/call"));
}

/// HT-28.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_reset_streams_leaves_the_others_alone() {
    let std = Std::start();
    let socket = tokio::net::TcpStream::connect(std.gate.address()).await.expect("the gate listens");
    let (mut sender, connection) = h2::client::handshake(socket).await.expect("h2c");
    let driver = tokio::spawn(connection);
    for _ in 0..5_000 {
        let Ok(ready) = sender.ready().await else { break };
        sender = ready;
        let request =
            http::Request::post(format!("{}/servers/up/mcp", std.gate.url)).body(()).expect("a request");
        let Ok((_, mut stream)) = sender.send_request(request, false) else { break };
        stream.send_reset(h2::Reason::CANCEL);
    }
    let began = Instant::now();
    assert!(!std.alice().calls("safe", json!({})).await.is_error_result());
    assert!(began.elapsed() < Duration::from_secs(2));
    driver.abort();
}

/// HT-07.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_break_in_a_header_over_http2_goes_nowhere() {
    let std = Std::start();
    let authority = std.gate.address().to_string();
    let bearer = format!("Bearer {}", std.alice_token());
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", &authority),
        (":path", "/servers/up/mcp"),
        ("authorization", &bearer),
        ("content-type", "application/json"),
        ("x-trace", "a\r\nX-Admin: 1"),
    ];
    let block: Vec<u8> =
        fields.iter().flat_map(|(name, value)| [vec![0], literal(name), literal(value)].concat()).collect();
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","arguments":{}}}"#;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let bytes = [preface, frame(4, 0, 0, &[]), frame(1, 4, 1, &block), frame(0, 1, 1, body)].concat();
    raw(std.gate.address(), &bytes).await;
    let seen = String::from_utf8_lossy(&std.upstream.bytes()).into_owned();
    assert!(!seen.contains("X-Admin") && std.upstream.received("tools/call").is_empty(), "{seen}");
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A string literal of HPACK without Huffman coding (RFC 7541 section 5.2).
fn literal(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.len();
    if rest < 127 {
        bytes.push(rest as u8);
    } else {
        bytes.push(127);
        rest -= 127;
        while rest >= 128 {
            bytes.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        bytes.push(rest as u8);
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// SD-09.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_narrowed_to_what_the_caller_may_read() {
    let std = Std::start();
    let wanted = json!({"notifications": {"resourceSubscriptions": ["file:///pub/a", "file:///secret"]}});
    let mut answer =
        std.alice().modern_request("subscriptions/listen", wanted).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let first = tokio::time::timeout(DEADLINE, answer.chunk())
        .await
        .expect("in time")
        .expect("a chunk")
        .expect("an event");
    let first = String::from_utf8_lossy(&first).into_owned();
    assert!(!first.contains("file:///secret"), "{first}");
    assert!(!String::from_utf8_lossy(&std.upstream.bytes()).contains("file:///secret"));
}

/// SD-10.
#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_tool_is_on_no_page_and_every_page_can_be_had() {
    let std = Std::start();
    server::behave(&std.upstream, "pages");
    let (mut cursor, mut pages, mut names) = (None, 0, Vec::new());
    loop {
        let params = cursor.map_or(json!({}), |c: String| json!({"cursor": c}));
        let page = std.alice().modern("tools/list", params).await.result();
        assert_eq!(page["cacheScope"], "private");
        names.extend(
            page["tools"]
                .as_array()
                .expect("tools")
                .iter()
                .map(|t| t["name"].as_str().expect("a name").to_owned()),
        );
        pages += 1;
        match page["nextCursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!((pages, names), (3, vec!["safe".to_owned()]));
}
