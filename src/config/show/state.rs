//! Where state is kept.

use serde_json::{Value, json};

use super::super::{Redis, SealingKey, State};
use super::{merged, secrets, some, span, tls};

pub(super) fn state(it: &State) -> Value {
    let own = json!({
        "directory": it.directory,
        "sealing_key": sealing_key(&it.sealing_key),
        "retired_sealing_keys": some(it.retired_sealing_keys.iter().map(sealing_key).collect()),
    });
    match &it.redis {
        None => own,
        Some(it) => merged(own, redis(it)),
    }
}

fn redis(it: &Redis) -> Value {
    json!({
        "url": it.url,
        "user": it.user,
        "password": it.password.as_ref().map(|_| "…"),
        "tls": it.tls.as_ref().map(tls),
        "prefix": it.prefix,
        "replicas": it.replicas,
        "shared_limits": it.limits_within.is_some(),
        "limits_within": it.limits_within.map(span),
    })
}

fn sealing_key(it: &SealingKey) -> Value {
    match it {
        SealingKey::File(file) => json!({"file": file}),
        SealingKey::Command(command) => json!({"command": secrets::program(command)}),
        SealingKey::AwsKms(it) => json!({"aws_kms": secrets::aws_key(it)}),
        SealingKey::GcpKms(it) => json!({"gcp_kms": secrets::google_key(it)}),
        SealingKey::Transit(it) => json!({"transit": {
            "url": it.url,
            "key": it.key,
            "token": it.token,
            "authorities": it.authorities,
        }}),
    }
}
