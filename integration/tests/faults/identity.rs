//! Who vouches for callers, and who gives the gate its keys and tokens, is down, slow, or talks nonsense.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use portcullis_integration::fixture::{AUDIENCE, Std};
use portcullis_integration::issuer::Issuer;
use portcullis_integration::reply::{Reply, Step};
use portcullis_integration::upstream::Upstream;
use portcullis_integration::wait;
use serde_json::json;

/// F15 and F16.
#[tokio::test(flavor = "multi_thread")]
async fn known_keys_outlive_an_identity_provider_that_is_down_or_talks_nonsense() {
    let provider = Upstream::start();
    let issuer = Issuer::new("https://idp.test", "key-1");
    let broken = Arc::new(AtomicBool::new(false));
    let (jwks, failing) = (issuer.jwks(), broken.clone());
    provider.answers(move |_| {
        if failing.load(Ordering::SeqCst) {
            Reply::html(200, "<html>down</html>")
        } else {
            Reply::json(&jwks)
        }
    });
    let url = format!("http://{}/jwks", provider.address);
    let std = Std::start_with(|c| {
        c["identity"]["jwt"][0]["jwks"] = json!({"url": url, "refresh": "1s", "max_stale": "1h"})
    });
    let token = issuer.sign(&issuer.claims(AUDIENCE, "a", "alice"));
    assert_eq!(std.agent(&token).calls("safe", json!({})).await.status, 200);
    broken.store(true, Ordering::SeqCst);
    let before = provider.exchanges().len();
    wait::until("a failed refresh", async || {
        // Keys are fetched again when somebody calls.
        std.agent(&token).calls("safe", json!({})).await;
        (provider.exchanges().len() > before + 1).then_some(())
    })
    .await;
    assert_eq!(std.agent(&token).calls("safe", json!({})).await.status, 200);
    let stranger = Issuer::new("https://idp.test", "key-of-nobody");
    let forged = stranger.sign(&stranger.claims(AUDIENCE, "a", "alice"));
    let asked = provider.exchanges().len();
    for _ in 0..50 {
        assert!(matches!(std.agent(&forged).calls("safe", json!({})).await.status.as_u16(), 401 | 503));
    }
    assert!(provider.exchanges().len() < asked + 20, "unknown keys make the gate hammer its provider");
}

/// F17.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_for_the_server_nothing_is_forwarded() {
    let tokens = Upstream::start();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokens.answers(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Reply::html(500, "no tokens today")
    });
    let token_url = format!("http://{}/token", tokens.address);
    let oauth = json!({"oauth": {"token_url": token_url, "client_id": "gate", "client_secret": {"inline": "client-secret-1"}}});
    let std = Std::start_with(|c| c["accounts"][0]["credential"] = oauth);
    std.carol().sees().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let alice = std.alice();
        calls.spawn(async move { alice.calls("safe", json!({})).await });
    }
    for answer in calls.join_all().await {
        assert!(answer.code().is_some(), "{answer:?}");
    }
    assert!(std.upstream.received("tools/call").is_empty());
    assert!(asked.load(Ordering::SeqCst) <= 20, "{} requests for a token", asked.load(Ordering::SeqCst));
}

/// F18.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_token_is_fetched_once_also_when_the_first_who_needs_it_goes_away() {
    let tokens = Upstream::start();
    let granted = json!({"access_token": "token-of-the-day", "token_type": "Bearer", "expires_in": 3600});
    tokens.answers(move |_| {
        let late = Reply::json(&granted);
        Reply([vec![Step::Pause(Duration::from_millis(1200))], late.0].concat())
    });
    let token_url = format!("http://{}/token", tokens.address);
    let oauth = json!({"oauth": {"token_url": token_url, "client_id": "gate", "client_secret": {"inline": "client-secret-1"}}});
    let std = Std::start_with(|c| c["accounts"][0]["credential"] = oauth);
    let hasty = std.alice().modern_request("tools/call", json!({"name": "safe", "arguments": {}}));
    assert!(hasty.timeout(Duration::from_millis(200)).send().await.is_err());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let alice = std.alice();
        calls.spawn(async move { alice.calls("safe", json!({})).await });
    }
    for answer in calls.join_all().await {
        assert!(answer.code().is_none(), "{answer:?}");
    }
    assert_eq!(tokens.exchanges().len(), 1);
    let calls = std.upstream.received("tools/call");
    assert!(calls.iter().all(|e| e.header("authorization") == ["Bearer token-of-the-day"]));
}

/// F21.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_sealing_key_the_gate_is_not_ready_forwards_nothing_and_makes_no_key_of_its_own() {
    let std = Std::start_with(|c| c["state"]["sealing_key"] = json!({"command": ["cat", "vault.key"]}));
    let (status, why) = std.gate.admin("/readyz").await;
    assert!(status == 503 && why.contains("sealed credentials"), "{status} {why}");
    let refused = std.alice().calls("safe", json!({})).await;
    assert!(refused.message().get("result").is_none(), "{refused:?}");
    assert!(std.upstream.bytes().is_empty());
    let key = "0123456789abcdef".repeat(4);
    std.gate.house().write("vault.key", &key);
    wait::until("the key", async || (std.gate.admin("/readyz").await.0 == 200).then_some(())).await;
    assert!(!std.alice().calls("safe", json!({})).await.result().is_null());
    let kept = std::fs::read_dir(std.gate.house().path("state")).expect("the state").flatten();
    for file in kept.map(|e| e.path()).filter(|p| p.is_file()) {
        let bytes = std::fs::read(&file).expect("a file");
        assert!(!String::from_utf8_lossy(&bytes).contains(&key), "the key is kept in {}", file.display());
    }
    assert!(!std.gate.house().path("state/seal.key").exists());
}
