//! How callers prove who they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::super::leaf::{Agent, Tenant, Url, User, Word};
use super::super::problem::At;
use super::super::raw::{
    RawApiKey, RawCertificate, RawDirectory, RawIdentity, RawIntrospection, RawIssuer, RawJwks, RawListener,
    RawTenancy, RawWho,
};
use super::super::report::Report;
use super::super::{
    ApiKey, CertificateRule, Certificates, Claims, Directory, Identity, Introspection, Issuer, KeySource,
    State, Static, Tenancy, keys,
};
use super::{positive, unused};

pub(super) fn identity(
    raw: RawIdentity,
    listeners: &[RawListener],
    state: &State,
    report: &mut Report<'_>,
) -> Option<Identity> {
    let at = At::default().key("identity");
    let gate_key_file = match &raw.gate_key {
        Some(key) => report.path(&key.file.0),
        None => state.directory.join("gate.key"),
    };
    let gate_key = keys::check(&gate_key_file, &state.directory, &at.key("gate_key").key("file"), report);
    if raw.second_factor && raw.jwt.is_none() && raw.api_keys.is_none() && !report.is_broken("identity") {
        let fix = "give `jwt` or `api_keys`, or remove `second_factor`";
        report.error(&at.key("second_factor"), "no scoped URL could be used: there is no second factor", fix);
    }
    client_certificates(&raw, listeners, report);
    Some(Identity {
        anonymous: raw.anonymous.map(|who| anonymous(who, listeners, report)),
        issuers: issuers(raw.jwt.unwrap_or_default(), &at.key("jwt"), report),
        api_keys: api_keys(raw.api_keys.unwrap_or_default(), report),
        directories: directories(raw.directories.unwrap_or_default(), &at.key("directories"), report),
        certificates: raw.certificates.map(|rules| certificates(rules, &at.key("certificates"), report)),
        second_factor: raw.second_factor,
        dpop_nonce: raw.dpop_nonce,
        gate_key: gate_key?,
        gate_key_file,
    })
}

/// Certificate rules and authorities of client certificates need one another.
fn client_certificates(raw: &RawIdentity, listeners: &[RawListener], report: &mut Report<'_>) {
    let asks =
        |listener: &RawListener| listener.tls.as_ref().is_some_and(|tls| tls.client_authorities.is_some());
    if report.is_broken("listen") || report.is_broken("identity") {
        return;
    }
    if raw.certificates.is_some() && !listeners.iter().any(asks) {
        let why = "no listener has `tls.client_authorities`, so that no client shows a certificate";
        unused(report, &At::default().key("identity").key("certificates"), why);
    }
    for (index, listener) in listeners.iter().enumerate() {
        let optional = listener.tls.as_ref().is_some_and(|tls| !tls.client_required);
        if raw.certificates.is_none() && asks(listener) && optional {
            let at = At::default().key("listen").item(index).key("tls").key("client_authorities");
            unused(report, &at, "certificates are neither required nor mapped by `identity.certificates`");
        }
    }
}

fn anonymous(who: RawWho, listeners: &[RawListener], report: &mut Report<'_>) -> Static {
    let open = listeners.iter().find(|listener| !listener.address.0.ip().is_loopback());
    if let Some(open) = open {
        let what =
            format!("the gate listens on `{}`, where anyone could call without a proof", open.address.0);
        let fix = "remove `anonymous`, or listen on loopback addresses only";
        report.error(&At::default().key("identity").key("anonymous"), what, fix);
    }
    let RawWho { tenant, user, agent, roles, groups, attributes } = who;
    caller(tenant, (user, agent), (roles, groups), attributes)
}

pub(super) fn issuers(raw: Vec<RawIssuer>, at: &At, report: &mut Report<'_>) -> Vec<Issuer> {
    let mut seen = BTreeSet::new();
    let mut issuers = Vec::new();
    let several = raw.len() > 1;
    for (index, raw) in raw.into_iter().enumerate() {
        let at = at.item(index);
        if several && raw.tenants.is_none() && matches!(raw.tenant, RawTenancy::Claim(_)) {
            let what = "is not the only issuer, and its tokens may name any tenant";
            report.warn(&at.key("tenant"), what, "list the tenants that it may name as its `tenants`");
        }
        if !seen.insert(raw.issuer.0.text.clone()) {
            let what = format!("`{}` is listed twice", raw.issuer.0.text);
            report.error(&at.key("issuer"), what, "put its audiences into one entry");
        }
        issuers.extend(issuer(raw, &at, report));
    }
    issuers
}

fn issuer(raw: RawIssuer, at: &At, report: &mut Report<'_>) -> Option<Issuer> {
    if raw.leeway.0 > Duration::from_secs(60) {
        report.error(&at.key("leeway"), "is more than 60 s", "give `60s` or less");
    }
    if raw.jwks.url.is_none() && raw.jwks.file.is_none() {
        secure(&raw.issuer.0, &at.key("issuer"), report);
    }
    if raw.tenants.is_some() && matches!(raw.tenant, RawTenancy::Fixed(_)) {
        unused(report, &at.key("tenants"), "its tenant is fixed");
    }
    let introspection = raw.introspection.map(|raw| introspection(raw, &at.key("introspection"), report));
    Some(Issuer {
        issuer: raw.issuer.0.text,
        audiences: raw.audiences.into_iter().map(|audience| audience.0).collect(),
        keys: key_source(raw.jwks, &at.key("jwks"), report)?,
        claims: Claims {
            tenant: match raw.tenant {
                RawTenancy::Claim(claim) => Tenancy::Claim(claim.0),
                RawTenancy::Fixed(tenant) => Tenancy::Fixed(tenant.0),
            },
            tenants: raw.tenants.map(|names| names.into_iter().map(|name| name.0).collect()),
            user: Some(raw.claims.user.0),
            agent: Some(raw.claims.agent.0),
            roles: Some(raw.claims.roles.0),
            groups: Some(raw.claims.groups.0),
            attributes: raw.claims.attributes.into_iter().map(|(name, claim)| (name, claim.0)).collect(),
        },
        leeway: raw.leeway.0,
        require_at_jwt: raw.require_at_jwt,
        scopes: raw.scopes.into_iter().map(|scope| scope.0).collect(),
        introspection,
        sender_constrained: raw.sender_constrained,
    })
}

fn introspection(raw: RawIntrospection, at: &At, report: &mut Report<'_>) -> Introspection {
    secure(&raw.url.0, &at.key("url"), report);
    Introspection {
        url: raw.url.0.text,
        client_id: raw.client_id.0,
        client_secret: report.path(&raw.client_secret.0),
    }
}

fn key_source(raw: RawJwks, at: &At, report: &mut Report<'_>) -> Option<KeySource> {
    if raw.url.is_some() && raw.file.is_some() {
        report.error(
            at,
            "takes one of `url` and `file`",
            "give one of the two, or none to have the keys discovered",
        );
        return None;
    }
    if let Some(file) = raw.file {
        for (key, written) in [("refresh", raw.refresh), ("max_stale", raw.max_stale)] {
            if written.is_some() {
                unused(report, &at.key(key), "a `file` is read again when it changes");
            }
        }
        let file = report.path(&file.0);
        key_set(&file, &at.key("file"), report);
        return Some(KeySource::File(file));
    }
    let refresh = raw.refresh.map_or(Duration::from_secs(300), |span| span.0);
    let max_stale = raw.max_stale.map_or(Duration::from_secs(24 * 60 * 60), |span| span.0);
    positive(report, &at.key("refresh"), refresh);
    if max_stale < refresh {
        report.error(&at.key("max_stale"), "is less than `refresh`", "give at least as much");
    }
    let Some(url) = raw.url else { return Some(KeySource::Discovered { refresh, max_stale }) };
    secure(&url.0, &at.key("url"), report);
    Some(KeySource::Url { url: url.0.text, refresh, max_stale })
}

/// Keys that come over cleartext can be anyone's.
fn secure(url: &Url, at: &At, report: &mut Report<'_>) {
    if url.uri.scheme_str() == Some("http") && !super::servers::is_loopback(&url.uri) {
        report.error(at, "the keys would come over cleartext", "use `https`");
    }
}

fn key_set(file: &std::path::Path, at: &At, report: &mut Report<'_>) {
    let fix = "name a JWKS document: `{\"keys\": […]}`";
    match std::fs::read(file) {
        Err(error) => report.error(at, format!("`{}` cannot be read: {error}", file.display()), fix),
        Ok(bytes) => {
            let document: Option<Value> = serde_json::from_slice(&bytes).ok();
            let keys = document.as_ref().and_then(|document| document.get("keys")?.as_array());
            if keys.is_none_or(Vec::is_empty) {
                report.error(at, format!("`{}` holds no keys", file.display()), fix);
            }
        }
    }
}

fn directories(raw: Vec<RawDirectory>, at: &At, report: &mut Report<'_>) -> Vec<Directory> {
    let mut all = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let file = report.path(&raw.file.0);
        let at = at.item(index).key("file");
        let fix = "name a list of users and groups (RFC 7643): `{\"Resources\": […]}`";
        match std::fs::read(&file).map(|text| serde_json::from_slice::<Value>(&text)) {
            Err(error) => report.error(&at, format!("`{}` cannot be read: {error}", file.display()), fix),
            Ok(Err(error)) => report.error(&at, format!("`{}` is no JSON: {error}", file.display()), fix),
            Ok(Ok(list)) if list.as_array().or_else(|| list.get("Resources")?.as_array()).is_none() => {
                report.error(&at, format!("`{}` has no `Resources`", file.display()), fix);
            }
            Ok(Ok(_)) => {}
        }
        let words = |words: Vec<Word>| words.into_iter().map(|word| Arc::from(word.0)).collect();
        all.push(Directory {
            file,
            tenant: raw.tenant.map(|tenant| tenant.0),
            user: raw.user.0,
            attributes: raw.attributes.into_iter().map(|(name, pointer)| (name, pointer.0)).collect(),
            roles: raw.roles.into_iter().map(|(group, roles)| (group, words(roles))).collect(),
            refuse_unknown: raw.refuse_unknown,
        });
    }
    all
}

fn api_keys(raw: Vec<RawApiKey>, report: &mut Report<'_>) -> Vec<ApiKey> {
    /// SHA-256 of nothing: of an empty file, or of a variable that was not set.
    const OF_NOTHING: [u8; 4] = [0xe3, 0xb0, 0xc4, 0x42];
    let mut seen = BTreeSet::new();
    let mut keys = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let at = At::default().key("identity").key("api_keys").item(index);
        if !seen.insert(raw.sha256.0) {
            report.error(&at.key("sha256"), "is listed twice", "give each key one entry");
        }
        if raw.sha256.0.starts_with(&OF_NOTHING) {
            report.error(
                &at.key("sha256"),
                "is the hash of an empty text",
                "make a key with `portcullis key create`",
            );
        }
        let expires_at = raw.expires_at.map(|moment| moment.0);
        if expires_at.is_some_and(|end| end <= report.env.now()) {
            report.warn(
                &at.key("expires_at"),
                "is past: the key is refused",
                "remove the key, or give it more time",
            );
        }
        let RawApiKey { sha256, tenant, user, agent, roles, groups, attributes, .. } = raw;
        let who = caller(tenant, (user, agent), (roles, groups), attributes);
        keys.push(ApiKey { sha256: sha256.0, who, expires_at });
    }
    keys
}

pub(super) fn certificates(raw: Vec<RawCertificate>, at: &At, report: &mut Report<'_>) -> Certificates {
    let mut rules = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let at = at.item(index);
        if raw.common_name.is_none() && raw.alternative_name.is_none() && raw.sha256.is_none() {
            let fix = "give `common_name`, `alternative_name` or `sha256`";
            report.error(&at, "has no condition, so that every certificate would match", fix);
        }
        let RawCertificate {
            common_name,
            alternative_name,
            sha256,
            tenant,
            user,
            agent,
            roles,
            groups,
            attributes,
        } = raw;
        rules.push(CertificateRule {
            common_name: common_name.map(|glob| glob.0.compile_matcher()),
            alternative_name: alternative_name.map(|glob| glob.0.compile_matcher()),
            sha256: sha256.map(|hash| hash.0),
            who: caller(tenant, (user, agent), (roles, groups), attributes),
        });
    }
    Certificates { rules }
}

fn caller(
    tenant: Tenant,
    (user, agent): (Option<User>, Option<Agent>),
    (roles, groups): (Vec<Word>, Vec<Word>),
    attributes: BTreeMap<String, Value>,
) -> Static {
    let shared = |words: Vec<Word>| words.into_iter().map(|word| Arc::from(word.0)).collect();
    Static {
        tenant: tenant.0,
        user: user.map(|user| user.0),
        agent: agent.map(|agent| agent.0),
        roles: shared(roles),
        groups: shared(groups),
        attributes,
    }
}
