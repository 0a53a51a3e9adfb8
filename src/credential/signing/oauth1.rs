//! OAuth 1.0a with HMAC-SHA256 (RFC 5849 section 3), as NetSuite's token-based authentication.
//!
//! # Why the body is not signed
//! Only a form is part of the signature (section 3.4.1.3.1), and MCP sends JSON. What is signed is the method, the URL with its query,
//! the time and a nonce.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::config::Oauth1;
use crate::credential::signing::{CannotSign, Signed};
use crate::secret::Secret;

/// What signs the requests of one account.
pub(in crate::credential) struct Signer {
    realm: String,
    consumer_key: String,
    token_id: String,
    consumer_secret: Secret,
    token_secret: Secret,
}

impl Signer {
    pub(in crate::credential) fn new(
        account: &Oauth1,
        consumer_secret: Secret,
        token_secret: Secret,
    ) -> Self {
        Self {
            realm: account.realm.clone(),
            consumer_key: account.consumer_key.clone(),
            token_id: account.token_id.clone(),
            consumer_secret,
            token_secret,
        }
    }

    /// Signs a request: its `Authorization` is the signature from now on.
    ///
    /// # Errors
    /// A URL without a host, or no random bits.
    pub(in crate::credential) fn sign(&self, request: Signed<'_>) -> Result<(), CannotSign> {
        let mut nonce = [0_u8; 16];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| CannotSign)?;
        let (nonce, now) = (hex::encode(nonce), jiff::Timestamp::now().as_second().to_string());
        let parameters = [
            ("oauth_consumer_key", self.consumer_key.as_str()),
            ("oauth_nonce", &nonce),
            ("oauth_signature_method", "HMAC-SHA256"),
            ("oauth_timestamp", &now),
            ("oauth_token", &self.token_id),
            ("oauth_version", "1.0"),
        ];
        let base = base(&request, &parameters)?;
        let signature = self.signature(&base)?;
        let mut header = format!("OAuth realm=\"{}\"", self.realm);
        for (name, value) in parameters.into_iter().chain([("oauth_signature", signature.as_str())]) {
            header.push_str(&format!(",{name}=\"{}\"", encoded(value)));
        }
        let mut value = HeaderValue::try_from(header).map_err(|_| CannotSign)?;
        value.set_sensitive(true);
        request.headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    /// Section 3.4.2, with SHA-256.
    fn signature(&self, base: &str) -> Result<String, CannotSign> {
        let (consumer, token) = (self.consumer_secret.expose(), self.token_secret.expose());
        let key = Zeroizing::new(format!("{}&{}", encoded(consumer), encoded(token)));
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|_| CannotSign)?;
        mac.update(base.as_bytes());
        Ok(STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The signature base string (section 3.4.1): method, URL without query, and every parameter in order.
fn base(request: &Signed<'_>, oauth: &[(&str, &str)]) -> Result<String, CannotSign> {
    let query = request.url.query().unwrap_or_default();
    let mut all: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .chain(oauth.iter().map(|(name, value)| (encoded(name), encoded(value))))
        .collect();
    all.sort();
    let all: Vec<String> = all.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let url = bare(request).ok_or(CannotSign)?;
    Ok(format!("{}&{}&{}", request.method, encoded(&url), encoded(&all.join("&"))))
}

/// Section 3.4.1.2: in lower case, without the default port, without the query.
fn bare(request: &Signed<'_>) -> Option<String> {
    let scheme = request.url.scheme_str()?.to_ascii_lowercase();
    let host = request.url.host()?.to_ascii_lowercase();
    let path = match request.url.path() {
        "" => "/",
        path => path,
    };
    Some(match (request.url.port_u16(), scheme.as_str()) {
        (None, _) | (Some(443), "https") | (Some(80), "http") => format!("{scheme}://{host}{path}"),
        (Some(port), _) => format!("{scheme}://{host}:{port}{path}"),
    })
}

/// Section 3.6: everything but the unreserved characters of RFC 3986.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => {
                encoded.push('%');
                encoded.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    encoded
}
