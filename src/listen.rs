//! Sockets, TLS, limits on size and time: from a connection to an [`crate::inbound::Inbound`], and the answer back.
//!
//! # Why Pingora's services without its server
//! Pingora's `Server` sleeps out its whole grace period and then cuts what is still running. We bind the sockets and own
//! the runtime ourselves, hand the sockets to Pingora's `Service`, and stop when the last request has been answered.

mod drain;
mod request;
mod tls;
mod write;

pub use drain::Drain;
pub use tls::{BadTls, read as client_certificate, server_config};

use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use pingora::ErrorType;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::server::{Fds, ShutdownWatch};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use rustix::process::{Resource, getrlimit};

use crate::config::Listener;
use crate::gateway::Gate;
use crate::refusal::Refusal;

/// Buffers of a connection. Pingora's own hold 64 KiB for each, also while it is idle; a header and most answers go
/// through these in one piece, and larger bodies past them.
const BUFFERS: L4BufferSettings = L4BufferSettings { read: Some(4096), write: Some(4096) };
/// The same under TLS: a record has up to 16 KiB.
const TLS_BUFFERS: L4BufferSettings = L4BufferSettings { read: Some(17 * 1024), write: Some(4096) };

/// Of the files that the process may open, so many are kept for what is no connection: the audit, the store, the policies,
/// the admin listener and who asks it for the gate's health.
const RESERVED_FILES: u64 = 64;

/// A socket that is bound, and how it is to be served.
#[derive(Debug)]
pub struct Bound {
    listener: Listener,
    socket: TcpListener,
    /// The real address, with the port that was taken for port 0.
    pub address: SocketAddr,
}

/// Why the gate cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum CannotListen {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {why}; is another program using it?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        why: std::io::Error,
    },
    /// TLS files that cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::BadTls),
}

/// Binds an address. Nothing is accepted before [`serve`].
///
/// # Errors
/// The address is in use or not ours.
pub fn bind(listener: Listener) -> Result<Bound, CannotListen> {
    let failed = |why| CannotListen::Bind { address: listener.address, why };
    let socket = TcpListener::bind(listener.address).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(Bound { listener, socket, address })
}

/// Serves the bound sockets until `shutdown` turns true; returns when nothing more is accepted.
///
/// # Errors
/// TLS files that cannot be used.
pub async fn serve(
    gate: Arc<Gate>,
    bound: Vec<Bound>,
    drain: Arc<Drain>,
    shutdown: ShutdownWatch,
) -> Result<(), CannotListen> {
    let app = Arc::new(App::new(gate, drain));
    let mut service = Service::new("mcp".to_owned(), Edge { app, open: AtomicUsize::new(0) });
    let mut sockets = Fds::new();
    for Bound { listener, socket, address } in bound {
        let name = address.to_string();
        sockets.add(name.clone(), socket.into_raw_fd());
        service.add_listener(match &listener.tls {
            Some(files) => ListenerConfig::tcp(name).l4_buffer(TLS_BUFFERS).tls(tls::settings(files)?),
            None => ListenerConfig::tcp(name).l4_buffer(BUFFERS),
        });
    }
    let sockets = Arc::new(parking_lot::Mutex::new(sockets));
    service.start_service(Some(sockets), shutdown, 1).await;
    Ok(())
}

/// Counts connections before anything is read from them.
struct Edge {
    app: Arc<App>,
    open: AtomicUsize,
}

#[async_trait]
impl ServerApp for Edge {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let (_open, others) = Open::count(&self.open);
        let gateway = self.app.gate.current();
        let admitted = others < gateway.config().listen.limits.connections.min(room());
        let _counted = gateway.shared().connected();
        drop(gateway); // a connection may outlive many generations
        match admitted {
            true => self.app.process_new(stream, shutdown).await,
            false => None,
        }
    }
}

/// One connection, counted as long as it is open, whatever ends it.
struct Open<'c>(&'c AtomicUsize);

impl<'c> Open<'c> {
    /// Counts one more; also says how many others there are.
    fn count(open: &'c AtomicUsize) -> (Self, usize) {
        let others = open.fetch_add(1, Ordering::Relaxed);
        (Self(open), others)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many connections the open files of this process suffice for: each may need a second one, to a server.
fn room() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(RESERVED_FILES) / 2).unwrap_or(usize::MAX)
}

/// One HTTP application over every listener.
struct App {
    gate: Arc<Gate>,
    drain: Arc<Drain>,
    options: HttpServerOptions,
}

impl App {
    fn new(gate: Arc<Gate>, drain: Arc<Drain>) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(gate.current().config().listen.limits.keepalive);
        Self { gate, drain, options }
    }

    /// Reads the header under its deadline: pingora bounds each read only, so that a drip would hold the connection.
    async fn read_header(&self, session: &mut ServerSession) -> bool {
        let gateway = self.gate.current();
        let limits = &gateway.config().listen.limits;
        let reused = session.take_connection_user_context().is_some();
        let patience = if reused { limits.keepalive + limits.header_timeout } else { limits.header_timeout };
        match tokio::time::timeout(patience, session.read_request()).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => {
                if *error.etype() == ErrorType::InvalidHTTPHeader {
                    // Pingora has a limit of its own, which it tells by its words only.
                    let refusal = match error.to_string().contains("larger than") {
                        true => Refusal::HeaderTooLarge { limit: limits.header_bytes },
                        false => Refusal::BadHttp("its header is not HTTP"),
                    };
                    let answer = gateway.turn_away(&refusal, request::peer(session)).await;
                    session.set_keepalive(None);
                    let _ = write::unread(session, answer).await; // the client may be gone
                }
                false
            }
            Err(_) => false,
        }
    }
}

/// What the future comes to; `None` where it panics, which costs its own request and no other. By then nothing of it is
/// left: a call that was open is on the record as abandoned, and nothing was passed on unjudged.
async fn survived<F: Future>(mut future: Pin<Box<F>>) -> Option<F::Output> {
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Marks a connection that has carried a request before.
struct Reused;

#[async_trait]
impl HttpServerApp for App {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !self.read_header(&mut session).await {
            return None;
        }
        let _in_flight = self.drain.enter();
        let gateway = self.gate.current();
        let limits = &gateway.config().listen.limits;
        session.set_keepalive((!*shutdown.borrow()).then_some(limits.keepalive.as_secs()));
        session.set_write_timeout(Some(limits.write_timeout));
        session.set_read_timeout(Some(limits.body_timeout));
        session.set_total_drain_timeout(Some(Duration::from_secs(1)));
        // Boxed, so that a stream that stays open for hours does not hold the room that finding its answer took.
        let answer = match survived(Box::pin(request::answer(&gateway, &mut session))).await {
            Some(answer) => answer,
            None => {
                session.set_keepalive(None);
                gateway.turn_away(&Refusal::Internal, request::peer(&session)).await
            }
        };
        let written = write::answer(&mut session, answer, limits, &self.drain, &self.gate).await;
        if written.is_err() {
            return None;
        }
        let mut settings = HttpPersistentSettings::for_session(&session);
        settings.set_user_context(Box::new(Reused));
        let stream = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }

    fn h2_options(&self) -> Option<H2Options> {
        let header_bytes = self.gate.current().config().listen.limits.header_bytes;
        let mut options = default_h2_options();
        options.max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX));
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_the_request_that_it_happens_in_and_no_other() {
        let open = AtomicUsize::new(0);
        let request = |fails: bool| {
            let open = &open;
            async move {
                let (_open, others) = Open::count(open);
                tokio::task::yield_now().await;
                assert!(!fails, "a bug");
                others
            }
        };
        assert_eq!(survived(Box::pin(request(false))).await, Some(0));
        assert_eq!(survived(Box::pin(request(true))).await, None);
        assert_eq!(survived(Box::pin(request(false))).await, Some(0), "nothing of it is left");
    }
}
