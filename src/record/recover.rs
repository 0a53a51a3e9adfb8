//! Where the chain left off: what a start finds in the directory.
//!
//! # Why nothing but a torn tail is ever cut
//! The bytes behind the last line feed were never acknowledged to a call; they may go. A line that does not fit anywhere
//! else is evidence: the file stays as it is, the chain goes on in a new segment, and `verify` keeps telling.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::name::{Invocation, TenantId};
use crate::record::RecordError;
use crate::record::chain::{Chain, Facts, Hash, Kind};
use crate::record::keeper::Head;
use crate::record::key::AuditKey;
use crate::record::segment::{self, Found, Segment};

/// Where the chain goes on.
#[derive(Debug)]
pub(super) struct Left {
    /// The end of the chain.
    pub(super) chain: Chain,
    /// The segment to go on with; `None`: a new one begins.
    pub(super) segment: Option<Segment>,
    /// The segment before, for the next one's first line.
    pub(super) previous: Option<String>,
    /// What must be said about it; `None`: the last stop was clean, or there was nothing.
    pub(super) recovered: Option<Recovered>,
    /// Calls whose outcome nobody knows.
    pub(super) unfinished: Vec<(Invocation, Option<TenantId>)>,
}

/// What a `recovered` line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Recovered {
    kind: &'static str,
    /// What happened, in words.
    pub(super) what: String,
    /// Bytes of a torn line that were cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) truncated_bytes: Option<u64>,
    /// Calls of the last segment without an outcome; each is closed as `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unfinished: Option<usize>,
    /// Refusals that could not be recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusals_lost: Option<u64>,
}

impl Recovered {
    /// A line that says `what`.
    pub(super) fn new(what: String) -> Self {
        Self { kind: "recovered", what, truncated_bytes: None, unfinished: None, refusals_lost: None }
    }

    /// As it is, and `lost` refusals are not on the record.
    pub(super) fn losing(self, lost: u64) -> Self {
        Self { refusals_lost: (lost > 0).then_some(lost), ..self }
    }
}

/// Reads the end of the chain in `directory`.
pub(super) fn left(directory: &Path, key: &AuditKey) -> Result<Left, RecordError> {
    let failed = |path: &Path, error: &std::io::Error| RecordError::io("cannot read the audit", path, error);
    let mut found = segment::list(directory).map_err(|e| failed(directory, &e))?;
    let head = Head::read(directory, key);
    while let Some(last) = found.pop() {
        let text = fs::read(&last.path).map_err(|e| failed(&last.path, &e))?;
        if text.contains(&b'\n') {
            return Scan::read(&text).left(&last, head);
        }
        fs::remove_file(&last.path).map_err(|e| failed(&last.path, &e))?;
    }
    Ok(without_segments(head))
}

fn without_segments(head: std::io::Result<Option<Head>>) -> Left {
    let (chain, recovered) = match head {
        Ok(None) => (Chain::EMPTY, None),
        Ok(Some(head)) => {
            (head.chain, Some(format!("all segments are gone; `HEAD` names line {}", head.chain.seq)))
        }
        Err(error) => {
            (Chain::EMPTY, Some(format!("all segments are gone, and `HEAD` cannot be read: {error}")))
        }
    };
    let recovered = recovered.map(Recovered::new);
    Left { chain, segment: None, previous: None, recovered, unfinished: Vec::new() }
}

/// What a segment holds.
struct Scan {
    chain: Chain,
    lines: u64,
    length: u64,
    torn: u64,
    closed: bool,
    damaged: bool,
    open: BTreeMap<Invocation, Option<TenantId>>,
}

impl Scan {
    fn read(text: &[u8]) -> Self {
        let mut scan = Self {
            chain: Chain::EMPTY,
            lines: 0,
            length: 0,
            torn: 0,
            closed: false,
            damaged: false,
            open: BTreeMap::new(),
        };
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let bytes = u64::try_from(line.len()).unwrap_or(u64::MAX);
            match line.strip_suffix(b"\n") {
                Some(line) => scan.line(line, bytes),
                None => scan.torn(bytes),
            }
        }
        scan
    }

    /// Bytes behind the last line feed; behind a segment's end the gate writes none.
    fn torn(&mut self, bytes: u64) {
        self.torn = bytes;
        self.damaged |= self.closed;
    }

    fn line(&mut self, line: &[u8], bytes: u64) {
        let facts = Facts::read(line);
        let seq = facts.as_ref().map_or(self.chain.seq.saturating_add(1), |facts| facts.seq);
        let fits = facts.as_ref().is_some_and(|facts| {
            self.lines == 0
                || facts.prev() == Some(self.chain.hash) && seq == self.chain.seq.saturating_add(1)
        });
        self.damaged |= !fits || self.closed;
        self.chain = Chain { seq: seq.max(self.chain.seq), hash: Hash::of(line) };
        self.lines = self.lines.saturating_add(1);
        self.length = self.length.saturating_add(bytes);
        if let Some(facts) = facts {
            self.note(&facts);
        }
    }

    fn note(&mut self, facts: &Facts<'_>) {
        let Some(invocation) = facts.invocation.and_then(Invocation::parse) else {
            self.closed |= facts.kind == Kind::Closed;
            return;
        };
        if facts.kind == Kind::Intent {
            let tenant = facts.tenant.as_deref().and_then(|tenant| TenantId::parse(tenant).ok());
            self.open.insert(invocation, tenant);
        } else {
            self.open.remove(&invocation);
        }
    }

    fn left(mut self, last: &Found, head: std::io::Result<Option<Head>>) -> Result<Left, RecordError> {
        let mut what = Vec::new();
        match head {
            Ok(Some(head)) if head.chain.seq > self.chain.seq => {
                what.push(format!("lines up to {} are missing: `HEAD` names them", head.chain.seq));
                self.chain.seq = head.chain.seq;
            }
            Ok(Some(_)) => {}
            Ok(None) => what.push("`HEAD` is missing".to_owned()),
            Err(error) => what.push(format!("`HEAD` cannot be read: {error}")),
        }
        if self.damaged {
            what.push(format!("`{}` is damaged and stays as it is", last.name));
        } else if !self.closed {
            what.push("the gate did not stop cleanly".to_owned());
        }
        if self.closed && !self.open.is_empty() {
            what.push("calls were in flight when the gate stopped".to_owned());
        }
        let goes_on = !self.damaged && !self.closed;
        let segment = goes_on
            .then(|| Segment::resume(&last.path, self.length, self.lines))
            .transpose()
            .map_err(|e| RecordError::io("cannot go on with the audit", &last.path, &e))?;
        Ok(self.tell(what, segment, last))
    }

    fn tell(self, what: Vec<String>, segment: Option<Segment>, last: &Found) -> Left {
        let recovered = (!what.is_empty()).then(|| Recovered {
            truncated_bytes: (segment.is_some() && self.torn > 0).then_some(self.torn),
            unfinished: (!self.open.is_empty()).then_some(self.open.len()),
            ..Recovered::new(what.join("; "))
        });
        let unfinished = self.open.into_iter().collect();
        Left { chain: self.chain, segment, previous: Some(last.name.clone()), recovered, unfinished }
    }
}
