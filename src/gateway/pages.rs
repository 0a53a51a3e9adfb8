//! Pages of `tools/list` as callers got them: while a server answers with the same bytes, they are not filtered anew.
//!
//! # Why the bytes are compared
//! Agents ask for the same list again and again, and reading it strictly costs more than all else that a list needs. The
//! bytes themselves say that nothing has changed; a hash of them would have to be trusted, and costs more to work out.
//!
//! # Why nobody gets another's page
//! The key says who looks, by all that the policy reads of a caller, and begins with the tenant. Policy, pins and
//! configuration are those of the generation that keeps the pages. What the server's list has taught is compared by
//! [`Edition`], so that what was forgotten is learned again.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::catalogue::Edition;
use crate::decode::{RequestId, splice};

/// Pages are expected to be of this size in bytes, for the number that is planned for.
const USUAL: u64 = 64 * 1024;
/// All pages together take no more than this many bytes.
const MOST: u64 = 64 * 1024 * 1024;

/// The pages of one generation. The least used ones make place.
pub(in crate::gateway) struct Pages(Cache<Box<[u8]>, Arc<Page>, BySize>);

/// A server's page, and what one caller got of it.
pub(in crate::gateway) struct Page {
    given: Around,
    passed: Around,
    edition: Edition,
}

/// A response without its id: what stands before it, and what after.
struct Around {
    before: Bytes,
    after: Bytes,
}

#[derive(Clone)]
struct BySize;

impl Weighter<Box<[u8]>, Arc<Page>> for BySize {
    fn weight(&self, key: &Box<[u8]>, page: &Arc<Page>) -> u64 {
        let size = key.len() + page.given.len() + page.passed.len();
        u64::try_from(size).unwrap_or(u64::MAX).max(1)
    }
}

impl Default for Pages {
    fn default() -> Self {
        let many = usize::try_from(MOST / USUAL).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(many, MOST, BySize))
    }
}

impl Pages {
    /// What the caller gets for `given`, the answer to `id`: what they got before, if all is as it was.
    pub(in crate::gateway) fn again(
        &self,
        key: &[u8],
        given: &[u8],
        id: &RequestId,
        edition: &Edition,
    ) -> Option<Bytes> {
        let page = self.0.get(key)?;
        (page.edition == *edition && page.given.is(given, id)).then(|| page.passed.with(id))
    }

    /// Keeps what the caller got for `given`. Where the id cannot be told from the rest, it is not kept.
    pub(in crate::gateway) fn keep(
        &self,
        key: Vec<u8>,
        given: &[u8],
        passed: &Bytes,
        id: &RequestId,
        edition: Edition,
    ) {
        let (Some(given), Some(passed)) = (Around::of(given, id), Around::of(passed, id)) else { return };
        self.0.insert(key.into_boxed_slice(), Arc::new(Page { given, passed, edition }));
    }
}

impl Around {
    fn of(response: &[u8], id: &RequestId) -> Option<Self> {
        let written = splice::get(response, &["id"]).ok()??;
        if written != id.as_json() {
            return None;
        }
        let start = written.as_ptr().addr().checked_sub(response.as_ptr().addr())?;
        let (before, rest) = response.split_at_checked(start)?;
        let after = rest.get(written.len()..)?;
        Some(Self { before: Bytes::copy_from_slice(before), after: Bytes::copy_from_slice(after) })
    }

    fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// Whether `response` is this with that id, which is the JSON of one value and so cannot stand for more.
    fn is(&self, response: &[u8], id: &RequestId) -> bool {
        response
            .strip_prefix(&*self.before)
            .and_then(|rest| rest.strip_suffix(&*self.after))
            .is_some_and(|written| written == id.as_json().as_bytes())
    }

    fn with(&self, id: &RequestId) -> Bytes {
        [&*self.before, id.as_json().as_bytes(), &*self.after].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::request_id_for_test;

    fn around(response: &str, id: &str) -> Option<Around> {
        Around::of(response.as_bytes(), &request_id_for_test(id))
    }

    #[test]
    fn a_response_is_the_same_where_only_its_id_is_another() {
        let seen = around(r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}"#, "7").expect("its id");
        let eleven = request_id_for_test(r#""x11""#);
        let again = r#"{"jsonrpc":"2.0","id":"x11","result":{"tools":[]}}"#;
        assert!(seen.is(again.as_bytes(), &eleven));
        assert_eq!(seen.with(&eleven), again);
        for other in [
            r#"{"jsonrpc":"2.0","id":"x12","result":{"tools":[]}}"#,
            r#"{"jsonrpc":"2.0","id":"x11","result":{"tools":[1]}}"#,
            r#"{"jsonrpc":"2.0","id":"x11" ,"result":{"tools":[]}}"#,
            r#"{"jsonrpc":"2.0","id":"x11","result":{"tools":[]}} "#,
            r#"{"jsonrpc":"2.0","id":"#,
            "",
        ] {
            assert!(!seen.is(other.as_bytes(), &eleven), "{other}");
        }
    }

    #[test]
    fn an_id_in_another_spelling_is_not_kept() {
        assert!(around(r#"{"id":"\u0061","result":{}}"#, r#""a""#).is_none());
        assert!(around(r#"{"result":{}}"#, "1").is_none());
        assert!(around(r#"{"id":1,"id":1,"result":{}}"#, "1").is_none());
    }
}
