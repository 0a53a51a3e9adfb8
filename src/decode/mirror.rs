//! Headers that mirror the body (2026-07-28 basic/transports/streamable-http, SEP-2243).
//!
//! # Why
//! Policy reads the body; load balancers and servers may route on the headers. So they must say the same, once. The
//! legacy eras have no such headers: one that is there all the same must not lie, as nobody knows who reads it.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Era;
use crate::inbound::Head;
use crate::refusal::Refusal;

const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
/// What every mirrored parameter's header begins with.
pub(super) const PARAM: &str = "mcp-param-";

/// The value of a header that may be there once at most, without the optional white space around it.
pub(super) fn once<'h>(head: &'h Head, name: &str) -> Result<Option<&'h str>, Refusal> {
    let mut values = head.headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::HeaderMismatch(format!("{name} is there more than once")));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim_matches([' ', '\t']))),
        Err(_) => Err(Refusal::HeaderMismatch(format!("{name} has a character that it may not have"))),
    }
}

/// Checks `Mcp-Method` and that no mirrored parameter is there twice. Only a modern request must have the header.
pub(super) fn method(head: &Head, era: Era, method: &str, request: bool) -> Result<(), Refusal> {
    match once(head, METHOD)? {
        Some(said) if said != method => {
            Err(Refusal::HeaderMismatch(format!("Mcp-Method says {said:?}, and the body {method:?}")))
        }
        None if era == Era::Modern && request => {
            Err(Refusal::HeaderMismatch("there is no Mcp-Method header".into()))
        }
        Some(_) | None => params_once(head),
    }
}

fn params_once(head: &Head) -> Result<(), Refusal> {
    let mirrored = head.headers.keys().filter(|key| key.as_str().starts_with(PARAM));
    mirrored.map(http::HeaderName::as_str).try_for_each(|key| match head.count(key) {
        1 => Ok(()),
        _ => Err(Refusal::HeaderMismatch(format!("{key} is there more than once"))),
    })
}

/// Checks `Mcp-Name` against what the body names, if it names anything.
pub(super) fn name(head: &Head, era: Era, name: Option<&str>, request: bool) -> Result<(), Refusal> {
    let said = once(head, NAME)?.map(plain).transpose()?;
    match (said, name) {
        (Some(said), Some(name)) if said == name => Ok(()),
        (Some(_), Some(_)) => {
            Err(Refusal::HeaderMismatch("Mcp-Name and the body name different things".into()))
        }
        (Some(_), None) => {
            Err(Refusal::HeaderMismatch("there is an Mcp-Name header, and the body names nothing".into()))
        }
        (None, Some(_)) if era == Era::Modern && request => {
            Err(Refusal::HeaderMismatch("there is no Mcp-Name header".into()))
        }
        (None, _) => Ok(()),
    }
}

/// The value behind the Base64 sentinel `=?base64?…?=`, or the value itself. Only canonical Base64 of UTF-8 is taken.
pub(super) fn plain(value: &str) -> Result<Cow<'_, str>, Refusal> {
    let Some(coded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(Cow::Borrowed(value));
    };
    STANDARD
        .decode(coded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Cow::Owned)
        .ok_or_else(|| Refusal::HeaderMismatch("a mirrored value is not canonical Base64 of UTF-8".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base64_table_of_sep_2243_is_read_as_it_says() {
        for (header, value) in [
            ("=?base64?SGVsbG8sIOS4lueVjA==?=", "Hello, 世界"),
            ("=?base64?IHBhZGRlZCA=?=", " padded "),
            ("=?base64?bGluZTEKbGluZTI=?=", "line1\nline2"),
            ("=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=", "=?base64?literal?="),
            ("=?base64??=", ""),
            ("us west 1", "us west 1"),
            ("", ""),
            ("true", "true"),
            ("42", "42"),
        ] {
            assert_eq!(plain(header).unwrap(), value, "{header}");
        }
    }

    #[test]
    fn what_is_not_the_sentinel_is_a_literal() {
        for literal in ["=?BASE64?c2FmZQ==?=", "=?base64?c2FmZQ==", "c2FmZQ==?=", "=?base64?=", "=?base64?"] {
            assert_eq!(plain(literal).unwrap(), literal);
        }
    }

    #[test]
    fn base64_that_readers_disagree_about_is_refused() {
        for coded in
            ["c2FmZQ", "c2FmZQ=", "c2FmZR==", "c2Fm ZQ==", "c2FmZQ==\n", "_-8=", "//8=", "literal", "===="]
        {
            assert!(plain(&format!("=?base64?{coded}?=")).is_err(), "{coded:?}");
        }
    }
}
