//! The media type of a body: JSON in UTF-8, said once, and not encoded in any way.
//!
//! # Why
//! Common HTTP frameworks decode UTF-16, UTF-7, gzip and deflate before they parse, so that a server runs a tool whose
//! name the gate never saw.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use crate::inbound::Head;
use crate::refusal::Refusal;

/// Refuses every body that is not plain JSON in UTF-8 by its own header.
pub(super) fn check(head: &Head) -> Result<(), Refusal> {
    if head.headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::UnsupportedMedia("a Content-Encoding; send the body as it is"));
    }
    if head.count(CONTENT_TYPE.as_str()) > 1 {
        return Err(Refusal::UnsupportedMedia("more than one Content-Type"));
    }
    let Some(value) = head.header(CONTENT_TYPE.as_str()) else {
        return Err(Refusal::UnsupportedMedia("no Content-Type; send application/json"));
    };
    let mut parts = value.split(';').map(|part| part.trim_matches([' ', '\t']));
    if !parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json")) {
        return Err(Refusal::UnsupportedMedia("the Content-Type is not application/json"));
    }
    match (parts.next(), parts.next()) {
        (None, _) => Ok(()),
        (Some(parameter), None) if is_utf8(parameter) => Ok(()),
        (Some(_), _) => Err(Refusal::UnsupportedMedia("a Content-Type parameter other than charset=utf-8")),
    }
}

fn is_utf8(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    name.eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::head;

    fn verdict(fields: &[(&str, &str)]) -> Result<(), Refusal> {
        check(&head("POST", fields))
    }

    #[test]
    fn json_in_utf_8_is_taken_in_every_spelling() {
        for value in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
            "application/json ; Charset=\"Utf-8\"",
        ] {
            assert_eq!(verdict(&[("content-type", value)]), Ok(()), "{value}");
        }
    }

    #[test]
    fn every_other_media_type_charset_or_parameter_is_refused() {
        for value in [
            "",
            "text/plain",
            "application/jsonp",
            "application/json-rpc",
            "application/json, text/plain",
            "application/json; charset=utf-16le",
            "application/json; charset=utf-7",
            "application/json; charset=us-ascii",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; charset*=utf-8",
            "application/json; charset",
            "application/json; boundary=x",
            "application/json;",
        ] {
            assert!(
                matches!(verdict(&[("content-type", value)]), Err(Refusal::UnsupportedMedia(_))),
                "{value}"
            );
        }
    }

    #[test]
    fn one_content_type_exactly_and_no_content_encoding() {
        let json = ("content-type", "application/json");
        for fields in [
            &[][..],
            &[json, json],
            &[json, ("content-type", "text/plain")],
            &[json, ("content-encoding", "gzip")],
            &[json, ("content-encoding", "deflate")],
            &[json, ("content-encoding", "identity")],
            &[json, ("content-encoding", "")],
        ] {
            assert!(matches!(verdict(fields), Err(Refusal::UnsupportedMedia(_))), "{fields:?}");
        }
    }
}
