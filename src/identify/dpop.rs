//! Proofs of possession (DPoP, RFC 9449): who sends a token shows with each request that they hold the key that it is bound to.
//!
//! # Why each proof counts once
//! A proof that was overheard would otherwise serve whoever sends it again within its minute. What was seen is kept here for
//! as long as the proof could pass; another gate does not know of it, and a proof names one URL and one token. With a nonce of
//! the gate's in it (`nonce`), a proof can't be made beforehand for later.

mod nonce;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::{DashMap, Entry};
use http::HeaderMap;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use reqwest::Url;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::identify::clock::Clock;
use crate::identify::dpop::nonce::Nonces;
use crate::identify::jwt::{SIGNATURES, verifying};
use crate::identify::proof::BadProof;
use crate::inbound::{Door, Form, Head, Target};
use crate::refusal::Refusal;
use crate::secret::Key;

/// How old a proof may be, and by how much its clock may be ahead (RFC 9449 section 11.1).
const WINDOW: Duration = Duration::from_secs(60);
/// Proofs that are remembered.
const MOST: usize = 200_000;
/// A proof is a few hundred bytes.
const LONGEST: usize = 8 * 1024;
/// Members of a JWK that only a private or a shared key has (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The proofs of late.
#[derive(Debug)]
pub(in crate::identify) struct Proofs {
    public_url: String,
    nonces: Option<Nonces>,
    seen: DashMap<[u8; 32], Duration>,
    clock: Clock,
}

impl Proofs {
    pub(in crate::identify) fn new(public_url: &str, clock: Clock) -> Self {
        let public_url = public_url.trim_end_matches('/').to_owned();
        Self { public_url, nonces: None, seen: DashMap::new(), clock }
    }

    /// The same, where each proof has to carry a nonce that a gate with this key has made of late.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the key cannot be used.
    pub(in crate::identify) fn demanding_nonces(self, gate_key: &Key) -> Result<Self, Refusal> {
        Ok(Self { nonces: Some(Nonces::new(gate_key, self.clock.clone())?), ..self })
    }

    /// Checks that the request carries a proof of the key with this thumbprint (RFC 7638), made for this request and this
    /// token, and not seen before (RFC 9449 section 4.3).
    pub(in crate::identify) fn check(
        &self,
        head: &Head,
        token: &str,
        key: &[u8; 32],
    ) -> Result<(), BadProof> {
        let text = only(&head.headers)?;
        let (message, signature) = text.rsplit_once('.').ok_or(BadProof::Dpop("it is not a JWT"))?;
        let (header, claims) = message.split_once('.').ok_or(BadProof::Dpop("it is not a JWT"))?;
        let (header, claims) = (part(header)?, part(claims)?);
        if header.get("typ").and_then(Value::as_str) != Some("dpop+jwt") || header.get("crit").is_some() {
            return Err(BadProof::Dpop("its `typ` is not `dpop+jwt`"));
        }
        if thumbprint(&header, message, signature)? != *key {
            return Err(BadProof::Dpop("its key is not the one that the token is bound to"));
        }
        let claim = |name: &str| claims.get(name).and_then(Value::as_str);
        if claim("htm") != Some(head.method.as_str()) {
            return Err(BadProof::Dpop("its `htm` is not the method"));
        }
        if !claim("htu").is_some_and(|url| self.is_here(url, &head.target)) {
            return Err(BadProof::Dpop("its `htu` is not the URL of this endpoint"));
        }
        if claim("ath") != Some(URL_SAFE_NO_PAD.encode(Sha256::digest(token)).as_str()) {
            return Err(BadProof::Dpop("its `ath` is not the token's hash"));
        }
        let age = claims.get("iat").and_then(Value::as_f64);
        let age = age.map(|made| self.clock.now().as_duration().as_secs_f64() - made);
        if !age.is_some_and(|age| age.abs() <= WINDOW.as_secs_f64()) {
            return Err(BadProof::Dpop("its `iat` is not of this minute"));
        }
        if let Some(nonces) = &self.nonces {
            nonces.check(claim("nonce"))?;
        }
        let id = claim("jti").filter(|id| !id.is_empty()).ok_or(BadProof::Dpop("it has no `jti`"))?;
        self.first(Sha256::new_with_prefix(key).chain_update(id).finalize().into())
    }

    /// Compared as RFC 3986 section 6.2 normalises them, without query and fragment.
    fn is_here(&self, url: &str, target: &Target) -> bool {
        let own = Url::parse(&format!("{}{}", self.public_url, path(target)));
        let place = |url: &Url| {
            let host = url.host_str().map(str::to_owned);
            (url.scheme().to_owned(), host, url.port_or_known_default(), url.path().to_owned())
        };
        matches!((own, Url::parse(url)), (Ok(own), Ok(url)) if place(&own) == place(&url))
    }

    fn first(&self, proof: [u8; 32]) -> Result<(), BadProof> {
        let now = self.clock.tick();
        if self.seen.len() >= MOST {
            self.seen.retain(|_, until| *until > now);
            if self.seen.len() >= MOST {
                return Err(BadProof::Crowded);
            }
        }
        // A proof from the future passes for two windows.
        let until = now + WINDOW * 2;
        match self.seen.entry(proof) {
            Entry::Occupied(seen) if *seen.get() > now => Err(BadProof::Dpop("it was used before")),
            Entry::Occupied(mut seen) => {
                seen.insert(until);
                Ok(())
            }
            Entry::Vacant(new) => {
                new.insert(until);
                Ok(())
            }
        }
    }
}

/// The one `DPoP` header.
fn only(headers: &HeaderMap) -> Result<&str, BadProof> {
    let mut values = headers.get_all("dpop").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(BadProof::Dpop("the request needs exactly one `DPoP` header"));
    };
    let text = std::str::from_utf8(value.as_bytes()).ok().filter(|text| text.len() <= LONGEST);
    text.ok_or(BadProof::Dpop("it is not a JWT"))
}

fn part(text: &str) -> Result<Value, BadProof> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadProof::Dpop("it is not a JWT"))?;
    serde_json::from_slice(&bytes).map_err(|_| BadProof::Dpop("it is not a JWT"))
}

/// The thumbprint of the key in the header, which has signed the proof.
fn thumbprint(header: &Value, message: &str, signature: &str) -> Result<[u8; 32], BadProof> {
    let bad = BadProof::Dpop("its `jwk` is no public key for its `alg`");
    let algorithm = header.get("alg").and_then(Value::as_str).filter(|name| SIGNATURES.contains(name));
    let (Some(algorithm), Some(Value::Object(members))) = (algorithm, header.get("jwk")) else {
        return Err(bad);
    };
    if PRIVATE.iter().any(|name| members.contains_key(*name)) {
        return Err(bad);
    }
    let mut members = members.clone();
    members.insert("alg".to_owned(), Value::from(algorithm));
    let key = Value::Object(members);
    let jwk: Jwk = serde_json::from_value(key.clone()).map_err(|_| bad.clone())?;
    let verifying = verifying(&key).filter(|key| key.is_for(algorithm)).ok_or_else(|| bad.clone())?;
    if !verifying.verifies(message, signature) {
        return Err(BadProof::Dpop("its signature is wrong"));
    }
    let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| bad.clone())?;
    URL_SAFE_NO_PAD.decode(thumbprint).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(bad)
}

/// The path of an endpoint, as it was asked for.
fn path(target: &Target) -> String {
    let door = |door: &Door| match door {
        Door::Gate => String::new(),
        Door::Server(name) => format!("/servers/{name}"),
        Door::ScopedUrl(token) => format!("/mcp/{}", token.expose()),
    };
    match target {
        Target::ScopedUrl(token) => format!("/mcp/{}", token.expose()),
        Target::Server(name) => format!("/servers/{name}/mcp"),
        Target::OnlyServer(_) => "/mcp".to_owned(),
        Target::Access(Form::Evaluation, before) => format!("{}/access/v1/evaluation", door(before)),
        Target::Access(Form::Evaluations, before) => format!("{}/access/v1/evaluations", door(before)),
    }
}
