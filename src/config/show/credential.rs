//! A credential as it is configured: where its secrets are, never what they are.

use serde_json::{Value, json};

use super::merged;
use crate::config::{
    Authority, AuthorizationCode, AwsSigv4, ClientCredentials, ClientProof, Credential, Oauth1, SecretSource,
    Signed, UpstreamTls, Webhook,
};

pub(super) fn credential(it: &Credential) -> Value {
    match it {
        Credential::None => json!("none"),
        Credential::Bearer(bearer) => json!({"bearer": secret(bearer)}),
        Credential::Basic { user, password } => {
            json!({"basic": {"user": user, "password": secret(password)}})
        }
        Credential::Header { name, value } => {
            json!({"header": {"name": name.as_str(), "value": secret(value)}})
        }
        Credential::Query { name, value } => json!({"query": {"name": name, "value": secret(value)}}),
        Credential::ClientCredentials(it) => json!({"oauth": client_credentials(it)}),
        Credential::AuthorizationCode(it) => json!({"authorization_code": authorization_code(it)}),
        Credential::Oauth1(it) => json!({"oauth1": oauth1(it)}),
        Credential::AwsSigv4(it) => json!({"aws_sigv4": aws_sigv4(it)}),
    }
}

fn client_credentials(it: &ClientCredentials) -> Value {
    let common = json!({
        "token_url": it.token_url,
        "client_id": it.client_id,
        "tls": tls(&it.tls),
        "scopes": it.scopes,
        "resource": it.resource,
    });
    merged(common, proof(&it.proof))
}

fn authorization_code(it: &AuthorizationCode) -> Value {
    let authority = match &it.authority {
        Authority::OfTheServer => json!({}),
        Authority::Issuer(issuer) => json!({"issuer": issuer}),
        Authority::Endpoints { authorization, token, issuer } => {
            json!({"authorization_url": authorization, "token_url": token, "issuer": issuer})
        }
    };
    let common = json!({
        "client_id": it.client_id,
        "tls": tls(&it.tls),
        "scopes": it.scopes,
        "resource": it.resource,
    });
    merged(merged(common, authority), proof(&it.proof))
}

fn proof(it: &ClientProof) -> Value {
    match it {
        ClientProof::Public | ClientProof::Certificate => json!({"in_body": false}),
        ClientProof::Basic(source) => json!({"client_secret": secret(source), "in_body": false}),
        ClientProof::Body(source) => json!({"client_secret": secret(source), "in_body": true}),
        ClientProof::Signed(it) => json!({"signed": signed(it), "in_body": false}),
    }
}

fn signed(it: &Signed) -> Value {
    json!({
        "key": secret(&it.key),
        "algorithm": it.algorithm.as_str(),
        "key_id": it.key_id,
        "audience": it.audience,
        "scopes_inside": it.scopes_inside,
    })
}

fn oauth1(it: &Oauth1) -> Value {
    json!({
        "realm": it.realm,
        "consumer_key": it.consumer_key,
        "consumer_secret": secret(&it.consumer_secret),
        "token_id": it.token_id,
        "token_secret": secret(&it.token_secret),
    })
}

fn aws_sigv4(it: &AwsSigv4) -> Value {
    json!({
        "region": it.region,
        "service": it.service,
        "access_key_id": it.access_key_id,
        "secret_access_key": secret(&it.secret_access_key),
        "session_token": it.session_token.as_ref().map(secret),
    })
}

pub(super) fn webhook(it: &Webhook) -> Value {
    json!({"url": it.url, "secret": secret(&it.secret), "private": it.private})
}

fn tls(it: &UpstreamTls) -> Option<Value> {
    (it.authorities.is_some() || it.client.is_some()).then(|| super::tls(it))
}

fn secret(it: &SecretSource) -> Value {
    match it {
        SecretSource::File(file) => json!({"file": file}),
        SecretSource::Sealed => json!("sealed"),
        SecretSource::Fetched(it) => {
            json!({"fetched": {"from": it.from, "field": it.field, "path": it.path}})
        }
        SecretSource::Inline(_) => json!({"inline": "…"}),
    }
}
