//! The effective configuration with its secrets masked, in the shape of the file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use globset::GlobMatcher;
use serde_json::{Map, Value, json};

use super::leaf::Size;
use super::{
    Account, Admin, ApiKey, Candidate, CertificateRule, Config, Directory, Fsync, Identity, Issuer,
    KeySource, Limits, Listen, Listener, ListenerTls, Pinning, Rate, Rates, SecretService, Server, Signature,
    Static, Tenancy, UpstreamTls,
};

mod credential;
mod delivery;
mod secrets;
mod state;

impl Config {
    /// Everything that the gate works with, defaults included, for `/config` and `portcullis config show`. A secret is
    /// shown by where it is, never by what it is.
    #[must_use]
    pub fn masked(&self) -> Value {
        let mut shown = listen(&self.listen);
        let sections = json!({
            "admin": admin(&self.admin),
            "identity": identity(&self.identity),
            "servers": self.servers.iter().map(|(name, it)| (name.to_string(), server(it, self.pins.as_ref()))).collect::<Map<_, _>>(),
            "accounts": some(self.accounts.values().map(|it| account(it)).collect()),
            "secrets": secrets(&self.secrets),
            "webhook": self.webhook.as_ref().map(|it| credential::webhook(it)),
            "policies": delivery::policies(self),
            "ask_first": self.ask_first.as_ref().map(|tool| json!({"tool": tool})),
            "pins": self.pins.as_ref().map(|pins| json!({
                "file": pins.file,
                "mode": pins.mode.as_str(),
                "also": pins.also.as_ref().map(|kinds| kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>()),
            })),
            "rates": rates(&self.rates),
            "budget": self.rates.budget.map(|budget| json!({"per_month": budget})),
            "vouch": {
                "issuer": self.vouch.issuer,
                "header": self.vouch.header.as_str(),
                "algorithm": signature(self.vouch.algorithm),
                "lifetime": span(self.vouch.lifetime),
                "rotate": span(self.vouch.rotate),
            },
            "audit": {
                "directory": self.audit.directory,
                "fsync": fsync(self.audit.fsync),
                "segment_bytes": Size::show(self.audit.segment_bytes),
                "timeout": span(self.audit.timeout),
            },
            "state": state::state(&self.state),
            "telemetry": {
                "otlp": self.telemetry.otlp,
                "sample": self.telemetry.otlp.as_ref().map(|_| self.telemetry.sample),
                "json_logs": self.telemetry.json_logs,
            },
            "slot_wait": self.accounts.values().any(|it| it.slots.is_some()).then(|| span(self.slot_wait)),
        });
        if let (Value::Object(shown), Value::Object(sections)) = (&mut shown, sections) {
            shown.extend(sections);
        }
        without_absent(shown)
    }
}

fn listen(it: &Listen) -> Value {
    json!({
        "listen": it.listeners.iter().map(listener).collect::<Vec<_>>(),
        "public_url": it.public_url,
        "hosts": it.hosts,
        "origins": it.origins,
        "limits": limits(&it.limits),
        "drain": span(it.drain),
        "threads": it.threads,
    })
}

fn listener(it: &Listener) -> Value {
    json!({"address": it.address, "tls": it.tls.as_ref().map(listener_tls)})
}

fn listener_tls(it: &ListenerTls) -> Value {
    json!({
        "certificate": it.certificate,
        "key": it.key,
        "client_authorities": it.client_authorities,
        "client_required": it.client_required,
    })
}

fn admin(it: &Admin) -> Value {
    let Some(address) = it.address else { return json!("off") };
    let certificates = it.certificates.as_ref();
    json!({
        "address": address,
        "hosts": it.hosts,
        "tls": it.tls.as_ref().map(listener_tls),
        "jwt": some(it.issuers.iter().map(issuer).collect()),
        "certificates": certificates.map(|it| it.rules.iter().map(certificate).collect::<Vec<_>>()),
    })
}

fn limits(it: &Limits) -> Value {
    let size = |bytes: usize| Size::show(u64::try_from(bytes).unwrap_or(u64::MAX));
    json!({
        "header_bytes": size(it.header_bytes),
        "header_timeout": span(it.header_timeout),
        "keepalive": span(it.keepalive),
        "body_bytes": size(it.body_bytes),
        "body_timeout": span(it.body_timeout),
        "json_depth": it.json_depth,
        "connections": it.connections,
        "streams_per_tenant": it.streams_per_tenant,
        "unknown_urls": it.unknown_urls,
        "write_timeout": span(it.write_timeout),
        "stream_keepalive": span(it.stream_keepalive),
        "answer_bytes": size(it.answer_bytes),
        "event_bytes": size(it.event_bytes),
    })
}

fn identity(it: &Identity) -> Value {
    let rules = it.certificates.as_ref().map(|it| it.rules.iter().map(certificate).collect::<Vec<_>>());
    json!({
        "gate_key": {"file": it.gate_key_file},
        "second_factor": it.second_factor,
        "dpop_nonce": it.dpop_nonce,
        "jwt": some(it.issuers.iter().map(issuer).collect()),
        "api_keys": some(it.api_keys.iter().map(api_key).collect()),
        "directories": some(it.directories.iter().map(directory).collect()),
        "certificates": rules,
        "anonymous": it.anonymous.as_ref().map(who),
    })
}

fn issuer(it: &Issuer) -> Value {
    let keys = match &it.keys {
        KeySource::Url { url, refresh, max_stale } => {
            json!({"url": url, "refresh": span(*refresh), "max_stale": span(*max_stale)})
        }
        KeySource::Discovered { refresh, max_stale } => {
            json!({"refresh": span(*refresh), "max_stale": span(*max_stale)})
        }
        KeySource::File(file) => json!({"file": file}),
    };
    let tenant = match &it.claims.tenant {
        Tenancy::Claim(claim) => json!({"claim": claim}),
        Tenancy::Fixed(tenant) => json!({"fixed": tenant}),
    };
    json!({
        "issuer": it.issuer,
        "audiences": it.audiences,
        "jwks": keys,
        "tenant": tenant,
        "tenants": it.claims.tenants,
        "claims": {
            "user": it.claims.user,
            "agent": it.claims.agent,
            "roles": it.claims.roles,
            "groups": it.claims.groups,
            "attributes": it.claims.attributes,
        },
        "leeway": span(it.leeway),
        "require_at_jwt": it.require_at_jwt,
        "scopes": it.scopes,
        "introspection": it.introspection.as_ref().map(|it| json!({
            "url": it.url,
            "client_id": it.client_id,
            "client_secret": it.client_secret,
        })),
        "sender_constrained": it.sender_constrained,
    })
}

fn directory(it: &Directory) -> Value {
    json!({
        "file": it.file,
        "tenant": it.tenant,
        "user": it.user,
        "attributes": it.attributes,
        "roles": it.roles,
        "refuse_unknown": it.refuse_unknown,
    })
}

fn api_key(it: &ApiKey) -> Value {
    let hash =
        json!({"sha256": hex::encode(it.sha256), "expires_at": it.expires_at.map(|end| end.to_string())});
    merged(hash, who(&it.who))
}

fn certificate(it: &CertificateRule) -> Value {
    let glob = |glob: &GlobMatcher| glob.glob().glob().to_owned();
    let conditions = json!({
        "common_name": it.common_name.as_ref().map(glob),
        "alternative_name": it.alternative_name.as_ref().map(glob),
        "sha256": it.sha256.map(hex::encode),
    });
    merged(conditions, who(&it.who))
}

fn who(it: &Static) -> Value {
    json!({
        "tenant": it.tenant,
        "user": it.user,
        "agent": it.agent,
        "roles": it.roles,
        "groups": it.groups,
        "attributes": it.attributes,
    })
}

fn server(it: &Arc<Server>, pins: Option<&Pinning>) -> Value {
    let tools = it.tools.iter().map(
        |rule| json!({"name": rule.pattern.glob().glob(), "operation": rule.operation, "tags": rule.tags}),
    );
    json!({
        "url": it.url.to_string(),
        "tags": it.tags,
        "trust": if it.trust_annotations { "annotations" } else { "nothing" },
        "http2": it.http2,
        "era": it.eras.as_str(),
        "tools": some(tools.collect()),
        "tls": (it.url.scheme_str() == Some("https")).then(|| tls(&it.tls)),
        "timeouts": {
            "connect": span(it.timeouts.connect),
            "read": span(it.timeouts.read),
            "total": span(it.timeouts.total),
            "stream_idle": span(it.timeouts.stream_idle),
        },
        "vouch_roles": it.vouch_roles,
        "pins": pins.map(|_| it.pins.as_str()),
    })
}

fn tls(it: &UpstreamTls) -> Value {
    let client = it.client.as_ref();
    json!({
        "authorities": it.authorities,
        "certificate": client.map(|(certificate, _)| certificate),
        "key": client.map(|(_, key)| key),
    })
}

impl Account {
    /// The account as it is written, its secrets masked.
    #[must_use]
    pub fn masked(&self) -> Value {
        account(self)
    }
}

fn account(it: &Account) -> Value {
    json!({
        "tenant": it.tenant,
        "server": it.server,
        "url": it.url.as_ref().map(ToString::to_string),
        "slots": it.slots,
        "credential": credential::credential(&it.credential),
    })
}

fn candidate(it: &Candidate) -> Value {
    let canary = it.canary.as_ref().map(|canary| {
        json!({
            "tenants": Some(&canary.tenants).filter(|tenants| !tenants.is_empty()),
            "percent": canary.percent,
        })
    });
    json!({"directory": it.policy.directory, "canary": canary})
}

fn secrets(it: &BTreeMap<String, Arc<SecretService>>) -> Option<Value> {
    let shown: Map<_, _> = it.iter().map(|(name, it)| (name.clone(), secrets::service(it))).collect();
    (!shown.is_empty()).then_some(Value::Object(shown))
}

/// The rates of tools are a list here, because their order counts.
fn rates(it: &Rates) -> Value {
    let tools = it.tools.iter().map(|(glob, it)| merged(json!({"name": glob}), rate(it)));
    json!({
        "tenant": it.tenant.as_ref().map(rate),
        "user": it.user.as_ref().map(rate),
        "agent": it.agent.as_ref().map(rate),
        "tools": some(tools.collect()),
    })
}

fn rate(it: &Rate) -> Value {
    json!({"requests": it.requests, "per": span(it.per), "burst": it.burst})
}

fn signature(it: Signature) -> &'static str {
    match it {
        Signature::EdDsa => "EdDSA",
        Signature::Es256 => "ES256",
    }
}

fn fsync(it: Fsync) -> String {
    match it {
        Fsync::Always => "always".to_owned(),
        Fsync::Every(every) => span(every),
    }
}

fn span(it: Duration) -> String {
    humantime::format_duration(it).to_string()
}

/// A list that is absent where it is empty, as in the file.
fn some(list: Vec<Value>) -> Option<Vec<Value>> {
    (!list.is_empty()).then_some(list)
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

fn without_absent(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let present = object.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(present.map(|(key, value)| (key, without_absent(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(without_absent).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
