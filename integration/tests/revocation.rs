//! Tokens that are refused before they end, by calls and commands.

use portcullis_integration::agent::Answer;
use portcullis_integration::api::Api;
use portcullis_integration::fixture::{AUDIENCE, Std};
use portcullis_integration::issuer::Issuer;
use portcullis_integration::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.test";

/// A token of a person: `jti`, subject, client, session.
fn token(std: &Std, tenant: &str, [id, subject, client, session]: [&str; 4]) -> String {
    std.token(tenant, subject, |claims| {
        claims.insert("jti".into(), json!(id));
        claims.insert("client_id".into(), json!(client));
        claims.insert("sid".into(), json!(session));
    })
}

async fn call(std: &Std, token: &str) -> Answer {
    std.agent(token).calls("safe", json!({})).await
}

async fn passes(std: &Std, token: &str) -> bool {
    let answer = call(std, token).await;
    if answer.status == 401 {
        let told = answer.headers["www-authenticate"].to_str().expect("text");
        assert!(told.contains("invalid_token") && told.contains("the token has been revoked"), "{told}");
    }
    answer.status == 200
}

fn revocation(tenant: &str, by: &str, value: &str) -> Value {
    json!({"tenant": tenant, "issuer": ISSUER, "by": by, "value": value})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_revoked_by_its_id_its_subject_its_client_or_its_session_and_no_other_is() {
    let std = Std::start();
    let operator = Api::operator(&std.gate);
    let all = [
        ["t1", "alice", "desktop", "s1"],
        ["t2", "bea", "desktop", "s2"],
        ["t3", "chris", "phone", "s3"],
        ["t4", "dora", "tablet", "s4"],
        ["t5", "eve", "tablet", "s5"],
    ];
    let tokens = all.map(|about| token(&std, "a", about));
    let foreign = token(&std, "b", ["t1", "alice", "desktop", "s4"]);
    for token in &tokens {
        assert!(passes(&std, token).await);
    }
    let steps = [("token", "t1", 0), ("subject", "chris", 2), ("session", "s4", 3), ("client", "desktop", 1)];
    let mut gone = Vec::new();
    for (by, value, at) in steps {
        operator.post("/v1/revocations", revocation("a", by, value)).await.done(201);
        gone.push(at);
        for (index, token) in tokens.iter().enumerate() {
            assert_eq!(passes(&std, token).await, !gone.contains(&index), "{by} {value}: {index}");
        }
    }
    assert!(passes(&std, &foreign).await, "what is revoked in one tenant is not in another");
    let listed = operator.ask(Method::GET, "/v1/revocations?tenant=a").await.done(200);
    let listed = listed["revocations"].as_array().expect("a list").clone();
    assert_eq!(listed.len(), 4);
    assert_eq!(
        operator.ask(Method::GET, "/v1/revocations?tenant=b").await.done(200)["revocations"],
        json!([])
    );
    for entry in &listed {
        let id = entry["id"].as_str().expect("an id");
        operator.ask(Method::DELETE, &format!("/v1/revocations/{id}?tenant=a")).await.done(200);
        operator.ask(Method::DELETE, &format!("/v1/revocations/{id}?tenant=a")).await.done(404);
    }
    for token in &tokens {
        assert!(passes(&std, token).await, "what was taken back counts no more");
    }
    let lines: Vec<Value> = std.gate.audit().into_iter().filter(|line| line["kind"] == "admin").collect();
    let made = lines.iter().filter(|line| line["method"] == "POST" && line["path"] == "/v1/revocations");
    assert!(made.clone().count() == 4 && made.clone().all(|line| line["tenant"] == "a"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_vanishes_by_itself_and_may_be_about_older_tokens_alone() {
    let std = Std::start();
    let operator = Api::operator(&std.gate);
    let token = token(&std, "a", ["t1", "alice", "desktop", "s1"]);
    let mut short = revocation("a", "token", "t1");
    short["expires_at"] = json!("3s");
    operator.post("/v1/revocations", short).await.done(201);
    assert!(!passes(&std, &token).await);
    until("its end", async || passes(&std, &token).await.then_some(())).await;
    let listed = operator.ask(Method::GET, "/v1/revocations?tenant=a").await.done(200);
    assert_eq!(listed["revocations"], json!([]), "it is gone from the store as well");
    let mut older = revocation("a", "subject", "alice");
    older["issued_until"] = json!("now");
    operator.post("/v1/revocations", older).await.done(201);
    let issued = |change: i64| {
        std.token("a", "alice", |claims| {
            let now = claims["iat"].as_i64().expect("a time");
            claims.insert("iat".into(), json!(now + change));
        })
    };
    assert!(!passes(&std, &issued(-60)).await);
    assert!(passes(&std, &issued(2)).await, "they signed in again");
    let undated = std.token("a", "alice", |claims| drop(claims.remove("iat")));
    assert!(!passes(&std, &undated).await, "what does not say when it was issued is as old as any");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_and_a_tenants_admin_revokes_in_their_tenant_alone() {
    let std = Std::start_with(|config| {
        let mut issuer = config["identity"]["jwt"][0].clone();
        issuer["audiences"] = json!(["http://gw.test/admin"]);
        issuer["scopes"] = json!([]);
        config["admin"]["jwt"] = json!([issuer]);
    });
    let admin = std.token("a", "ada", |claims| {
        claims.insert("aud".into(), json!("http://gw.test/admin"));
        claims.insert("roles".into(), json!(["tenant-admin"]));
    });
    let admin = Api::bearer(&std.gate.admin_url, &admin);
    admin.post("/v1/revocations", revocation("b", "subject", "carol")).await.done(404);
    admin.ask(Method::GET, "/v1/revocations?tenant=b").await.done(404);
    assert_eq!(std.carol().calls("safe", json!({})).await.status, 200);
    admin.post("/v1/revocations", revocation("a", "subject", "alice")).await.done(201);
    assert!(!passes(&std, &std.alice_token()).await);
    let mut wrong = revocation("a", "subject", "");
    wrong["expires_at"] = json!("2020-01-01T00:00:00Z");
    let told = admin.post("/v1/revocations", wrong).await.done(422);
    let keys: Vec<_> = told["faults"].as_array().expect("faults").iter().map(|one| &one["key"]).collect();
    assert_eq!(keys, ["value", "expires_at"]);
    admin.post("/v1/revocations", revocation("a", "colour", "red")).await.done(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_revokes_on_a_gate_that_runs_and_in_the_store_of_one_that_does_not() {
    let std = Std::start();
    let about = ["revocation", "create", "--tenant", "a", "--issuer", ISSUER];
    let house = std.gate.house();
    let made =
        house.json(&[&about[..], &["--subject", "alice", "--expires", "7d", "--note", "left"]].concat());
    assert!(made["id"].as_str().is_some_and(|id| id.starts_with("rv_")), "{made}");
    assert!(!passes(&std, &std.alice_token()).await);
    let both = house.command(&[&about[..], &["--subject", "x", "--client", "y"]].concat());
    assert_eq!(both.status.code(), Some(3), "{both:?}");
    let (upstream, issuer) = (std.upstream, std.issuer);
    let house = std.gate.kill();
    house.json(&[&about[..], &["--token", "a-bob"]].concat());
    let listed = house.json(&["revocation", "list", "--tenant", "a"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let std = Std { gate: house.open(1), upstream, issuer };
    assert!(!passes(&std, &std.alice_token()).await, "a restart forgets nothing");
    assert!(!passes(&std, &std.token("a", "bob", |_| {})).await);
    let id = made["id"].as_str().expect("an id");
    std.gate.house().json(&["revocation", "delete", id, "--tenant", "a"]);
    assert!(passes(&std, &std.alice_token()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_is_named_exactly_and_another_ones_tokens_pass() {
    let other = Issuer::new("https://other.test", "key-2");
    let std = Std::prepared(
        |config| {
            let mut entry = config["identity"]["jwt"][0].clone();
            entry["issuer"] = json!("https://other.test");
            entry["jwks"] = json!({"file": "other.json"});
            config["identity"]["jwt"].as_array_mut().expect("a list").push(entry);
        },
        |house| drop(house.write("other.json", &other.jwks().to_string())),
    );
    let operator = Api::operator(&std.gate);
    operator.post("/v1/revocations", revocation("a", "subject", "alice")).await.done(201);
    assert!(!passes(&std, &std.alice_token()).await);
    assert!(passes(&std, &other.sign(&other.claims(AUDIENCE, "a", "alice"))).await);
}
