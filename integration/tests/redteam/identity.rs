//! Cases of who is calling, and of credentials that end.

use portcullis_integration::agent::Agent;
use portcullis_integration::certificate::Authority;
use portcullis_integration::fixture::{AUDIENCE, ROLES, Std, config};
use portcullis_integration::gate::{Gate, House};
use portcullis_integration::issuer::{Issuer, now};
use portcullis_integration::upstream::Upstream;
use portcullis_integration::wait;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};

/// AU-15.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_url_an_expired_one_and_one_that_never_was_get_one_answer() {
    let std = Std::start();
    let wanted = json!({"tenant": "a", "server": "up", "user": "alice", "roles": ["reader"]});
    let (id, revoked) = std.gate.create_url(&wanted).await;
    let mut soon = wanted.clone();
    soon["expires_at"] = json!(rfc3339(now() + 2));
    let (_, expired) = std.gate.create_url(&soon).await;
    std.gate.revoke_url("a", &id).await;
    let unknown = format!("/mcp/{}", "A".repeat(revoked.len() - 5));
    let ask = async |path: &str| {
        let answer = Agent::new(&format!("{}{path}", std.gate.url), None).calls("safe", json!({})).await;
        let mut headers: Vec<_> =
            answer.headers.iter().filter(|(n, _)| *n != "date").map(|(n, v)| format!("{n}: {v:?}")).collect();
        headers.sort();
        (answer.status.as_u16(), headers, without_invocation(&answer.body))
    };
    let gone = wait::until("the URL's end", async || Some(ask(&expired).await).filter(|a| a.0 == 404)).await;
    assert_eq!(gone, ask(&revoked).await);
    assert_eq!(gone, ask(&unknown).await);
}

/// AU-19.
#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_is_revoked_while_in_use_ends_with_the_next_call() {
    let std = Std::start();
    let wanted = json!({"tenant": "a", "server": "up", "user": "alice", "roles": ["reader"]});
    let (id, path) = std.gate.create_url(&wanted).await;
    let holder = Agent::new(&format!("{}{path}", std.gate.url), None);
    assert_eq!(holder.calls("safe", json!({})).await.status, 200);
    std.gate.revoke_url("a", &id).await;
    std.upstream.forget();
    assert_eq!(holder.calls("safe", json!({})).await.status, 404);
    assert!(std.upstream.received("tools/call").is_empty());
}

/// AU-20.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_withdrawn_key_is_refused() {
    let std = Std::start();
    let old = std.alice();
    assert_eq!(old.calls("safe", json!({})).await.status, 200);
    let new = Issuer::new(&std.issuer.url, "key-2");
    std.gate.house().write("jwks.json", &new.jwks().to_string());
    wait::until("the new key", async || (old.calls("safe", json!({})).await.status == 401).then_some(()))
        .await;
    let token = new.sign(&new.claims(AUDIENCE, "a", "alice"));
    assert_eq!(std.agent(&token).calls("safe", json!({})).await.status, 200);
}

/// AU-21.
#[test]
fn an_empty_list_in_the_configuration_is_a_mistake_and_not_everybody() {
    for (path, pointer) in
        [("/identity/jwt/0/audiences", "audiences"), ("/servers", "servers"), ("/hosts", "hosts")]
    {
        let mut bad = config("http://127.0.0.1:9/mcp");
        match path {
            "/hosts" => bad["hosts"] = json!([]),
            "/servers" => bad["servers"] = json!({}),
            _ => *bad.pointer_mut(path).expect("it is there") = json!([]),
        }
        let house = House::new(&bad, &[("a", ROLES)]);
        house.write("jwks.json", &Issuer::new("https://idp.test", "k").jwks().to_string());
        let output = house.command(&["check", "--config", "portcullis.yaml"]);
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(3), "{path}: {said}");
        assert!(said.contains(pointer), "{path}: {said}");
    }
}

/// AU-17.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_of_another_authority_or_an_expired_one_proves_nothing() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let upstream = Upstream::start();
    let gate = tls_gate(&upstream, &ours);
    let call = async |certificate| {
        let agent = tls_agent(&gate, &ours, Some(certificate));
        agent
            .modern_request("tools/call", json!({"name": "safe", "arguments": {}}))
            .send()
            .await
            .map(|a| a.status().as_u16())
    };
    assert_eq!(call(ours.client("agent-1", 1)).await.expect("an answer"), 200);
    upstream.forget();
    for bad in [other.client("agent-1", 1), ours.expired("agent-1")] {
        assert!(!matches!(call(bad).await, Ok(status) if status != 401));
    }
    assert!(upstream.received("tools/call").is_empty());
}

fn tls_gate(upstream: &Upstream, authority: &Authority) -> Gate {
    let mut config = config(&upstream.url);
    config["listen"][0]["tls"] = json!({"certificate": "gate.crt", "key": "gate.key", "client_authorities": "clients.pem", "client_required": true});
    config["identity"]["certificates"] =
        json!([{"common_name": "agent-*", "tenant": "a", "agent": "batch", "roles": ["reader"]}]);
    let house = House::new(&config, &[("a", ROLES)]);
    house.write("jwks.json", &Issuer::new("https://idp.test", "k").jwks().to_string());
    house.write("clients.pem", &authority.pem());
    let pair = authority.server("gw.test");
    house.write("gate.crt", &pair.certificate);
    house.write("gate.key", &pair.key);
    house.open(1)
}

fn tls_agent(
    gate: &Gate,
    authority: &Authority,
    client: Option<portcullis_integration::certificate::Certificate>,
) -> Agent {
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("a certificate");
    let mut builder = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
    if let Some(pair) = client {
        builder = builder.identity(
            reqwest::Identity::from_pem((pair.certificate + &pair.key).as_bytes()).expect("an identity"),
        );
    }
    let url = format!("https://localhost:{}/servers/up/mcp", gate.address().port());
    Agent { http: builder.build().expect("a client"), ..Agent::new(&url, None) }
}

/// AU-18.
#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_with_equal_serial_numbers_do_not_share_connections() {
    let authority = Authority::new("clients");
    let upstream = Upstream::start_tls(server_tls(&authority));
    let issuer = Issuer::new("https://idp.test", "key-1");
    let mut config = config(&upstream.url);
    let tls = |name: &str| json!({"url": upstream.url, "tls": {"authorities": "ca.pem", "certificate": format!("{name}.crt"), "key": format!("{name}.key")}});
    config["servers"] = json!({"one": tls("one"), "two": tls("two")});
    let account =
        |tenant: &str, server: &str| json!({"tenant": tenant, "server": server, "credential": "none"});
    config["accounts"] = json!([account("a", "one"), account("b", "two")]);
    let roles = ROLES.replace("[up]", "[\"*\"]");
    let house = House::new(&config, &[("a", &roles), ("b", &roles)]);
    house.write("jwks.json", &issuer.jwks().to_string());
    house.write("ca.pem", &authority.pem());
    for name in ["one", "two"] {
        authority.client(name, 7).write(&house.path(""), name);
    }
    let gate = house.open(1);
    let agent = |tenant: &str, server: &str| {
        let token = issuer.sign(&issuer.claims(AUDIENCE, tenant, "alice"));
        Agent::new(&gate.server(server), Some(&token))
    };
    for round in 0..20 {
        for (tenant, server) in [("a", "one"), ("b", "two")] {
            let answer = agent(tenant, server).calls("safe", json!({"marker": tenant})).await;
            assert_eq!(answer.result()["content"][0]["text"], format!("safe {tenant}"), "round {round}");
        }
    }
    let subject = |e: &portcullis_integration::upstream::Exchange| {
        String::from_utf8_lossy(&e.certificate.clone().expect("one")).into_owned()
    };
    for call in upstream.received("tools/call") {
        let tenant = call.message()["params"]["arguments"]["marker"].clone();
        let name = if tenant == "a" { "one.clients.test" } else { "two.clients.test" };
        assert!(subject(&call).contains(name), "a call of {tenant} came with another certificate");
    }
}

fn server_tls(authority: &Authority) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM"))
        .expect("a certificate");
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let verifier = WebPkiClientVerifier::builder(roots.into()).build().expect("roots");
    let pair = authority.server("upstream.test");
    let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
    ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).expect("a pair")
}

fn without_invocation(body: &[u8]) -> Value {
    let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(data) = body.pointer_mut("/error/data").and_then(Value::as_object_mut) {
        data.remove("invocation");
    }
    body
}

fn rfc3339(seconds: u64) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output();
    String::from_utf8(output.expect("date runs").stdout).expect("text").trim().to_owned()
}
