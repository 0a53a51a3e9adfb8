//! Redis or Valkey, which several gates share.
//!
//! # What holds
//! Writes are scripts on the one server that takes them, so each is whole and compares versions under no lock. What a gate has
//! read is kept while the server says that nothing changed it ([`cache`], [`link`]). What the server acknowledged is as durable as
//! the server: `appendfsync always` for a crash, `replicas` for a fail-over.
//!
//! # When it does not answer
//! Each command has a deadline, and one that the server certainly did not do is sent once more to whoever took its place. Then it is
//! a [`StoreError`]; nothing is answered from memory that the server was not asked about within a second.

mod cache;
mod layout;
mod link;
mod meter;
mod primary;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::config::Redis;
use crate::store::meter::Meter;
use crate::store::redis::cache::{Keeps, Kept, Ticket};
use crate::store::redis::layout::{Entry, Layout, SCHEMA};
use crate::store::redis::link::{Link, Unlinked, is_elsewhere};
use crate::store::redis::meter::Scripts;
use crate::store::{Store, StoreError, Stored, Table};

/// For a look-up, in which a call waits.
const READ: Duration = Duration::from_millis(500);
/// For a write, a page, or what waits for replicas.
const WRITE: Duration = Duration::from_secs(2);
/// For replicas to have a write.
const REPLICATE_MS: u64 = 1000;
/// How long a start waits for the server.
const START: Duration = Duration::from_secs(5);
/// How long calls wait for a server that was lost; later ones are told so at once.
const GRACE: Duration = Duration::from_secs(2);
/// Between attempts to find it, at least and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Entries in one answer of a scan.
const CHUNK: usize = 500;

/// A store in Redis or Valkey.
pub struct RedisStore {
    config: Arc<Redis>,
    layout: Arc<Layout>,
    meter: Scripts,
    state: watch::Receiver<State>,
    keeper: AbortHandle,
}

/// Whether there is a way to the server.
#[derive(Clone)]
enum State {
    Up(Arc<Link>),
    Down { why: Arc<str>, since: Instant },
}

impl RedisStore {
    /// Connects, within some seconds, and stays connected in the background.
    ///
    /// # Errors
    /// [`StoreError::Failed`] where there is no server that takes writes; [`StoreError::Damaged`] where a newer version of
    /// Portcullis laid out what is there.
    pub async fn open(config: Arc<Redis>) -> Result<Self, StoreError> {
        let layout = Arc::new(Layout::new(&config.prefix));
        let started = Instant::now();
        let link = loop {
            match primary::open(&config, &layout).await {
                Ok(link) => break link,
                Err(why) if started.elapsed() > START => {
                    return Err(StoreError::Failed(format!("{}: {why}", config.url)));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        };
        let (told, state) = watch::channel(State::Up(Arc::clone(&link)));
        let keeper = tokio::spawn(keep(Arc::clone(&config), Arc::clone(&layout), link, told)).abort_handle();
        let meter = Scripts::new(&config.prefix);
        let store = Self { config, layout, meter, state, keeper };
        store.check_schema().await?;
        Ok(store)
    }

    async fn check_schema(&self) -> Result<(), StoreError> {
        let key = self.layout.schema();
        let mut ask = redis::pipe();
        ask.cmd("SET").arg(&key).arg(SCHEMA).arg("NX").ignore().cmd("GET").arg(&key);
        let ask = &ask;
        let asked = |link: Arc<Link>| async move { ask.query_async(&mut link.writes()).await };
        let (there,): (Option<u64>,) = self.on_link(WRITE, asked).await?;
        match there {
            Some(SCHEMA) => Ok(()),
            other => Err(StoreError::Damaged {
                path: format!("{} ({})", self.config.url, self.config.prefix),
                why: format!(
                    "its schema is {} and this version of Portcullis knows {SCHEMA}; run the version that made it",
                    other.map_or_else(|| "none".to_owned(), |other| other.to_string())
                ),
            }),
        }
    }

    /// The way to the server, once there is one.
    async fn link(&self) -> Result<Arc<Link>, StoreError> {
        let mut state = self.state.clone();
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                State::Up(link) if !link.is_lost() => return Ok(link),
                State::Down { why, since } if since.elapsed() > GRACE => return Err(self.failed(&why)),
                State::Up(_) | State::Down { .. } => {
                    state.changed().await.map_err(|_| self.failed("the gate stops"))?;
                }
            }
        }
    }

    /// Does it by `deadline`; once more where the server certainly did nothing and another takes its place.
    async fn on_link<T, F, A>(&self, deadline: Duration, ask: F) -> Result<T, StoreError>
    where
        F: Fn(Arc<Link>) -> A,
        A: Future<Output = Result<T, RedisError>>,
    {
        let asked = async {
            loop {
                let link = self.link().await?;
                match ask(Arc::clone(&link)).await {
                    Ok(done) => return Ok(done),
                    Err(error) if is_elsewhere(&error) => link.lose(),
                    Err(error) => {
                        if error.is_unrecoverable_error() {
                            link.lose();
                        }
                        return Err(self.failed(&format!("{}: {error}", link.at())));
                    }
                }
            }
        };
        self.by(deadline, asked).await
    }

    async fn by<T>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let late = |_| self.failed(&format!("no answer in {deadline:?}"));
        tokio::time::timeout(deadline, work).await.map_err(late)?
    }

    fn failed(&self, why: &str) -> StoreError {
        StoreError::Failed(format!("{}: {why}", self.config.url))
    }

    async fn write(
        &self,
        table: Table,
        entries: Vec<(Vec<u8>, Vec<u8>)>,
        expected: Option<u64>,
        life: Option<Duration>,
    ) -> Result<u64, StoreError> {
        if entries.is_empty() {
            return Ok(0);
        }
        let script = &self.layout.write(table, &entries, expected, life);
        let names = &entries.iter().map(|(key, _)| self.layout.entry(table, key)).collect::<Vec<_>>();
        let written = |link: Arc<Link>| async move {
            let mut writes = link.writes();
            let written: Result<String, _> = script.invoke_async(&mut writes).await;
            names.iter().for_each(|name| link.forget(name));
            Ok((written?, self.copies(&mut writes).await))
        };
        let (version, copies) = self.on_link(WRITE, written).await?;
        if version.is_empty() {
            return Err(StoreError::Changed);
        }
        self.replicated(copies)?;
        version.parse().map_err(|_| self.failed("a script answered with no version"))
    }

    async fn removed(&self, table: Table, key: &[u8], expected: Option<u64>) -> Result<bool, StoreError> {
        let (script, name) = (&self.layout.remove(table, key, expected), &self.layout.entry(table, key));
        let removed = |link: Arc<Link>| async move {
            let mut writes = link.writes();
            let removed: Result<i64, _> = script.invoke_async(&mut writes).await;
            link.forget(name);
            Ok((removed?, self.copies(&mut writes).await))
        };
        match self.on_link(WRITE, removed).await? {
            (-1, _) => Err(StoreError::Changed),
            (0, _) => Ok(false),
            (_, copies) => self.replicated(copies).map(|()| true),
        }
    }

    /// How many replicas have what was written on this very connection, where the operator wants some to: another connection
    /// has written nothing, and would not wait.
    async fn copies(&self, writes: &mut MultiplexedConnection) -> Result<u32, RedisError> {
        match self.config.replicas {
            0 => Ok(0),
            wanted => redis::cmd("WAIT").arg(wanted).arg(REPLICATE_MS).query_async(writes).await,
        }
    }

    fn replicated(&self, copies: Result<u32, RedisError>) -> Result<(), StoreError> {
        let wanted = self.config.replicas;
        match copies {
            Ok(have) if have >= wanted => Ok(()),
            Ok(have) => Err(self.failed(&format!("written, but {have} of {wanted} replicas have it"))),
            Err(error) => Err(self.failed(&format!("written, but perhaps on no replica: {error}"))),
        }
    }

    async fn read(&self, table: Table, key: &[u8]) -> Result<Option<Arc<Stored>>, StoreError> {
        let (name, keeps) = (&self.layout.entry(table, key), Keeps::of(table));
        if let State::Up(link) = &*self.state.borrow()
            && let Some(kept) = link.kept(name, keeps)
        {
            return Ok(kept.stored);
        }
        let asked = |link: Arc<Link>| async move {
            let ticket = link.begin(name, keeps);
            let bytes: Option<Vec<u8>> = redis::cmd("GET").arg(name).query_async(&mut link.reads()).await?;
            Ok(found(&link, ticket, bytes.as_deref(), keeps))
        };
        self.on_link(READ, asked).await?
    }
}

/// What an answer says; it is kept where it may be.
fn found(
    link: &Link,
    ticket: Option<Ticket<'_>>,
    bytes: Option<&[u8]>,
    keeps: Keeps,
) -> Result<Option<Arc<Stored>>, StoreError> {
    let entry = bytes.map(Entry::read).transpose()?;
    let until = entry.as_ref().and_then(|entry| entry.vanishes_at).map(|at| link.here(at));
    let stored = entry.map(|entry| Arc::new(entry.stored));
    if let Some(ticket) = ticket.filter(|_| stored.is_some() || keeps == Keeps::Absence) {
        ticket.keep(Kept { stored: stored.clone(), until });
    }
    Ok(stored)
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisStore({})", self.config.url)
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        Ok(self.read(table, key).await?.map(|stored| Stored::clone(&stored)))
    }

    async fn put(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
        expected: Option<u64>,
    ) -> Result<u64, StoreError> {
        self.write(table, vec![(key.to_vec(), value.to_vec())], expected, None).await
    }

    async fn put_for(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
        expected: Option<u64>,
        life: Duration,
    ) -> Result<u64, StoreError> {
        self.write(table, vec![(key.to_vec(), value.to_vec())], expected, Some(life)).await
    }

    async fn put_all(&self, table: Table, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), StoreError> {
        self.write(table, entries, None, None).await.map(drop)
    }

    async fn remove(&self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        self.removed(table, key, None).await
    }

    async fn remove_version(&self, table: Table, key: &[u8], expected: u64) -> Result<bool, StoreError> {
        self.removed(table, key, Some(expected)).await
    }

    async fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Stored)>, StoreError> {
        self.page(table, prefix, None, usize::MAX).await
    }

    /// In parts: an entry that comes or goes meanwhile may be in it or not.
    async fn page(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Stored)>, StoreError> {
        let (mut found, mut after) = (Vec::new(), after.map(<[u8]>::to_vec));
        loop {
            let wanted = CHUNK.min(limit.saturating_sub(found.len()));
            let script = self.layout.page(table, prefix, after.as_deref(), wanted);
            let script = &script;
            let asked = |link: Arc<Link>| async move { script.invoke_async(&mut link.reads()).await };
            let part: Vec<(Vec<u8>, Vec<u8>)> = self.on_link(WRITE, asked).await?;
            let is_last = part.len() < wanted;
            after = part.last().map(|(key, _)| key.clone()).or(after);
            for (key, bytes) in part.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
                found.push((key, Entry::read(&bytes)?.stored));
            }
            if is_last || found.len() >= limit {
                return Ok(found);
            }
        }
    }

    async fn vanishing(&self, table: Table) -> Result<HashMap<Vec<u8>, Duration>, StoreError> {
        let mut ask = redis::pipe();
        ask.cmd("TIME").cmd("ZRANGE").arg(self.layout.vanishing(table)).arg("0").arg("-1").arg("WITHSCORES");
        let ask = &ask;
        let asked = |link: Arc<Link>| async move { ask.query_async(&mut link.reads()).await };
        let ((seconds, micros), found): ((u64, u64), Vec<(Vec<u8>, f64)>) =
            self.on_link(WRITE, asked).await?;
        let now = Duration::from_secs(seconds) + Duration::from_micros(micros);
        let left =
            |at_ms: f64| Duration::try_from_secs_f64(at_ms / 1000.0).unwrap_or_default().checked_sub(now);
        Ok(found.into_iter().filter_map(|(key, at)| Some((key, left(at)?))).collect())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn meter(&self) -> Option<&dyn Meter> {
        Some(self)
    }

    fn health(&self) -> Result<(), StoreError> {
        match &*self.state.borrow() {
            State::Up(link) if !link.is_lost() => Ok(()),
            State::Up(link) => Err(self.failed(&format!("{}: the connection is lost", link.at()))),
            State::Down { why, .. } => Err(self.failed(why)),
        }
    }
}

/// Watches the way to the server, and finds a new one when it is lost.
async fn keep(config: Arc<Redis>, layout: Arc<Layout>, mut link: Arc<Link>, told: watch::Sender<State>) {
    loop {
        let lost: Arc<str> = link.watch().await.into();
        tracing::warn!(store = %config.url, why = %lost, "Lost the store");
        let since = Instant::now();
        told.send_replace(State::Down { why: lost, since });
        link = search(&config, &layout, |why| {
            told.send_replace(State::Down { why: why.to_string().into(), since });
        })
        .await;
        tracing::info!(store = %config.url, server = %link.at(), after = ?since.elapsed(), "Found the store again");
        told.send_replace(State::Up(Arc::clone(&link)));
    }
}

/// Tries until there is one, ever more slowly, and not all gates at once.
async fn search(config: &Redis, layout: &Layout, failed: impl Fn(&Unlinked)) -> Arc<Link> {
    let (mut wait, most) = AGAIN;
    loop {
        match primary::open(config, layout).await {
            Ok(link) => return link,
            Err(why) => {
                tracing::debug!(store = %config.url, %why, "The store is not there yet");
                failed(&why);
            }
        }
        tokio::time::sleep(wait.mul_f64(jitter())).await;
        wait = (wait * 2).min(most);
    }
}

/// Between a half and one.
fn jitter() -> f64 {
    let mut byte = [0];
    let _ = aws_lc_rs::rand::fill(&mut byte);
    0.5 + f64::from(byte[0]) / 512.0
}
