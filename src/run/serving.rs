//! What a gate serves at one moment: all that another process needs to judge as the gate does.
//!
//! # Why the gate does not judge for others
//! A matrix of many roles takes seconds of the cores that calls are waiting for. Whoever asks loads the same files with the
//! same engine and takes their own time; what they cannot see for themselves, the gate tells: what it has loaded, whom a
//! candidate decides for, and which configuration and pins it took.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Config;
use crate::decide::{Decide, Sources};
use crate::gateway::Gateway;
use crate::name::{Revision, TenantId};

/// What a gate serves.
#[derive(Debug, Serialize, Deserialize)]
pub struct Serving {
    /// The policy that decides for everyone who is not named below.
    pub live: Loaded,
    /// The candidate that decides for some tenants, where there is one that does.
    pub canary: Option<Canary>,
    /// The candidate that is tried, be it for nobody.
    pub candidate: Option<Loaded>,
    /// What policy is told of the configuration: see [`weight`].
    pub config: Value,
    /// The pins, by the digest of the lock.
    pub pins: Option<String>,
}

/// A policy as it was loaded.
#[derive(Debug, Serialize, Deserialize)]
pub struct Loaded {
    /// Its revision, as decisions name it.
    pub revision: Revision,
    /// Its files.
    pub files: Sources,
}

/// A candidate that decides for some tenants.
#[derive(Debug, Serialize, Deserialize)]
pub struct Canary {
    /// The policy.
    pub policy: Loaded,
    /// The tenants, of those that have an account.
    pub tenants: BTreeSet<TenantId>,
}

impl Serving {
    /// What this generation serves.
    #[must_use]
    pub fn of(gateway: &Gateway) -> Self {
        let (rollout, config) = (gateway.rollout(), gateway.config());
        let candidate = rollout.candidacy().map(|candidacy| candidacy.policy());
        let decides = |tenant: &&TenantId| {
            candidate.is_some_and(|it| rollout.panel(tenant).deciding().revision() == it.revision())
        };
        let tenants: BTreeSet<TenantId> =
            config.accounts.keys().map(|(tenant, _)| tenant).filter(decides).cloned().collect();
        let canary = candidate.filter(|_| !tenants.is_empty());
        Self {
            live: Loaded::of(rollout.live()),
            canary: canary.map(|policy| Canary { policy: Loaded::of(policy), tenants: tenants.clone() }),
            candidate: candidate.map(|policy| Loaded::of(policy)),
            config: weight(config),
            pins: gateway.pins().revision().map(|revision| revision.to_string()),
        }
    }
}

impl Loaded {
    fn of(policy: &Decide) -> Self {
        Self { revision: policy.revision().clone(), files: policy.sources().clone() }
    }
}

/// What of a configuration decides who may do what: servers' tags, trust, tools and pins; whose accounts there are; the
/// roles of the callers that it names.
#[must_use]
pub fn weight(config: &Config) -> Value {
    let shown = config.masked();
    let servers = shown.get("servers").and_then(Value::as_object).into_iter().flatten();
    let server = |(name, told): (&String, &Value)| {
        let part = |key: &str| told.get(key).cloned().unwrap_or(Value::Null);
        let parts = ["tags", "trust", "tools", "pins"].map(|key| (key.to_owned(), part(key)));
        (name.clone(), Value::Object(parts.into_iter().collect()))
    };
    let mut accounts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tenant, server) in config.accounts.keys() {
        accounts.entry(tenant.as_str()).or_default().push(server.as_str());
    }
    let servers: BTreeMap<String, Value> = servers.map(server).collect();
    json!({"servers": servers, "accounts": accounts, "roles": roles(config)})
}

/// The roles that the configuration gives to callers of its own, by tenant.
fn roles(config: &Config) -> BTreeMap<&str, BTreeSet<&str>> {
    let identity = &config.identity;
    let certificates = identity.certificates.iter().flat_map(|all| all.rules.iter().map(|rule| &rule.who));
    let named = identity.api_keys.iter().map(|key| &key.who).chain(certificates).chain(&identity.anonymous);
    let mut roles: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for who in named {
        roles.entry(who.tenant.as_str()).or_default().extend(who.roles.iter().map(|role| &**role));
    }
    roles
}

/// Where two values first differ, by their keys: `servers.erp.tags`; `None`: they are the same.
#[must_use]
pub fn differing(one: &Value, other: &Value) -> Option<String> {
    if one == other {
        return None;
    }
    let (Value::Object(left), Value::Object(right)) = (one, other) else { return Some(String::new()) };
    let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let within = |key: &String| {
        let (left, right) = (left.get(key).unwrap_or(&Value::Null), right.get(key).unwrap_or(&Value::Null));
        differing(left, right).map(|rest| (key.clone(), rest))
    };
    let (key, rest) = keys.into_iter().find_map(within)?;
    Some(if rest.is_empty() { key } else { format!("{key}.{rest}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_two_configurations_differ_is_named() {
        let one = json!({"servers": {"erp": {"tags": ["a"]}}, "identity": {}});
        assert_eq!(differing(&one, &one.clone()), None);
        let other = json!({"servers": {"erp": {"tags": ["b"]}}, "identity": {}});
        assert_eq!(differing(&one, &other).as_deref(), Some("servers.erp.tags"));
        assert_eq!(differing(&one, &json!({"servers": {}})).as_deref(), Some("identity"));
    }
}
