//! What happened: an intent before a call is forwarded, an outcome after, refusals too, on a chain that cannot be edited.
//!
//! # Why two lines
//! The first must be written or the call is not made. The second cannot undo what the server did, so that it never holds
//! up or changes an answer; an intent without an outcome says "nobody knows", which is true.
//!
//! # The files
//! `audit-<first seq>-<time>.jsonl` are the segments, one JSON object a line; `audit.pub` verifies their signatures; `HEAD`
//! says how far the chain had come a moment ago; `LOCK` keeps a second gate out. See [`verify`] for what is noticed.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::{Audit, Fsync};
use crate::name::{Invocation, TenantId};
use crate::record::health::Health;
use crate::record::keeper::{Keep, Keeper};
use crate::record::key::Signer;
use crate::record::queue::{Queue, Wake};
use crate::record::writer::{Shared, Writer};
use crate::refusal::Refusal;
use crate::secret::Key;

mod candidate;
mod chain;
mod change;
mod drift;
mod health;
mod keeper;
mod key;
mod line;
mod mac;
pub mod metrics;
mod outcome;
mod question;
mod queue;
pub mod read;
mod recover;
mod segment;
pub mod trace;
mod unkept;
pub mod verify;
mod writer;

pub use candidate::{ListLine, PolicyEvent, PolicyLine, ToolSeen};
pub use change::ChangeLine;
pub use drift::DriftLine;
pub use key::AuditKey;
pub use line::{About, Intent, RefusalLine};
pub use mac::{Mac, MacStream, Macs};
pub use outcome::{Outcome, Status};
pub use question::QuestionLine;

/// How many lines may wait for the disk.
const CAPACITY: usize = 8192;

/// Why the audit chain cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file or directory could not be used.
    #[error("{what} `{path}`: {why}", path = .path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A key file is no key.
    #[error("`{path}` is no audit key: {what}", path = .path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        what: &'static str,
    },
    /// The public key beside the segments is another gate's.
    #[error(
        "`{path}` is not the public key of this gate's audit key: another gate's chain is in this directory, or \
         the key was replaced; give this gate a directory of its own, or restore the key",
        path = .0.display()
    )]
    ForeignChain(PathBuf),
    /// Another gate writes here.
    #[error("the audit directory `{path}` is in use by another gate", path = .0.display())]
    InUse(PathBuf),
    /// The system gave no random bytes.
    #[error("no key could be made: the system has no random bytes")]
    Crypto,
}

impl RecordError {
    fn io(what: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), why: error.to_string() }
    }
}

/// The audit chain of this gate.
#[derive(Debug)]
pub struct Record {
    queue: Arc<Queue>,
    writer: Arc<Mutex<Writer>>,
    health: Arc<Health>,
    macs: Macs,
    timeout: Duration,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: File,
}

impl Record {
    /// Opens the chain in `audit.directory`, recovers it where the last stop was not clean, and starts its threads.
    /// `state`: the directory of the signing key; `gate_key`: what the key of argument hashes is derived from.
    ///
    /// # Errors
    /// The directory or the key cannot be used, or another gate uses it.
    pub fn open_chain(audit: &Audit, state: &Path, gate_key: &Key) -> Result<Self, RecordError> {
        let directory = &audit.directory;
        let failed =
            |error: &std::io::Error| RecordError::io("cannot write the audit directory", directory, error);
        fs::create_dir_all(directory).map_err(|e| failed(&e))?;
        let lock = lock(directory)?;
        let signer = Arc::new(Signer::load_or_make(state)?);
        publish(&signer, directory)?;
        let left = recover::left(directory, &signer.public())?;
        let shared = Shared {
            queue: Arc::new(Queue::new(CAPACITY)),
            health: Arc::default(),
            keep: Arc::<Keep>::default(),
            signer,
        };
        let (queue, health) = (Arc::clone(&shared.queue), Arc::clone(&shared.health));
        let (writer, threads) = start(shared, audit, left).map_err(|e| failed(&e))?;
        Ok(Self {
            queue,
            writer,
            health,
            macs: Macs::derive(gate_key),
            timeout: audit.timeout,
            threads: Mutex::new(threads),
            _lock: lock,
        })
    }

    /// Puts a call on the record. It returns when the line is written (with `fsync: always`: on the disk).
    ///
    /// # Errors
    /// [`Refusal::NotRecorded`]: the line is not written, or not in time; the call must not be made.
    pub async fn open(&self, intent: Intent<'_>) -> Result<Entry, Refusal> {
        if self.health.is_red() {
            return Err(Refusal::NotRecorded);
        }
        let body = line::intent(&intent, &self.macs);
        let (written, wake) = self.queue.intent(&body).map_err(|_| Refusal::NotRecorded)?;
        let mut entry = Entry {
            queue: Arc::clone(&self.queue),
            health: Arc::clone(&self.health),
            invocation: intent.permit.invocation(),
            tenant: intent.permit.caller().tenant().clone(),
            opened: Instant::now(),
            closed: false,
        };
        if let Some(wake) = wake {
            tokio::task::yield_now().await;
            self.see_to(wake);
        }
        match tokio::time::timeout(self.timeout, written).await {
            Ok(Ok(())) => Ok(entry),
            Ok(Err(_)) => {
                entry.closed = true;
                Err(Refusal::NotRecorded)
            }
            Err(_) => {
                entry.close(Outcome::refused(&Refusal::NotRecorded));
                Err(Refusal::NotRecorded)
            }
        }
    }

    /// Writes what waits, or has it written.
    fn see_to(&self, wake: Wake<'_>) {
        // Whoever holds the pen may have taken what waited before ours came: then the thread looks again.
        let written = self.writer.try_lock().is_ok_and(|mut writer| writer.write_now());
        if written { wake.spare() } else { drop(wake) }
    }

    /// Puts a message that goes no further on the record, without waiting for it.
    pub fn refused(&self, refused: &RefusalLine<'_>) {
        if self.queue.refusal(&line::refused(refused, &self.macs)).is_err() {
            self.health.lose();
        }
    }

    /// Puts a tool that is not what was pinned on the record, without waiting for it.
    pub fn drifted(&self, drifted: &DriftLine<'_>) {
        if self.queue.refusal(&drift::line(drifted)).is_err() {
            self.health.lose();
        }
    }

    /// Puts a list that a second policy would show otherwise on the record, without waiting for it.
    pub fn listed(&self, listed: &ListLine<'_>) {
        if self.queue.refusal(&candidate::list(listed)).is_err() {
            self.health.lose();
        }
    }

    /// Puts a step of a candidate policy on the record, without waiting for it.
    pub fn policy(&self, step: &PolicyLine<'_>) {
        if self.queue.refusal(&candidate::policy(step)).is_err() {
            self.health.lose();
        }
    }

    /// Puts a change by the admin API on the record, without waiting for it.
    pub fn changed(&self, change: &ChangeLine<'_>) {
        if self.queue.refusal(&change::line(change)).is_err() {
            self.health.lose();
        }
    }

    /// Puts a question about a call on the record, without waiting for it.
    pub fn asked(&self, question: &QuestionLine<'_>) {
        if self.queue.refusal(&question::line(question, &self.macs)).is_err() {
            self.health.lose();
        }
    }

    /// Makes the keyed hashes of results.
    #[must_use]
    pub fn macs(&self) -> &Macs {
        &self.macs
    }

    /// Whether calls can be recorded now.
    ///
    /// # Errors
    /// Why not, for the operator.
    pub fn health(&self) -> Result<(), String> {
        if self.queue.is_full() {
            return Err("the audit queue is full: the disk does not keep up".to_owned());
        }
        self.health.reason().map_or(Ok(()), Err)
    }

    /// How many lines wait for the disk.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// How many lines this process has written.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.health.lines()
    }

    /// Writes what waits, closes the segment with its signature, and ends the threads. No call is recorded afterwards.
    pub fn stop(&self) {
        self.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A call whose intent is on the record. Dropped without [`Entry::close`], it is closed as `abandoned`.
#[derive(Debug)]
#[must_use]
pub struct Entry {
    queue: Arc<Queue>,
    health: Arc<Health>,
    invocation: Invocation,
    tenant: TenantId,
    opened: Instant,
    closed: bool,
}

impl Entry {
    /// Puts the outcome on the record, without waiting for it.
    pub fn close(mut self, outcome: Outcome) {
        self.end(&outcome);
    }

    fn end(&mut self, outcome: &Outcome) {
        self.closed = true;
        let body = line::outcome(self.invocation, Some(&self.tenant), outcome, self.opened.elapsed());
        if self.queue.outcome(&body).is_err() {
            self.health.lose();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.closed {
            self.end(&Outcome::bare(Status::Abandoned));
        }
    }
}

fn lock(directory: &Path) -> Result<File, RecordError> {
    let path = directory.join("LOCK");
    let failed = |error: &std::io::Error| RecordError::io("cannot lock the audit directory", &path, error);
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| failed(&e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RecordError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}

/// Puts the public key beside the segments; one that is there already must be the same.
fn publish(signer: &Signer, directory: &Path) -> Result<(), RecordError> {
    let path = AuditKey::path(directory);
    if !path.exists() {
        let written = fs::write(&path, signer.public().to_pem());
        return written.map_err(|e| RecordError::io("cannot write the audit public key", &path, &e));
    }
    if AuditKey::read(&path)? == signer.public() { Ok(()) } else { Err(RecordError::ForeignChain(path)) }
}

/// The writer and its threads.
type Started = (Arc<Mutex<Writer>>, Vec<JoinHandle<()>>);

fn start(shared: Shared, audit: &Audit, left: recover::Left) -> std::io::Result<Started> {
    let keeper = Keeper {
        keep: Arc::clone(&shared.keep),
        health: Arc::clone(&shared.health),
        directory: audit.directory.clone(),
        signer: Arc::clone(&shared.signer),
        every: match audit.fsync {
            Fsync::Always => Duration::ZERO,
            Fsync::Every(time) => time,
        },
    };
    let queue = Arc::clone(&shared.queue);
    let writer = Arc::new(Mutex::new(Writer::start(shared, audit, left)?));
    let own = Arc::clone(&writer);
    let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let threads = vec![
        named("audit").spawn(move || Writer::run(&own, &queue))?,
        named("audit-disk").spawn(move || keeper.run())?,
    ];
    Ok((writer, threads))
}

#[cfg(test)]
mod tests;
