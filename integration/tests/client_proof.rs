//! How the gate proves itself as a client, at an authorization server that is not ours: `private_key_jwt`, certificates.

use portcullis_integration::certificate::Authority;
use portcullis_integration::fixture::Std;
use portcullis_integration::provider::{CLIENT, Provider, client};
use serde_json::{Value, json};

fn gate(credential: Value) -> Std {
    Std::prepared(|config| config["accounts"][0]["credential"] = json!({"oauth": credential}), |_| {})
}

async fn token(std: &Std) -> Option<String> {
    let answer = std.alice().calls("safe", json!({})).await;
    answer.code().is_none().then(|| {
        let sent = std.upstream.received("tools/call").pop().expect("a call");
        sent.header("authorization").first().expect("a token").trim_start_matches("Bearer ").to_owned()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_assertion_is_proof_with_each_algorithm_and_a_foreign_key_is_none() {
    let provider =
        Provider::start_with(json!({"signed": ["PS256", "RS256", "ES256"], "clients": [client()]}));
    for (algorithm, key) in &provider.keys {
        let account = |key: &str| {
            json!({
                "token_url": format!("{}/token", provider.issuer),
                "client_id": format!("signed-{algorithm}"),
                "signed": {"key": {"inline": key}, "algorithm": algorithm, "key_id": format!("key of {algorithm}"),
                           "audience": provider.issuer},
            })
        };
        let token = token(&gate(account(key))).await.unwrap_or_else(|| panic!("no token by {algorithm}"));
        assert!(provider.knows(&token).await, "{algorithm}");
    }
    let foreign = Authority::new("another").client("another", 1).key;
    let mut account = json!({"token_url": format!("{}/token", provider.issuer), "client_id": "signed-ES256"});
    account["signed"] =
        json!({"key": {"inline": foreign}, "algorithm": "ES256", "audience": provider.issuer});
    assert_eq!(token(&gate(account)).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn netsuites_machine_to_machine_flow_has_the_scopes_and_the_certificates_id_inside() {
    let provider = Provider::start_with(json!({"signed": ["PS256"], "clients": [client()]}));
    let std = gate(json!({
        "token_url": format!("{}/token", provider.issuer),
        "client_id": "signed-PS256",
        "scopes": ["no-scope-of-this-provider"],
        "signed": {"key": {"inline": provider.keys["PS256"]}, "algorithm": "PS256", "key_id": "key of PS256",
                   "scopes_inside": true},
    }));
    // The scope in the request would be refused; in the assertion it is NetSuite's to read.
    assert!(token(&std).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_proof_and_another_clients_is_none() {
    let authority = Authority::new("the company");
    let server = authority.server("provider");
    let provider = Provider::start_with(json!({
        "tls": {"cert": server.certificate, "key": server.key, "ca": authority.pem()},
        "clients": [{
            "client_id": CLIENT.0, "grant_types": ["client_credentials"], "redirect_uris": [], "response_types": [],
            "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "gate.clients.test",
        }],
    }));
    for (name, works) in [("gate", true), ("another", false)] {
        let certificate = authority.client(name, 7);
        let std = Std::prepared(
            |config| {
                config["accounts"][0]["credential"] = json!({"oauth": {
                    "token_url": format!("{}/token", provider.issuer),
                    "client_id": CLIENT.0,
                    "tls": {"authorities": "company.pem", "certificate": "client.crt", "key": "client.key"},
                }});
            },
            |house| {
                house.write("company.pem", &authority.pem());
                certificate.write(&house.path("."), "client");
            },
        );
        assert_eq!(token(&std).await.is_some(), works, "{name}");
    }
}
