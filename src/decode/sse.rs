//! A stream of server-sent events (WHATWG HTML section 9.2), event by event, with a bound on each.
//!
//! # Why
//! A filter must see what clients see: lines that end in LF, CR or CRLF, data over several lines, a byte order mark. What
//! it lets through goes out byte for byte, comments, `id:` and `retry:` included, unless a bare CR is in it: a client
//! that knows LF only would read such an event in another way, so it is written anew.

use bytes::{Bytes, BytesMut};

/// One event was larger than the stream's limit. The stream is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {0} bytes")]
pub struct EventTooLarge(pub usize);

/// Cuts a stream into events as its bytes arrive.
#[derive(Debug)]
pub struct Events {
    buffer: BytesMut,
    limit: usize,
    at: usize,
    line: usize,
    ended_by: Ending,
    first: bool,
    failed: bool,
}

/// How the line before ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    None,
    Lf,
    Cr,
    CrLf,
}

impl Events {
    /// A stream whose events have `limit` bytes at most.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let buffer = BytesMut::new();
        Self { buffer, limit, at: 0, line: 0, ended_by: Ending::None, first: true, failed: false }
    }

    /// Takes the bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event, if it has arrived. An event without fields (a comment, a blank line) is one too.
    ///
    /// # Errors
    /// The event, whole or not yet, is over the limit: now and from now on.
    pub fn next_event(&mut self) -> Result<Option<Event>, EventTooLarge> {
        while let Some((ending, after)) = self.line_end() {
            let blank = self.blank();
            let belated = blank && ending == Ending::Lf && self.ended_by == Ending::Cr;
            self.ended_by = if belated { Ending::CrLf } else { ending };
            if blank && !belated {
                return self.take(after).map(Some);
            }
            (self.at, self.line) = (after, after);
        }
        self.bounded(self.buffer.len()).map(|()| None)
    }

    fn bounded(&mut self, bytes: usize) -> Result<(), EventTooLarge> {
        if self.failed || bytes > self.limit {
            self.failed = true;
            self.buffer.clear();
            return Err(EventTooLarge(self.limit));
        }
        Ok(())
    }

    /// What is left of a stream that ended: bytes of an event that never became whole, which clients discard.
    #[must_use]
    pub fn rest(self) -> Bytes {
        self.buffer.freeze()
    }

    /// Where the current line ends (a LF that comes after its CR was taken for the end counts as one more): how, and where the next one begins.
    fn line_end(&mut self) -> Option<(Ending, usize)> {
        let found = self.buffer.get(self.at..)?.iter().position(|b| matches!(b, b'\n' | b'\r'));
        let Some(end) = found.map(|offset| self.at + offset) else {
            self.at = self.buffer.len();
            return None;
        };
        match (self.buffer.get(end), self.buffer.get(end + 1)) {
            (Some(b'\n'), _) => Some((Ending::Lf, end + 1)),
            (_, Some(b'\n')) => Some((Ending::CrLf, end + 2)),
            (_, Some(_)) => Some((Ending::Cr, end + 1)),
            // Its LF is still to come where the line before had one; a stream of bare CRs must not wait for it.
            (_, None) if self.ended_by == Ending::CrLf => {
                self.at = end;
                None
            }
            (_, None) => Some((Ending::Cr, end + 1)),
        }
    }

    fn blank(&self) -> bool {
        let line = self.buffer.get(self.line..).unwrap_or_default();
        let line = if self.first && self.line == 0 { without_mark(line) } else { line };
        matches!(line.first(), Some(b'\n' | b'\r'))
    }

    fn take(&mut self, end: usize) -> Result<Event, EventTooLarge> {
        self.bounded(end)?;
        let bytes = self.buffer.split_to(end).freeze();
        let event = Event::read(bytes, self.first);
        (self.at, self.line, self.first) = (0, 0, false);
        Ok(event)
    }
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The exact bytes, the blank line at the end included.
    pub bytes: Bytes,
    /// The data: its lines joined by LF, as a client sees it. `None`: there is no data line, so clients see no event.
    pub data: Option<Bytes>,
    /// The type (`event:`), where it is said.
    pub kind: Option<Bytes>,
    /// The id, where it is said; it may be empty.
    pub id: Option<Bytes>,
    text: Bytes,
    bare_cr: bool,
    renamed: bool,
}

impl Event {
    fn read(bytes: Bytes, first: bool) -> Self {
        let text = if first { bytes.slice_ref(without_mark(&bytes)) } else { bytes.clone() };
        let bare_cr = bare_cr(&bytes);
        let mut event =
            Self { bytes, data: None, kind: None, id: None, text: text.clone(), bare_cr, renamed: false };
        for line in lines(&text) {
            let (name, value) = field(line);
            match name {
                b"data" => event.add_data(text.slice_ref(value)),
                b"event" => event.kind = Some(text.slice_ref(value)),
                b"id" if !value.contains(&0) => event.id = Some(text.slice_ref(value)),
                _ => {}
            }
        }
        event
    }

    fn add_data(&mut self, line: Bytes) {
        self.data = Some(match self.data.take() {
            None => line,
            Some(before) => [&before[..], b"\n", &line[..]].concat().into(),
        });
    }

    /// The same event under another id, which has no line break in it.
    #[must_use]
    pub fn renamed(self, id: String) -> Self {
        Self { id: Some(id.into()), renamed: true, ..self }
    }

    /// The event for a client: its own bytes where every reader finds the same lines in them, or else the same event
    /// with LF only.
    #[must_use]
    pub fn passed(&self) -> Bytes {
        let as_it_is = !self.bare_cr && !self.renamed;
        if as_it_is { self.bytes.clone() } else { self.written(self.data.as_deref()) }
    }

    /// The event with other data. Its other lines stay as they are, each ended by LF; a line break in `data` becomes
    /// another data line, so that data can never be read as a field.
    #[must_use]
    pub fn with_data(&self, data: &[u8]) -> Bytes {
        self.written(Some(data))
    }

    fn written(&self, data: Option<&[u8]>) -> Bytes {
        let mut out = BytesMut::with_capacity(self.bytes.len() + data.map_or(0, <[u8]>::len) + 16);
        let written_anew = |name: &[u8]| name == b"data" || (name == b"id" && self.renamed);
        let kept = lines(&self.text).filter(|line| !line.is_empty() && !written_anew(field(line).0));
        for line in kept {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\n");
        }
        if let Some(id) = self.id.as_ref().filter(|_| self.renamed) {
            out.extend_from_slice(b"id: ");
            out.extend_from_slice(id);
            out.extend_from_slice(b"\n");
        }
        if let Some(data) = data {
            write_data(&mut out, data);
        }
        out.extend_from_slice(b"\n");
        out.freeze()
    }
}

/// An event of the gate's own: type `message`, data only.
#[must_use]
pub fn message(data: &[u8]) -> Bytes {
    let mut out = BytesMut::from(&b"event: message\n"[..]);
    write_data(&mut out, data);
    out.extend_from_slice(b"\n");
    out.freeze()
}

fn write_data(out: &mut BytesMut, data: &[u8]) {
    for line in lines(data) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.extend_from_slice(b"\n");
    }
}

/// The lines of a text, whatever ends them; the last one need not be ended.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.iter().position(|b| matches!(b, b'\n' | b'\r'));
        let Some((line, ended)) = end.and_then(|end| text.split_at_checked(end)) else {
            rest = None;
            return Some(text);
        };
        rest = ended.strip_prefix(b"\r\n").or_else(|| ended.get(1..));
        Some(line)
    })
}

/// Name and value of a line; a comment has an empty name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
    let (name, value) = line.split_at_checked(colon).unwrap_or((line, b""));
    let value = value.strip_prefix(b":").unwrap_or(value);
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

fn bare_cr(bytes: &[u8]) -> bool {
    let mut next = bytes.iter().skip(1);
    bytes.iter().any(|b| {
        let follows = next.next();
        *b == b'\r' && follows != Some(&b'\n')
    })
}

#[cfg(test)]
mod tests;
