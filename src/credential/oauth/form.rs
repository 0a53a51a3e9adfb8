//! A token request's body, and the client's id and secret before Basic.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

/// `application/x-www-form-urlencoded` (RFC 6749 appendix B), wiped when it has been sent.
pub(in crate::credential) struct Form(Zeroizing<String>);

impl Form {
    pub(in crate::credential) fn new(grant_type: &str) -> Self {
        Self(Zeroizing::new(String::with_capacity(2048))).with("grant_type", grant_type)
    }

    pub(in crate::credential) fn with(mut self, name: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&encoded(value));
        self
    }

    pub(in crate::credential) fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(in crate::credential) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.0)
    }
}

/// `Authorization: Basic`, and whether the encoding of RFC 6749 section 2.3.1 changed anything.
pub(in crate::credential) fn basic(id: &str, secret: &str) -> Option<(HeaderValue, bool)> {
    let (encoded_id, encoded_secret) = (encoded(id), encoded(secret));
    let changed = *encoded_id != id || *encoded_secret != secret;
    let pair = Zeroizing::new(format!("{}:{}", *encoded_id, *encoded_secret));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())).into_bytes());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).ok()?;
    value.set_sensitive(true);
    Some((value, changed))
}

fn encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(text.len() * 3));
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => {
                encoded.push('%');
                encoded.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    encoded
}
