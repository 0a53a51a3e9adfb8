//! From where secrets and keys are fetched.

use serde_json::{Value, json};

use super::super::{
    AwsIdentity, AwsKey, AwsService, GoogleIdentity, GoogleKey, SecretPlace, SecretService, VaultKv,
    VaultLogin,
};
use super::{merged, span};

pub(super) fn service(it: &SecretService) -> Value {
    let place = match &it.place {
        SecretPlace::Vault(it) => json!({"vault": vault(it)}),
        SecretPlace::Aws(it) => json!({"aws": merged(aws(&it.service), json!({"name": it.name.as_str()}))}),
        SecretPlace::File(it) => json!({"file": it.as_str()}),
        SecretPlace::Command(command) => json!({"command": program(command)}),
    };
    merged(place, json!({"keep": span(it.keep), "stale": span(it.stale)}))
}

fn vault(it: &VaultKv) -> Value {
    let login = match &it.login {
        VaultLogin::Token(file) => json!({"token": file}),
        VaultLogin::AppRole { mount, role_id, secret_id } => {
            json!({"app_role": {"mount": mount, "role_id": role_id, "secret_id": secret_id}})
        }
        VaultLogin::Kubernetes { mount, role, token } => {
            json!({"kubernetes": {"mount": mount, "role": role, "token": token}})
        }
    };
    json!({
        "url": it.url,
        "namespace": it.namespace,
        "mount": it.mount,
        "path": it.path.as_str(),
        "login": login,
        "authorities": it.authorities,
    })
}

fn aws(it: &AwsService) -> Value {
    let identity = match &it.identity {
        AwsIdentity::Key { id, secret, session_token } => {
            json!({"key": {"id": id, "secret": secret, "session_token": session_token}})
        }
        AwsIdentity::Process(command) => json!({"process": program(command)}),
    };
    json!({"region": it.region, "url": it.url, "identity": identity})
}

pub(super) fn aws_key(it: &AwsKey) -> Value {
    merged(aws(&it.service), json!({"key": it.key}))
}

pub(super) fn google_key(it: &GoogleKey) -> Value {
    let identity = match &it.identity {
        GoogleIdentity::Metadata(url) => json!({"metadata": url}),
        GoogleIdentity::ServiceAccount(file) => json!({"service_account": file}),
    };
    merged(identity, json!({"key": it.key, "url": it.url}))
}

/// The arguments may hold a secret: only the program is shown.
pub(super) fn program(command: &[String]) -> Vec<&str> {
    let arguments = command.iter().skip(1).map(|_| "…");
    command.iter().take(1).map(String::as_str).chain(arguments).collect()
}
