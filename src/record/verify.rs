//! Whether a chain is whole: which line was changed, is missing, was moved or was cut off.
//!
//! # What is noticed
//! Every changed byte, every missing, added or moved line and every missing segment between the first line and the last
//! signature; also a missing beginning, and an end that is shorter than `HEAD` says. What is not: a change within the
//! lines that were written after the last `HEAD` (about a second), and an older `HEAD` put back with the older segments.
//! Against that, keep copies of `HEAD` where this machine cannot write.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Serialize;

use crate::record::RecordError;
use crate::record::chain::{self, Chain, Facts, Hash, Kind};
use crate::record::keeper::{HEAD_FILE, Head};
use crate::record::key::AuditKey;
use crate::record::segment::{self, Found};
use crate::record::verify::state::Doubt;

mod state;

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Segments read.
    pub segments: usize,
    /// Lines read.
    pub lines: u64,
    /// The number of the last line.
    pub last: u64,
    /// Calls whose outcome is not on the record: in flight, or nobody knows.
    pub unfinished: usize,
    /// Whether the last segment is still open.
    pub open: bool,
    /// What is wrong; empty: the chain is whole.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file's name.
    pub file: String,
    /// The line in the file, from 1.
    pub line: Option<u64>,
    /// The number of the line in the chain.
    pub seq: Option<u64>,
    /// What is wrong with it.
    pub what: Wrong,
}

/// What can be wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// The line is not what the gate wrote.
    Changed,
    /// Lines are not there.
    Missing {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// The line stands where another belongs.
    Moved,
    /// The file ends within a line.
    Torn,
    /// The segment has no signed last line although another follows.
    NotClosed,
    /// The signature is not the key's.
    Unsigned,
    /// There is no `HEAD`, so that nobody can say whether lines were cut off the end.
    NoHead,
    /// `HEAD` cannot be read, or its signature is not the key's.
    BadHead(String),
    /// There are no segments.
    Nothing,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(seq) = self.seq {
            write!(f, " (seq {seq})")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("the line was changed: it is not what the gate wrote"),
            Self::Missing { from, to } if from == to => write!(f, "line {from} is missing before this place"),
            Self::Missing { from, to } => write!(f, "lines {from} to {to} are missing before this place"),
            Self::Moved => f.write_str("the line does not belong here: it was moved, doubled or added"),
            Self::Torn => f.write_str("the file ends within a line"),
            Self::NotClosed => {
                f.write_str("the segment has no signed last line, although another one follows")
            }
            Self::Unsigned => f.write_str("the signature is not this key's"),
            Self::NoHead => f.write_str("there is no `HEAD`: lines may have been cut off the end"),
            Self::BadHead(why) => write!(f, "`HEAD` cannot be trusted: {why}"),
            Self::Nothing => f.write_str("there are no audit segments"),
        }
    }
}

/// Verifies all segments in `directory` against `key`.
///
/// # Errors
/// A file cannot be read. What is wrong *in* the files is in the report.
pub fn verify(directory: &Path, key: &AuditKey) -> Result<Report, RecordError> {
    let failed = |path: &Path, error: &std::io::Error| RecordError::io("cannot read the audit", path, error);
    let segments = segment::list(directory).map_err(|e| failed(directory, &e))?;
    let mut check = Check::new(key, Head::read(directory, key));
    for (index, found) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        check.segment(found, last).map_err(|e| failed(&found.path, &e))?;
    }
    Ok(check.finish(segments.len()))
}

struct Check<'k> {
    key: &'k AuditKey,
    head: Option<Head>,
    report: Report,
    doubt: Doubt,
    chain: Option<Chain>,
    open: BTreeSet<String>,
    closed: bool,
}

impl<'k> Check<'k> {
    fn new(key: &'k AuditKey, head: std::io::Result<Option<Head>>) -> Self {
        let mut report = Report::default();
        let wrong = match &head {
            Ok(Some(_)) => None,
            Ok(None) => Some(Wrong::NoHead),
            Err(error) => Some(Wrong::BadHead(error.to_string())),
        };
        let file = HEAD_FILE.to_owned();
        report.findings.extend(wrong.map(|what| Finding { file, line: None, seq: None, what }));
        Self {
            key,
            head: head.ok().flatten(),
            report,
            doubt: Doubt::default(),
            chain: None,
            open: BTreeSet::new(),
            closed: false,
        }
    }

    fn segment(&mut self, found: &Found, last: bool) -> std::io::Result<()> {
        let mut reader = BufReader::with_capacity(1 << 16, File::open(&found.path)?);
        let (mut line, mut number) = (Vec::new(), 0_u64);
        self.closed = false;
        while reader.read_until(b'\n', &mut line)? > 0 {
            number = number.saturating_add(1);
            let place = Place { file: &found.name, line: number, first: found.first };
            match line.strip_suffix(b"\n") {
                Some(line) => self.line(place, line),
                None => self.find(place, None, Wrong::Torn),
            }
            line.clear();
        }
        if !self.closed && !last {
            let seq = self.chain.map(|chain| chain.seq);
            self.find(Place { file: &found.name, line: number, first: found.first }, seq, Wrong::NotClosed);
        }
        Ok(())
    }

    fn line(&mut self, place: Place<'_>, line: &[u8]) {
        self.report.lines = self.report.lines.saturating_add(1);
        let hash = Hash::of(line);
        let Some(facts) = Facts::read(line) else {
            let seq = self.chain.map_or(place.first, |chain| chain.seq.saturating_add(1));
            self.settle(true);
            self.find(place, Some(seq), Wrong::Changed);
            self.chain = Some(Chain { seq, hash });
            self.doubt.excuse();
            return;
        };
        if self.closed {
            self.find(place, Some(facts.seq), Wrong::Moved);
        }
        self.place(place, &facts);
        self.content(place, &facts, line);
        self.against_head(place, facts.seq, hash);
        self.chain = Some(Chain { seq: facts.seq, hash });
    }

    /// Whether the line stands where it belongs and names the line before it.
    fn place(&mut self, place: Place<'_>, facts: &Facts<'_>) {
        let before = self.chain.unwrap_or(Chain::EMPTY);
        let expected = before.seq.saturating_add(1);
        let links = facts.prev() == Some(before.hash);
        self.settle(links);
        let excused = self.doubt.take_excuse();
        if facts.seq > expected {
            if !excused {
                self.find(place, Some(facts.seq), Wrong::Missing { from: expected, to: facts.seq - 1 });
            }
        } else if facts.seq < expected {
            self.find(place, Some(facts.seq), Wrong::Moved);
            self.doubt.excuse();
        } else if !links && !excused {
            self.doubt.raise(place.file, place.line, facts.seq);
        }
        self.doubt.last(place.file, place.line, facts.seq);
    }

    /// What a segment's first and last lines say about it.
    fn content(&mut self, place: Place<'_>, facts: &Facts<'_>, line: &[u8]) {
        let first = place.line == 1;
        let named = facts.segment == Some(place.file);
        if first && facts.seq != place.first {
            self.find(place, Some(facts.seq), Wrong::Moved);
        }
        match facts.kind {
            Kind::Opened if !named || !first => self.find(place, Some(facts.seq), Wrong::Moved),
            Kind::Closed if !chain::is_signed(line, self.key) => {
                self.find(place, Some(facts.seq), Wrong::Unsigned);
                self.closed = true;
            }
            Kind::Closed => {
                if !named {
                    self.find(place, Some(facts.seq), Wrong::Moved);
                }
                self.closed = true;
            }
            Kind::Intent => self.open.extend(facts.invocation.map(str::to_owned)),
            Kind::Outcome => {
                facts.invocation.map(|invocation| self.open.remove(invocation));
            }
            Kind::Opened
            | Kind::Refused
            | Kind::Question
            | Kind::Recovered
            | Kind::Drift
            | Kind::Shadow
            | Kind::Policy
            | Kind::Admin => {}
        }
    }

    fn against_head(&mut self, place: Place<'_>, seq: u64, hash: Hash) {
        let Some(head) = &self.head else { return };
        if head.chain.seq == seq && head.chain.hash != hash {
            self.find(place, Some(seq), Wrong::Changed);
        }
    }

    /// Which of two lines was changed is known as soon as the next one says which of them it knows.
    fn settle(&mut self, links: bool) {
        if let Some((file, line, seq)) = self.doubt.settle(links) {
            self.push(Finding { file, line: Some(line), seq: Some(seq), what: Wrong::Changed });
        }
    }

    fn find(&mut self, place: Place<'_>, seq: Option<u64>, what: Wrong) {
        self.push(Finding { file: place.file.to_owned(), line: Some(place.line), seq, what });
    }

    fn push(&mut self, finding: Finding) {
        if !self.report.findings.contains(&finding) {
            self.report.findings.push(finding);
        }
    }

    fn finish(mut self, segments: usize) -> Report {
        self.settle(true);
        let last = self.chain.map_or(0, |chain| chain.seq);
        if segments == 0 {
            let file = String::new();
            self.push(Finding { file, line: None, seq: None, what: Wrong::Nothing });
        }
        if let Some(head) = self.head.take().filter(|head| head.chain.seq > last) {
            let what = Wrong::Missing { from: last.saturating_add(1), to: head.chain.seq };
            self.push(Finding { file: head.segment, line: None, seq: None, what });
        }
        Report { segments, last, open: !self.closed, unfinished: self.open.len(), ..self.report }
    }
}

#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a str,
    line: u64,
    /// The first line of the file, as its name says.
    first: u64,
}
