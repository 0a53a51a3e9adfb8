//! An upstream server that writes down every byte and answers as it is told.
//!
//! # Why not a web framework
//! Half of what it must do is what a framework prevents: a wrong length, a reset in the middle, an answer before the
//! question. It has a thread of its own, so that a test that blocks does not silence it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::ServerConfig;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::mcp;
use crate::reply::{Reply, Step};

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// The HTTP method.
    pub method: String,
    /// The request target.
    pub path: String,
    /// The header lines in order; names as they came.
    pub headers: Vec<(String, String)>,
    /// The body, with chunks put together.
    pub body: Vec<u8>,
    /// The client's certificate (DER), where it proved one.
    pub certificate: Option<Vec<u8>>,
}

impl Exchange {
    /// All values of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn message(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The JSON-RPC method; empty where there is none.
    #[must_use]
    pub fn rpc(&self) -> String {
        self.message()["method"].as_str().unwrap_or_default().into()
    }
}

type Script = Arc<dyn Fn(&Exchange) -> Reply + Send + Sync>;

/// A running upstream; it ends when it is dropped.
pub struct Upstream {
    /// Its MCP endpoint.
    pub url: String,
    /// Its address.
    pub address: SocketAddr,
    state: Arc<State>,
    runtime: Option<tokio::runtime::Runtime>,
}

struct State {
    script: Mutex<Script>,
    exchanges: Mutex<Vec<Exchange>>,
    bytes: Mutex<BTreeMap<usize, Vec<u8>>>,
    gone: AtomicUsize,
    open: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Upstream {
    /// A well-behaved MCP server ([`mcp::answer`]) without TLS.
    #[must_use]
    pub fn start() -> Self {
        Self::serve(None)
    }

    /// The same behind TLS.
    #[must_use]
    pub fn start_tls(config: ServerConfig) -> Self {
        Self::serve(Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn serve(tls: Option<TlsAcceptor>) -> Self {
        let listener = StdListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread");
        let scheme = if tls.is_some() { "https" } else { "http" };
        runtime.spawn(accept(listener, tls, state.clone()));
        Self { url: format!("{scheme}://{address}/mcp"), address, state, runtime: Some(runtime) }
    }

    /// From now on it answers so.
    pub fn answers(&self, script: impl Fn(&Exchange) -> Reply + Send + Sync + 'static) {
        *lock(&self.state.script) = Arc::new(script);
    }

    /// From now on it answers calls of tools so, and everything else as it should.
    pub fn answers_calls(&self, script: impl Fn(&Exchange) -> Reply + Send + Sync + 'static) {
        self.answers(move |e| if e.rpc() == "tools/call" { script(e) } else { mcp::answer(e) });
    }

    /// Every request so far.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.state.exchanges).clone()
    }

    /// Every request of this JSON-RPC method so far.
    #[must_use]
    pub fn received(&self, rpc: &str) -> Vec<Exchange> {
        self.exchanges().into_iter().filter(|e| e.rpc() == rpc).collect()
    }

    /// Every byte of every connection so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.state.bytes).values().flatten().copied().collect()
    }

    /// How many requests were given up by the other end while the answer was outstanding.
    #[must_use]
    pub fn gone(&self) -> usize {
        self.state.gone.load(Ordering::SeqCst)
    }

    /// How many calls of tools were in hand at the same time, at most.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state.most_at_once.load(Ordering::SeqCst)
    }

    /// Forgets what it has seen.
    pub fn forget(&self) {
        lock(&self.state.exchanges).clear();
        lock(&self.state.bytes).clear();
        self.state.gone.store(0, Ordering::SeqCst);
        self.state.most_at_once.store(0, Ordering::SeqCst);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            script: Mutex::new(Arc::new(mcp::answer)),
            exchanges: Mutex::default(),
            bytes: Mutex::default(),
            gone: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while it is held")
}

async fn accept(listener: StdListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    for number in 0.. {
        let Ok((socket, _)) = listener.accept().await else { return };
        drop(socket.set_nodelay(true));
        tokio::spawn(greet(socket, tls.clone(), number, state.clone()));
    }
}

async fn greet(socket: TcpStream, tls: Option<TlsAcceptor>, number: usize, state: Arc<State>) {
    let Some(tls) = tls else {
        return Connection { number, socket, buffer: Vec::new(), certificate: None, state }.serve().await;
    };
    let Ok(socket) = tls.accept(socket).await else { return };
    let certificate = socket.get_ref().1.peer_certificates().and_then(|c| c.first()).map(|c| c.to_vec());
    Connection { number, socket, buffer: Vec::new(), certificate, state }.serve().await;
}

/// What a connection runs on; only TCP itself can be reset.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    fn reset(&self);
}

impl Socket for TcpStream {
    fn reset(&self) {
        drop(self.set_zero_linger());
    }
}

impl Socket for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset(&self) {
        drop(self.get_ref().0.set_zero_linger());
    }
}

struct Connection<S> {
    number: usize,
    socket: S,
    buffer: Vec<u8>,
    certificate: Option<Vec<u8>>,
    state: Arc<State>,
}

impl<S: Socket> Connection<S> {
    async fn serve(mut self) {
        while let Some(exchange) = self.request().await {
            let call = exchange.rpc() == "tools/call";
            lock(&self.state.exchanges).push(exchange.clone());
            if call {
                let open = self.state.open.fetch_add(1, Ordering::SeqCst) + 1;
                self.state.most_at_once.fetch_max(open, Ordering::SeqCst);
            }
            let script = lock(&self.state.script).clone();
            let keep = self.play(script(&exchange)).await;
            if call {
                self.state.open.fetch_sub(1, Ordering::SeqCst);
            }
            if !keep {
                return;
            }
        }
    }

    /// Plays the steps; false where the connection is over.
    async fn play(&mut self, reply: Reply) -> bool {
        for step in reply.0 {
            let open = match step {
                Step::Bytes(bytes) => {
                    self.socket.write_all(&bytes).await.is_ok() && self.socket.flush().await.is_ok()
                }
                Step::Pause(time) => tokio::select! {
                    () = tokio::time::sleep(time) => true,
                    () = closed(&mut self.socket) => false,
                },
                Step::Hang => {
                    closed(&mut self.socket).await;
                    false
                }
                Step::Close => {
                    drop(self.socket.shutdown().await);
                    return false;
                }
                Step::Reset => {
                    self.socket.reset();
                    return false;
                }
            };
            if !open {
                self.state.gone.fetch_add(1, Ordering::SeqCst);
                return false;
            }
        }
        true
    }

    async fn request(&mut self) -> Option<Exchange> {
        let end = self.find(b"\r\n\r\n", 0).await?;
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
        let headers = lines
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.to_owned(), v.trim().to_owned()))
            .collect();
        let certificate = self.certificate.clone();
        let mut exchange =
            Exchange { connection: self.number, method, path, headers, body: Vec::new(), certificate };
        let (body, rest) = self.body(&exchange, end + 4).await?;
        exchange.body = body;
        self.buffer.drain(..rest);
        Some(exchange)
    }

    /// The body that begins at `start`, and where the next request begins.
    async fn body(&mut self, exchange: &Exchange, start: usize) -> Option<(Vec<u8>, usize)> {
        if exchange.header("transfer-encoding").iter().any(|v| v.contains("chunked")) {
            return self.chunks(start).await;
        }
        let length: usize = exchange.header("content-length").first().map_or(Some(0), |v| v.parse().ok())?;
        self.until(start + length).await?;
        Some((self.buffer[start..start + length].to_vec(), start + length))
    }

    async fn chunks(&mut self, mut at: usize) -> Option<(Vec<u8>, usize)> {
        let mut body = Vec::new();
        loop {
            let line = self.find(b"\r\n", at).await?;
            let size = String::from_utf8_lossy(&self.buffer[at..line]).into_owned();
            let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
            self.until(line + 2 + size + 2).await?;
            body.extend_from_slice(&self.buffer[line + 2..line + 2 + size]);
            at = line + 2 + size + 2;
            if size == 0 {
                return Some((body, at));
            }
        }
    }

    async fn find(&mut self, what: &[u8], from: usize) -> Option<usize> {
        loop {
            let seen = self.buffer.get(from..).unwrap_or_default();
            if let Some(at) = seen.windows(what.len()).position(|w| w == what) {
                return Some(from + at);
            }
            self.more().await?;
        }
    }

    async fn until(&mut self, length: usize) -> Option<()> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Some(())
    }

    async fn more(&mut self) -> Option<()> {
        let mut part = [0; 16 * 1024];
        let n = self.socket.read(&mut part).await.ok().filter(|n| *n > 0)?;
        self.buffer.extend_from_slice(&part[..n]);
        lock(&self.state.bytes).entry(self.number).or_default().extend_from_slice(&part[..n]);
        Some(())
    }
}

/// Resolves when the other end has closed; what it may still send is thrown away.
async fn closed(socket: &mut (impl AsyncRead + Unpin)) {
    let mut part = [0; 1024];
    while matches!(socket.read(&mut part).await, Ok(n) if n > 0) {}
}
