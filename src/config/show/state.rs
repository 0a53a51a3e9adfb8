//! Where state is kept.

use serde_json::{Value, json};

use super::super::{Redis, SealingKey, State};
use super::{merged, some, tls};

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
    })
}

/// The arguments may hold a secret: only the program is shown.
fn sealing_key(it: &SealingKey) -> Value {
    match it {
        SealingKey::File(file) => json!({"file": file}),
        SealingKey::Command(command) => {
            let arguments = command.iter().skip(1).map(|_| "…");
            json!({"command": command.iter().take(1).map(String::as_str).chain(arguments).collect::<Vec<_>>()})
        }
        SealingKey::Transit(it) => json!({"transit": {
            "url": it.url,
            "key": it.key,
            "token": it.token,
            "authorities": it.authorities,
        }}),
    }
}
