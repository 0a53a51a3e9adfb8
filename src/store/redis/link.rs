//! The way to the one server that takes writes: a connection for reads with a cache that the server keeps true, and one for writes.
//!
//! # Why two connections
//! A write may wait for replicas (`WAIT`), and whatever was sent behind it on the same connection would wait as well.
//!
//! # Why a heartbeat
//! A connection that is dead in silence brings no invalidation. What is kept counts only for [`TRUSTED`] after a question that was
//! answered: answers and invalidations come in order, so nothing is served that was changed before that question. This bounds
//! "revoked on every gate" by 800 ms where the network fails without a word; else it is as fast as the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo as _,
    ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, ServerErrorKind, TlsCertificates,
    Value,
};
use tokio::sync::Notify;

use crate::config::{HostPort, Redis, UpstreamTls};
use crate::store::redis::cache::{Cache, Keeps, Kept, Ticket};
use crate::store::redis::layout::Layout;

/// For how long what is kept counts after a question that was answered.
const TRUSTED: Duration = Duration::from_millis(800);
/// Between two of them.
const BEAT: Duration = Duration::from_millis(200);
/// A server that does not answer for so long is looked for anew.
const PATIENCE: Duration = Duration::from_millis(1500);
/// TCP, TLS and the first words.
const CONNECT: Duration = Duration::from_secs(1);

/// Connections to the server that takes writes, until they are lost.
pub(super) struct Link {
    at: HostPort,
    reads: MultiplexedConnection,
    writes: MultiplexedConnection,
    cache: Option<Arc<Cache>>,
    life: Arc<Life>,
    opened: Instant,
    /// Until when what is kept counts, in µs since it was opened.
    trusted_until: AtomicU64,
    clock: Mutex<ServerClock>,
}

/// Whether the connections still live.
#[derive(Default)]
struct Life {
    is_lost: AtomicBool,
    lost: Notify,
}

/// What the server's clock said, and when it was asked: it was then or later.
struct ServerClock {
    asked: Instant,
    said_ms: u64,
}

/// Why there is no link.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Unlinked {
    /// The server said so, or could not be reached.
    #[error("{0}: {1}")]
    Failed(String, RedisError),
    /// It took too long.
    #[error("{0}: no answer in {1:?}")]
    Slow(String, Duration),
    /// It is a replica.
    #[error("{0}: a replica, which takes no writes")]
    Replica(String),
    /// A certificate or key could not be read.
    #[error("{0}")]
    File(String),
    /// Nobody knows where the primary is.
    #[error("{0}")]
    Unknown(String),
}

impl Unlinked {
    /// Where a node of a cluster says that the keys are.
    pub(super) fn moved_to(&self) -> Option<(&str, u16)> {
        let Self::Failed(_, error) = self else { return None };
        let (address, _) = error.redirect_node()?;
        let (host, port) = address.rsplit_once(':')?;
        Some((host, port.parse().ok()?))
    }
}

impl Link {
    pub(super) async fn open(config: &Redis, at: &HostPort, layout: &Layout) -> Result<Arc<Self>, Unlinked> {
        let late = |_| Unlinked::Slow(at.to_string(), CONNECT);
        tokio::time::timeout(CONNECT, Self::opened(config, at, layout)).await.map_err(late)?
    }

    async fn opened(config: &Redis, at: &HostPort, layout: &Layout) -> Result<Arc<Self>, Unlinked> {
        let failed = |error| Unlinked::Failed(at.to_string(), error);
        let client = client(config, at, Login::Always)?;
        let (cache, life) = (Arc::new(Cache::new()), Arc::new(Life::default()));
        let told = {
            let (cache, life) = (Arc::clone(&cache), Arc::clone(&life));
            move |push| -> Result<(), redis::aio::SendError> {
                if cache.told(push) {
                    life.end();
                }
                Ok(())
            }
        };
        let with_push = settings().set_push_sender(told);
        let mut reads =
            client.get_multiplexed_async_connection_with_config(&with_push).await.map_err(failed)?;
        let ended = {
            let life = Arc::clone(&life);
            move |push: PushInfo| -> Result<(), redis::aio::SendError> {
                if push.kind == PushKind::Disconnection {
                    life.end();
                }
                Ok(())
            }
        };
        let with_end = settings().set_push_sender(ended);
        let writes = client.get_multiplexed_async_connection_with_config(&with_end).await.map_err(failed)?;
        // A node of a cluster that does not have our slot says here who does.
        redis::cmd("GET").arg(layout.schema()).exec_async(&mut reads).await.map_err(failed)?;
        let tracks = redis::cmd("CLIENT").arg("TRACKING").arg("ON").exec_async(&mut reads).await;
        if let Err(error) = &tracks {
            tracing::warn!(server = %at, %error, "Redis does not track what is read: every look-up is a round trip");
        }
        let link = Self {
            at: at.clone(),
            reads,
            writes,
            cache: tracks.is_ok().then_some(cache),
            life,
            opened: Instant::now(),
            trusted_until: AtomicU64::new(0),
            clock: Mutex::new(ServerClock { asked: Instant::now(), said_ms: 0 }),
        };
        link.beat().await?;
        Ok(Arc::new(link))
    }

    pub(super) fn at(&self) -> &HostPort {
        &self.at
    }

    pub(super) fn reads(&self) -> MultiplexedConnection {
        self.reads.clone()
    }

    pub(super) fn writes(&self) -> MultiplexedConnection {
        self.writes.clone()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.life.is_lost.load(Ordering::Acquire)
    }

    /// Whoever sees an error that another server would not give says so.
    pub(super) fn lose(&self) {
        self.life.end();
    }

    /// Before the server is asked for what may be kept.
    pub(super) fn begin<'a>(&'a self, key: &'a [u8], keeps: Keeps) -> Option<Ticket<'a>> {
        self.cache.as_ref().filter(|_| keeps != Keeps::Nothing).map(|cache| cache.begin(key))
    }

    /// After this process wrote the key.
    pub(super) fn forget(&self, key: &[u8]) {
        self.cache.iter().for_each(|cache| cache.forget(key));
    }

    /// An answer that still counts.
    pub(super) fn kept(&self, key: &[u8], keeps: Keeps) -> Option<Kept> {
        let cache = self.cache.as_ref().filter(|_| keeps != Keeps::Nothing)?;
        let now = Instant::now();
        if self.since_opened(now) >= self.trusted_until.load(Ordering::Acquire) || self.is_lost() {
            return None;
        }
        cache.get(key).filter(|kept| kept.until.is_none_or(|until| now < until))
    }

    /// When an entry vanishes here that vanishes at that time by the server's clock; never later than there.
    pub(super) fn here(&self, vanishes_at_ms: u64) -> Instant {
        let clock = self.clock.lock();
        clock.asked + Duration::from_millis(vanishes_at_ms.saturating_sub(clock.said_ms))
    }

    /// Asks the server now and then, until it is lost; answers why.
    pub(super) async fn watch(&self) -> String {
        let beats = async {
            loop {
                tokio::time::sleep(BEAT).await;
                if let Err(why) = self.beat().await {
                    return why.to_string();
                }
            }
        };
        let why = tokio::select! {
            why = beats => why,
            () = self.life.lost.notified() => format!("{}: the connection is lost, or it takes no writes any more", self.at),
        };
        self.life.end();
        why
    }

    async fn beat(&self) -> Result<(), Unlinked> {
        let asked = Instant::now();
        let mut ask = redis::pipe();
        ask.cmd("TIME").cmd("HELLO");
        let mut reads = self.reads();
        let answer = tokio::time::timeout(PATIENCE, ask.query_async::<((u64, u64), Value)>(&mut reads)).await;
        let answer = answer.map_err(|_| Unlinked::Slow(self.at.to_string(), PATIENCE))?;
        let ((seconds, micros), hello) =
            answer.map_err(|error| Unlinked::Failed(self.at.to_string(), error))?;
        if role(&hello).is_some_and(|role| role != "master") {
            return Err(Unlinked::Replica(self.at.to_string()));
        }
        *self.clock.lock() = ServerClock { asked, said_ms: seconds * 1000 + micros / 1000 };
        self.trusted_until.store(self.since_opened(asked + TRUSTED), Ordering::Release);
        Ok(())
    }

    fn since_opened(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.opened).as_micros()).unwrap_or(u64::MAX)
    }
}

impl Life {
    fn end(&self) {
        self.is_lost.store(true, Ordering::Release);
        self.lost.notify_one();
    }
}

/// Whether the server certainly did nothing, and another one (or this one, later) may.
pub(super) fn is_elsewhere(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading
        )
    )
}

/// Whether a login is sent unasked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    Always,
    Never,
}

/// How to connect. A sentinel has no databases and speaks the older protocol as well.
pub(super) fn client(config: &Redis, at: &HostPort, login: Login) -> Result<Client, Unlinked> {
    let failed = |error| Unlinked::Failed(at.to_string(), error);
    let mut redis = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
    if login == Login::Always {
        redis = redis.set_db(config.database);
        if let Some(password) = &config.password {
            redis = redis.set_password(password.expose());
            redis = config.user.iter().fold(redis, |redis, user| redis.set_username(user));
        }
    }
    let address = match config.tls {
        None => ConnectionAddr::Tcp(at.host.clone(), at.port),
        Some(_) => {
            ConnectionAddr::TcpTls { host: at.host.clone(), port: at.port, insecure: false, tls_params: None }
        }
    };
    let info = address.into_connection_info().map_err(failed)?;
    let info = info.set_redis_settings(redis).set_tcp_settings(TcpSettings::default().set_nodelay(true));
    match &config.tls {
        None => Client::open(info).map_err(failed),
        Some(tls) => {
            // Two libraries are linked, and the first user of TLS has to say which one it takes.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            Client::build_with_tls(info, certificates(tls)?).map_err(failed)
        }
    }
}

/// The deadlines are ours: each caller has its own.
pub(super) fn settings() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None)
}

/// Read anew for each connection, so that a renewed certificate needs no restart.
fn certificates(tls: &UpstreamTls) -> Result<TlsCertificates, Unlinked> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).map_err(|error| Unlinked::File(format!("`{}`: {error}", path.display())))
    };
    let client_tls = match &tls.client {
        None => None,
        Some((certificate, key)) => {
            Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
        }
    };
    Ok(TlsCertificates { client_tls, root_cert: tls.authorities.as_ref().map(read).transpose()? })
}

fn role(hello: &Value) -> Option<&str> {
    let Value::Map(fields) = hello else { return None };
    let (_, role) = fields.iter().find(|(name, _)| text(name) == Some("role"))?;
    text(role)
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
