//! The thread behind the writer: forces segments to the disk and signs how far the chain has come.
//!
//! # Why a HEAD file
//! Whoever cuts lines off the end of a segment that is still open leaves a chain without a flaw. `HEAD` says, signed, which
//! line was the last a moment ago, so that a shorter chain is noticed. It lies beside the segments and is written at most
//! once a second, after the lines that it names are on the disk. What it cannot notice: lines of the last second, and an
//! attacker who puts back an older `HEAD` together with the older segment; against that, copy `HEAD` elsewhere.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::record::chain::{self, Chain, Hash};
use crate::record::health::Health;
use crate::record::key::{AuditKey, Signer};

/// `HEAD` is written at most so often.
const HEAD_EVERY: Duration = Duration::from_secs(1);

/// The name of the file.
pub(super) const HEAD_FILE: &str = "HEAD";

/// How far the chain had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The segment of the last line.
    pub(super) segment: String,
    /// The last line.
    pub(super) chain: Chain,
}

#[derive(Serialize, Deserialize)]
struct Written<'a> {
    kind: &'a str,
    segment: &'a str,
    seq: u64,
    hash: &'a str,
    time: &'a str,
}

impl Head {
    /// Reads `HEAD`; `None`: it is not there.
    pub(super) fn read(directory: &Path, key: &AuditKey) -> io::Result<Option<Self>> {
        let text = match fs::read(directory.join(HEAD_FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "its signature is not this gate's");
        let line = text.strip_suffix(b"\n").filter(|line| chain::is_signed(line, key)).ok_or_else(bad)?;
        let written: Written<'_> = serde_json::from_slice(line).map_err(|_| bad())?;
        let hash = Hash::parse(written.hash).ok_or_else(bad)?;
        Ok(Some(Self { segment: written.segment.to_owned(), chain: Chain { seq: written.seq, hash } }))
    }

    fn write(&self, directory: &Path, signer: &Signer) -> io::Result<()> {
        let (hash, time) = (self.chain.hash.to_string(), now());
        let written =
            Written { kind: "head", segment: &self.segment, seq: self.chain.seq, hash: &hash, time: &time };
        let mut line = chain::sign(&serde_json::to_vec(&written)?, signer);
        line.push(b'\n');
        let (new, old) = (directory.join("HEAD.new"), directory.join(HEAD_FILE));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&line)?;
        file.sync_data()?;
        fs::rename(new, old)
    }
}

/// The time as lines write it: RFC 3339 in UTC, with microseconds.
pub(super) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[derive(Debug, Default)]
struct Due {
    files: Vec<Arc<File>>,
    head: Option<Head>,
    stop: bool,
}

/// What the writer hands to the keeper.
#[derive(Debug, Default)]
pub(super) struct Keep {
    due: Mutex<Due>,
    wake: Condvar,
}

impl Keep {
    /// The chain has come to `head`. `unsynced`: the file that is yet to be forced to the disk.
    pub(super) fn reached(&self, head: Head, unsynced: Option<&Arc<File>>) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = due.head.is_none();
        due.head = Some(head);
        if let Some(file) = unsynced
            && !due.files.last().is_some_and(|last| Arc::ptr_eq(last, file))
        {
            due.files.push(Arc::clone(file));
        }
        if idle {
            self.wake.notify_one();
        }
    }

    /// The chain ends here.
    pub(super) fn stop(&self) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.wake.notify_one();
    }
}

/// The keeper's own part.
pub(super) struct Keeper {
    pub(super) keep: Arc<Keep>,
    pub(super) health: Arc<Health>,
    pub(super) directory: PathBuf,
    pub(super) signer: Arc<Signer>,
    /// Lines are forced to the disk at the latest so much later.
    pub(super) every: Duration,
}

impl Keeper {
    /// Runs until the chain ends.
    pub(super) fn run(self) {
        let mut last_head: Option<Instant> = None;
        loop {
            self.wait_for_work();
            let stop = self.rest(last_head);
            let (files, head) = self.collect();
            let synced = files.iter().try_for_each(|file| file.sync_data());
            let done = match (synced, head) {
                (Err(error), _) => Err(format!("cannot force the audit to the disk: {error}")),
                (Ok(()), Some(head)) if stop || last_head.is_none_or(|at| at.elapsed() >= HEAD_EVERY) => {
                    last_head = Some(Instant::now());
                    head.write(&self.directory, &self.signer)
                        .map_err(|error| format!("cannot write the audit's HEAD: {error}"))
                }
                (Ok(()), head) => {
                    self.put_back(head);
                    Ok(())
                }
            };
            if let Err(why) = done {
                self.health.fail(why);
            }
            if stop {
                return;
            }
        }
    }

    fn wait_for_work(&self) {
        let mut due = self.keep.due.lock().unwrap_or_else(PoisonError::into_inner);
        while due.head.is_none() && !due.stop {
            due = self.keep.wake.wait(due).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the next file or `HEAD` is due; true when the chain ends.
    fn rest(&self, last_head: Option<Instant>) -> bool {
        let due = self.keep.due.lock().unwrap_or_else(PoisonError::into_inner);
        let head_in = last_head.map_or(Duration::ZERO, |at| HEAD_EVERY.saturating_sub(at.elapsed()));
        let time = if due.files.is_empty() { head_in } else { self.every };
        let (due, _) = self
            .keep
            .wake
            .wait_timeout_while(due, time, |due| !due.stop)
            .unwrap_or_else(PoisonError::into_inner);
        due.stop
    }

    fn collect(&self) -> (Vec<Arc<File>>, Option<Head>) {
        let mut due = self.keep.due.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut due.files), due.head.take())
    }

    fn put_back(&self, head: Option<Head>) {
        let mut due = self.keep.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.head = due.head.take().or(head);
    }
}
