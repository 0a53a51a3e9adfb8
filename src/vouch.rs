//! Who says so: a permit → a signed statement to the server (`Txn-Token`, draft-ietf-oauth-transaction-tokens-08).
//!
//! # Why a statement and not the caller's own token
//! The caller's token is for the gate; a server that got it could use it elsewhere. The statement names tenant, user, agent
//! and the exact call, is for one server, and ends within a minute. It is no credential: the account's own is.
//!
//! # Why the JWT is put together by hand
//! Signing is the dearest step of a call. A JWT library parses the key for each token; here key and header are made ready
//! once, and the claims are written once into one buffer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use zeroize::Zeroizing;

use crate::config::{Server, Vouch};
use crate::credential::seal::{SealError, Sealer};
use crate::decide::Permit;
use crate::refusal::Refusal;
use crate::store::{Store, StoreError};
use crate::vouch::key::SigningKey;
use crate::vouch::ring::{Cupboard, Ring};

mod claims;
mod key;
mod ring;

/// No token lives longer, whatever is configured.
pub const LONGEST_LIFETIME: Duration = Duration::from_secs(60);
/// How long gates that share a store publish a new key before they sign with it: longer than they go without looking for one.
const ANNOUNCED: Duration = Duration::from_secs(90);

/// Signs what the gate says to servers, and publishes the keys by which they check it.
pub struct Voucher {
    issuer: String,
    header: HeaderName,
    lifetime: Duration,
    cupboard: Cupboard,
    ring: ArcSwap<Ring>,
}

/// What the token says besides the permit.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The other end of the caller's connection.
    pub client_address: IpAddr,
    /// When it is said.
    pub now: SystemTime,
    /// The URL that the call goes to, where the account has its own instead of the server's.
    pub url: Option<&'a http::Uri>,
}

/// A signed token. It prints nothing: transaction tokens must not be logged (section 12 of the draft).
pub struct Token {
    name: HeaderName,
    value: HeaderValue,
}

/// Why the gate cannot vouch. For the operator.
#[derive(Debug, thiserror::Error)]
pub enum VouchError {
    /// A signing key can't be sealed or opened.
    #[error("the gate's signing keys: {0}")]
    Seal(#[from] SealError),
    /// The keys can't be read or kept.
    #[error("the gate's signing keys: {0}")]
    Store(#[from] StoreError),
    /// A kept key is not one, or none could be made.
    #[error("the gate's signing keys: {0}")]
    Key(&'static str),
}

impl Voucher {
    /// Takes the keys from the store, or makes the first one. Where the sealing key can't be had yet there are none:
    /// nothing is vouched for until `maintain` finds it.
    ///
    /// # Errors
    /// The store fails, or holds keys that this sealer does not open.
    pub async fn open(
        config: &Vouch,
        store: Arc<dyn Store>,
        sealer: Arc<Sealer>,
        now: SystemTime,
    ) -> Result<Self, VouchError> {
        let lifetime = config.lifetime.clamp(Duration::from_secs(1), LONGEST_LIFETIME);
        let announced = if store.is_shared() { ANNOUNCED } else { Duration::ZERO };
        let voucher = Self {
            issuer: config.issuer.clone(),
            header: config.header.clone(),
            lifetime,
            cupboard: Cupboard {
                store,
                sealer,
                algorithm: config.algorithm,
                rotate: config.rotate,
                overlap: config.rotate.saturating_add(lifetime).saturating_add(announced),
                announced,
            },
            ring: ArcSwap::from_pointee(Ring::default()),
        };
        match voucher.maintain(now).await {
            Ok(()) | Err(VouchError::Seal(SealError::Unavailable(_))) => Ok(voucher),
            Err(error) => Err(error),
        }
    }

    /// The token for one call of one server.
    ///
    /// # Errors
    /// [`Refusal::CredentialUnavailable`] while there is no key; [`Refusal::Internal`] if it can't be signed.
    pub fn vouch(&self, permit: &Permit, context: &Context<'_>) -> Result<Token, Refusal> {
        let ring = self.ring.load();
        let unavailable = || Refusal::CredentialUnavailable { server: permit.server().name.clone() };
        let key = ring.current().ok_or_else(unavailable)?;
        let claims = claims::of(permit, context, &self.issuer, self.lifetime).ok_or(Refusal::Internal)?;
        let value = signed(key, &claims).ok_or(Refusal::Internal)?;
        Ok(Token { name: self.header.clone(), value })
    }

    /// The public keys as a JWK set (RFC 7517): the current one and those whose tokens may still be out.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        let ring = self.ring.load();
        json!({ "keys": ring.keys().map(|key| key.jwk().clone()).collect::<Vec<_>>() })
    }

    /// Whether there is a key to sign with. A gate that has none is not ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ring.load().current().is_some()
    }

    /// Takes what other gates have changed, makes a new key when the current one is old enough, and removes those that
    /// nobody needs any more. To be called every minute or so.
    ///
    /// # Errors
    /// The store or the sealer fails; the keys that are here stay in use.
    pub async fn maintain(&self, now: SystemTime) -> Result<(), VouchError> {
        self.ring.store(Arc::new(self.cupboard.maintained(now).await?));
        Ok(())
    }

    /// Makes a new key and signs with it, at once or, where gates share the store, when all of them publish it. The one before stays
    /// published for one more period.
    ///
    /// # Errors
    /// The store or the sealer fails; the keys that are here stay in use.
    pub async fn rotate(&self, now: SystemTime) -> Result<(), VouchError> {
        self.ring.store(Arc::new(self.cupboard.rotated(now).await?));
        Ok(())
    }
}

impl std::fmt::Debug for Voucher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Voucher({}, {} keys)", self.issuer, self.ring.load().keys().count())
    }
}

impl Token {
    /// Puts the token on a request, in place of any that is there: exactly one may be.
    ///
    /// # Errors
    /// The request has no room for it.
    pub fn apply(&self, headers: &mut HeaderMap) -> Result<(), Refusal> {
        headers.try_insert(self.name.clone(), self.value.clone()).map_err(|_| Refusal::Internal)?;
        Ok(())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The audience of tokens for `server`: its configured URL without user, query and fragment.
#[must_use]
pub fn audience(server: &Server) -> String {
    claims::audience(&server.url)
}

/// JWS compact serialization (RFC 7515 section 7.1).
fn signed(key: &SigningKey, claims: &[u8]) -> Option<HeaderValue> {
    const SIGNATURE_CHARS: usize = 86;
    let capacity = key.header().len() + 1 + claims.len().div_ceil(3) * 4 + 1 + SIGNATURE_CHARS;
    let mut token = Zeroizing::new(String::with_capacity(capacity));
    token.push_str(key.header());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(token)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
