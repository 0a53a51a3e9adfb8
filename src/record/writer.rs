//! Whoever holds it writes the chain: takes all lines that wait, links them, and writes them with one call.
//!
//! # Why one writer, one write, and two who may hold it
//! A chain has one end, so that somebody must be last to hold the pen; and what comes while they write becomes the next
//! batch: the busier the gate, the cheaper a line. Where a line must be on the disk before its call goes on, and wherever
//! the disk is slow or broken, a thread of its own writes, and keeps that off the threads that serve. Else a batch is a
//! copy into the system's memory, which takes less than waking that thread: the task that brought it writes it itself.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config::{Audit, Fsync};
use crate::record::chain::Chain;
use crate::record::health::Health;
use crate::record::keeper::{self, Head, Keep};
use crate::record::key::Signer;
use crate::record::line;
use crate::record::outcome::{Outcome, Status};
use crate::record::queue::{Batch, More, Queue};
use crate::record::recover::{Left, Recovered};
use crate::record::segment::Segment;

/// How long the writer waits before it tries a broken disk again.
const RETRY: Duration = Duration::from_millis(250);

/// A write that takes longer is not repeated by a task that serves for as long as [`REST`].
const SLOW: Duration = Duration::from_millis(2);

/// How long the thread alone writes after the disk was slow.
const REST: Duration = Duration::from_secs(1);

/// What the writer shares with the rest.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) queue: Arc<Queue>,
    pub(super) health: Arc<Health>,
    pub(super) keep: Arc<Keep>,
    pub(super) signer: Arc<Signer>,
}

/// The writer.
pub(super) struct Writer {
    shared: Shared,
    directory: PathBuf,
    fsync: Fsync,
    segment_bytes: u64,
    chain: Chain,
    segment: Segment,
    /// The segment has its last line.
    ended: bool,
    /// The segment before this one.
    previous: Option<String>,
    /// What nobody waits for of a batch that could not be written, and how many of it were refused.
    kept: Batch,
    refused: u64,
    /// Until then the thread alone writes.
    slow_until: Option<Instant>,
    batch: Batch,
    out: Vec<u8>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({})", self.segment.name())
    }
}

#[derive(Serialize)]
struct Opened<'a> {
    kind: &'static str,
    segment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<&'a str>,
    hash: String,
    gate: &'static str,
}

#[derive(Serialize)]
struct Closed<'a> {
    kind: &'static str,
    segment: &'a str,
    /// Lines of the segment, this one not counted.
    count: u64,
    /// The hash of the last of them.
    last: String,
}

impl Writer {
    /// Goes on where the chain left off; the first lines are on the disk when this returns.
    pub(super) fn start(shared: Shared, audit: &Audit, left: Left) -> std::io::Result<Self> {
        let segment = match left.segment {
            Some(segment) => segment,
            None => create(&audit.directory, left.chain)?,
        };
        let mut writer = Self {
            shared,
            directory: audit.directory.clone(),
            fsync: audit.fsync,
            segment_bytes: audit.segment_bytes,
            chain: left.chain,
            segment,
            ended: false,
            previous: left.previous,
            kept: Batch::default(),
            refused: 0,
            slow_until: None,
            batch: Batch::default(),
            out: Vec::new(),
        };
        let unknown = Outcome::bare(Status::Unknown);
        let mut batch = Batch::default();
        for (invocation, tenant) in &left.unfinished {
            batch.push(&line::outcome(*invocation, tenant.as_ref(), &unknown, Duration::ZERO), None);
        }
        writer.append(left.recovered.as_ref(), &batch)?;
        writer.segment.sync()?;
        Ok(writer)
    }

    /// The thread: writes until the queue is closed and empty, then closes the segment.
    pub(super) fn run(this: &Mutex<Self>, queue: &Queue) {
        loop {
            queue.wait();
            let mut writer = this.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(writer.turn(), More::End) {
                writer.close();
                writer.shared.keep.stop();
                return;
            }
        }
    }

    /// Writes what waits, in the task of a call; false where that is the thread's to do.
    pub(super) fn write_now(&mut self) -> bool {
        let now = Instant::now();
        if !self.is_quick(now) {
            return false;
        }
        let mut batch = std::mem::take(&mut self.batch);
        self.shared.queue.take(&mut batch);
        match self.append(None, &batch) {
            Ok(()) => acknowledge(&mut batch),
            Err(error) => {
                self.fail(&error);
                self.set_aside(&mut batch);
                self.shared.queue.rouse();
            }
        }
        if now.elapsed() > SLOW {
            self.slow_until = Some(now + REST);
        }
        self.batch = batch;
        true
    }

    /// Whether a write is no more than a copy into the system's memory.
    fn is_quick(&self, now: Instant) -> bool {
        let health = &self.shared.health;
        self.fsync != Fsync::Always
            && !self.ended
            && self.segment.length() < self.segment_bytes
            && !health.is_red()
            && health.lost() == 0
            && self.slow_until.is_none_or(|until| until <= now)
    }

    fn turn(&mut self) -> More {
        let mut batch = std::mem::take(&mut self.batch);
        let more = self.shared.queue.take(&mut batch);
        if matches!(more, More::Lines) {
            if batch.items.is_empty() && !self.segment.is_there() {
                self.shared.health.fail(format!("`{}` is gone", self.path().display()));
            }
            if self.shared.health.is_red() {
                self.outlast(&mut batch);
            } else if !batch.items.is_empty() {
                self.write(&mut batch);
            }
        }
        self.batch = batch;
        more
    }

    /// Writes one batch, or refuses its intents.
    fn write(&mut self, batch: &mut Batch) {
        let lost = self.shared.health.lost();
        let recovered =
            (lost > 0).then(|| Recovered::new("the audit queue was full".to_owned()).losing(lost));
        match self.append(recovered.as_ref(), batch) {
            Ok(()) => {
                self.shared.health.told(lost);
                acknowledge(batch);
                self.rotate_if_full();
            }
            Err(error) => {
                self.fail(&error);
                self.outlast(batch);
            }
        }
    }

    /// Refuses intents and keeps everything else until the disk takes it.
    fn outlast(&mut self, batch: &mut Batch) {
        loop {
            self.set_aside(batch);
            match self.try_again() {
                Ok(()) => return,
                Err(error) => self.fail(&error),
            }
            let lines = self.kept.items.len();
            self.shared.queue.wait_for(RETRY, lines);
            if matches!(self.shared.queue.take(batch), More::End) {
                tracing::error!(lines, "Audit lines are lost: the gate stops and they cannot be written");
                return;
            }
        }
    }

    /// Keeps what nobody waits for; who waits learns that nothing was written.
    fn set_aside(&mut self, batch: &mut Batch) {
        self.refused = self.refused.saturating_add(keep_facts(batch, &mut self.kept));
        self.shared.queue.keeps(self.kept.items.len());
    }

    fn try_again(&mut self) -> std::io::Result<()> {
        if self.ended || !self.segment.is_there() {
            self.begin()?;
        }
        let lost = self.shared.health.lost();
        let refused = self.refused;
        let what = format!("writing had failed; {refused} calls were refused while they waited for it");
        let recovered = Recovered::new(what).losing(lost);
        let kept = std::mem::take(&mut self.kept);
        if let Err(error) = self.append(Some(&recovered), &kept) {
            self.kept = kept;
            return Err(error);
        }
        // They are on the chain now, whatever comes of the disk: never a second time.
        self.refused = 0;
        self.shared.queue.keeps(0);
        self.shared.health.told(lost);
        self.segment.sync()?;
        self.shared.health.mend();
        Ok(())
    }

    /// Links and writes whole lines, or changes nothing.
    fn append(&mut self, recovered: Option<&Recovered>, batch: &Batch) -> std::io::Result<()> {
        let mut chain = self.chain;
        let time = keeper::now();
        self.out.clear();
        if self.segment.lines() == 0 {
            let opened = Opened {
                kind: "opened",
                segment: self.segment.name(),
                previous: self.previous.as_deref(),
                hash: chain.hash.to_string(),
                gate: env!("CARGO_PKG_VERSION"),
            };
            chain.link(&mut self.out, &time, &line::body(&opened));
        }
        if let Some(recovered) = recovered {
            chain.link(&mut self.out, &time, &line::body(recovered));
        }
        for body in batch.bodies() {
            chain.link(&mut self.out, &time, body);
        }
        self.put(chain)
    }

    /// Writes `self.out`, which leads to `chain`, and forces it to the disk where that is asked for.
    fn put(&mut self, chain: Chain) -> std::io::Result<()> {
        let lines = chain.seq.saturating_sub(self.chain.seq);
        self.segment.append(&self.out, lines)?;
        if self.fsync == Fsync::Always
            && let Err(error) = self.segment.sync()
        {
            self.segment.take_back(self.out.len(), lines);
            return Err(error);
        }
        self.chain = chain;
        self.shared.health.wrote(lines);
        let unsynced = match self.fsync {
            Fsync::Always => None,
            Fsync::Every(_) => Some(self.segment.file()),
        };
        self.shared.keep.reached(Head { segment: self.segment.name().to_owned(), chain }, unsynced);
        Ok(())
    }

    fn rotate_if_full(&mut self) {
        if self.segment.length() < self.segment_bytes {
            return;
        }
        self.close();
        if let Err(error) = self.begin().and_then(|()| self.append(None, &Batch::default())) {
            self.fail(&error);
        }
    }

    fn begin(&mut self) -> std::io::Result<()> {
        let next = create(&self.directory, self.chain)?;
        self.previous = Some(self.segment.name().to_owned());
        self.segment = next;
        self.ended = false;
        Ok(())
    }

    /// Ends the segment with a signed line.
    fn close(&mut self) {
        let closed = Closed {
            kind: "closed",
            segment: self.segment.name(),
            count: self.segment.lines(),
            last: self.chain.hash.to_string(),
        };
        let body = line::body(&closed);
        let mut chain = self.chain;
        self.out.clear();
        chain.link_signed(&mut self.out, &keeper::now(), &body, &self.shared.signer);
        match self.put(chain) {
            Ok(()) => self.ended = true,
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&self, error: &std::io::Error) {
        self.shared.health.fail(format!("cannot write `{}`: {error}", self.path().display()));
    }

    fn path(&self) -> PathBuf {
        self.directory.join(self.segment.name())
    }
}

fn create(directory: &std::path::Path, chain: Chain) -> std::io::Result<Segment> {
    Segment::create(directory, chain.seq.saturating_add(1), jiff::Timestamp::now())
}

fn acknowledge(batch: &mut Batch) {
    for waiter in batch.items.drain(..).filter_map(|item| item.waiter) {
        let _ = waiter.send(());
    }
    batch.clear();
}

/// Moves what nobody waits for to `kept`; who waits learns that nothing was written. Says how many those were.
fn keep_facts(batch: &mut Batch, kept: &mut Batch) -> u64 {
    let mut refused = 0;
    for (item, body) in batch.items.iter().zip(batch.bodies()) {
        if item.waiter.is_none() {
            kept.push(body, None);
        } else {
            refused += 1;
        }
    }
    batch.clear();
    refused
}
