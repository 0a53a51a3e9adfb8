//! What an upstream server answers, well or badly: a list of steps on the socket.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

/// One step of an answer.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends bytes.
    Bytes(Vec<u8>),
    /// Waits.
    Pause(Duration),
    /// Sends nothing more until the other end goes away, which is noted.
    Hang,
    /// Closes the connection in an orderly way.
    Close,
    /// Resets the connection (RST).
    Reset,
}

/// An answer: steps in order. The connection stays open after them unless one of them ends it.
#[derive(Debug, Clone)]
pub struct Reply(pub Vec<Step>);

impl Reply {
    /// A status, header lines, and a body with its length.
    #[must_use]
    pub fn new(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let length = body.len().to_string();
        let mut all = headers.to_vec();
        all.push(("Content-Length", &length));
        Self(vec![Step::Bytes([head(status, &all), body.to_vec()].concat())])
    }

    /// A JSON body.
    #[must_use]
    pub fn json(body: &Value) -> Self {
        Self::new(200, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }

    /// A page in HTML.
    #[must_use]
    pub fn html(status: u16, body: &str) -> Self {
        Self::new(status, &[("Content-Type", "text/html")], body.as_bytes())
    }

    /// Nothing but a status.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self::new(status, &[], b"")
    }

    /// An event stream whose bytes are given, and which then ends.
    #[must_use]
    pub fn events(text: &str) -> Self {
        Self(vec![Step::Bytes(events_head()), Step::Bytes(chunk(text.as_bytes())), Step::Bytes(chunk(b""))])
    }

    /// An event stream of these messages.
    #[must_use]
    pub fn messages(messages: &[Value]) -> Self {
        let events: String = messages.iter().map(event).collect();
        Self::events(&events)
    }

    /// An event stream that begins with these bytes and then goes on with the steps.
    #[must_use]
    pub fn stream(text: &str, then: &[Step]) -> Self {
        let first = [Step::Bytes(events_head()), Step::Bytes(chunk(text.as_bytes()))];
        Self([&first, then].concat())
    }

    /// A JSON body, compressed although nobody asked for it.
    #[must_use]
    pub fn gzip(body: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).expect("memory");
        let packed = encoder.finish().expect("memory");
        Self::new(200, &[("Content-Type", "application/json"), ("Content-Encoding", "gzip")], &packed)
    }

    /// A JSON body that comes byte by byte.
    #[must_use]
    pub fn drip(body: &Value, pause: Duration) -> Self {
        let body = body.to_string().into_bytes();
        let length = body.len().to_string();
        let mut steps = vec![Step::Bytes(head(
            200,
            &[("Content-Type", "application/json"), ("Content-Length", &length)],
        ))];
        steps.extend(body.into_iter().flat_map(|b| [Step::Bytes(vec![b]), Step::Pause(pause)]));
        Self(steps)
    }

    /// A JSON answer that closes in the middle of its body.
    #[must_use]
    pub fn truncated(body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        let length = body.len().to_string();
        let head = head(200, &[("Content-Type", "application/json"), ("Content-Length", &length)]);
        Self(vec![Step::Bytes(head), Step::Bytes(body[..body.len() / 2].to_vec()), Step::Close])
    }
}

/// One message as a server-sent event.
#[must_use]
pub fn event(message: &Value) -> String {
    format!("event: message\ndata: {message}\n\n")
}

/// One chunk of a chunked body; the empty one ends it (RFC 9112 section 7.1).
#[must_use]
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn events_head() -> Vec<u8> {
    head(200, &[("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")])
}

fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} Whatever\r\n{lines}\r\n").into_bytes()
}
