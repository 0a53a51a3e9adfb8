//! From a session to a checked [`Head`], and the body behind it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT, HOST, ORIGIN, TRANSFER_ENCODING};
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::socket::SocketAddr;

use crate::config::{Limits, Listen};
use crate::gateway::{Gateway, Relay, Route};
use crate::inbound::{ClientCertificate, Head, Inbound, Target};
use crate::refusal::Refusal;
use crate::respond::Answer;

/// Answers the request that `session` has read the header of.
pub(in crate::listen) async fn answer(gateway: &Arc<Gateway>, session: &mut ServerSession) -> Answer<Relay> {
    let listen = &gateway.config().listen;
    let target = match check(session, listen).and_then(|()| route(gateway, session)) {
        Ok(Routed::To(target)) => target,
        Ok(Routed::Answered(answer)) => {
            // Whatever body came with it is not read.
            return answer;
        }
        Ok(Routed::Callback) => {
            let query = session.req_header().uri.query().unwrap_or_default().to_owned();
            return gateway.callback(&query).await;
        }
        Err(refusal) => {
            session.set_keepalive(None);
            return gateway.turn_away(&refusal, peer(session)).await;
        }
    };
    let head = head(session, target);
    let mut inbound = Request { head, session, limits: &listen.limits, done: false };
    let answer = gateway.answer(&mut inbound).await;
    if !inbound.done {
        inbound.session.set_keepalive(None);
    }
    answer
}

enum Routed {
    To(Target),
    Answered(Answer<Relay>),
    Callback,
}

fn route(gateway: &Gateway, session: &ServerSession) -> Result<Routed, Refusal> {
    let header = session.req_header();
    match gateway.route(header.uri.path())? {
        Route::Mcp(target) => Ok(Routed::To(target)),
        Route::Document(answer) if matches!(header.method, http::Method::GET | http::Method::HEAD) => {
            Ok(Routed::Answered(answer))
        }
        Route::Callback if header.method == http::Method::GET => Ok(Routed::Callback),
        Route::Document(_) | Route::Callback => Err(Refusal::MethodNotAllowed { allow: "GET" }),
    }
}

/// What pingora lets pass and we do not: stack behind us might read it differently.
fn check(session: &ServerSession, listen: &Listen) -> Result<(), Refusal> {
    let header = session.req_header();
    let limit = listen.limits.header_bytes;
    match session.as_http1() {
        Some(http1) => {
            let raw = http1.get_headers_raw_bytes();
            if raw.len() > limit {
                return Err(Refusal::HeaderTooLarge { limit });
            }
            if has_bare_line_feed(&raw) {
                return Err(Refusal::BadHttp("a line of the header ends in LF without CR"));
            }
            // Pingora has taken the length away by now, as RFC 9112 section 6.3 lets a server do. What stands before us may
            // have believed it.
            if header.headers.contains_key(TRANSFER_ENCODING) && has_field(&raw, CONTENT_LENGTH.as_str()) {
                return Err(Refusal::BadHttp("Content-Length and Transfer-Encoding are both there"));
            }
        }
        None => {
            let sum: usize =
                header.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
            if sum + header.uri.path().len() > limit {
                return Err(Refusal::HeaderTooLarge { limit });
            }
        }
    }
    host(session, listen)?;
    origin(session, listen)
}

fn has_bare_line_feed(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', raw).any(|at| !raw.get(..at).is_some_and(|before| before.ends_with(b"\r")))
}

/// Whether a header as it came has a field of that name.
fn has_field(raw: &[u8], name: &str) -> bool {
    raw.split(|byte| *byte == b'\n').any(|line| {
        line.split(|byte| *byte == b':')
            .next()
            .is_some_and(|field| field.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    })
}

fn host(session: &ServerSession, listen: &Listen) -> Result<(), Refusal> {
    let header = session.req_header();
    let mut hosts = header.headers.get_all(HOST).iter();
    let named = match (header.uri.authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => return Err(Refusal::BadHttp("Host is there more than once")),
        (Some(authority), Some(host), None) if host.as_bytes() != authority.as_str().as_bytes() => {
            return Err(Refusal::BadHttp("Host and the request's authority differ"));
        }
        (Some(authority), _, None) => authority.as_str(),
        (None, Some(host), None) => host.to_str().map_err(|_| Refusal::ForeignHost)?,
        (None, None, None) => return Err(Refusal::BadHttp("Host is missing")),
    };
    match listen.hosts.iter().any(|host| names(host, named)) {
        true => Ok(()),
        false => Err(Refusal::ForeignHost),
    }
}

/// Whether an entry of `hosts` names this `Host`. An entry without a port stands for that host at every port of ours.
fn names(entry: &str, host: &str) -> bool {
    entry.eq_ignore_ascii_case(host)
        || without_port(host).is_some_and(|name| entry.eq_ignore_ascii_case(name))
}

/// The name in `name:port` (RFC 9110 section 7.2); `None` where there is no port, or it is not clear which part is one.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = host.rsplit_once(':')?;
    let one_host = name.ends_with(']') || !name.contains(':');
    (one_host && port.parse::<u16>().is_ok() && !port.starts_with('+')).then_some(name)
}

fn origin(session: &ServerSession, listen: &Listen) -> Result<(), Refusal> {
    for origin in session.req_header().headers.get_all(ORIGIN) {
        if !listen.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
            return Err(Refusal::ForeignOrigin);
        }
    }
    Ok(())
}

pub(in crate::listen) fn peer(session: &ServerSession) -> std::net::SocketAddr {
    match session.client_addr() {
        Some(SocketAddr::Inet(address)) => *address,
        _ => std::net::SocketAddr::from(([0, 0, 0, 0], 0)),
    }
}

fn head(session: &ServerSession, target: Target) -> Head {
    let header = session.req_header();
    let digest = session.digest().and_then(|digest| digest.ssl_digest.as_ref());
    let certificate = digest.and_then(|tls| tls.extension.get::<ClientCertificate>().cloned().map(Arc::new));
    Head {
        method: header.method.clone(),
        target,
        headers: header.headers.clone(),
        peer: peer(session),
        certificate,
    }
}

/// One request over a Pingora session.
struct Request<'s> {
    head: Head,
    session: &'s mut ServerSession,
    limits: &'s Limits,
    done: bool,
}

impl Request<'_> {
    fn declared(&self) -> Option<usize> {
        self.head.header(CONTENT_LENGTH.as_str())?.parse().ok()
    }

    async fn read(&mut self) -> Result<Bytes, Refusal> {
        let limit = self.limits.body_bytes;
        let too_large = Refusal::BodyTooLarge { limit };
        let declared = self.declared();
        if declared.is_some_and(|length| length > limit) {
            return Err(too_large);
        }
        if self.head.headers.contains_key(EXPECT) {
            self.session.write_continue_response().await.map_err(|_| Refusal::BodyTimeout)?;
        }
        let Some(first) = self.piece().await? else { return Ok(Bytes::new()) };
        if declared == Some(first.len()) {
            // The usual case: all in one piece, which is then not copied.
            return match self.piece().await? {
                None => Ok(first),
                Some(_) => Err(Refusal::BadHttp("the body is longer than Content-Length")),
            };
        }
        let mut body = BytesMut::with_capacity(declared.unwrap_or(first.len() * 2).min(limit));
        body.extend_from_slice(&first);
        while let Some(piece) = self.piece().await? {
            if body.len() + piece.len() > limit {
                return Err(too_large);
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Refusal> {
        self.session.read_request_body().await.map_err(|_| Refusal::BodyTimeout)
    }
}

impl Inbound for Request<'_> {
    fn head(&self) -> &Head {
        &self.head
    }

    async fn body(&mut self) -> Result<Bytes, Refusal> {
        let patience = self.limits.body_timeout;
        let read = tokio::time::timeout(patience, self.read()).await.map_err(|_| Refusal::BodyTimeout)?;
        self.done = read.is_ok();
        read
    }

    async fn gone(&mut self) {
        if !self.done {
            return std::future::pending().await;
        }
        // More bytes than the request has are an error as well: we do not pipeline.
        while let Ok(Some(_)) = self.session.read_body_or_idle(true).await {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_however_it_is_written() {
        let raw = b"POST / HTTP/1.1\r\nHost: a\r\nconTent-length : 3\r\nX: content-encoding\r\n\r\n";
        assert!(has_field(raw, "content-length") && has_field(raw, "host"));
        assert!(!has_field(raw, "content-encoding") && !has_field(raw, "transfer-encoding"));
    }

    #[test]
    fn a_line_that_ends_in_a_bare_line_feed_is_seen() {
        assert!(!has_bare_line_feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(has_bare_line_feed(b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"));
        assert!(has_bare_line_feed(b"GET / HTTP/1.1\nHost: a\r\n\r\n"));
    }
}
