//! Changing one member of a JSON document and no other byte of it.
//!
//! # Why
//! Reading a document into a tree and writing it again changes numbers, the order of keys, and sometimes the key that
//! was smuggled in. A splice can change only what it names.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use super::json::{self, Flaw};

/// Why a document cannot be changed there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpliceError {
    /// The document is not JSON, or has a key twice on the way.
    #[error("the document cannot be read: {0}")]
    Unreadable(String),
    /// A value on the way is not an object.
    #[error("`{0}` is not in an object")]
    NotAnObject(String),
    /// No key was given.
    #[error("the path is empty")]
    NoPath,
}

impl From<Flaw> for SpliceError {
    fn from(flaw: Flaw) -> Self {
        Self::Unreadable(flaw.to_string())
    }
}

/// `document` with the value of the member at `path` replaced; the member, and objects on the way to it, are made where
/// they are missing.
///
/// # Errors
/// See [`SpliceError`]; the document is not changed then.
pub fn set(document: &[u8], path: &[&str], value: &RawValue) -> Result<Vec<u8>, SpliceError> {
    let text = json::text(document)?;
    let (edit, new) = match find(text, path)? {
        Found::Member { value: place, .. } => (place, value.get().to_owned()),
        Found::Missing { at, rest, alone } => (at..at, member(rest, value, alone)),
    };
    replaced(text, edit, &new)
}

/// `document` with `part`, which was read from it, replaced by `new`, which is JSON; `None` where it is no part of it.
#[must_use]
pub fn put(document: &[u8], part: &RawValue, new: &str) -> Option<Vec<u8>> {
    let part = part.get().as_bytes();
    let start = part.as_ptr().addr().checked_sub(document.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    Some([document.get(..start)?, new.as_bytes(), document.get(end..)?].concat())
}

/// `document` without the member at `path`; `None` where there is none.
///
/// # Errors
/// See [`SpliceError`].
pub fn remove(document: &[u8], path: &[&str]) -> Result<Option<Vec<u8>>, SpliceError> {
    let text = json::text(document)?;
    match find(text, path)? {
        Found::Member { whole, .. } => replaced(text, whole, "").map(Some),
        Found::Missing { .. } => Ok(None),
    }
}

/// The text of the member at `path`, if it is there.
///
/// # Errors
/// See [`SpliceError`].
pub fn get<'a>(document: &'a [u8], path: &[&str]) -> Result<Option<&'a str>, SpliceError> {
    let text = json::text(document)?;
    match find(text, path)? {
        Found::Member { value, .. } => Ok(text.get(value)),
        Found::Missing { .. } => Ok(None),
    }
}

/// An array of these values, each as it was.
#[must_use]
pub fn array<'a>(values: impl IntoIterator<Item = &'a RawValue>) -> Box<RawValue> {
    let texts: Vec<&str> = values.into_iter().map(RawValue::get).collect();
    RawValue::from_string(format!("[{}]", texts.join(","))).unwrap_or_default()
}

/// A string as JSON.
#[must_use]
pub fn string(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).unwrap_or_default()
}

/// Where a path leads.
enum Found<'p> {
    /// To a member: its value, and all that goes when it goes (its key, and one comma).
    Member { value: Range<usize>, whole: Range<usize> },
    /// To no member: `rest` is to be made at `at`, behind the brace of an object that is empty, or not.
    Missing { at: usize, rest: &'p [&'p str], alone: bool },
}

fn find<'p>(text: &str, path: &'p [&'p str]) -> Result<Found<'p>, SpliceError> {
    let start = text.len() - text.trim_start().len();
    let mut object = Piece { text: text.trim(), start };
    let mut rest = path;
    while let Some((key, below)) = rest.split_first() {
        let members = object.members(key)?;
        let Some(at) = members.iter().position(|member| member.key == **key) else {
            return Ok(Found::Missing { at: object.start + 1, rest, alone: members.is_empty() });
        };
        let Some(member) = members.get(at) else { break };
        if below.is_empty() {
            let before = at.checked_sub(1).and_then(|before| members.get(before));
            let whole = whole(before, member, members.get(at + 1));
            return Ok(Found::Member { value: member.value.range(), whole });
        }
        object = member.value;
        rest = below;
    }
    Err(SpliceError::NoPath)
}

/// The key's own text up to the next key, or, for the last member, from the end of the one before.
fn whole(before: Option<&Member<'_>>, member: &Member<'_>, next: Option<&Member<'_>>) -> Range<usize> {
    let end = member.value.range().end;
    match (before, next) {
        (_, Some(next)) => member.start..next.start,
        (Some(before), None) => before.value.range().end..end,
        (None, None) => member.start..end,
    }
}

/// A value and where in the document it begins.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    start: usize,
}

struct Member<'a> {
    key: Cow<'a, str>,
    start: usize,
    value: Piece<'a>,
}

impl<'a> Piece<'a> {
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    fn members(self, key: &str) -> Result<Vec<Member<'a>>, SpliceError> {
        if !self.text.starts_with('{') {
            return Err(SpliceError::NotAnObject(key.to_owned()));
        }
        let mut members = Vec::new();
        let mut end = 1;
        for (key, value) in json::read(self.text, json::Members)? {
            let at = offset(self.text, value.get());
            let between = self.text.get(end..at).unwrap_or_default();
            let start = self.start + end + between.find('"').unwrap_or_default();
            end = at + value.get().len();
            members.push(Member { key, start, value: Piece { text: value.get(), start: self.start + at } });
        }
        Ok(members)
    }
}

/// Where `part`, a piece of `text`, begins in it.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(text.as_ptr().addr())
}

fn member(path: &[&str], value: &RawValue, alone: bool) -> String {
    let mut text = String::new();
    for (at, key) in path.iter().enumerate() {
        text.push_str(if at == 0 { "" } else { "{" });
        text.push_str(string(key).get());
        text.push(':');
    }
    text.push_str(value.get());
    text.extend(std::iter::repeat_n('}', path.len().saturating_sub(1)));
    if !alone {
        text.push(',');
    }
    text
}

fn replaced(text: &str, place: Range<usize>, new: &str) -> Result<Vec<u8>, SpliceError> {
    let (Some(before), Some(after)) = (text.get(..place.start), text.get(place.end..)) else {
        return Err(SpliceError::Unreadable("a place outside of it".into()));
    };
    Ok([before, new, after].concat().into_bytes())
}

#[cfg(test)]
mod tests;
