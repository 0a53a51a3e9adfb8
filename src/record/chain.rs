//! How one line holds on to the line before it, and what a signature covers.
//!
//! # Why SHA-256 over the bytes as they stand
//! A verifier needs no canonical form and no knowledge of the fields: it hashes what lies between two line feeds. Every
//! byte counts, so that no edit is too small to be seen.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;

use crate::record::key::{AuditKey, Signer};

/// SHA-256 of a line, without its line feed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash([u8; 32]);

impl Hash {
    /// What the first line of a chain names as the line before it.
    pub(super) const NONE: Self = Self([0; 32]);

    /// The hash of `line`.
    pub(super) fn of(line: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(digest(&SHA256, line).as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    /// Reads lower-case hex.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes)).filter(|hash| hash.to_string() == text)
    }

    fn push_hex(self, out: &mut Vec<u8>) {
        let mut text = [0; 64];
        if hex::encode_to_slice(self.0, &mut text).is_ok() {
            out.extend_from_slice(&text);
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The end of a chain: the last line's number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    /// The number of the last line; the first line has 1.
    pub(super) seq: u64,
    /// The hash of the last line.
    pub(super) hash: Hash,
}

impl Chain {
    /// A chain without lines.
    pub(super) const EMPTY: Self = Self { seq: 0, hash: Hash::NONE };

    /// Appends `body` (a JSON object) to `out` as the next line.
    pub(super) fn link(&mut self, out: &mut Vec<u8>, time: &str, body: &[u8]) {
        let start = out.len();
        self.head(out, time);
        out.extend_from_slice(body.get(1..).unwrap_or_default());
        self.end(out, start);
    }

    /// As [`Chain::link`], with the signature of everything before it as the last member.
    pub(super) fn link_signed(&mut self, out: &mut Vec<u8>, time: &str, body: &[u8], signer: &Signer) {
        let start = out.len();
        self.head(out, time);
        out.extend_from_slice(body.get(1..body.len().saturating_sub(1)).unwrap_or_default());
        let signature = signer.sign(out.get(start..).unwrap_or_default());
        push_signature(out, &signature);
        self.end(out, start);
    }

    fn head(&mut self, out: &mut Vec<u8>, time: &str) {
        self.seq = self.seq.saturating_add(1);
        out.extend_from_slice(b"{\"seq\":");
        out.extend_from_slice(self.seq.to_string().as_bytes());
        out.extend_from_slice(b",\"time\":\"");
        out.extend_from_slice(time.as_bytes());
        out.extend_from_slice(b"\",\"prev\":\"");
        self.hash.push_hex(out);
        out.extend_from_slice(b"\",");
    }

    fn end(&mut self, out: &mut Vec<u8>, start: usize) {
        self.hash = Hash::of(out.get(start..).unwrap_or_default());
        out.push(b'\n');
    }
}

const SIGNATURE: &str = ",\"signature\":\"";

fn push_signature(out: &mut Vec<u8>, signature: &str) {
    out.extend_from_slice(SIGNATURE.as_bytes());
    out.extend_from_slice(signature.as_bytes());
    out.extend_from_slice(b"\"}");
}

/// A JSON object of its own with a signature at its end.
pub(super) fn sign(object: &[u8], signer: &Signer) -> Vec<u8> {
    let mut out = object.strip_suffix(b"}").unwrap_or(object).to_vec();
    let signature = signer.sign(&out);
    push_signature(&mut out, &signature);
    out
}

/// Whether `line` ends with `key`'s signature of everything before it.
pub(super) fn is_signed(line: &[u8], key: &AuditKey) -> bool {
    let tail = SIGNATURE.len() + 128 + 2;
    let Some((text, end)) = line.len().checked_sub(tail).and_then(|at| line.split_at_checked(at)) else {
        return false;
    };
    let signature = end
        .strip_prefix(SIGNATURE.as_bytes())
        .and_then(|rest| rest.strip_suffix(b"\"}"))
        .and_then(|hex| std::str::from_utf8(hex).ok());
    signature.is_some_and(|signature| key.proves(text, signature))
}

/// What of a line says where it stands.
#[derive(Debug, Deserialize)]
pub(super) struct Facts<'a> {
    pub(super) seq: u64,
    #[serde(borrow)]
    prev: &'a str,
    pub(super) kind: Kind,
    pub(super) invocation: Option<&'a str>,
    pub(super) tenant: Option<std::borrow::Cow<'a, str>>,
    pub(super) segment: Option<&'a str>,
}

impl<'a> Facts<'a> {
    /// Reads a line without its line feed; `None`: it is no line of a chain.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// The hash that it names as the line before it.
    pub(super) fn prev(&self) -> Option<Hash> {
        Hash::parse(self.prev)
    }
}

/// The kinds of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A call is about to be forwarded.
    Intent,
    /// What became of it.
    Outcome,
    /// A message went no further.
    Refused,
    /// Somebody asked whether a call would pass.
    Question,
    /// A tool is not what was pinned.
    Drift,
    /// A list that a candidate policy would show otherwise.
    Shadow,
    /// A step on a candidate policy's way.
    Policy,
    /// A request that would change something by the admin API.
    Admin,
    /// A segment begins.
    Opened,
    /// A segment ends, signed.
    Closed,
    /// The chain goes on after a crash or an outage.
    Recovered,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_hash_of_the_line_before_it() {
        let (mut chain, mut out) = (Chain::EMPTY, Vec::new());
        chain.link(&mut out, "t", br#"{"kind":"opened"}"#);
        chain.link(&mut out, "t", br#"{"kind":"refused","tenant":"a"}"#);
        let lines: Vec<&[u8]> = out.split(|b| *b == b'\n').collect();
        let (first, second) = (Facts::read(lines[0]).unwrap(), Facts::read(lines[1]).unwrap());
        assert_eq!(first.prev(), Some(Hash::NONE));
        assert_eq!(second.prev(), Some(Hash::of(lines[0])));
        assert_eq!((second.seq, second.kind, second.tenant.as_deref()), (2, Kind::Refused, Some("a")));
        assert_eq!(chain.hash, Hash::of(lines[1]));
    }

    #[test]
    fn a_signature_covers_every_byte_of_its_line() {
        let state = tempfile::tempdir().unwrap();
        let signer = Signer::load_or_make(state.path()).unwrap();
        let (mut chain, mut out) = (Chain::EMPTY, Vec::new());
        chain.link_signed(&mut out, "t", br#"{"kind":"closed"}"#, &signer);
        out.pop();
        assert!(is_signed(&out, &signer.public()));
        for at in 0..out.len() {
            let mut changed = out.clone();
            changed[at] ^= 1;
            assert!(!is_signed(&changed, &signer.public()), "byte {at}");
        }
    }
}
