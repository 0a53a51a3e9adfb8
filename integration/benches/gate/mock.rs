//! The server behind every target: it answers at once with prepared bytes, so that the targets are what is measured.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves until the process is ended.
pub async fn serve(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(connection(stream));
    }
}

/// Prints the address for whoever started it.
pub async fn main() {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    println!("ready {}", listener.local_addr().unwrap());
    serve(listener).await;
}

async fn connection(mut stream: TcpStream) {
    let mut buffer = Vec::with_capacity(64 * 1024);
    let list = answer(&list_of_tools());
    let call = answer(&result_of_call());
    loop {
        let Some((head, length)) = request(&mut stream, &mut buffer).await else { return };
        if buffer.starts_with(b"GET ") {
            return idle(stream).await;
        }
        let body = &buffer[head..head + length];
        let reply = if contains(body, b"tools/list") { &list } else { &call };
        let id = id(body);
        let (before, after) = reply;
        let size = before.len() + id.len() + after.len();
        let mut out =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n")
                .into_bytes();
        out.extend_from_slice(before);
        out.extend_from_slice(id);
        out.extend_from_slice(after);
        if stream.write_all(&out).await.is_err() {
            return;
        }
        buffer.drain(..head + length);
    }
}

/// A stream of events on which nothing happens.
async fn idle(mut stream: TcpStream) {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\n:\n\n\r\n";
    if stream.write_all(head).await.is_ok() {
        let _ = stream.read(&mut [0; 1]).await;
    }
}

async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(usize, usize)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end]).ok()?.to_ascii_lowercase();
            let length = head
                .split("content-length:")
                .nth(1)
                .map_or(0, |rest| rest.split("\r\n").next().unwrap().trim().parse().unwrap());
            while buffer.len() < end + 4 + length {
                if stream.read_buf(buffer).await.ok()? == 0 {
                    return None;
                }
            }
            return Some((end + 4, length));
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|window| window == what)
}

/// The id of a request of the load (`"id":7,`) or of the gate (`"id":"…"`).
fn id(body: &[u8]) -> &[u8] {
    let at = body.windows(5).position(|window| window == b"\"id\":").unwrap() + 5;
    let end = body[at..].iter().position(|byte| matches!(byte, b',' | b'}')).unwrap();
    &body[at..at + end]
}

/// The bytes before and after the id.
fn answer(result: &str) -> (Vec<u8>, Vec<u8>) {
    (b"{\"jsonrpc\":\"2.0\",\"id\":".to_vec(), format!(",\"result\":{result}}}").into_bytes())
}

fn result_of_call() -> String {
    let text = "The invoice 4711 of ACME GmbH is open; it is due on 2026-12-01 and amounts to 1,204.50 EUR. "
        .repeat(2);
    format!(r#"{{"content":[{{"type":"text","text":"{text}"}}],"isError":false}}"#)
}

/// 100 tools, about 50 KB.
fn list_of_tools() -> String {
    let description =
        "Lists the records of this kind that match the filter, newest first, a page at a time. ".repeat(3);
    let tools: Vec<_> = (0..100)
        .map(|index| {
            format!(
                r#"{{"name":"list_records_{index}","description":"{description}","inputSchema":{{"type":"object","properties":{{"region":{{"type":"string","description":"The region"}},"status":{{"type":"string","enum":["open","closed"]}},"limit":{{"type":"integer","minimum":1,"maximum":100}}}}}}}}"#
            )
        })
        .collect();
    format!(r#"{{"tools":[{}]}}"#, tools.join(","))
}
