//! Neither Vault nor OpenBao can be had from a package registry; what stands in for them here keeps to their documented answers.

use std::collections::HashMap;
use std::sync::Mutex;

use axum::Json;
use axum::extract::{Path as At, State as Of};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::config::TransitKey;

const TOKEN: &str = "hvs.example-token";

/// What was wrapped, by the text that was given for it: the key name, the associated data, the plaintext.
type Wrapped = Arc<Mutex<HashMap<String, (String, Value, Value)>>>;

async fn asked(
    Of(wrapped): Of<Wrapped>,
    At((what, key)): At<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    if headers.get("x-vault-token").is_none_or(|token| token != TOKEN) {
        return (StatusCode::FORBIDDEN, Json(json!({"errors": ["permission denied"]})));
    }
    let mut wrapped = wrapped.lock().unwrap();
    if what == "encrypt" {
        let text = format!("vault:v1:{}", STANDARD.encode(format!("{key}{}", wrapped.len())));
        wrapped.insert(text.clone(), (key, body["associated_data"].clone(), body["plaintext"].clone()));
        return (StatusCode::OK, Json(json!({"data": {"ciphertext": text, "key_version": 1}})));
    }
    let found = wrapped.get(body["ciphertext"].as_str().unwrap_or_default());
    match found.filter(|(name, data, _)| *name == key && *data == body["associated_data"]) {
        Some((_, _, plain)) => (StatusCode::OK, Json(json!({"data": {"plaintext": plain}}))),
        None => (StatusCode::BAD_REQUEST, Json(json!({"errors": ["cipher: message authentication failed"]}))),
    }
}

async fn service(place: &Place) -> SealingKey {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/transit", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/v1/transit/{what}/{key}", axum::routing::post(asked));
    tokio::spawn(axum::serve(listener, router.with_state(Wrapped::default())).into_future());
    std::fs::write(place.file("token"), format!("{TOKEN}\n")).unwrap();
    SealingKey::Transit(TransitKey {
        url,
        key: "portcullis".into(),
        token: place.file("token"),
        authorities: None,
    })
}

#[tokio::test]
async fn a_wrapping_key_stays_in_its_service() {
    let place = Place::new();
    let key = service(&place).await;
    let sealed = place.open(key.clone()).await.unwrap().seal(ACME, b"hunter2").await.unwrap();
    let again = place.open(key).await.unwrap();
    assert_eq!(again.open_sealed(ACME, &sealed).await.unwrap().expose(), b"hunter2");
    let stolen = place.store.get(Table::DataKeys, &entry("acme")).await.unwrap().unwrap();
    place.store.put(Table::DataKeys, &entry("globex"), &stolen.value, None).await.unwrap();
    let globex = Owner { tenant: "globex", ..ACME };
    assert!(matches!(again.open_sealed(globex, &sealed).await, Err(SealError::Damaged)));
}

#[tokio::test]
async fn from_a_key_in_a_file_to_one_in_a_service_nothing_is_lost() {
    let place = Place::new();
    let sealed = place.sealer("seal.key").await.seal(ACME, b"hunter2").await.unwrap();
    let mut state = state_for_test(place.directory.path(), service(&place).await);
    state.retired_sealing_keys = vec![SealingKey::File(place.file("seal.key"))];
    let sealer = Sealer::open(&state, Arc::clone(&place.store)).await.unwrap();
    assert_eq!(sealer.rekey().await.unwrap().rewrapped, 1);
    state.retired_sealing_keys.clear();
    let alone = Sealer::open(&state, Arc::clone(&place.store)).await.unwrap();
    assert_eq!(alone.open_sealed(ACME, &sealed).await.unwrap().expose(), b"hunter2");
}

#[tokio::test]
async fn a_service_that_refuses_or_is_not_there_leaves_the_gate_locked() {
    let place = Place::new();
    let key = service(&place).await;
    std::fs::write(place.file("token"), "hvs.expired").unwrap();
    let sealer = place.open(key.clone()).await.unwrap();
    assert!(!sealer.is_unlocked());
    let error = sealer.seal(ACME, b"hunter2").await.unwrap_err();
    assert!(error.to_string().contains("403"), "{error}");
    assert!(!error.to_string().contains("hvs."), "{error}");
    let SealingKey::Transit(service) = key else { panic!("it is one") };
    let gone = SealingKey::Transit(TransitKey { url: "http://127.0.0.1:1/v1/transit".into(), ..service });
    assert!(!place.open(gone).await.unwrap().is_unlocked());
}
