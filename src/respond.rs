//! What the caller is told: refusals by one table, lists filtered, results redacted, event by event on a stream.

pub(crate) mod access;
pub(crate) mod filter;
pub(crate) mod list;
mod raw;
pub(crate) mod redact;
pub(crate) mod table;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

/// What goes down to the client.
#[derive(Debug)]
pub struct Answer<S> {
    /// The HTTP status.
    pub status: StatusCode,
    /// Headers beside those that framing needs.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Body<S>,
}

/// The body of an answer. `S` is the stream of events that `forward` relays.
#[derive(Debug)]
pub enum Body<S> {
    /// None.
    Empty,
    /// All of it.
    Full(Bytes),
    /// Server-sent events, one after another.
    Events(Box<S>),
}

impl<S> Answer<S> {
    /// A JSON document.
    #[must_use]
    pub fn json(status: StatusCode, body: Bytes) -> Self {
        Self {
            status,
            headers: vec![(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
            body: Body::Full(body),
        }
    }

    /// A status and nothing else.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Body::Empty }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}
