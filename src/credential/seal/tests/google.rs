//! Google Cloud KMS cannot be had from a package registry; what stands in for it here keeps to its documented answers.

use std::collections::HashMap;
use std::sync::Mutex;

use axum::Json;
use axum::extract::{Path as At, State as Of};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::config::{GoogleIdentity, GoogleKey};

const KEY: &str = "projects/p/locations/europe/keyRings/r/cryptoKeys/k";

/// What was wrapped: the associated data and the plaintext.
type Wrapped = Arc<Mutex<HashMap<String, (Value, Value)>>>;

async fn asked(
    Of(wrapped): Of<Wrapped>,
    At(what): At<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let unauthenticated = json!({"error": {"code": 401, "status": "UNAUTHENTICATED"}});
    if headers.get("authorization").is_none_or(|token| token != "Bearer ya29.example") {
        return (StatusCode::UNAUTHORIZED, Json(unauthenticated));
    }
    let mut wrapped = wrapped.lock().unwrap();
    let data = body["additionalAuthenticatedData"].clone();
    if what == format!("{KEY}:encrypt") {
        let text = STANDARD.encode(format!("wrapped {}", wrapped.len()));
        wrapped.insert(text.clone(), (data, body["plaintext"].clone()));
        return (StatusCode::OK, Json(json!({"name": KEY, "ciphertext": text})));
    }
    let found = wrapped.get(body["ciphertext"].as_str().unwrap_or_default());
    match found.filter(|(known, _)| what == format!("{KEY}:decrypt") && *known == data) {
        Some((_, plain)) => (StatusCode::OK, Json(json!({"plaintext": plain}))),
        None => {
            (StatusCode::BAD_REQUEST, Json(json!({"error": {"code": 400, "status": "INVALID_ARGUMENT"}})))
        }
    }
}

async fn own_token(headers: HeaderMap) -> (StatusCode, Json<Value>) {
    match headers.get("metadata-flavor").is_some_and(|flavor| flavor == "Google") {
        true => (StatusCode::OK, Json(json!({"access_token": "ya29.example", "expires_in": 3599}))),
        false => (StatusCode::FORBIDDEN, Json(json!({}))),
    }
}

/// An assertion of the account's key is what is exchanged for a token (RFC 7523 section 2.1).
async fn exchange(body: String) -> (StatusCode, Json<Value>) {
    let form: HashMap<String, String> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let claims = form["assertion"].split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(claims["iss"], "gate@p.iam.gserviceaccount.example");
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloudkms");
    (StatusCode::OK, Json(json!({"access_token": "ya29.example", "expires_in": 3599})))
}

async fn service() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new()
        .route("/v1/{*what}", post(asked))
        .route("/computeMetadata/v1/instance/service-accounts/default/token", get(own_token))
        .route("/token", post(exchange));
    tokio::spawn(axum::serve(listener, router.with_state(Wrapped::default())).into_future());
    url
}

#[tokio::test]
async fn a_wrapping_key_stays_in_google_cloud() {
    let (place, url) = (Place::new(), service().await);
    let account = place.file("account.json");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem();
    let text = json!({"type": "service_account", "client_email": "gate@p.iam.gserviceaccount.example",
        "private_key": key, "private_key_id": "1", "token_uri": format!("{url}/token")});
    std::fs::write(&account, text.to_string()).unwrap();
    let of = |identity| SealingKey::GcpKms(GoogleKey { key: KEY.into(), url: url.clone(), identity });
    let metadata = of(GoogleIdentity::Metadata(url.clone()));
    let sealed = place.open(metadata).await.unwrap().seal(ACME, b"hunter2").await.unwrap();
    let again = place.open(of(GoogleIdentity::ServiceAccount(account))).await.unwrap();
    assert_eq!(again.open_sealed(ACME, &sealed).await.unwrap().expose(), b"hunter2");
    let stolen = place.store.get(Table::DataKeys, &entry("acme")).await.unwrap().unwrap();
    place.store.put(Table::DataKeys, &entry("globex"), &stolen.value, None).await.unwrap();
    let globex = Owner { tenant: "globex", ..ACME };
    assert!(matches!(again.open_sealed(globex, &sealed).await, Err(SealError::Damaged)));
}

#[tokio::test]
async fn a_key_service_that_gives_no_token_leaves_the_gate_locked() {
    let (place, url) = (Place::new(), service().await);
    let identity = GoogleIdentity::Metadata("http://127.0.0.1:1".into());
    let key = SealingKey::GcpKms(GoogleKey { key: KEY.into(), url, identity });
    assert!(!place.open(key).await.unwrap().is_unlocked());
}
