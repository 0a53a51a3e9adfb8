//! JWT access tokens (RFC 9068) as bearer tokens (RFC 6750): one of the configured issuers signed who the caller is.

mod claims;
mod document;
mod introspection;
mod keys;
mod ring;
mod token;

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::config::{self, Issuer, KeySource, Tenancy};
use crate::identify::clock::Clock;
pub(in crate::identify) use crate::identify::jwt::claims::{Bearer, Bound};
use crate::identify::jwt::claims::{access_token, bearer};
use crate::identify::jwt::introspection::Introspector;
pub(in crate::identify) use crate::identify::jwt::keys::verifying;
use crate::identify::jwt::ring::{Held, KeyRing};
use crate::identify::jwt::token::Token;
use crate::identify::presented::is_token68;
use crate::identify::problem::IdentityProblem;
use crate::identify::proof::BadProof;

/// Verified tokens that are remembered.
const REMEMBERED: usize = 20_000;
/// For how long at most.
const REMEMBER: Duration = Duration::from_secs(60);
/// The same for what an issuer said of a token that it may revoke.
const REMEMBER_INTROSPECTED: Duration = Duration::from_secs(15);
/// Tolerated clock skew.
const MOST_LEEWAY: Duration = Duration::from_secs(60);

/// Signatures by public keys (RFC 7518 section 3.1, RFC 8037, RFC 9864); for another, no key is even looked for.
pub(in crate::identify) const SIGNATURES: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519"];

/// The issuers, and the tokens that were verified of late, by their SHA-256.
#[derive(Debug)]
pub(in crate::identify) struct Tokens {
    issuers: Vec<Trusted>,
    verified: Cache<[u8; 32], Verified>,
    clock: Clock,
}

#[derive(Debug)]
struct Trusted {
    issuer: Issuer,
    ring: Arc<KeyRing>,
    introspector: Option<Introspector>,
}

/// A token that was verified: good while its issuer's keys are still those that verified it. One that was introspected is good
/// for less time, for its issuer alone knows when it is revoked.
#[derive(Debug, Clone)]
struct Verified {
    bearer: Bearer,
    until: Duration,
    keys: Option<(Arc<KeyRing>, u64)>,
}

impl Tokens {
    pub(in crate::identify) fn new(
        issuers: &[Issuer],
        clock: Clock,
        problems: &mut Vec<IdentityProblem>,
    ) -> Self {
        let mut trusted: Vec<Trusted> = Vec::with_capacity(issuers.len());
        for (at, issuer) in issuers.iter().enumerate() {
            let path = format!("identity.jwt[{at}]");
            check(issuer, &path, problems);
            if trusted.iter().any(|other| other.issuer.issuer == issuer.issuer) {
                problems.push(IdentityProblem::new(
                    format!("{path}.issuer"),
                    format!("`{}` is configured twice", issuer.issuer),
                    "write one entry per issuer, with all its audiences",
                ));
            }
            let introspector = issuer.introspection.as_ref().map(Introspector::new).transpose();
            let introspector = introspector.unwrap_or_else(|error| {
                problems.push(IdentityProblem::new(
                    format!("{path}.introspection.url"),
                    error.to_string(),
                    "name the issuer's introspection endpoint (RFC 7662)",
                ));
                None
            });
            match KeyRing::new(&issuer.issuer, &issuer.keys, clock.clone()) {
                Ok(ring) => {
                    trusted.push(Trusted { issuer: issuer.clone(), ring: Arc::new(ring), introspector });
                }
                Err(error) => problems.push(IdentityProblem::new(
                    format!("{path}.jwks"),
                    error.to_string(),
                    "name a JWKS document (RFC 7517) with the issuer's public keys, by `url` or `file`",
                )),
            }
        }
        Self { issuers: trusted, verified: Cache::new(REMEMBERED), clock }
    }

    /// Whose token it is, and to whose key it is bound, which its sender has to prove. Whether it was revoked here is another
    /// question.
    pub(in crate::identify) async fn find(&self, text: &str) -> Result<Bearer, BadProof> {
        let digest: [u8; 32] = Sha256::digest(text).into();
        match self.remembered(&digest) {
            Some(bearer) => Ok(bearer),
            None => self.verify(text, digest).await,
        }
    }

    fn remembered(&self, digest: &[u8; 32]) -> Option<Bearer> {
        let verified = self.verified.get(digest)?;
        let same_keys = verified
            .keys
            .as_ref()
            .is_none_or(|(ring, generation)| ring.now().is_some_and(|held| held.generation == *generation));
        (same_keys && self.clock.tick() < verified.until).then_some(verified.bearer)
    }

    async fn verify(&self, text: &str, digest: [u8; 32]) -> Result<Bearer, BadProof> {
        if !is_token68(text) {
            return Err(BadProof::NotBearer);
        }
        if text.bytes().filter(|b| *b == b'.').count() != 2 && self.introspect() {
            return self.introspected(text, digest).await;
        }
        let token = Token::parse(text)?;
        let issuer = token.issuer()?;
        let trusted = self.issuers.iter().find(|t| t.issuer.issuer == issuer).ok_or(BadProof::Issuer)?;
        let held = signed(&token, &trusted.ring).await?;
        let issuer = &trusted.issuer;
        access_token(&token.header, &token.claims, issuer.require_at_jwt)?;
        let bearer = bearer(&token.claims, issuer, self.clock.now())?;
        let until = self.clock.tick() + bearer.left.min(REMEMBER);
        let keys = Some((Arc::clone(&trusted.ring), held.generation));
        self.verified.insert(digest, Verified { bearer: bearer.clone(), until, keys });
        Ok(bearer)
    }

    fn introspect(&self) -> bool {
        self.issuers.iter().any(|trusted| trusted.introspector.is_some())
    }

    /// Asks each issuer that may be asked, in their order, until one knows the token.
    async fn introspected(&self, text: &str, digest: [u8; 32]) -> Result<Bearer, BadProof> {
        let mut verdict = BadProof::Inactive;
        for trusted in &self.issuers {
            let Some(introspector) = &trusted.introspector else { continue };
            let claims = match introspector.ask(text).await {
                Ok(claims) => claims,
                Err(BadProof::Inactive) => continue,
                Err(unavailable) => {
                    verdict = unavailable;
                    continue;
                }
            };
            if claims.get("iss").is_some_and(|name| *name != *trusted.issuer.issuer) {
                return Err(BadProof::Issuer);
            }
            let bearer = bearer(&claims, &trusted.issuer, self.clock.now())?;
            let until = self.clock.tick() + bearer.left.min(REMEMBER_INTROSPECTED);
            self.verified.insert(digest, Verified { bearer: bearer.clone(), until, keys: None });
            return Ok(bearer);
        }
        Err(verdict)
    }
}

#[cfg(test)]
impl Tokens {
    /// Comes back when no renewal is under way.
    pub(in crate::identify) async fn settled(&self) {
        for trusted in &self.issuers {
            trusted.ring.settled().await;
        }
    }
}

/// Checks the signature, with a second look at the issuer's keys where the token's is not among them.
async fn signed(token: &Token<'_>, ring: &Arc<KeyRing>) -> Result<Arc<Held>, BadProof> {
    if !SIGNATURES.contains(&token.header.alg.as_str()) {
        return Err(BadProof::Algorithm);
    }
    let held = ring.keys().await?;
    match is_signed(token, &held) {
        Ok(()) => Ok(held),
        Err(BadProof::UnknownKey) => {
            let newer = ring.look_again(&held).await.ok_or(BadProof::UnknownKey)?;
            is_signed(token, &newer).map(|()| newer)
        }
        Err(bad) => Err(bad),
    }
}

/// A token without a key id may be of any key; if it is of none, its key may be new.
fn is_signed(token: &Token<'_>, held: &Held) -> Result<(), BadProof> {
    let id = token.header.kid.as_deref();
    let mut verdict = BadProof::UnknownKey;
    for key in held.keys().ok_or(BadProof::NoKeys)?.candidates(id) {
        if !key.is_for(&token.header.alg) {
            verdict = BadProof::Algorithm;
        } else if key.verifies(token.message, token.signature) {
            return Ok(());
        } else {
            verdict = BadProof::Signature;
        }
    }
    Err(if id.is_none() { BadProof::UnknownKey } else { verdict })
}

fn check(issuer: &Issuer, path: &str, problems: &mut Vec<IdentityProblem>) {
    let mut problem = |key: &str, what: &str, fix: &str| {
        problems.push(IdentityProblem::new(format!("{path}.{key}"), what, fix));
    };
    if issuer.issuer.is_empty() {
        problem("issuer", "it is empty", "write the `iss` of its tokens, exactly");
    }
    if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
        let what = "no audience is named, and an empty list never means all";
        problem("audiences", what, "write the `aud` that tokens for this gate carry, usually `public_url`");
    }
    if issuer.leeway > MOST_LEEWAY {
        problem("leeway", "it is more than 60 s", "set the clocks, and allow 60 s at most");
    }
    if issuer.scopes.iter().any(|scope| scope.is_empty() || !scope.bytes().all(is_scope)) {
        let what = "a scope is empty or has a space, a quote or a backslash";
        problem("scopes", what, "write one scope per element (RFC 6749 section 3.3)");
    }
    if is_stale_before_due(&issuer.keys) {
        let what =
            "`max_stale` is shorter than `refresh`, so good keys would be dropped before they are renewed";
        problem("jwks.max_stale", what, "make it several times `refresh`, as `24h` to `5m`");
    }
    for (key, pointer) in pointers(&issuer.claims) {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            let fix = format!("write `/{pointer}`");
            problem(&key, &format!("`{pointer}` is not a JSON Pointer (RFC 6901)"), &fix);
        } else if pointer.is_empty() {
            problem(&key, "the pointer is empty, which is the whole token", "name a claim, as in `/sub`");
        }
    }
}

fn is_stale_before_due(keys: &KeySource) -> bool {
    match keys {
        KeySource::Url { refresh, max_stale, .. } | KeySource::Discovered { refresh, max_stale } => {
            max_stale < refresh
        }
        KeySource::File(_) => false,
    }
}

fn pointers(claims: &config::Claims) -> Vec<(String, &str)> {
    let mut all = Vec::new();
    match &claims.tenant {
        Tenancy::Claim(pointer) => all.push(("tenant.claim".to_owned(), pointer.as_str())),
        Tenancy::Fixed(_) => {}
    }
    let named = [
        ("user", &claims.user),
        ("agent", &claims.agent),
        ("roles", &claims.roles),
        ("groups", &claims.groups),
    ];
    for (name, pointer) in named {
        all.extend(pointer.as_deref().map(|pointer| (format!("claims.{name}"), pointer)));
    }
    for (name, pointer) in &claims.attributes {
        all.push((format!("claims.attributes.{name}"), pointer));
    }
    all
}

/// RFC 6749 section 3.3.
fn is_scope(b: u8) -> bool {
    b.is_ascii_graphic() && !matches!(b, b'"' | b'\\')
}
