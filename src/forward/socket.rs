//! One request on one connection of Pingora's, and the answer as it is read from there.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};

use crate::forward::{Endpoint, Forward, POOL_IDLE, Request, Retry, cork};
use crate::name::ServerName;
use crate::refusal::Refusal;

/// A connection on which the head of an answer has been read.
pub(in crate::forward) struct Socket {
    forward: Arc<Forward>,
    session: HttpSession,
    peer: HttpPeer,
}

/// What came of one attempt: the session with the head of the answer read.
type Attempt = Result<(HttpSession, StatusCode), Failure>;

/// Where an attempt failed, which decides whether it may be repeated.
struct Failure {
    sent: bool,
    refusal: Refusal,
}

/// Sends a request and reads the head of the answer.
pub(in crate::forward) async fn send(
    forward: Arc<Forward>,
    endpoint: &Endpoint,
    peer: HttpPeer,
    request: Request,
) -> Result<(Socket, StatusCode), Refusal> {
    let answered = match attempt(&forward, endpoint, &peer, &request).await {
        (Ok(answered), _) => Ok(answered),
        (Err(failure), true) if !failure.sent || request.retry == Retry::Harmless => {
            attempt(&forward, endpoint, &peer, &request).await.0
        }
        (Err(failure), _) => Err(failure),
    };
    let (session, status) = answered.map_err(|failure| failure.refusal)?;
    Ok((Socket { forward, session, peer }, status))
}

impl Socket {
    /// The headers of the answer.
    pub(in crate::forward) fn headers(&self) -> Option<&HeaderMap> {
        self.session.response_header().map(|head| &head.headers)
    }

    /// The next piece of the body, `None` at its end.
    pub(in crate::forward) async fn chunk(&mut self, server: &ServerName) -> Result<Option<Bytes>, Refusal> {
        self.session.read_response_body().await.map_err(|error| broken(server, &error))
    }

    /// Lets reads wait as long as `idle`.
    pub(in crate::forward) fn stream(&mut self, idle: Duration) {
        self.session.set_read_timeout(Some(idle));
    }

    /// Gives the connection back after the whole body has been read.
    pub(in crate::forward) async fn release(self) {
        self.forward.connector.release_http_session(self.session, &self.peer, Some(POOL_IDLE)).await;
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
