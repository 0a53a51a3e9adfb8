use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::HeaderMap as RequestHeaders;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::*;
use crate::config::{ClientCredentials, ClientProof, UpstreamTls};

pub(super) const SECRET: &str = "client-secret-1";

/// A token endpoint on loopback: it answers request number n (from 1) as `answers` says, when `gate` lets it.
pub(super) struct TokenEndpoint {
    pub(super) url: String,
    asked: Arc<AtomicUsize>,
    last: Arc<Mutex<(RequestHeaders, String)>>,
    gate: Arc<Semaphore>,
}

impl TokenEndpoint {
    pub(super) async fn start(answers: impl Fn(usize) -> Response + Clone + Send + Sync + 'static) -> Self {
        let this = Self {
            url: String::new(),
            asked: Arc::default(),
            last: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        };
        let (asked, last, gate) = (Arc::clone(&this.asked), Arc::clone(&this.last), Arc::clone(&this.gate));
        let handler = move |headers: RequestHeaders, body: Bytes| async move {
            let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
            *last.lock().unwrap() = (headers, String::from_utf8(body.to_vec()).unwrap());
            gate.acquire().await.unwrap().forget();
            answers(number)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let app = axum::Router::new().route("/token", axum::routing::post(handler));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, ..this }
    }

    /// No answer until `open`.
    pub(super) fn close(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(super) fn open(&self) {
        self.gate.add_permits(1000);
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) async fn is_asked(&self) {
        while self.asked() == 0 {
            tokio::task::yield_now().await;
        }
    }

    fn account(&self) -> Arc<Account> {
        account("acme", of(&self.url, inline(SECRET)))
    }
}

pub(super) fn of(token_url: &str, client_secret: SecretSource) -> Credential {
    Credential::ClientCredentials(Box::new(ClientCredentials {
        token_url: token_url.into(),
        client_id: "sb-app!b1|xsuaa".into(),
        proof: ClientProof::Basic(client_secret),
        tls: UpstreamTls::default(),
        scopes: vec!["read".into(), "write".into()],
        resource: Some("https://sap.example/mcp".into()),
    }))
}

pub(super) fn token(number: usize, rest: &str) -> Response {
    let body = format!(r#"{{"access_token":"token-{number:04}","token_type":"bearer"{rest}}}"#);
    ([("content-type", "application/json")], body).into_response()
}

pub(super) fn error(status: StatusCode, code: &str) -> Response {
    (status, format!(r#"{{"error":"{code}","error_description":"{SECRET}"}}"#)).into_response()
}

pub(super) async fn lease(vault: &Vault) -> Result<Lease, Refusal> {
    vault.lease_for(&tenant("acme"), &netsuite()).await
}

pub(super) fn bearer(lease: &Lease) -> String {
    sent(lease)[AUTHORIZATION].to_str().unwrap().to_owned()
}

async fn hundred(vault: &Arc<Vault>) -> Vec<Result<String, Refusal>> {
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let vault = Arc::clone(vault);
        calls.spawn(async move { lease(&vault).await.map(|lease| bearer(&lease)) });
    }
    calls.join_all().await
}

#[tokio::test]
async fn a_hundred_calls_without_a_token_make_one_request() {
    let endpoint = TokenEndpoint::start(|n| token(n, r#","expires_in":3600"#)).await;
    let place = Place::new().await;
    let vault = Arc::new(place.vault(&[endpoint.account()]).unwrap());
    endpoint.close();
    let opening = async {
        endpoint.is_asked().await;
        endpoint.open();
    };
    let (calls, ()) = tokio::join!(hundred(&vault), opening);
    assert!(calls.iter().all(|call| call.as_deref() == Ok("Bearer token-0001")), "{calls:?}");
    assert_eq!(endpoint.asked(), 1);
    let _again = lease(&vault).await.unwrap();
    assert_eq!(endpoint.asked(), 1, "and it is kept");
}

#[tokio::test]
async fn the_request_is_as_the_specification_says() {
    let endpoint = TokenEndpoint::start(|n| token(n, r#","expires_in":"3600""#)).await;
    let place = Place::new().await;
    let vault = place.vault(&[endpoint.account()]).unwrap();
    let until = lease(&vault).await.unwrap().until().unwrap();
    assert!(until > Instant::now() + Duration::from_secs(3500), "a number written as text is a number");
    let (headers, body) = endpoint.last.lock().unwrap().clone();
    let form = "grant_type=client_credentials&scope=read+write&resource=https%3A%2F%2Fsap.example%2Fmcp";
    assert_eq!(body, form);
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("sb-app%21b1%7Cxsuaa:{SECRET}"));
    assert_eq!(headers["authorization"], format!("Basic {pair}").as_str());
    assert_eq!(headers["x-cf-encoded-credentials"], "true");
}

#[tokio::test]
async fn a_client_that_must_authenticate_in_the_body_does() {
    let endpoint = TokenEndpoint::start(|n| token(n, "")).await;
    let place = Place::new().await;
    let mut credential = of(&endpoint.url, inline("a b&c"));
    if let Credential::ClientCredentials(it) = &mut credential {
        (it.proof, it.scopes, it.resource) = (ClientProof::Body(inline("a b&c")), Vec::new(), None);
    }
    let vault = place.vault(&[account("acme", credential)]).unwrap();
    let until = lease(&vault).await.unwrap().until().unwrap();
    assert!(until <= Instant::now() + Duration::from_secs(60), "a life that is not said is one minute");
    let (headers, body) = endpoint.last.lock().unwrap().clone();
    assert_eq!(body, "grant_type=client_credentials&client_id=sb-app%21b1%7Cxsuaa&client_secret=a+b%26c");
    assert!(!headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_failing_endpoint_is_asked_once_per_pause_and_nobody_passes_without_a_token() {
    let endpoint = TokenEndpoint::start(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()).await;
    let place = Place::new().await;
    let vault = Arc::new(place.vault(&[endpoint.account()]).unwrap());
    for _ in 0..3 {
        for call in hundred(&vault).await {
            assert_eq!(call.unwrap_err(), Refusal::CredentialUnavailable { server: netsuite() });
        }
    }
    assert_eq!(endpoint.asked(), 1);
}

#[tokio::test]
async fn what_is_no_token_response_is_no_token() {
    let answers = [
        "garbage".to_owned(),
        "{}".into(),
        r#"{"access_token":"abc","token_type":"mac"}"#.into(),
        r#"{"access_token":"","token_type":"Bearer"}"#.into(),
        r#"{"access_token":"a\r\nX-Admin: 1","token_type":"Bearer"}"#.into(),
        format!(r#"{{"access_token":"abc","token_type":"Bearer","x":"{}"}}"#, "x".repeat(70_000)),
    ];
    for answer in answers {
        let endpoint = TokenEndpoint::start(move |_| answer.clone().into_response()).await;
        let place = Place::new().await;
        let vault = place.vault(&[endpoint.account()]).unwrap();
        let refusal = lease(&vault).await.unwrap_err();
        assert_eq!(refusal, Refusal::CredentialUnavailable { server: netsuite() });
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_secret() {
    let elsewhere = TokenEndpoint::start(|n| token(n, "")).await;
    let url = elsewhere.url.clone();
    let endpoint = TokenEndpoint::start(move |_| {
        (StatusCode::TEMPORARY_REDIRECT, [("location", url.clone())]).into_response()
    })
    .await;
    let place = Place::new().await;
    let vault = place.vault(&[endpoint.account()]).unwrap();
    assert!(lease(&vault).await.is_err());
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test]
async fn a_refused_client_needs_to_be_authorised_again() {
    for (status, code, expected) in [
        (StatusCode::BAD_REQUEST, "invalid_client", Refusal::NeedsReauth { server: netsuite() }),
        (StatusCode::BAD_REQUEST, "unauthorized_client", Refusal::NeedsReauth { server: netsuite() }),
        (StatusCode::BAD_REQUEST, "invalid_grant", Refusal::NeedsReauth { server: netsuite() }),
        (StatusCode::UNAUTHORIZED, "whatever", Refusal::NeedsReauth { server: netsuite() }),
        (StatusCode::BAD_REQUEST, "invalid_scope", Refusal::CredentialUnavailable { server: netsuite() }),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "invalid_client",
            Refusal::CredentialUnavailable { server: netsuite() },
        ),
    ] {
        let endpoint = TokenEndpoint::start(move |_| error(status, code)).await;
        let place = Place::new().await;
        let vault = place.vault(&[endpoint.account()]).unwrap();
        assert_eq!(lease(&vault).await.unwrap_err(), expected, "{status} {code}");
    }
}

#[tokio::test]
async fn a_new_sealed_secret_is_tried_at_once() {
    let endpoint = TokenEndpoint::start(|n| match n {
        1 => error(StatusCode::UNAUTHORIZED, "invalid_client"),
        _ => token(n, ""),
    })
    .await;
    let place = Place::new().await;
    let vault = place.vault(&[account("acme", of(&endpoint.url, SecretSource::Sealed))]).unwrap();
    for (secret, works) in [("wrong-secret", false), ("right-secret", true)] {
        vault.put_secret(&tenant("acme"), &netsuite(), Secret::new(secret.into())).await.unwrap();
        assert_eq!(lease(&vault).await.is_ok(), works);
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_the_token_with_it() {
    let endpoint = TokenEndpoint::start(|n| token(n, "")).await;
    let place = Place::new().await;
    let vault = Arc::new(place.vault(&[endpoint.account()]).unwrap());
    endpoint.close();
    let leader = tokio::spawn({
        let vault = Arc::clone(&vault);
        async move { lease(&vault).await.map(drop) }
    });
    endpoint.is_asked().await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    let follower = lease(&vault);
    endpoint.open();
    assert_eq!(bearer(&follower.await.unwrap()), "Bearer token-0001");
    assert_eq!(endpoint.asked(), 1);
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_told_without_its_address() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    drop(listener);
    let place = Place::new().await;
    let vault = place.vault(&[account("acme", of(&url, inline(SECRET)))]).unwrap();
    let refusal = lease(&vault).await.unwrap_err();
    assert_eq!(refusal, Refusal::CredentialUnavailable { server: netsuite() });
    assert!(!refusal.to_string().contains("127.0.0.1"));
}

#[tokio::test]
async fn the_token_that_was_sent_is_the_one_that_is_masked() {
    let endpoint = TokenEndpoint::start(|n| token(n, "")).await;
    let place = Place::new().await;
    let vault = place.vault(&[endpoint.account()]).unwrap();
    let lease = lease(&vault).await.unwrap();
    let echoed = br#"{"text":"Authorization: Bearer token-0001"}"#;
    assert!(lease.reveals(echoed));
    assert_eq!(&*lease.mask(echoed), br#"{"text":"Authorization: Bearer [credential]"}"#);
}

/// What is logged on this thread, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_says_why_there_is_no_token_and_holds_no_secret() {
    // With a single subscriber, a log line first reached on a thread without one is switched off for all threads.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    for code in ["invalid_scope", SECRET] {
        let endpoint = TokenEndpoint::start(move |_| error(StatusCode::BAD_REQUEST, code)).await;
        let place = Place::new().await;
        let url = format!("{}?key={SECRET}", endpoint.url);
        let vault = place.vault(&[account("acme", of(&url, inline(SECRET)))]).unwrap();
        assert!(lease(&vault).await.is_err());
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("WARN") && log.contains("acme") && log.contains("invalid_scope"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
}
