//! The keys of an issuer: renewed, never erased, fetched once.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use tokio::task::JoinSet;

use crate::config::KeySource;
use crate::identify::tests::fixture::{Gate, KeyServer, Signer, identity, jwks};
use crate::refusal::Refusal;

const UNKNOWN: Refusal = Refusal::BadCredential("the token is signed by an unknown key");

async fn passes(gate: &Gate, token: &str) -> bool {
    gate.bearer(token).await.is_ok()
}

/// Asks until the answer is `wanted`: a renewal runs in a task of its own.
async fn becomes(gate: &Gate, token: &str, wanted: bool) {
    let asked = async {
        while passes(gate, token).await != wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.expect("it never became so");
}

#[tokio::test]
async fn a_hundred_tokens_with_an_unknown_key_cause_one_fetch() {
    let (known, unknown) = (Signer::es256("k1"), Signer::es256("k2"));
    let server = KeyServer::start(jwks(&[&known])).await;
    let gate = Arc::new(Gate::new(&identity(server.source())));
    assert!(passes(&gate, &known.token(&gate.claims())).await);
    assert_eq!(server.fetches(), 1);
    let held = server.open.acquire().await.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let (gate, token) = (Arc::clone(&gate), unknown.token(&gate.claims()));
        calls.spawn(async move { gate.bearer(&token).await.map(|_| ()) });
    }
    server.fetched(2).await;
    assert!(passes(&gate, &known.token(&gate.claims())).await, "a known key does not wait for the fetch");
    drop(held);
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|answer| *answer == Err(UNKNOWN)), "{answers:?}");
    assert_eq!(server.fetches(), 2);
    assert_eq!(gate.bearer(&unknown.token(&gate.claims())).await.map(|_| ()), Err(UNKNOWN));
    assert_eq!(server.fetches(), 2, "no more than one in 30 s");
}

#[tokio::test]
async fn a_new_key_works_with_the_first_token_that_it_signs() {
    let (old, new) = (Signer::es256("k1"), Signer::es256("k2"));
    let server = KeyServer::start(jwks(&[&old])).await;
    let gate = Gate::new(&identity(server.source()));
    assert!(passes(&gate, &old.token(&gate.claims())).await);
    server.answers(200, jwks(&[&old, &new]));
    assert!(passes(&gate, &new.token(&gate.claims())).await);
    assert!(passes(&gate, &old.token(&gate.claims())).await);
}

#[tokio::test]
async fn a_second_new_key_is_looked_for_after_half_a_minute() {
    let (first, second) = (Signer::es256("k1"), Signer::es256("k2"));
    let server = KeyServer::start(jwks(&[&first])).await;
    let gate = Gate::new(&identity(server.source()));
    assert!(passes(&gate, &first.token(&gate.claims())).await);
    assert!(!passes(&gate, &second.token(&gate.claims())).await);
    server.answers(200, jwks(&[&second]));
    assert!(!passes(&gate, &second.token(&gate.claims())).await);
    gate.clock.advance(Duration::from_secs(30));
    assert!(passes(&gate, &second.token(&gate.claims())).await);
}

/// AU-20.
#[tokio::test]
async fn a_token_of_a_removed_key_stops_working_though_it_is_remembered() {
    let (removed, kept) = (Signer::es256("k1"), Signer::es256("k2"));
    let server = KeyServer::start(jwks(&[&removed, &kept])).await;
    let gate = Gate::new(&identity(server.source()));
    let token = removed.token(&gate.claims());
    assert!(passes(&gate, &token).await);
    server.answers(200, jwks(&[&kept]));
    assert!(passes(&gate, &token).await, "the document is not due");
    gate.clock.advance(Duration::from_secs(300));
    let token = removed.token(&gate.claims());
    becomes(&gate, &token, false).await;
    assert_eq!(gate.bearer(&token).await.map(|_| ()), Err(UNKNOWN));
}

#[tokio::test]
async fn a_remembered_token_ends_with_its_key_and_not_with_its_minute() {
    let (removed, kept, new) = (Signer::es256("k1"), Signer::es256("k2"), Signer::es256("k3"));
    let server = KeyServer::start(jwks(&[&removed, &kept])).await;
    let gate = Gate::new(&identity(server.source()));
    let token = removed.token(&gate.claims());
    assert!(passes(&gate, &token).await);
    server.answers(200, jwks(&[&kept, &new]));
    assert!(passes(&gate, &new.token(&gate.claims())).await, "this one makes the gate fetch");
    assert!(!passes(&gate, &token).await);
}

#[tokio::test]
async fn an_error_page_or_an_empty_document_never_erases_good_keys() {
    let signer = Signer::es256("k1");
    let server = KeyServer::start(jwks(&[&signer])).await;
    let gate = Gate::new(&identity(server.source()));
    assert!(passes(&gate, &signer.token(&gate.claims())).await);
    let large = format!("{}{}", jwks(&[&Signer::es256("k9")]), " ".repeat(1 << 20));
    for (status, page) in [
        (200, "<html>maintenance</html>"),
        (200, r#"{"keys":[]}"#),
        (200, ""),
        (200, "{}"),
        (503, "down"),
        (200, large.as_str()),
        (404, &jwks(&[&Signer::es256("k9")])),
    ] {
        for answer in [(status, page.to_owned()), (200, jwks(&[&signer]))] {
            let fetches = server.fetches();
            server.answers(answer.0, answer.1);
            gate.clock.advance(Duration::from_secs(301));
            assert!(passes(&gate, &signer.token(&gate.claims())).await, "{status} {page:.20}");
            server.fetched(fetches + 1).await;
            gate.identify.tokens.settled().await;
            assert!(passes(&gate, &signer.token(&gate.claims())).await, "{status} {page:.20}");
        }
    }
}

#[tokio::test]
async fn keys_that_could_not_be_renewed_for_too_long_prove_nothing() {
    let signer = Signer::es256("k1");
    let server = KeyServer::start(jwks(&[&signer])).await;
    let gate = Gate::new(&identity(server.source()));
    let token = signer.token(&gate.claims());
    assert!(passes(&gate, &token).await);
    server.answers(503, "down");
    gate.clock.advance(Duration::from_secs(3601));
    let mut claims = gate.claims();
    claims["exp"] = serde_json::json!(gate.clock.now().as_second() + 60);
    let token = signer.token(&claims);
    assert_eq!(gate.bearer(&token).await.map(|_| ()), Err(Refusal::IdentityUnavailable));
    server.answers(200, jwks(&[&signer]));
    gate.clock.advance(Duration::from_secs(31));
    assert!(passes(&gate, &token).await);
}

#[tokio::test]
async fn an_issuer_that_never_answered_is_asked_again_only_after_a_while() {
    let signer = Signer::es256("k1");
    let server = KeyServer::start(String::new()).await;
    let gate = Gate::new(&identity(server.source()));
    let token = signer.token(&gate.claims());
    for _ in 0..10 {
        assert_eq!(gate.bearer(&token).await.map(|_| ()), Err(Refusal::IdentityUnavailable));
    }
    assert_eq!(server.fetches(), 1);
    server.answers(200, jwks(&[&signer]));
    gate.clock.advance(Duration::from_secs(1));
    assert!(passes(&gate, &token).await);
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_take_the_fetch_along() {
    let (known, new) = (Signer::es256("k1"), Signer::es256("k2"));
    let server = KeyServer::start(jwks(&[&known])).await;
    let gate = Arc::new(Gate::new(&identity(server.source())));
    assert!(passes(&gate, &known.token(&gate.claims())).await);
    server.answers(200, jwks(&[&known, &new]));
    let held = server.open.acquire().await.unwrap();
    let (asking, token) = (Arc::clone(&gate), new.token(&gate.claims()));
    let call = tokio::spawn(async move { asking.bearer(&token).await.map(|_| ()) });
    server.fetched(2).await;
    call.abort();
    drop(held);
    becomes(&gate, &new.token(&gate.claims()), true).await;
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn keys_without_ids_are_tried_and_looked_for_again() {
    let (old, new) = (Signer::es256("x").nameless(), Signer::new("y", Algorithm::EdDSA).nameless());
    let server = KeyServer::start(jwks(&[&old])).await;
    let gate = Gate::new(&identity(server.source()));
    assert!(passes(&gate, &old.token(&gate.claims())).await);
    server.answers(200, jwks(&[&Signer::es256("z").nameless(), &new]));
    let replaced = Signer::es256("w").nameless();
    assert_eq!(gate.bearer(&replaced.token(&gate.claims())).await.map(|_| ()), Err(UNKNOWN));
    assert!(passes(&gate, &new.token(&gate.claims())).await);
}

#[tokio::test]
async fn a_key_file_is_read_again_when_it_changes() {
    let (old, new) = (Signer::es256("k1"), Signer::es256("k2"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    std::fs::write(&path, jwks(&[&old])).unwrap();
    let gate = Gate::new(&identity(KeySource::File(path.clone())));
    let token = old.token(&gate.claims());
    assert!(passes(&gate, &token).await);
    std::fs::write(&path, jwks(&[&new])).unwrap();
    gate.clock.advance(Duration::from_secs(1));
    becomes(&gate, &token, false).await;
    assert!(passes(&gate, &new.token(&gate.claims())).await);
    std::fs::remove_file(&path).unwrap();
    gate.clock.advance(Duration::from_secs(100));
    assert!(passes(&gate, &new.token(&gate.claims())).await, "a file that is gone erases nothing");
}
