//! The policies' source as it is shown.

use serde_json::{Map, Value, json};

use super::span;
use crate::config::delivery::{BundleSource, Delivery, GitLogin, GitReference, GitSource};
use crate::config::{Config, Policy};

/// The section `policies`: its source and its limits.
pub(super) fn policies(config: &Config) -> Value {
    let Policy { directory, timeout, cache } = &config.policy;
    let mut shown = json!({"timeout": span(*timeout), "cache": cache, "candidate": config.candidate.as_ref().map(super::candidate)});
    let (key, source) = match &config.delivery {
        None => ("directory", json!(directory)),
        Some(Delivery::Git(it)) => ("git", git(it)),
        Some(Delivery::Bundle(it)) => ("bundle", bundle(it)),
    };
    if let Value::Object(shown) = &mut shown {
        shown.insert(key.to_owned(), source);
    }
    shown
}

fn git(it: &GitSource) -> Value {
    let (branch, tag) = match &it.reference {
        GitReference::Branch(name) => (Some(name), None),
        GitReference::Tag(name) => (None, Some(name)),
    };
    let (basic, ssh) = match &it.login {
        GitLogin::None => (None, None),
        GitLogin::Basic { user, password } => {
            (Some(json!({"user": user, "password": {"file": password}})), None)
        }
        GitLogin::Ssh { key, known_hosts } => (None, Some(json!({"key": key, "known_hosts": known_hosts}))),
    };
    json!({
        // A text that begins with `file:` would be read as a reference to a file.
        "url": it.url.strip_prefix("file://").unwrap_or(&it.url),
        "branch": branch,
        "tag": tag,
        "path": (!it.path.is_empty()).then_some(&it.path),
        "every": span(it.every),
        "signers": it.signers,
        "basic": basic,
        "ssh": ssh,
    })
}

fn bundle(it: &BundleSource) -> Value {
    let keys = it.signing.as_ref().map(|signing| {
        let key = |(id, key): (&String, &crate::config::SigningKey)| {
            (id.clone(), json!({"algorithm": format!("{:?}", key.algorithm), "file": key.file}))
        };
        signing.keys.iter().map(key).collect::<Map<_, _>>()
    });
    json!({
        "url": it.url,
        "every": span(it.every),
        "long_poll": it.long_poll.map(span),
        "bearer": it.bearer.as_ref().map(|file| json!({"file": file})),
        "keys": keys,
        "scope": it.signing.as_ref().and_then(|signing| signing.scope.as_ref()),
    })
}
