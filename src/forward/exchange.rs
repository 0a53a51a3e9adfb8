//! One request to a server and its answer, read under limits of size and time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{AsHeaderName, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora::upstreams::peer::HttpPeer;
use tokio::time::Instant;

use crate::forward::socket::{self, Socket};
use crate::forward::{Endpoint, Forward};
use crate::name::ServerName;
use crate::refusal::Refusal;
use crate::secret::Secret;

/// What is sent up, without the credential. The headers are built from an allow-list by the gateway; nothing is copied
/// blindly.
#[derive(Debug, Clone)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// The headers, without `Host` and framing.
    pub headers: HeaderMap,
    /// The body; empty for GET and DELETE.
    pub body: Bytes,
    /// What the query gets more, encoded.
    pub query: Option<Arc<Secret>>,
    /// What may be sent a second time.
    pub retry: Retry,
}

/// When a request may be sent again after a pooled connection turned out dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// If no byte of an answer came: doing it twice does no harm.
    Harmless,
    /// Only if the request had not been written whole, so that the server cannot have acted on it.
    Unsent,
}

/// An answer under way: its head is there, its body arrives.
pub struct Exchange {
    server: ServerName,
    deadline: Instant,
    /// The status of the answer.
    pub status: StatusCode,
    from: From,
}

/// Where an answer comes from.
enum From {
    Socket(Box<Socket>),
    Made { headers: HeaderMap, body: Box<dyn Body> },
}

/// A body that is not read from a socket as it is, but made: of another answer, say.
#[async_trait]
pub trait Body: Send {
    /// The next piece of the body, `None` at its end.
    ///
    /// # Errors
    /// [`Refusal::TimedOut`] or [`Refusal::BadAnswer`].
    async fn chunk(&mut self, wait: Wait) -> Result<Option<Bytes>, Refusal>;

    /// Lets reads wait as long as `idle`, for a stream of events.
    fn stream(&mut self, idle: Duration);
}

/// A body that is there in one piece, or not at all.
struct Piece(Option<Bytes>);

#[async_trait]
impl Body for Piece {
    async fn chunk(&mut self, _wait: Wait) -> Result<Option<Bytes>, Refusal> {
        Ok(self.0.take())
    }

    fn stream(&mut self, _idle: Duration) {}
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("server", &self.server)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Exchange {
    pub(in crate::forward) async fn send(
        forward: Arc<Forward>,
        endpoint: &Endpoint,
        peer: HttpPeer,
        request: Request,
    ) -> Result<Self, Refusal> {
        let deadline = Instant::now() + endpoint.timeouts.total;
        let sending = socket::send(forward, endpoint, peer, request);
        let (socket, status) = match tokio::time::timeout_at(deadline, sending).await {
            Ok(sent) => sent?,
            Err(_) => return Err(Refusal::TimedOut { server: endpoint.server.clone() }),
        };
        let from = From::Socket(Box::new(socket));
        Ok(Self { server: endpoint.server.clone(), deadline, status, from })
    }

    /// An answer of `endpoint` that is made, not read.
    #[must_use]
    pub fn made(endpoint: &Endpoint, status: StatusCode, headers: HeaderMap, body: Box<dyn Body>) -> Self {
        let deadline = Instant::now() + endpoint.timeouts.total;
        Self { server: endpoint.server.clone(), deadline, status, from: From::Made { headers, body } }
    }

    /// An answer of `endpoint` in one piece; an empty one has no media type.
    #[must_use]
    pub fn whole(endpoint: &Endpoint, status: StatusCode, document: Option<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        if document.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Self::made(endpoint, status, headers, Box::new(Piece(document)))
    }

    /// Begins the time anew that the whole answer may take.
    pub fn begin_anew(&mut self, endpoint: &Endpoint) {
        self.deadline = Instant::now() + endpoint.timeouts.total;
    }

    /// The headers of the answer.
    #[must_use]
    pub fn headers(&self) -> Option<&HeaderMap> {
        match &self.from {
            From::Socket(socket) => socket.headers(),
            From::Made { headers, .. } => Some(headers),
        }
    }

    /// An answer of `endpoint` that was read to its end, as it was.
    #[must_use]
    pub fn as_read(endpoint: &Endpoint, status: StatusCode, headers: HeaderMap, body: Option<Bytes>) -> Self {
        Self::made(endpoint, status, headers, Box::new(Piece(body)))
    }

    /// With one header more; only for an answer that is made.
    #[must_use]
    pub fn with(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        if let From::Made { headers, .. } = &mut self.from {
            headers.insert(name, value);
        }
        self
    }

    /// The first value of a header of the answer.
    #[must_use]
    pub fn header(&self, name: impl AsHeaderName) -> Option<&HeaderValue> {
        self.headers()?.get(name)
    }

    /// Whether the answer is of this media type, whatever its parameters.
    #[must_use]
    pub fn is_media(&self, media: &str) -> bool {
        let essence = |value: &HeaderValue| {
            let essence = value.to_str().ok()?.split(';').next()?.trim();
            Some(essence.eq_ignore_ascii_case(media))
        };
        self.header(CONTENT_TYPE).and_then(essence).unwrap_or(false)
    }

    /// Whether the answer is encoded although `identity` was asked for.
    #[must_use]
    pub fn is_encoded(&self) -> bool {
        self.header(CONTENT_ENCODING).is_some_and(|coding| coding != "identity")
    }

    /// The next piece of the body, `None` at its end.
    ///
    /// # Errors
    /// [`Refusal::TimedOut`] or [`Refusal::BadAnswer`].
    pub async fn chunk(&mut self, wait: Wait) -> Result<Option<Bytes>, Refusal> {
        let until = match wait {
            Wait::Answer => self.deadline,
            Wait::Events(idle) => self.deadline.min(Instant::now() + idle),
            Wait::Standing(idle) => Instant::now() + idle,
        };
        let read = async {
            match &mut self.from {
                From::Socket(socket) => socket.chunk(&self.server).await,
                From::Made { body, .. } => body.chunk(wait).await,
            }
        };
        match tokio::time::timeout_at(until, read).await {
            Ok(chunk) => chunk,
            Err(_) => Err(Refusal::TimedOut { server: self.server.clone() }),
        }
    }

    /// Lets reads wait as long as `idle`, for a stream of events.
    pub fn stream(&mut self, idle: Duration) {
        match &mut self.from {
            From::Socket(socket) => socket.stream(idle),
            From::Made { body, .. } => body.stream(idle),
        }
    }

    /// The whole body, at most `limit` bytes; the connection goes back to the pool.
    ///
    /// # Errors
    /// [`Refusal::BadAnswer`] where it is larger or breaks off, [`Refusal::TimedOut`].
    pub async fn body(mut self, limit: usize) -> Result<Bytes, Refusal> {
        let mut whole = Whole::Nothing;
        while let Some(more) = self.chunk(Wait::Answer).await? {
            whole = whole.and(more);
            if whole.len() > limit {
                return Err(Refusal::BadAnswer { server: self.server, what: "it is too large" });
            }
        }
        self.finish().await;
        Ok(whole.into_bytes())
    }

    /// Gives the connection back after the whole body has been read.
    pub async fn finish(self) {
        if let From::Socket(socket) = self.from {
            socket.release().await;
        }
    }

    /// The server's name.
    #[must_use]
    pub fn server(&self) -> &ServerName {
        &self.server
    }
}

/// How long to wait for more of an answer.
#[derive(Debug, Clone, Copy)]
pub enum Wait {
    /// Until the call's deadline.
    Answer,
    /// For so long, and not beyond the call's deadline.
    Events(Duration),
    /// For so long: the stream belongs to no call.
    Standing(Duration),
}

/// A body as it is read: most come in one piece, which is then not copied.
enum Whole {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Whole {
    fn and(self, more: Bytes) -> Self {
        let mut all = match self {
            Self::Nothing => return Self::One(more),
            Self::One(first) => BytesMut::from(first),
            Self::Many(all) => all,
        };
        all.extend_from_slice(&more);
        Self::Many(all)
    }

    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(first) => first.len(),
            Self::Many(all) => all.len(),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(first) => first,
            Self::Many(all) => all.freeze(),
        }
    }
}
