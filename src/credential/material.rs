//! A credential made ready: the header that carries it, and what of it must never come back in an answer.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use memchr::memmem;
use zeroize::Zeroizing;

use crate::config::{AwsSigv4, Oauth1};
use crate::credential::signing::{oauth1, sigv4};
use crate::secret::Secret;

/// Shorter values would be found in innocent text.
const SHORTEST: usize = 8;
const MASK: &[u8] = b"[credential]";

/// What carries the credential, and the values to look for. Their memory is wiped with the last lease.
pub(in crate::credential) struct Material {
    carrier: Carrier,
    values: Vec<Secret>,
}

/// Where in a request the credential is.
pub(in crate::credential) enum Carrier {
    /// Nowhere.
    Nothing,
    /// In a header.
    Header(HeaderName, HeaderValue),
    /// In the query: `name=value`, encoded.
    Query(Arc<Secret>),
    /// In a signature over the request (RFC 5849).
    Oauth1(Box<oauth1::Signer>),
    /// In a signature over the request (AWS Signature Version 4).
    Sigv4(Box<sigv4::Signer>),
}

/// A secret with characters that a header can't carry (RFC 9110 section 5.5).
#[derive(Debug, PartialEq, Eq)]
pub(in crate::credential) struct NotAHeader;

impl Material {
    pub(in crate::credential) fn nothing() -> Self {
        Self::new(Carrier::Nothing, [])
    }

    pub(in crate::credential) fn bearer(token: &Secret) -> Result<Self, NotAHeader> {
        let value = header_value(&["Bearer ", token.expose()])?;
        Ok(Self::new(Carrier::Header(AUTHORIZATION, value), [copy(token.expose())]))
    }

    pub(in crate::credential) fn basic(user: &str, password: &Secret) -> Result<Self, NotAHeader> {
        let pair = Secret::new(format!("{user}:{}", password.expose()));
        let encoded = Secret::new(STANDARD.encode(pair.expose()));
        let value = header_value(&["Basic ", encoded.expose()])?;
        Ok(Self::new(Carrier::Header(AUTHORIZATION, value), [copy(password.expose()), encoded]))
    }

    pub(in crate::credential) fn header(name: &HeaderName, secret: &Secret) -> Result<Self, NotAHeader> {
        let value = header_value(&[secret.expose()])?;
        // `Authorization: Scheme value`: the value alone must not come back either.
        let bare = secret.expose().rsplit(' ').next().unwrap_or_default();
        Ok(Self::new(Carrier::Header(name.clone(), value), [copy(bare)]))
    }

    pub(in crate::credential) fn query(name: &str, secret: &Secret) -> Self {
        let pair = Secret::new(
            form_urlencoded::Serializer::new(String::new()).append_pair(name, secret.expose()).finish(),
        );
        let encoded = pair.expose().split_once('=').map(|(_, value)| copy(value));
        let values = [Some(copy(secret.expose())), encoded];
        Self::new(Carrier::Query(Arc::new(pair)), values.into_iter().flatten())
    }

    pub(in crate::credential) fn oauth1(account: &Oauth1, consumer: &Secret, token: &Secret) -> Self {
        let signer = oauth1::Signer::new(account, copy(consumer.expose()), copy(token.expose()));
        Self::new(Carrier::Oauth1(Box::new(signer)), [copy(consumer.expose()), copy(token.expose())])
    }

    pub(in crate::credential) fn sigv4(account: &AwsSigv4, key: &Secret, session: Option<&Secret>) -> Self {
        let signer =
            sigv4::Signer::new(account, copy(key.expose()), session.map(|token| copy(token.expose())));
        let values = [Some(copy(key.expose())), session.map(|token| copy(token.expose()))];
        Self::new(Carrier::Sigv4(Box::new(signer)), values.into_iter().flatten())
    }

    fn new(carrier: Carrier, values: impl IntoIterator<Item = Secret>) -> Self {
        let mut forms = Vec::new();
        for value in values.into_iter().filter(|value| value.expose().len() >= SHORTEST) {
            forms.extend(escaped(value.expose()));
            forms.push(value);
        }
        Self { carrier, values: forms }
    }

    pub(in crate::credential) fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    pub(in crate::credential) fn reveals(&self, bytes: &[u8]) -> bool {
        self.values.iter().any(|value| memmem::find(bytes, value.expose().as_bytes()).is_some())
            || !self.behind_escapes(bytes).is_empty()
    }

    pub(in crate::credential) fn mask<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut found: Vec<Range<usize>> = self.behind_escapes(bytes);
        for value in &self.values {
            let needle = value.expose().as_bytes();
            found.extend(memmem::find_iter(bytes, needle).map(|at| at..at + needle.len()));
        }
        if found.is_empty() {
            return Cow::Borrowed(bytes);
        }
        found.sort_unstable_by_key(|range| range.start);
        Cow::Owned(without(bytes, &found))
    }

    /// Where a value stands with some of its characters as `\u00xx`. Rare, so the text is only then unescaped.
    fn behind_escapes(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        if self.values.is_empty() || memmem::find(bytes, br"\u00").is_none() {
            return Vec::new();
        }
        let (plain, runs) = unescaped(bytes);
        let mut found = Vec::new();
        for value in &self.values {
            let needle = value.expose().as_bytes();
            for at in memmem::find_iter(&plain, needle) {
                found.push(place(&runs, at)..place(&runs, at + needle.len()));
            }
        }
        found
    }
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Material(…)")
    }
}

fn copy(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// A header value in memory that is wiped when its last copy is dropped.
fn header_value(parts: &[&str]) -> Result<HeaderValue, NotAHeader> {
    let text: Zeroizing<Vec<u8>> = Zeroizing::new(parts.concat().into_bytes());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).map_err(|_| NotAHeader)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The other forms in which JSON writers write `text`: escaped, and with `/` escaped as well.
fn escaped(text: &str) -> Vec<Secret> {
    let quoted = Secret::new(serde_json::to_string(text).unwrap_or_default());
    let inner = quoted.expose().trim_matches('"');
    let plain = inner != text;
    let slashed = Secret::new(inner.replace('/', r"\/"));
    let mut forms = Vec::new();
    if slashed.expose() != inner {
        forms.push(slashed);
    }
    if plain {
        forms.push(copy(inner));
    }
    forms
}

/// Where a run of unescaped text begins, and where it stands in the escaped one.
struct Run {
    plain: usize,
    escaped: usize,
}

/// `bytes` with `\u00xx` and `\/` read, and its runs in order.
fn unescaped(bytes: &[u8]) -> (Zeroizing<Vec<u8>>, Vec<Run>) {
    let mut plain = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut runs = Vec::new();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let length = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        let (text, escape) = rest.split_at(length);
        runs.push(Run { plain: plain.len(), escaped: at });
        plain.extend_from_slice(text);
        at += length;
        if !escape.is_empty() {
            let (byte, length) = one(escape);
            runs.push(Run { plain: plain.len(), escaped: at });
            plain.push(byte);
            at += length;
        }
    }
    runs.push(Run { plain: plain.len(), escaped: bytes.len() });
    (plain, runs)
}

/// Where the byte at `at` of the unescaped text stands in the escaped one.
fn place(runs: &[Run], at: usize) -> usize {
    let after = runs.partition_point(|run| run.plain <= at);
    runs.get(after.saturating_sub(1)).map_or(0, |run| run.escaped + (at - run.plain))
}

fn one(rest: &[u8]) -> (u8, usize) {
    match rest {
        [b'\\', b'u', b'0', b'0', high, low, ..] => {
            let digits = [*high, *low];
            let mut byte = [0_u8];
            match hex::decode_to_slice(digits, &mut byte) {
                Ok(()) => (byte[0], 6),
                Err(_) => (b'\\', 1),
            }
        }
        [b'\\', escaped @ (b'/' | b'"' | b'\\'), ..] => (*escaped, 2),
        [byte, ..] => (*byte, 1),
        [] => (0, 1),
    }
}

fn without(bytes: &[u8], found: &[Range<usize>]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for range in found {
        if let Some(between) = bytes.get(at..range.start) {
            masked.extend_from_slice(between);
            masked.extend_from_slice(MASK);
        }
        at = at.max(range.end);
    }
    masked.extend_from_slice(bytes.get(at..).unwrap_or_default());
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(token: &str) -> Material {
        Material::bearer(&Secret::new(token.into())).unwrap()
    }

    #[test]
    fn an_answer_that_echoes_the_credential_is_masked_wherever_it_stands() {
        let material = bearer("tok-12345678");
        let answer = br#"{"a":"Bearer tok-12345678","b":["tok-12345678tok-12345678"],"c":"tok-1234"}"#;
        assert!(material.reveals(answer));
        let masked = material.mask(answer);
        let text = std::str::from_utf8(&masked).unwrap();
        assert_eq!(text, r#"{"a":"Bearer [credential]","b":["[credential][credential]"],"c":"tok-1234"}"#);
        assert!(!material.reveals(&masked));
    }

    #[test]
    fn json_escapes_do_not_hide_the_credential() {
        let material = bearer("ab/cd+ef\"gh\\12");
        for echoed in [
            r#""ab/cd+ef\"gh\\12""#,
            r#""ab\/cd+ef\"gh\\12""#,
            r#""\u0061b\u002Fcd+ef\u0022gh\u005c12""#,
            r#""ab/cd\u002bef\"gh\\12""#,
        ] {
            assert!(material.reveals(echoed.as_bytes()), "{echoed}");
            assert_eq!(material.mask(echoed.as_bytes()), br#""[credential]""#.as_slice(), "{echoed}");
        }
    }

    #[test]
    fn what_stands_around_a_hidden_credential_is_kept_as_it_is() {
        let material = bearer("tok-12345678");
        let echoed = br#"["\u003ca\u003e", "a\n\u0074ok-1234567\u0038\u0021", "tok-12345678", "\u00zz\"]"#;
        let kept = br#"["\u003ca\u003e", "a\n[credential]\u0021", "[credential]", "\u00zz\"]"#;
        assert_eq!(&*material.mask(echoed), kept);
    }

    #[test]
    fn an_answer_without_the_credential_is_not_copied() {
        let material = bearer("tok-12345678");
        let answer = br#"{"text":"nothing \u0041 here"}"#;
        assert!(!material.reveals(answer));
        assert!(matches!(material.mask(answer), Cow::Borrowed(_)));
    }

    #[test]
    fn the_password_and_the_encoded_pair_are_both_looked_for() {
        let material = Material::basic("api", &Secret::new("pass word 1".into())).unwrap();
        assert!(material.reveals(b"your password is pass word 1!"));
        assert!(material.reveals(format!("Basic {}", STANDARD.encode("api:pass word 1")).as_bytes()));
    }

    #[test]
    fn a_value_of_a_few_letters_is_not_looked_for() {
        assert!(!bearer("abc").reveals(b"abc"));
    }

    #[test]
    fn a_secret_that_no_header_can_carry_is_refused() {
        for secret in ["line\nbreak", "nul\0", "carriage\r\nX-Admin: 1"] {
            assert_eq!(Material::bearer(&Secret::new(secret.into())).err(), Some(NotAHeader));
        }
    }

    #[test]
    fn the_header_is_marked_sensitive_so_that_nothing_prints_it() {
        let material = bearer("tok-12345678");
        let Carrier::Header(name, value) = material.carrier() else { panic!("it is a header") };
        assert_eq!(name, AUTHORIZATION);
        assert_eq!(format!("{value:?}"), "Sensitive");
    }
}
