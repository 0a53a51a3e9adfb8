//! What a token whose signature is good must say, and who its bearer is by it (RFC 9068 section 4, RFC 7519 section 4.1).
//!
//! # Why by hand
//! A claim of the wrong type must count as wrong, never as absent: `exp` as a string once meant "no expiry"
//! (CVE-2026-25537). Here each claim is read once, with its type, from one value.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;

use crate::config::{Issuer, Tenancy};
use crate::identify::jwt::token::Header;
use crate::identify::proof::BadProof;
use crate::identify::revoked::Marks;
use crate::identify::{Authentication, Caller, Proof};
use crate::name::{AgentId, TenantId, UserId};

/// Who a token stands for, until when, with which key, and what it could be revoked by.
#[derive(Debug, Clone)]
pub(in crate::identify) struct Bearer {
    pub(in crate::identify) caller: Arc<Caller>,
    /// From now to its end, leeway included.
    pub(in crate::identify) left: Duration,
    pub(in crate::identify) bound: Bound,
    pub(in crate::identify) marks: Arc<Marks>,
}

/// To whose key a token is bound (`cnf`, RFC 7800).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::identify) enum Bound {
    /// To nobody's: holding it is enough.
    Free,
    /// To the client certificate with this SHA-256 (RFC 8705 section 3.1).
    Certificate([u8; 32]),
    /// To the key with this SHA-256 thumbprint (RFC 9449 section 6.1).
    Key([u8; 32]),
}

/// Reads the claims for `issuer` at the time `now`.
pub(in crate::identify) fn bearer(
    claims: &Value,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<Bearer, BadProof> {
    audience(claims.get("aud"), &issuer.audiences)?;
    let left = lifetime(claims, issuer.leeway, now)?;
    let bound = confirmation(claims.get("cnf"))?;
    let scopes = scopes(claims)?;
    if !issuer.scopes.iter().all(|needed| scopes.iter().any(|has| **has == **needed)) {
        return Err(BadProof::Scope(issuer.scopes.iter().map(|s| Arc::from(s.as_str())).collect()));
    }
    let authentication = Authentication {
        kind: Proof::Jwt,
        issuer: Some(Arc::from(issuer.issuer.as_str())),
        scopes,
        at: authenticated_at(claims)?,
        acr: text(claims.get("acr"))?.map(Arc::from),
        amr: texts(claims.get("amr"))?,
    };
    if issuer.sender_constrained && bound == Bound::Free {
        return Err(BadProof::Unbound);
    }
    let marks = Arc::new(Marks::of(&issuer.issuer, claims));
    Ok(Bearer { caller: Arc::new(caller(claims, issuer, authentication)?), left, bound, marks })
}

/// An ID token, a logout token or another gate's statement is not an access token, whoever signed it.
pub(in crate::identify) fn access_token(
    header: &Header,
    claims: &Value,
    required: bool,
) -> Result<(), BadProof> {
    let is = |name: &str| header.typ.as_deref().is_some_and(|typ| typ.eq_ignore_ascii_case(name));
    let typed = is("at+jwt") || is("application/at+jwt");
    let plain = header.typ.is_none() || is("JWT");
    if !(typed || (plain && !required)) || claims.get("at_hash").is_some() || claims.get("c_hash").is_some() {
        return Err(BadProof::NotAccessToken);
    }
    match claims.get("sub") {
        Some(Value::String(_)) => Ok(()),
        None if !required => Ok(()),
        _ => Err(BadProof::Claim),
    }
}

fn audience(claim: Option<&Value>, accepted: &[String]) -> Result<(), BadProof> {
    let here = |name: &str| accepted.iter().any(|own| own == name);
    let found = match claim {
        Some(Value::String(name)) => here(name),
        Some(Value::Array(names)) => {
            let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
            names.ok_or(BadProof::Claim)?.into_iter().any(here)
        }
        _ => return Err(BadProof::Audience),
    };
    if found { Ok(()) } else { Err(BadProof::Audience) }
}

/// How long the token is good from now on.
fn lifetime(claims: &Value, leeway: Duration, now: Timestamp) -> Result<Duration, BadProof> {
    let now = now.as_duration().as_secs_f64();
    let leeway = leeway.as_secs_f64();
    let end = number(claims, "exp")?.ok_or(BadProof::Claim)?;
    number(claims, "iat")?;
    if number(claims, "nbf")?.is_some_and(|start| start > now + leeway) {
        return Err(BadProof::NotYet);
    }
    let left = end + leeway - now;
    if left <= 0.0 {
        return Err(BadProof::Expired);
    }
    Ok(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX))
}

/// A NumericDate: a number, or absent. Anything else, null included, is wrong.
fn number(claims: &Value, name: &str) -> Result<Option<f64>, BadProof> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().filter(|seconds| seconds.is_finite()).map(Some).ok_or(BadProof::Claim),
    }
}

fn authenticated_at(claims: &Value) -> Result<Option<SystemTime>, BadProof> {
    let seconds = number(claims, "auth_time")?.or(number(claims, "iat")?);
    let Some(seconds) = seconds else { return Ok(None) };
    let since = Duration::try_from_secs_f64(seconds).map_err(|_| BadProof::Claim)?;
    SystemTime::UNIX_EPOCH.checked_add(since).map(Some).ok_or(BadProof::Claim)
}

/// A token that is bound to a key is good only with a proof of that key; those that the gate can check are the client
/// certificate and DPoP. With both, or anything unknown, it is refused.
fn confirmation(claim: Option<&Value>) -> Result<Bound, BadProof> {
    let Some(claim) = claim else { return Ok(Bound::Free) };
    let mut members = claim.as_object().ok_or(BadProof::Bound)?.iter();
    let (Some((name, value)), None) = (members.next(), members.next()) else { return Err(BadProof::Bound) };
    let digest = value.as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let digest = digest.and_then(|digest| digest.try_into().ok()).ok_or(BadProof::Bound)?;
    match name.as_str() {
        "x5t#S256" => Ok(Bound::Certificate(digest)),
        "jkt" => Ok(Bound::Key(digest)),
        _ => Err(BadProof::Bound),
    }
}

/// `scope` (RFC 8693 section 4.2) and `scp`, as some providers write it.
fn scopes(claims: &Value) -> Result<Vec<Arc<str>>, BadProof> {
    let mut all = texts(claims.get("scope"))?;
    all.extend(texts(claims.get("scp"))?);
    Ok(all)
}

fn caller(claims: &Value, issuer: &Issuer, authentication: Authentication) -> Result<Caller, BadProof> {
    let map = &issuer.claims;
    let at = |pointer: &Option<String>| pointer.as_deref().and_then(|pointer| claims.pointer(pointer));
    let tenant = match &map.tenant {
        Tenancy::Fixed(tenant) => tenant.clone(),
        Tenancy::Claim(pointer) => {
            let name = claims.pointer(pointer).and_then(Value::as_str).ok_or(BadProof::Claim)?;
            TenantId::parse(name).map_err(|_| BadProof::Claim)?
        }
    };
    if map.tenants.as_ref().is_some_and(|own| !own.contains(&tenant)) {
        return Err(BadProof::Tenant);
    }
    let user = text(at(&map.user))?.map(UserId::parse).transpose();
    let agent = text(at(&map.agent))?.map(AgentId::parse).transpose();
    let attribute = |(name, pointer): (&String, &String)| {
        claims.pointer(pointer).filter(|value| !value.is_null()).map(|value| (name.clone(), value.clone()))
    };
    Ok(Caller {
        tenant,
        user: user.map_err(|_| BadProof::Claim)?,
        agent: agent.map_err(|_| BadProof::Claim)?,
        roles: texts(at(&map.roles))?,
        groups: texts(at(&map.groups))?,
        attributes: map.attributes.iter().filter_map(attribute).collect::<BTreeMap<_, _>>(),
        authentication,
        scope: None,
    })
}

fn text(claim: Option<&Value>) -> Result<Option<&str>, BadProof> {
    match claim {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(BadProof::Claim),
    }
}

/// A string, a space-separated string, or an array of strings.
fn texts(claim: Option<&Value>) -> Result<Vec<Arc<str>>, BadProof> {
    match claim {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(text.split_whitespace().map(Arc::from).collect()),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(Arc::from).ok_or(BadProof::Claim)).collect()
        }
        Some(_) => Err(BadProof::Claim),
    }
}
