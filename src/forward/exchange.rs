//! One request to a server and its answer, read under limits of size and time.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AsHeaderName, CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::time::Instant;

use crate::forward::{Endpoint, Forward, POOL_IDLE, cork};
use crate::name::ServerName;
use crate::refusal::Refusal;
use crate::secret::Secret;

/// What is sent up. The headers are built from an allow-list by the gateway; nothing is copied blindly.
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

/// A request under way: the head of the answer has been read.
pub struct Exchange {
    forward: Arc<Forward>,
    session: HttpSession,
    peer: HttpPeer,
    server: ServerName,
    deadline: Instant,
    /// The status of the answer.
    pub status: StatusCode,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("server", &self.server)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What came of one attempt: the session with the head of the answer read.
type Attempt = Result<(HttpSession, StatusCode), Failure>;

/// Where an attempt failed, which decides whether it may be repeated.
struct Failure {
    sent: bool,
    refusal: Refusal,
}

impl Exchange {
    pub(in crate::forward) async fn send(
        forward: Arc<Forward>,
        endpoint: &Endpoint,
        peer: HttpPeer,
        request: Request,
    ) -> Result<Self, Refusal> {
        let deadline = Instant::now() + endpoint.timeouts.total;
        let attempt = async {
            match attempt(&forward, endpoint, &peer, &request).await {
                (Ok(answered), _) => Ok(answered),
                (Err(failure), true) if !failure.sent || request.retry == Retry::Harmless => {
                    attempt(&forward, endpoint, &peer, &request).await.0
                }
                (Err(failure), _) => Err(failure),
            }
        };
        let (session, status) = match tokio::time::timeout_at(deadline, attempt).await {
            Ok(done) => done.map_err(|failure| failure.refusal)?,
            Err(_) => return Err(Refusal::TimedOut { server: endpoint.server.clone() }),
        };
        Ok(Self { forward, session, peer, server: endpoint.server.clone(), deadline, status })
    }

    /// The first value of a header of the answer.
    #[must_use]
    pub fn header(&self, name: impl AsHeaderName) -> Option<&HeaderValue> {
        self.session.response_header()?.headers.get(name)
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
        match tokio::time::timeout_at(until, self.session.read_response_body()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(broken(&self.server, &error)),
            Err(_) => Err(Refusal::TimedOut { server: self.server.clone() }),
        }
    }

    /// Lets reads wait as long as `idle`, for a stream of events.
    pub fn stream(&mut self, idle: Duration) {
        self.session.set_read_timeout(Some(idle));
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
        self.forward.connector.release_http_session(self.session, &self.peer, Some(POOL_IDLE)).await;
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

/// One attempt; the second value says whether it went over a connection from the pool.
async fn attempt(
    forward: &Forward,
    endpoint: &Endpoint,
    peer: &HttpPeer,
    request: &Request,
) -> (Attempt, bool) {
    let (mut session, reused) = match forward.connector.get_http_session(peer).await {
        Ok(connected) => connected,
        Err(error) => {
            let refusal = unreachable(&endpoint.server, &error);
            return (Err(Failure { sent: false, refusal }), false);
        }
    };
    session.set_read_timeout(Some(endpoint.timeouts.read));
    session.set_write_timeout(Some(endpoint.timeouts.read));
    let mut sent = false;
    match write_and_read_head(&mut session, endpoint, request, &mut sent).await {
        Ok(status) => (Ok((session, status)), reused),
        Err(error) => {
            let refusal = broken(&endpoint.server, &error);
            // A time-out is the server's doing, not the pool's.
            let stale = reused && !matches!(refusal, Refusal::TimedOut { .. });
            (Err(Failure { sent, refusal }), stale)
        }
    }
}

async fn write_and_read_head(
    session: &mut HttpSession,
    endpoint: &Endpoint,
    request: &Request,
    sent: &mut bool,
) -> Result<StatusCode, Box<Error>> {
    let header = header(endpoint, request, matches!(session, HttpSession::H2(_)))?;
    let gathers = !request.body.is_empty();
    if gathers {
        cork::hold(session);
    }
    session.write_request_header(Box::new(header)).await?;
    // From here on the server may have all of it, whatever the write says.
    *sent = true;
    if gathers {
        session.write_request_body(request.body.clone(), true).await?;
        cork::release(session);
    }
    session.finish_request_body().await?;
    loop {
        session.read_response_header().await?;
        let Some(head) = session.response_header() else {
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "no response header"));
        };
        if !head.status.is_informational() {
            return Ok(head.status);
        }
    }
}

fn header(endpoint: &Endpoint, request: &Request, h2: bool) -> Result<RequestHeader, Box<Error>> {
    let own = match &request.query {
        Some(more) => {
            let mark = if endpoint.path.contains('?') { '&' } else { '?' };
            Cow::Owned(format!("{}{mark}{}", endpoint.path, more.expose()))
        }
        None => Cow::Borrowed(&endpoint.path),
    };
    let path = match h2 {
        true => format!("{}://{}{own}", if endpoint.tls { "https" } else { "http" }, endpoint.authority),
        false => own.into_owned(),
    };
    let size = request.headers.len() + 3;
    let mut header = RequestHeader::build_no_case(request.method.clone(), path.as_bytes(), Some(size))?;
    if h2 {
        let uri =
            path.parse().map_err(|_| Error::explain(ErrorType::InvalidHTTPHeader, "bad upstream URL"))?;
        header.set_uri(uri);
    }
    header.insert_header(HOST, endpoint.authority.as_str())?;
    for (name, value) in &request.headers {
        header.append_header(name.clone(), value.clone())?;
    }
    if request.method == Method::POST {
        header.insert_header(http::header::CONTENT_LENGTH, HeaderValue::from(request.body.len()))?;
    }
    Ok(header)
}

fn unreachable(server: &ServerName, error: &Error) -> Refusal {
    tracing::warn!(%server, %error, "Server cannot be reached");
    Refusal::Unreachable { server: server.clone() }
}

fn broken(server: &ServerName, error: &Error) -> Refusal {
    tracing::warn!(%server, %error, "Exchange with the server failed");
    let server = server.clone();
    match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout | ErrorType::ConnectTimedout => {
            Refusal::TimedOut { server }
        }
        _ => Refusal::BadAnswer { server, what: "it broke off" },
    }
}
