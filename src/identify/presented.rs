//! Which credential the headers present. A query string is not a header: a token in it is never looked at.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use crate::identify::proof::BadProof;

/// The header that may carry an API key instead of `Authorization`.
const API_KEY: &str = "x-api-key";

/// How an API key begins, so that it can be told from a JWT and found by secret scanners.
pub(in crate::identify) const API_KEY_PREFIX: &str = "pck_";

/// The credential of a request.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::identify) enum Presented<'a> {
    Nothing,
    /// A bearer token (RFC 6750).
    Bearer(&'a str),
    /// A token that its sender proves to hold the key of (RFC 9449 section 7.1).
    Dpop(&'a str),
    ApiKey(&'a str),
}

/// What is presented, if it is one thing.
///
/// # Errors
/// Two credentials (which of them would count is anyone's guess), or an `Authorization` that is neither `Bearer` (RFC 6750
/// section 2.1) nor `DPoP`: something was tried, so nothing else is looked at.
pub(in crate::identify) fn presented(headers: &HeaderMap) -> Result<Presented<'_>, BadProof> {
    let mut found = headers.get_all(AUTHORIZATION).iter().map(|v| (true, v));
    let mut keys = headers.get_all(API_KEY).iter().map(|v| (false, v));
    let first = found.next().or_else(|| keys.next());
    if found.next().or_else(|| keys.next()).is_some() {
        return Err(BadProof::Several);
    }
    match first {
        None => Ok(Presented::Nothing),
        Some((true, value)) => bearer(text(value).map_err(|_| BadProof::NotBearer)?),
        Some((false, value)) => text(value).map(Presented::ApiKey).map_err(|_| BadProof::UnknownApiKey),
    }
}

/// What is not visible ASCII is no credential either, and `bearer` and the look-up of keys say so.
fn text(value: &HeaderValue) -> Result<&str, std::str::Utf8Error> {
    std::str::from_utf8(value.as_bytes())
}

fn bearer(value: &str) -> Result<Presented<'_>, BadProof> {
    let (scheme, rest) = value.split_once(' ').ok_or(BadProof::NotBearer)?;
    let token = rest.trim_matches(' ');
    let dpop = scheme.eq_ignore_ascii_case("dpop");
    if !(dpop || scheme.eq_ignore_ascii_case("bearer")) || token.is_empty() {
        return Err(BadProof::NotBearer);
    }
    if dpop {
        return Ok(Presented::Dpop(token));
    }
    if token.starts_with(API_KEY_PREFIX) {
        Ok(Presented::ApiKey(token))
    } else {
        Ok(Presented::Bearer(token))
    }
}

/// Whether a text could be a bearer token at all (RFC 9110 section 11.2). One that was verified before is; so this is asked
/// where a token is new.
pub(in crate::identify) fn is_token68(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&'static str, &str)]) -> Result<Presented<'static>, BadProof> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        presented(Box::leak(Box::new(headers)))
    }

    #[test]
    fn a_bearer_is_a_key_or_a_token_by_its_form() {
        assert_eq!(of(&[]), Ok(Presented::Nothing));
        assert_eq!(of(&[("authorization", "Bearer a.b.c")]), Ok(Presented::Bearer("a.b.c")));
        assert_eq!(of(&[("authorization", "bearer  pck_x")]), Ok(Presented::ApiKey("pck_x")));
        assert_eq!(of(&[("authorization", "DPoP a.b.c")]), Ok(Presented::Dpop("a.b.c")));
        assert_eq!(of(&[("x-api-key", "pck_x")]), Ok(Presented::ApiKey("pck_x")));
    }

    #[test]
    fn two_credentials_are_no_credential() {
        let two = [
            [("authorization", "Bearer a"), ("authorization", "Bearer a")],
            [("authorization", "Bearer a"), ("x-api-key", "pck_x")],
            [("x-api-key", "pck_x"), ("x-api-key", "pck_y")],
        ];
        for fields in two {
            assert_eq!(of(&fields), Err(BadProof::Several));
        }
    }

    #[test]
    fn another_scheme_is_a_failed_proof_and_not_none() {
        for value in ["Basic YTpi", "DPoP", "Bearer", "Bearer ", ""] {
            assert_eq!(of(&[("authorization", value)]), Err(BadProof::NotBearer), "{value}");
        }
        assert!(is_token68("a.b-c_d~e+f/g=") && !is_token68("a b") && !is_token68("a,b"));
    }
}
