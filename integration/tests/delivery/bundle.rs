//! Policies as an OPA bundle from a server.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jsonwebtoken::{Algorithm, Header};
use portcullis_integration::bundle::{BundleKey, BundleServer, Files};
use portcullis_integration::fixture::Std;
use portcullis_integration::issuer::Issuer;
use portcullis_integration::reply::{Reply, Step};
use portcullis_integration::sdk::python;
use portcullis_integration::upstream::Upstream;
use portcullis_integration::wait;
use serde_json::{Value, json};

use crate::{again, decided_by, gate, house, note, sees};

fn roles(tools: &[&str]) -> Value {
    json!({"reader": [{"servers": ["up"], "tools": tools}]})
}

fn source(url: &str) -> Value {
    json!({"bundle": {"url": url, "every": "1s", "keys": {"k1": {"algorithm": "ES256", "file": "k1.pem"}}}})
}

/// A gate on a bundle that `key` signed.
fn served(server: &BundleServer, key: &BundleKey) -> Std {
    gate(source(&server.url), &[("k1.pem", &key.public_pem())])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_bundle_serves_and_the_next_one_follows_and_each_decision_names_its_revision() {
    let key = BundleKey::new("k1");
    let server = BundleServer::with(Files::stock("r1", &roles(&["safe"])).signed_by(&key));
    let std = served(&server, &key);
    let first = decided_by(&std).await;
    assert!(first.starts_with("bundle:r1@") && first.len() == "bundle:r1@".len() + 32, "{first}");
    wait::until("a question with the entity tag", async || {
        let asked = server.server.exchanges();
        asked.iter().any(|e| e.header("if-none-match").len() == 1).then_some(())
    })
    .await;
    server.gives(Files::stock("r2", &roles(&["safe", "danger"])).signed_by(&key));
    sees(&std, &["safe", "danger"]).await;
    assert!(decided_by(&std).await.starts_with("bundle:r2@"));
}

/// F31.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_bundle_a_wrong_file_or_a_wrong_signature_keeps_what_was_good() {
    let (key, other) = (BundleKey::new("k1"), BundleKey::new("k1"));
    let server = BundleServer::with(Files::stock("r1", &roles(&["safe"])).signed_by(&key));
    let std = served(&server, &key);
    let new = Files::stock("r2", &roles(&["safe", "danger"]));
    let (whole, signatures) = (new.signed_by(&key), key.signed(&new.payload()));
    let bad = [
        (whole[..whole.len() / 2].to_vec(), "whole tar.gz"),
        (
            new.with(".signatures.json", &signatures).with("data.json", "{}").packed(),
            "`data.json` is not what was signed",
        ),
        (new.signed_by(&other), "not by the key `k1`"),
        (new.packed(), "no `.signatures.json`"),
    ];
    for (bundle, why) in bad {
        server.gives(bundle);
        note(&std.gate, why).await;
        assert_eq!(std.alice().sees().await, ["safe"], "after: {why}");
    }
    let (_, metrics) = std.gate.admin("/metrics").await;
    assert!(metrics.contains(r#"portcullis_policy_fetches_total{outcome="refused"}"#), "{metrics}");
    server.gives(whole);
    sees(&std, &["safe", "danger"]).await;
}

/// F32.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_the_server_serves_what_was_kept_verified_again_and_nothing_else() {
    let key = BundleKey::new("k1");
    let server = BundleServer::with(Files::stock("r1", &roles(&["safe"])).signed_by(&key));
    let std = served(&server, &key);
    let first = decided_by(&std).await;
    drop(server);
    let std = again(std);
    assert_eq!(decided_by(&std).await, first);
    note(&std.gate, "serves on").await;
    let house = std.gate.kill();
    // What was unpacked is not what is trusted: a file that was changed there changes nothing.
    let unpacked = house.path("state/policies/current/policy/data.json");
    let generous = json!({"tenants": {"a": {"roles": roles(&["safe", "danger"])}}});
    std::fs::write(unpacked, generous.to_string()).expect("a kept file");
    let std = Std { gate: house.open(1), upstream: std.upstream, issuer: std.issuer };
    assert_eq!(std.alice().sees().await, ["safe"]);
    let house = std.gate.kill();
    let archive = house.path("state/policies/current/bundle.tar.gz");
    std::fs::write(archive, Files::stock("r9", &roles(&["danger"])).signed_by(&BundleKey::new("k1")))
        .expect("kept");
    let mut process = house.run();
    assert!(!process.wait().success());
    let said = process.output();
    assert!(said.contains("there is no policy to serve") && said.contains("not by the key"), "{said}");
    std::fs::remove_dir_all(house.path("state/policies")).expect("it is there");
    let mut process = house.run();
    assert!(!process.wait().success() && !process.output().contains("listening"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_bundle_that_was_signed_once_does_not_come_back() {
    let key = BundleKey::new("k1");
    let signed_at = |files: &Files, at: Option<u64>| {
        let mut payload = files.payload();
        payload["iat"] = json!(at);
        files.with(".signatures.json", &key.signed(&payload)).packed()
    };
    let (old, new) = (Files::stock("r1", &roles(&["safe", "danger"])), Files::stock("r2", &roles(&["safe"])));
    let server = BundleServer::with(signed_at(&new, Some(2000)));
    let std = served(&server, &key);
    for (at, why) in [(Some(1999), "may be an old one"), (None, "does not say when it was made")] {
        server.gives(signed_at(&old, at));
        note(&std.gate, why).await;
        assert_eq!(std.alice().sees().await, ["safe"]);
    }
    server.gives(signed_at(&old, Some(2001)));
    sees(&std, &["safe", "danger"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_holds_requests_is_asked_again_at_once() {
    let key = BundleKey::new("k1");
    let server = BundleServer::with(Files::stock("r1", &roles(&["safe"])).signed_by(&key));
    let bundles = ["r1", "r2", "r3"].map(|name| Files::stock(name, &roles(&["safe", name])).signed_by(&key));
    server.server.answers(move |request| {
        let tags = ["\"0\"", "\"1\"", "\"2\""];
        let next =
            tags.iter().position(|tag| request.header("if-none-match") == [*tag]).map_or(0, |at| at + 1);
        let held = "application/vnd.openpolicyagent.bundles";
        match bundles.get(next) {
            Some(bundle) => Reply::new(200, &[("Content-Type", held), ("ETag", tags[next])], bundle),
            None => Reply(vec![Step::Hang]),
        }
    });
    let mut source = source(&server.url);
    source["bundle"]["every"] = json!("1h");
    source["bundle"]["long_poll"] = json!("30s");
    let std = gate(source, &[("k1.pem", &key.public_pem())]);
    wait::until("the third", async || decided_by(&std).await.starts_with("bundle:r3@").then_some(())).await;
    let asked = server.server.exchanges();
    assert_eq!(asked[0].header("prefer"), ["modes=snapshot"], "a start does not wait");
    assert_eq!(asked[1].header("prefer"), ["modes=snapshot;wait=30"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_gets_the_token_and_no_other_host_does_and_it_is_given_time() {
    let key = BundleKey::new("k1");
    let bundle = Files::stock("r1", &roles(&["safe"])).signed_by(&key);
    let (server, elsewhere) = (BundleServer::with(bundle.clone()), BundleServer::with(bundle.clone()));
    let mut source = source(&server.url);
    source["bundle"]["bearer"] = json!({"file": "token"});
    let std = gate(source, &[("k1.pem", &key.public_pem()), ("token", "bundle-token-4711\n")]);
    assert_eq!(server.server.exchanges()[0].header("authorization"), ["Bearer bundle-token-4711"]);
    let there = elsewhere.url.clone();
    server.server.answers(move |_| Reply::new(302, &[("Location", &there)], b""));
    note(&std.gate, "HTTP 302").await;
    assert!(elsewhere.server.exchanges().is_empty(), "a redirect to another host was followed");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    server.server.answers(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Reply::new(503, &[("Retry-After", "600")], b"bundle-token-4711")
    });
    let told = note(&std.gate, "HTTP 503").await;
    assert!(!told.contains("bundle-token") && !std.gate.log().contains("bundle-token"));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it was asked again before the time that it wanted");
}

/// What `policy pull` says of a bundle under this signing.
fn pulled(bundle: Vec<u8>, signing: &Value, key: &BundleKey) -> Output {
    let (upstream, issuer) = (Upstream::start(), Issuer::new("https://idp.test", "key-1"));
    let server = BundleServer::with(bundle);
    let mut bundle = json!({"url": server.url});
    for (name, value) in signing.as_object().expect("keys") {
        bundle[name] = value.clone();
    }
    let house = house(&upstream, &issuer, json!({"bundle": bundle}));
    house.write("k1.pem", &key.public_pem());
    house.command(&["policy", "pull", "--output", "json"])
}

#[test]
fn a_needed_signature_cannot_be_talked_away() {
    let (key, other) = (BundleKey::new("k1"), BundleKey::new("k2"));
    let files = Files::stock("r1", &roles(&["safe"]));
    let one = json!({"keys": {"k1": {"algorithm": "ES256", "file": "k1.pem"}}, "scope": "read"});
    let two = json!({"keys": {"k1": {"algorithm": "ES256", "file": "k1.pem"}, "k0": {"algorithm": "ES256", "file": "k1.pem"}}, "scope": "read"});
    let mut payload = files.payload();
    payload["scope"] = json!("read");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut payload = payload.clone();
        change(&mut payload);
        payload
    };
    let with = |text: &str| files.with(".signatures.json", text).packed();
    let header =
        |algorithm, kid: Option<&str>| Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    let token = |text: &str| serde_json::from_str::<Value>(text).expect("JSON")["signatures"][0].clone();
    let good = key.signed(&payload);
    let none = format!("{}.{}.", encoded(r#"{"alg":"none","kid":"k1"}"#), encoded(&payload.to_string()));
    let stripped =
        token(&good).as_str().expect("a token").rsplit_once('.').expect("parts").0.to_owned() + ".";
    assert_eq!(pulled(with(&good), &one, &key).status.code(), Some(0));
    let by_payload = key.signed_as(&changed(&|p| p["keyid"] = json!("k1")), &header(Algorithm::ES256, None));
    assert_eq!(
        pulled(with(&by_payload), &two, &key).status.code(),
        Some(0),
        "the key may be named in the payload"
    );
    let bad = [
        (files.packed(), &one, "no `.signatures.json`"),
        (with("{}"), &one, "0 signatures"),
        (with(r#"{"signatures": []}"#), &one, "0 signatures"),
        (with(&json!({"signatures": [token(&good), token(&good)]}).to_string()), &one, "2 signatures"),
        (with(&json!({"signatures": [token(&good)], "plugin": "x"}).to_string()), &one, "plugin"),
        (with(&json!({"signatures": [none]}).to_string()), &one, "is by `none`"),
        (with(&json!({"signatures": [stripped]}).to_string()), &one, "not by the key"),
        (with(&other.signed(&payload)), &one, "names the key `k2`"),
        (with(&other.signed_as(&payload, &header(Algorithm::ES256, Some("k1")))), &one, "not by the key"),
        (with(&other.signed_as(&payload, &header(Algorithm::ES256, None))), &one, "not by the key"),
        (with(&key.signed_as(&payload, &header(Algorithm::ES256, None))), &two, "names no key"),
        (with(&key.signed_as(&payload, &header(Algorithm::HS256, Some("k1")))), &one, "is by `HS256`"),
        (with(&key.signed(&files.payload())), &one, "scope"),
        (with(&key.signed(&changed(&|p| p["scope"] = json!("write")))), &one, "scope"),
        (with(&key.signed(&changed(&|p| p["files"] = json!([])))), &one, "is not in its signature"),
        (with(&key.signed(&changed(&|p| p["files"][0]["algorithm"] = json!("MD5")))), &one, "MD5"),
        (
            with(&key.signed(&changed(&|p| drop(p["files"].as_array_mut().expect("files").pop())))),
            &one,
            "is not in its signature",
        ),
        (
            files.with("more.rego", "package mcp.authz\n").with(".signatures.json", &good).packed(),
            &one,
            "`more.rego` is not in its signature",
        ),
        (
            with(&key.signed(&changed(&|p| {
                p["files"]
                    .as_array_mut()
                    .expect("files")
                    .push(json!({"name": "gone", "hash": "00", "algorithm": "SHA-256"}))
            }))),
            &one,
            "`gone` is in its signature and not in the bundle",
        ),
        (
            files
                .with(".manifest", r#"{"revision":"r2","roots":[""]}"#)
                .with(".signatures.json", &good)
                .packed(),
            &one,
            "`.manifest` is not what was signed",
        ),
    ];
    for (bundle, signing, why) in bad {
        let output = pulled(bundle, signing, &key);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(3) && said.contains(why), "{why}: {output:?}");
    }
}

#[test]
fn a_bundle_that_another_program_made_and_signed_is_taken() {
    let folder = tempfile::tempdir().expect("a directory");
    let made: Output = python("tools/sign_bundle.py")
        .arg(portcullis_integration::repository().join("policies"))
        .arg(folder.path())
        .output()
        .expect("Python runs");
    assert!(made.status.success(), "{made:?}");
    let bundle = std::fs::read(folder.path().join("bundle.tar.gz")).expect("a bundle");
    let server = BundleServer::with(bundle);
    let (upstream, issuer) = (Upstream::start(), Issuer::new("https://idp.test", "key-1"));
    let key = folder.path().join("public.pem");
    let signing = json!({"url": server.url, "keys": {"release": {"algorithm": "RS256", "file": key}}});
    let house = house(&upstream, &issuer, json!({"bundle": signing}));
    let said = house.json(&["policy", "pull"]);
    assert_eq!((&said["signed_by"], &said["valid"]), (&json!("release"), &json!(true)), "{said}");
}

fn encoded(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}
