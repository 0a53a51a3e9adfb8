//! Issuers that are asked: for their metadata, and for what their tokens are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::config::{Identity, Introspection, KeySource};
use crate::identify::tests::fixture::{AUDIENCE, Gate, Signer, identity, jwks};
use crate::refusal::Refusal;

/// An issuer on loopback: documents by path, and what it says of tokens.
#[derive(Clone, Default)]
struct Provider {
    url: String,
    documents: Arc<Mutex<Vec<(String, String)>>>,
    tokens: Arc<Mutex<Vec<(String, Value)>>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Self { url: format!("http://{}", listener.local_addr().unwrap()), ..Self::default() };
        let (documents, tokens) = (provider.clone(), provider.clone());
        let app = axum::Router::new()
            .route(
                "/introspect",
                axum::routing::post(async move |headers: HeaderMap, body: String| {
                    tokens.introspects(&headers, &body)
                }),
            )
            .fallback(async move |uri: Uri| documents.document(uri.path()));
        tokio::spawn(async move { axum::serve(listener, app).await });
        provider
    }

    fn document(&self, path: &str) -> (StatusCode, String) {
        let documents = self.documents.lock().unwrap();
        let found = documents.iter().find(|(known, _)| known == path);
        found.map_or((StatusCode::NOT_FOUND, String::new()), |(_, text)| (StatusCode::OK, text.clone()))
    }

    fn introspects(&self, headers: &HeaderMap, body: &str) -> (StatusCode, String) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let expected = format!("Basic {}", STANDARD.encode("gate:s3cret"));
        if headers.get("authorization").is_none_or(|given| *given != *expected) {
            return (StatusCode::UNAUTHORIZED, String::new());
        }
        let form = reqwest::Url::parse(&format!("http://form.test/?{body}")).unwrap();
        let token = form.query_pairs().find(|(name, _)| name == "token").map(|(_, value)| value.into_owned());
        let tokens = self.tokens.lock().unwrap();
        let found = tokens.iter().find(|(known, _)| Some(known) == token.as_ref());
        (StatusCode::OK, found.map_or(json!({"active": false}), |(_, claims)| claims.clone()).to_string())
    }

    fn serves(&self, path: &str, document: impl ToString) {
        self.documents.lock().unwrap().push((path.to_owned(), document.to_string()));
    }

    fn identity(&self, issuer: &str) -> Identity {
        let (refresh, max_stale) = (Duration::from_secs(300), Duration::from_secs(3600));
        let mut identity = identity(KeySource::Discovered { refresh, max_stale });
        identity.issuers[0].issuer = issuer.to_owned();
        identity
    }
}

#[tokio::test]
async fn keys_are_found_by_the_issuers_metadata_wherever_it_publishes_them() {
    for (path, place) in [
        ("/tenant/1", "/tenant/1/.well-known/openid-configuration"),
        ("/tenant/1", "/.well-known/oauth-authorization-server/tenant/1"),
        ("", "/.well-known/openid-configuration"),
        ("", "/.well-known/oauth-authorization-server"),
    ] {
        let (provider, signer) = (Provider::start().await, Signer::es256("k1"));
        let issuer = format!("{}{path}", provider.url);
        provider.serves(place, json!({"issuer": issuer, "jwks_uri": format!("{}/keys", provider.url)}));
        provider.serves("/keys", jwks(&[&signer]));
        let gate = Gate::new(&provider.identity(&issuer));
        let mut claims = gate.claims();
        claims["iss"] = json!(issuer);
        assert!(gate.bearer(&signer.token(&claims)).await.is_ok(), "{place}");
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_or_with_keys_over_cleartext_are_not_believed() {
    for (named, keys) in [("https://other.test", "/keys"), ("", "http://keys.test/keys"), ("", "")] {
        let (provider, signer) = (Provider::start().await, Signer::es256("k1"));
        let issuer = provider.url.clone();
        let named = if named.is_empty() { issuer.as_str() } else { named };
        let keys = if keys.starts_with('/') { format!("{issuer}{keys}") } else { keys.to_owned() };
        provider.serves("/.well-known/openid-configuration", json!({"issuer": named, "jwks_uri": keys}));
        provider.serves("/keys", jwks(&[&signer]));
        let gate = Gate::new(&provider.identity(&issuer));
        let mut claims = gate.claims();
        claims["iss"] = json!(issuer);
        let refused = gate.bearer(&signer.token(&claims)).await.unwrap_err();
        assert_eq!(refused, Refusal::IdentityUnavailable, "{named} {keys}");
    }
}

struct Opaque {
    provider: Provider,
    gate: Gate,
    _secret: tempfile::NamedTempFile,
}

async fn opaque(secret: &str) -> Opaque {
    let provider = Provider::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{secret}\n")).unwrap();
    let mut identity = provider.identity("https://idp.test");
    identity.issuers[0].introspection = Some(Introspection {
        url: format!("{}/introspect", provider.url),
        client_id: "gate".into(),
        client_secret: file.path().to_owned(),
    });
    Opaque { gate: Gate::new(&identity), provider, _secret: file }
}

impl Opaque {
    /// Makes the provider know a token, with these changes to good claims.
    fn knows(&self, token: &str, changes: &[(&str, Value)]) {
        let mut claims = self.gate.claims();
        claims["active"] = json!(true);
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        self.provider.tokens.lock().unwrap().push((token.to_owned(), claims));
    }
}

#[tokio::test]
async fn a_token_that_says_nothing_is_what_its_issuer_says() {
    let opaque = opaque("s3cret").await;
    opaque.knows("v1.opaque", &[("acr", json!("gold")), ("amr", json!(["pwd", "otp"]))]);
    let caller = opaque.gate.bearer("v1.opaque").await.unwrap();
    assert_eq!((caller.tenant().as_str(), caller.user().unwrap().as_str()), ("a", "alice"));
    let proof = caller.authentication();
    assert_eq!((proof.acr.as_deref(), proof.amr.len()), (Some("gold"), 2));
    opaque.gate.bearer("v1.opaque").await.unwrap();
    assert_eq!(opaque.provider.asked.load(Ordering::SeqCst), 1, "for a moment it is remembered");
    opaque.provider.tokens.lock().unwrap().clear();
    opaque.gate.clock.advance(Duration::from_secs(16));
    let why = Refusal::BadCredential("the token is not active");
    assert_eq!(opaque.gate.bearer("v1.opaque").await.unwrap_err(), why, "it was revoked");
    assert_eq!(opaque.gate.bearer("made-up").await.unwrap_err(), why);
}

#[tokio::test]
async fn an_active_token_is_still_held_to_issuer_audience_scope_and_time() {
    let opaque = opaque("s3cret").await;
    let now = opaque.gate.clock.now().as_second();
    for (name, value) in [
        ("iss", json!("https://other.test")),
        ("aud", json!("https://other.test")),
        ("aud", Value::Null),
        ("exp", json!(now - 60)),
        ("exp", Value::Null),
        ("scope", json!("other")),
        ("cnf", json!({"jkt": "bm90IGEgdGh1bWJwcmludA"})),
        ("tid", Value::Null),
    ] {
        let token = format!("token-{name}-{value}").replace(['"', '/', ':', '{', '}'], "_");
        opaque.knows(&token, &[(name, value.clone())]);
        assert!(opaque.gate.bearer(&token).await.is_err(), "{name} {value}");
    }
    assert_eq!(AUDIENCE, "https://gate.test");
}

#[tokio::test]
async fn an_endpoint_that_refuses_the_gate_lets_nobody_in() {
    let opaque = opaque("wrong").await;
    opaque.knows("v1.opaque", &[]);
    assert_eq!(opaque.gate.bearer("v1.opaque").await.unwrap_err(), Refusal::IdentityUnavailable);
}
