//! What arrives: the head of one HTTP request, checked by `listen`, and the way to its body.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::name::ServerName;
use crate::refusal::Refusal;
use crate::secret::Secret;

/// The head of one request. Its size, Host and Origin have been checked; its header names are lower case.
#[derive(Debug)]
pub struct Head {
    /// The HTTP method.
    pub method: Method,
    /// Where it goes, read from the path.
    pub target: Target,
    /// The header fields as they came.
    pub headers: HeaderMap,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The certificate that the client proved in the TLS handshake, verified against the listener's authorities.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Head {
    /// The one value of a header, if it is there once and is visible text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// How often a header is there.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.headers.get_all(name).iter().count()
    }
}

/// Where a request goes.
#[derive(Debug)]
pub enum Target {
    /// `/mcp/<token>`: whoever holds the URL. The token never reaches a log.
    ScopedUrl(Secret),
    /// `/servers/<name>/mcp`.
    Server(ServerName),
    /// `/mcp`, where the configuration has a single server.
    OnlyServer(ServerName),
    /// `…/access/v1/evaluation` or `…/evaluations`: questions about calls (OpenID AuthZEN Authorization API 1.0).
    Access(Form, Door),
}

/// Which of the two endpoints of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One question, one decision.
    Evaluation,
    /// Several at once.
    Evaluations,
}

/// Before which path the endpoints of questions stand, which is who may be asked about.
#[derive(Debug)]
pub enum Door {
    /// Before none: every server.
    Gate,
    /// `/servers/<name>`: this server.
    Server(ServerName),
    /// `/mcp/<token>`: the server that the scoped URL leads to, by whoever holds it.
    ScopedUrl(Secret),
}

/// A client certificate (RFC 5280), read once per connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 of the DER form.
    pub sha256: [u8; 32],
    /// The subject's common name.
    pub common_name: Option<String>,
    /// DNS, URI and e-mail names of the subject's alternative names, as text.
    pub alternative_names: Vec<String>,
    /// The subject's organisation.
    pub organisation: Option<String>,
    /// The certificate in DER form.
    pub der: Vec<u8>,
}

/// One request as the gate sees it; `listen` makes it from a socket, a test from a value.
pub trait Inbound: Send {
    /// The head.
    fn head(&self) -> &Head;

    /// The whole body, read once and under the limits of size and time.
    fn body(&mut self) -> impl Future<Output = Result<Bytes, Refusal>> + Send;

    /// Resolves when the client has gone away; never before the body is read.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;
}
