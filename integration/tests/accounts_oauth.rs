//! Accounts that a person connects, at an authorization server that is not ours: consent, refresh with rotation, what
//! fails, and what nobody may see.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use portcullis_integration::agent::Answer;
use portcullis_integration::fixture::Std;
use portcullis_integration::mcp;
use portcullis_integration::provider::{CLIENT, Provider, client, comes_back};
use portcullis_integration::reply::Reply;
use portcullis_integration::upstream::{Exchange, Upstream};
use portcullis_integration::verify::{request, verified, verify};
use portcullis_integration::wait::until;
use serde_json::{Value, json};

/// A gate where tenant `a` has an account at the provider.
fn gate(provider: &Provider) -> Std {
    gate_with(json!({
        "issuer": provider.issuer,
        "client_id": CLIENT.0,
        "client_secret": {"inline": CLIENT.1},
        "scopes": ["openid", "offline_access"],
    }))
}

fn gate_with(account: Value) -> Std {
    Std::start_with(|config| config["accounts"][0]["credential"] = json!({"authorization_code": account}))
}

/// The URL that a person is to open.
fn link(std: &Std) -> String {
    let begun = std.gate.house().json(&["account", "connect", "a", "up"]);
    begun["url"].as_str().expect("a URL").to_owned()
}

async fn connect(std: &Std, provider: &Provider) {
    let back = provider.consents(&link(std)).await;
    let (status, page) = comes_back(&std.gate.url, &back).await;
    assert!(status == 200 && page.contains("is connected"), "{status} {page}");
}

async fn call(std: &Std) -> Answer {
    std.alice().calls("safe", json!({"marker": "hello"})).await
}

fn passed(answer: &Answer) -> bool {
    answer.code().is_none() && !answer.is_error_result()
}

/// The bearer tokens that the server got, in their order, each once.
fn tokens(upstream: &Upstream) -> Vec<String> {
    let mut seen = Vec::new();
    for exchange in upstream.received("tools/call") {
        let token = bearer(&exchange);
        if !seen.contains(&token) {
            seen.push(token);
        }
    }
    seen
}

fn bearer(exchange: &Exchange) -> String {
    exchange.header("authorization").first().expect("a token").trim_start_matches("Bearer ").to_owned()
}

fn status(std: &Std) -> Value {
    let all = std.gate.house().json(&["account", "status", "a"]);
    all.as_array().and_then(|all| all.first()).cloned().expect("the account")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_connects_an_account_and_its_token_is_the_servers() {
    let provider = Provider::start(3600);
    let std = gate(&provider);
    let refused = call(&std).await;
    assert_eq!(refused.code(), Some(-31407), "{refused:?}");
    let message = refused.message()["error"]["message"].to_string();
    assert!(message.contains("portcullis account connect"), "it says where: {message}");
    assert_eq!(status(&std)["state"], "not_connected");
    let url = link(&std);
    assert!(url.contains("code_challenge_method=S256") && url.contains("state="), "{url}");
    assert_eq!(status(&std)["state"], "pending");
    let back = provider.consents(&url).await;
    assert_eq!(comes_back(&std.gate.url, &back).await.0, 200);
    assert!(passed(&call(&std).await));
    let tokens = tokens(&std.upstream);
    assert!(provider.knows(&tokens[0]).await, "the provider made the token");
    let status = status(&std);
    assert_eq!(
        (&status["state"], &status["can_refresh"], &status["failures"]),
        (&json!("active"), &json!(true), &json!(0))
    );
    // What went over the browser is good once, and nothing of the account is readable anywhere.
    assert_eq!(comes_back(&std.gate.url, &back).await.0, 400);
    let code = back.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    let state = back.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();
    let files = std::fs::read_dir(std.gate.house().path("state")).expect("the state").flatten();
    let stored: Vec<u8> = files.filter_map(|file| std::fs::read(file.path()).ok()).flatten().collect();
    let stored = String::from_utf8_lossy(&stored).into_owned();
    let places = [stored, std.gate.log(), std.gate.audit_text(), std.gate.admin("/metrics").await.1];
    for secret in [&tokens[0], &code, &state, CLIENT.1] {
        assert!(places.iter().all(|place| !place.contains(secret)), "{secret} is somewhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_nobody_began_or_from_elsewhere_connects_nothing() {
    let provider = Provider::start(3600);
    let std = gate(&provider);
    let back = provider.consents(&link(&std)).await;
    let mut made_up = back.clone();
    made_up
        .query_pairs_mut()
        .clear()
        .append_pair("code", "abc")
        .append_pair("state", "A".repeat(43).as_str());
    assert_eq!(comes_back(&std.gate.url, &made_up).await.0, 400);
    // The code is real, but another authorization server says that it is its own (RFC 9207).
    let mut mixed_up = back.clone();
    mixed_up.query_pairs_mut().clear();
    for (name, value) in back.query_pairs() {
        let value = if name == "iss" { "https://evil.example".into() } else { value };
        mixed_up.query_pairs_mut().append_pair(&name, &value);
    }
    assert_eq!(comes_back(&std.gate.url, &mixed_up).await.0, 400);
    assert_eq!(comes_back(&std.gate.url, &back).await.0, 400, "and the consent is used up");
    assert_eq!(provider.asked().await.len(), 0, "no code was sent anywhere");
    assert_eq!(call(&std).await.code(), Some(-31407));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_on_an_expired_token_make_one_refresh_and_all_succeed() {
    let provider = Provider::start(12);
    let std = gate(&provider);
    connect(&std, &provider).await;
    let ends: jiff::Timestamp =
        status(&std)["expires_at"].as_str().expect("an end").parse().expect("a moment");
    until("the token's end", async || (jiff::Timestamp::now() > ends).then_some(())).await;
    let alice = std.alice();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move { alice.calls("safe", json!({})).await })
        })
        .collect();
    for one in calls {
        let answer = one.await.expect("a call");
        assert!(passed(&answer), "{answer:?}");
    }
    assert_eq!(provider.refreshes().await, 1);
    assert_eq!(tokens(&std.upstream).len(), 1);
    assert_eq!(status(&std)["refreshes"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_rotate_and_an_account_in_use_never_waits_for_its_end() {
    let provider = Provider::start(4);
    let std = gate(&provider);
    connect(&std, &provider).await;
    until("three refreshes", async || {
        let answer = call(&std).await;
        assert!(passed(&answer), "{answer:?}");
        (provider.refreshes().await >= 3).then_some(())
    })
    .await;
    let asked = provider.asked().await;
    assert!(asked.iter().all(|one| one["status"] == 200), "no refresh token was used twice: {asked:?}");
    // Nobody calls now: an account that is not used is left alone, so that its token comes to its end.
    until("a token that has ended", async || {
        let standing = std.gate.house().json(&["account", "status", "a"]);
        let ends: jiff::Timestamp = standing[0]["expires_at"].as_str()?.parse().expect("a moment");
        (jiff::Timestamp::now() > ends).then_some(())
    })
    .await;
    assert!(passed(&call(&std).await), "and it comes back by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_server_rejects_is_replaced_once_and_the_call_is_made() {
    let provider = Provider::start(3600);
    let std = gate(&provider);
    connect(&std, &provider).await;
    assert!(passed(&call(&std).await));
    let rejected = Arc::new(Mutex::new(BTreeSet::from([tokens(&std.upstream)[0].clone()])));
    let known = Arc::clone(&rejected);
    std.upstream.answers(move |exchange| match known.lock().expect("no panic").contains(&bearer(exchange)) {
        true => Reply::new(401, &[("www-authenticate", "Bearer error=\"invalid_token\"")], b""),
        false => mcp::answer(exchange),
    });
    std.upstream.forget();
    let answer = call(&std).await;
    assert!(passed(&answer), "{answer:?}");
    assert_eq!(provider.refreshes().await, 1);
    assert_eq!(std.upstream.received("tools/call").len(), 2, "once with each token");
    // A server that rejects everything is asked twice, and the provider not again.
    rejected.lock().expect("no panic").insert(tokens(&std.upstream)[1].clone());
    std.upstream.forget();
    let answer = call(&std).await;
    assert_eq!(answer.detail()["reason"], "credential_unavailable", "{answer:?}");
    assert_eq!((provider.refreshes().await, std.upstream.received("tools/call").len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_grant_is_gone_says_so_at_once_until_it_is_connected_again() {
    let provider = Provider::start(6);
    let std = gate(&provider);
    connect(&std, &provider).await;
    let port: u16 = provider.issuer.rsplit(':').next().expect("a port").parse().expect("a number");
    drop(provider);
    // The same provider, which has forgotten everything that it granted.
    let provider = Provider::start_with(json!({"port": port, "access_ttl": 6, "clients": [client()]}));
    until("needs_reauth", async || (call(&std).await.code() == Some(-31407)).then_some(())).await;
    let asked = provider.asked().await.len();
    for _ in 0..5 {
        assert_eq!(call(&std).await.detail()["reason"], "needs_reauth");
    }
    assert_eq!(provider.asked().await.len(), asked, "nobody asks the provider any more");
    let standing = status(&std);
    assert_eq!(standing["state"], "needs_reauth");
    assert!(standing["last_failure"].as_str().is_some_and(|why| why.contains("invalid_grant")), "{standing}");
    connect(&std, &provider).await;
    assert!(passed(&call(&std).await));
    assert_eq!(status(&std)["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_is_asked_with_pauses_and_the_old_token_serves() {
    let provider = Provider::start(40);
    let std = gate(&provider);
    connect(&std, &provider).await;
    assert!(passed(&call(&std).await));
    let html = json!({"status": 200, "headers": {"content-type": "text/html"}, "body": "<h1>hello</h1>"});
    let moved = json!({"status": 307, "headers": {"location": "http://169.254.169.254/latest"}});
    for failure in
        [json!({"status": 500}), json!({"status": 429, "headers": {"retry-after": "1"}}), html, moved]
    {
        provider.set(json!({"fail": failure})).await;
        let before = provider.asked().await.len();
        // Half of its life is over, so that it is renewed ahead; it is good for twenty seconds more.
        until("an attempt that failed", async || {
            let answer = call(&std).await;
            assert!(passed(&answer), "{answer:?}");
            (provider.asked().await.len() > before).then_some(())
        })
        .await;
    }
    assert!(provider.asked().await.len() < 12, "{:?}", provider.asked().await);
    assert_eq!(status(&std)["state"], "active");
    provider.set(json!({"fail": null})).await;
    until("a refresh", async || {
        assert!(passed(&call(&std).await));
        (provider.refreshes().await == 1).then_some(())
    })
    .await;
    assert_eq!(status(&std)["failures"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_configured_the_server_says_its_authorization_server_and_the_gate_registers() {
    let upstream = Upstream::start();
    let resource = upstream.url.clone();
    let provider =
        Provider::start_with(json!({"registration": true, "resource": resource, "clients": [client()]}));
    let (issuer, base) = (provider.issuer.clone(), resource.trim_end_matches("/mcp").to_owned());
    upstream.answers(move |exchange| {
        if exchange.path == "/.well-known/oauth-protected-resource/mcp" {
            let document = json!({"resource": format!("{base}/mcp"), "authorization_servers": [issuer]});
            return Reply::json(&document);
        }
        if exchange.header("authorization").is_empty() {
            let metadata = format!("{base}/.well-known/oauth-protected-resource/mcp");
            let challenge = format!("Bearer resource_metadata=\"{metadata}\", scope=\"mcp\"");
            return Reply::new(401, &[("www-authenticate", &challenge)], b"");
        }
        mcp::answer(exchange)
    });
    let std = Std::before(upstream, |config| {
        config["accounts"][0]["credential"] = json!({"authorization_code": {}});
    });
    let url = link(&std);
    assert!(url.contains("scope=mcp+offline_access") && url.contains("resource="), "{url}");
    connect(&std, &provider).await;
    assert!(passed(&call(&std).await));
    assert!(provider.knows(&tokens(&std.upstream)[0]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_told_by_a_signed_webhook_that_an_account_needs_a_person() {
    let provider = Provider::start(4);
    let application = Upstream::start();
    application.answers(|_| Reply::empty(503));
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let account = json!({"issuer": provider.issuer, "client_id": CLIENT.0, "client_secret": {"inline": CLIENT.1},
                         "scopes": ["openid", "offline_access"]});
    let std = Std::start_with(|config| {
        config["accounts"][0]["credential"] = json!({"authorization_code": account});
        config["webhook"] = json!({"url": application.url, "secret": {"inline": secret}, "private": true});
    });
    connect(&std, &provider).await;
    let port: u16 = provider.issuer.rsplit(':').next().expect("a port").parse().expect("a number");
    drop(provider);
    let _forgetful = Provider::start_with(json!({"port": port, "access_ttl": 4, "clients": [client()]}));
    until("needs_reauth", async || (call(&std).await.code() == Some(-31407)).then_some(())).await;
    until("an attempt", async || (!application.exchanges().is_empty()).then_some(())).await;
    let waiting = until("a notice that waits", async || {
        let waiting = std.gate.house().json(&["webhook", "list"]);
        (waiting[0]["attempts"] == 1).then_some(waiting)
    })
    .await;
    assert_eq!((&waiting[0]["data"]["tenant"], &waiting[0]["data"]["server"]), (&json!("a"), &json!("up")));
    application.answers(|_| Reply::empty(204));
    until("no notice", async || (std.gate.house().json(&["webhook", "list"]) == json!([])).then_some(()))
        .await;
    let sent = application.exchanges();
    assert_eq!(sent.len(), 2);
    for one in &sent {
        let mut given = request("webhook", &Value::Null, one);
        given["secret"] = json!(secret);
        verified(&given);
        given["body"] = json!(given["body"].as_str().expect("text").replace("\"a\"", "\"b\""));
        assert!(!verify(&given).0, "the signature is over the body");
    }
    assert_eq!(
        sent[0].header("webhook-id"),
        sent[1].header("webhook-id"),
        "its reader can see that it had it"
    );
    assert_eq!(sent[0].message()["type"], "account.needs_reauth");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_is_killed_in_the_middle_of_a_refresh_costs_no_call() {
    let provider = Provider::start(60);
    let mut std = gate(&provider);
    connect(&std, &provider).await;
    provider.set(json!({"hold": true})).await;
    // Half of the token's life is over when it is renewed ahead.
    until("a refresh under way", async || {
        assert!(passed(&call(&std).await));
        (provider.waiting().await == 1).then_some(())
    })
    .await;
    std = std.restarted();
    provider.set(json!({"hold": false})).await;
    assert_eq!(provider.refreshes().await, 0, "the request that is held was never answered");
    until("a refresh by the gate that came after", async || {
        let answer = call(&std).await;
        assert!(passed(&answer), "{answer:?}");
        (provider.refreshes().await == 1).then_some(())
    })
    .await;
    assert!(passed(&call(&std).await));
    assert_eq!(status(&std)["state"], "active");
}
