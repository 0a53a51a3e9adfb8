//! Masking what pointers lead to in one document, and in documents that are text within it.

use serde_json::value::RawValue;

use crate::decode::reply::Fields;
use crate::respond::raw::{Object, array, elements, quoted, text};
use crate::respond::redact::Pointer;

/// What stands where a value was.
pub(in crate::respond::redact) const MASK: &str = "[redacted]";

/// So deep a document is searched; what is deeper is masked whole.
const DEEPEST: usize = 64;

/// What is looked for in a document.
pub(in crate::respond::redact) struct Search<'a> {
    pub pointers: &'a [Pointer],
    /// Texts that were withheld elsewhere in the same result.
    pub withheld: &'a [String],
}

type Rest<'p> = Vec<&'p [String]>;

impl<'a> Search<'a> {
    /// The document with everything masked that a pointer leads to; `None` where none does.
    pub(in crate::respond::redact) fn document(&self, value: &RawValue) -> Option<Box<RawValue>> {
        self.value(value, &self.roots(), DEEPEST)
    }

    fn roots(&self) -> Rest<'a> {
        self.pointers.iter().map(|pointer| pointer.0.as_slice()).collect()
    }

    fn value(&self, value: &RawValue, pointers: &Rest<'a>, left: usize) -> Option<Box<RawValue>> {
        if pointers.iter().any(|pointer| pointer.is_empty()) {
            return quoted(MASK);
        }
        match value.get().as_bytes().first() {
            Some(b'{' | b'[') if left == 0 => quoted(MASK),
            Some(b'{') => self.object(value, pointers, left - 1),
            Some(b'[') => self.array(value, pointers, left - 1),
            Some(b'"') => self.text(value, pointers, left),
            Some(_) | None => None,
        }
    }

    fn object(&self, value: &RawValue, pointers: &Rest<'a>, left: usize) -> Option<Box<RawValue>> {
        // With a key twice nobody knows which value a reader takes.
        let Ok(members) = Fields::read(value) else { return quoted(MASK) };
        let mut hit = false;
        let mut object = Object::sized(value.get().len());
        for (key, member) in members.iter() {
            let masked = self.value(member, &below(pointers, key), left);
            hit |= masked.is_some();
            object.add(key, masked.as_deref().unwrap_or(member).get());
        }
        object.finish().filter(|_| hit)
    }

    fn array(&self, value: &RawValue, pointers: &Rest<'a>, left: usize) -> Option<Box<RawValue>> {
        let Some(items) = elements(value) else { return quoted(MASK) };
        let items = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| (item, self.value(item, &below(pointers, &index.to_string()), left)));
        let items: Vec<_> = items.collect();
        if items.iter().all(|(_, masked)| masked.is_none()) {
            return None;
        }
        let texts = items.iter().map(|(item, masked)| masked.as_deref().unwrap_or(item).get());
        RawValue::from_string(array(texts)).ok()
    }

    /// Text that is a document of its own is searched as one; what only looks like one is masked.
    fn text(&self, value: &RawValue, pointers: &Rest<'a>, left: usize) -> Option<Box<RawValue>> {
        let Some(text) = text(value) else { return quoted(MASK) };
        if self.withheld.iter().any(|withheld| *withheld == text) {
            return quoted(MASK);
        }
        let inner = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        if !looks_like_json(inner) {
            return None;
        }
        let Ok(inner) = serde_json::from_str::<&RawValue>(&text) else { return quoted(MASK) };
        let all: Rest<'a> = pointers.iter().copied().chain(self.roots()).collect();
        self.value(inner, &all, left.saturating_sub(1)).and_then(|masked| quoted(masked.get()))
    }
}

fn looks_like_json(text: &str) -> bool {
    let within = |rest: &str| {
        let rest = rest.trim_start();
        rest.starts_with(['{', '[', '"', '-', ']'])
            || rest.starts_with(|c: char| c.is_ascii_digit())
            || ["true", "false", "null"].iter().any(|word| rest.starts_with(word))
    };
    text.starts_with('{') || text.strip_prefix('[').is_some_and(within)
}

/// What is left of the pointers that lead through `key`.
fn below<'p>(pointers: &Rest<'p>, key: &str) -> Rest<'p> {
    let through = |pointer: &&'p [String]| match pointer.split_first() {
        Some((segment, rest)) if segment == "*" || segment == key => Some(rest),
        Some(_) | None => None,
    };
    pointers.iter().filter_map(through).collect()
}

/// A text that is a JSON document, an object or an array; a bare number or word has no members to point at, but may be
/// the very value.
pub(in crate::respond::redact) fn document(text: &str) -> Option<Box<RawValue>> {
    let inner: &RawValue = serde_json::from_str(text).ok()?;
    inner.get().starts_with(['{', '[']).then(|| inner.to_owned())
}
