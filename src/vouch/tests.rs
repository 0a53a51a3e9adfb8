use std::path::Path;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;
use crate::config::{SealingKey, Signature, server_for_test, state_for_test};
use crate::decide::permit_for_test;
use crate::decode::{Action, Era, ListKind, Message, Meta, ToolCall, request_id_for_test};
use crate::identify::{Caller, caller_for_test};
use crate::name::ToolName;
use crate::store::Table;
use crate::store::file::FileStore;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ISSUER: &str = "https://gate.acme.example";

struct Place {
    _directory: tempfile::TempDir,
    store: Arc<dyn Store>,
    sealer: Arc<Sealer>,
}

async fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FileStore::open(directory.path().join("store.redb")).unwrap());
    let state = state_for_test(directory.path(), SealingKey::File(directory.path().join("seal.key")));
    let sealer = Sealer::open(&state, Arc::clone(&store)).await.unwrap();
    Place { store, sealer: Arc::new(sealer), _directory: directory }
}

fn config(algorithm: Signature) -> Vouch {
    Vouch {
        issuer: ISSUER.into(),
        header: HeaderName::from_static("txn-token"),
        algorithm,
        lifetime: Duration::from_secs(30),
        rotate: DAY,
    }
}

impl Place {
    async fn voucher(&self, config: &Vouch, now: SystemTime) -> Result<Voucher, VouchError> {
        Voucher::open(config, Arc::clone(&self.store), Arc::clone(&self.sealer), now).await
    }
}

fn server(vouch_roles: bool) -> Arc<Server> {
    let url = "https://user:SENTINEL-1@erp.example:8443/mcp?key=SENTINEL-2";
    Arc::new(Server { vouch_roles, ..server_for_test("netsuite", url) })
}

fn message(method: &'static str, action: Action) -> Message {
    let id = Some(request_id_for_test("7"));
    Message {
        era: Era::Modern,
        version: None,
        id,
        method,
        action,
        meta: Meta::default(),
        state: None,
        bytes: Bytes::new(),
    }
}

fn call(arguments: &str) -> Message {
    let arguments = Some(RawValue::from_string(arguments.into()).unwrap());
    let name = ToolName::parse("list_all_netsuite_invoices").unwrap();
    message("tools/call", Action::CallTool(ToolCall { name, arguments, task: false }))
}

fn alice() -> Caller {
    caller_for_test("acme", "alice@acme.example", &["reader"])
}

fn context(now: SystemTime) -> Context<'static> {
    Context { client_address: "10.0.0.7".parse().unwrap(), now, url: None }
}

fn text(voucher: &Voucher, permit: &Permit, now: SystemTime) -> String {
    let mut headers = HeaderMap::new();
    headers.append("txn-token", HeaderValue::from_static("the-callers-own"));
    voucher.vouch(permit, &context(now)).unwrap().apply(&mut headers).unwrap();
    assert_eq!(headers.get_all("txn-token").iter().count(), 1, "exactly one token");
    assert!(headers["txn-token"].is_sensitive());
    headers["txn-token"].to_str().unwrap().to_owned()
}

/// As a server would: with a JWT library and nothing but the published keys.
fn verified(token: &str, jwks: &Value) -> jsonwebtoken::errors::Result<Value> {
    let header = jsonwebtoken::decode_header(token)?;
    assert_eq!(header.typ.as_deref(), Some("txntoken+jwt"));
    let keys: JwkSet = serde_json::from_value(jwks.clone()).unwrap();
    let jwk = keys.find(&header.kid.unwrap()).ok_or(jsonwebtoken::errors::ErrorKind::InvalidSignature)?;
    let algorithm: Algorithm = jwk.common.key_algorithm.unwrap().to_string().parse()?;
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&["https://erp.example:8443/mcp"]);
    validation.set_issuer(&[ISSUER]);
    let claims = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(jwk)?, &validation)?;
    Ok(claims.claims)
}

#[tokio::test]
async fn a_server_can_verify_the_token_with_the_published_keys_alone() {
    for algorithm in [Signature::EdDsa, Signature::Es256] {
        let (place, now) = (place().await, SystemTime::now());
        let voucher = place.voucher(&config(algorithm), now).await.unwrap();
        let arguments = r#"{ "status":"open", "b" : 1.0 }"#;
        let permit = permit_for_test(alice(), server(false), call(arguments));
        let claims = verified(&text(&voucher, &permit, now), &voucher.jwks()).unwrap();
        let iat = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let invocation = permit.invocation().to_string();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, arguments.as_bytes());
        assert_eq!(
            claims,
            json!({
                "iss": ISSUER, "aud": "https://erp.example:8443/mcp", "iat": iat, "exp": iat + 30,
                "jti": invocation, "txn": invocation, "sub": "alice@acme.example", "tenant": "acme",
                "scope": "tools/call", "req_wl": ISSUER,
                "tctx": {
                    "method": "tools/call", "server": "netsuite", "tool": "list_all_netsuite_invoices",
                    "args_sha256": URL_SAFE_NO_PAD.encode(digest),
                },
                "rctx": {"req_ip": "10.0.0.7", "req_id": 7},
            })
        );
    }
}

#[tokio::test]
async fn a_token_that_was_changed_anywhere_is_refused() {
    for algorithm in [Signature::EdDsa, Signature::Es256] {
        let (place, now) = (place().await, SystemTime::now());
        let voucher = place.voucher(&config(algorithm), now).await.unwrap();
        let token = text(&voucher, &permit_for_test(alice(), server(false), call("{}")), now);
        let (head, rest) = token.split_once('.').unwrap();
        let (claims, signature) = rest.split_once('.').unwrap();
        let other = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let other = URL_SAFE_NO_PAD.encode(other.replace("acme.example", "evil.example"));
        assert!(verified(&format!("{head}.{other}.{signature}"), &voucher.jwks()).is_err());
        assert!(verified(&format!("{head}.{claims}.{}", "A".repeat(86)), &voucher.jwks()).is_err());
        assert!(verified(&token, &voucher.jwks()).is_ok());
    }
}

#[tokio::test]
async fn no_token_lives_longer_than_a_minute() {
    let (place, now) = (place().await, SystemTime::now());
    for (configured, lives) in [(600, 60), (30, 30), (0, 1)] {
        let config = Vouch { lifetime: Duration::from_secs(configured), ..config(Signature::EdDsa) };
        let voucher = place.voucher(&config, now).await.unwrap();
        let token = text(&voucher, &permit_for_test(alice(), server(false), call("{}")), now);
        let claims = verified(&token, &voucher.jwks()).unwrap();
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), lives);
    }
}

#[tokio::test]
async fn roles_are_told_only_to_servers_that_are_configured_for_them() {
    let (place, now) = (place().await, SystemTime::now());
    let voucher = place.voucher(&config(Signature::EdDsa), now).await.unwrap();
    for (configured, roles) in [(false, None), (true, Some(json!(["reader"])))] {
        let permit = permit_for_test(alice(), server(configured), call("{}"));
        let claims = verified(&text(&voucher, &permit, now), &voucher.jwks()).unwrap();
        assert_eq!(claims.get("roles"), roles.as_ref());
    }
}

#[tokio::test]
async fn the_tenant_is_the_subject_where_there_is_neither_user_nor_agent() {
    let (place, now) = (place().await, SystemTime::now());
    let voucher = place.voucher(&config(Signature::EdDsa), now).await.unwrap();
    let list = message("tools/list", Action::List(ListKind::Tools));
    let permit = permit_for_test(caller_for_test("acme", "", &[]), server(false), list);
    let claims = verified(&text(&voucher, &permit, now), &voucher.jwks()).unwrap();
    assert_eq!((&claims["sub"], &claims["scope"]), (&json!("acme"), &json!("tools/list")));
    assert_eq!(claims["tctx"], json!({"method": "tools/list", "server": "netsuite"}));
}

#[tokio::test]
async fn the_audience_is_the_url_that_the_call_goes_to() {
    let (place, now) = (place().await, SystemTime::now());
    let voucher = place.voucher(&config(Signature::EdDsa), now).await.unwrap();
    let permit = permit_for_test(alice(), server(false), call("{}"));
    let own = "https://acme.erp.example/mcp".parse().unwrap();
    let token = voucher.vouch(&permit, &Context { url: Some(&own), ..context(now) }).unwrap();
    let claims = token.value.to_str().unwrap().split('.').nth(1).unwrap().to_owned();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["aud"], "https://acme.erp.example/mcp");
    assert_eq!(audience(&server(false)), "https://erp.example:8443/mcp");
}

fn kids(voucher: &Voucher) -> Vec<String> {
    let jwks = voucher.jwks();
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_replaced_key_stays_published_until_its_tokens_are_out_and_one_period_more() {
    let (place, start) = (place().await, SystemTime::now());
    let voucher = place.voucher(&config(Signature::EdDsa), start).await.unwrap();
    let permit = permit_for_test(alice(), server(false), call("{}"));
    let old = text(&voucher, &permit, start);
    voucher.maintain(start + DAY - Duration::from_secs(1)).await.unwrap();
    let first = kids(&voucher);
    assert_eq!(first.len(), 1, "not before it is due");
    voucher.maintain(start + DAY).await.unwrap();
    assert_eq!(kids(&voucher).len(), 2);
    assert!(verified(&old, &voucher.jwks()).is_ok());
    let new = text(&voucher, &permit, start);
    assert_eq!(jsonwebtoken::decode_header(&new).unwrap().kid.as_ref(), kids(&voucher).last());
    voucher.maintain(start + DAY * 2 + Duration::from_secs(31)).await.unwrap();
    assert!(!kids(&voucher).contains(&first[0]), "it is gone");
    assert!(verified(&old, &voucher.jwks()).is_err());
    assert!(verified(&new, &voucher.jwks()).is_ok());
}

#[tokio::test]
async fn where_gates_share_a_store_a_new_key_is_published_by_all_before_one_signs_with_it() {
    let (place, start) = (place().await, SystemTime::now());
    let mut gates = Vec::new();
    for _ in 0..2 {
        let mut gate = place.voucher(&config(Signature::EdDsa), start).await.unwrap();
        gate.cupboard.announced = ANNOUNCED;
        gates.push(gate);
    }
    let permit = permit_for_test(alice(), server(false), call("{}"));
    gates[0].maintain(start + DAY).await.unwrap();
    assert_eq!(kids(&gates[0]).len(), 2);
    let token = text(&gates[0], &permit, start);
    assert!(verified(&token, &gates[1].jwks()).is_ok(), "the other gate does not know the new key yet");
    gates[1].maintain(start + DAY + Duration::from_secs(30)).await.unwrap();
    gates[0].maintain(start + DAY + ANNOUNCED).await.unwrap();
    let token = text(&gates[0], &permit, start);
    assert_eq!(jsonwebtoken::decode_header(&token).unwrap().kid.as_ref(), kids(&gates[0]).last());
    assert!(verified(&token, &gates[1].jwks()).is_ok());
}

#[tokio::test]
async fn keys_outlive_a_restart_and_are_sealed() {
    let (place, now) = (place().await, SystemTime::now());
    let voucher = place.voucher(&config(Signature::Es256), now).await.unwrap();
    voucher.rotate(now).await.unwrap();
    let before = kids(&voucher);
    assert_eq!(before.len(), 2);
    drop(voucher);
    assert_eq!(kids(&place.voucher(&config(Signature::Es256), now).await.unwrap()), before);
    for (_, stored) in place.store.scan(Table::Keys, b"").await.unwrap() {
        assert!(memchr::memmem::find(&stored.value, b"private_key").is_none());
    }
}

#[tokio::test]
async fn a_change_of_the_algorithm_takes_a_new_key_and_keeps_the_old_one_published() {
    let (place, now) = (place().await, SystemTime::now());
    let permit = permit_for_test(alice(), server(false), call("{}"));
    let old = text(&place.voucher(&config(Signature::EdDsa), now).await.unwrap(), &permit, now);
    let voucher = place.voucher(&config(Signature::Es256), now).await.unwrap();
    let new = text(&voucher, &permit, now);
    assert_eq!(jsonwebtoken::decode_header(&new).unwrap().alg, Algorithm::ES256);
    assert!(verified(&old, &voucher.jwks()).is_ok());
    assert!(verified(&new, &voucher.jwks()).is_ok());
}

#[tokio::test]
async fn gates_that_find_the_key_old_at_once_agree_on_one_new_key() {
    let (place, start) = (place().await, SystemTime::now());
    let mut gates = Vec::new();
    for _ in 0..5 {
        gates.push(Arc::new(place.voucher(&config(Signature::EdDsa), start).await.unwrap()));
    }
    let mut rotations = tokio::task::JoinSet::new();
    for gate in gates.clone() {
        rotations.spawn(async move { gate.maintain(start + DAY).await.unwrap() });
    }
    rotations.join_all().await;
    assert_eq!(place.store.scan(Table::Keys, b"").await.unwrap().len(), 2);
    assert!(gates.iter().all(|gate| kids(gate) == kids(&gates[0])));
}

#[tokio::test]
async fn a_gate_whose_kms_is_sealed_vouches_for_nothing_until_it_is_open() {
    let (place, now) = (place().await, SystemTime::now());
    let locked = state_for_test(Path::new(""), SealingKey::Command(vec!["false".into()]));
    let locked = Arc::new(Sealer::open(&locked, Arc::clone(&place.store)).await.unwrap());
    let voucher =
        Voucher::open(&config(Signature::EdDsa), Arc::clone(&place.store), locked, now).await.unwrap();
    assert!(!voucher.is_ready());
    let permit = permit_for_test(alice(), server(false), call("{}"));
    let refusal = voucher.vouch(&permit, &context(now)).unwrap_err();
    assert_eq!(refusal, Refusal::CredentialUnavailable { server: permit.server().name.clone() });
    assert_eq!(voucher.jwks(), json!({"keys": []}));
}

#[tokio::test]
async fn keys_under_another_sealing_key_are_refused_at_start_and_not_replaced() {
    let (place, now) = (place().await, SystemTime::now());
    place.voucher(&config(Signature::EdDsa), now).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let other = state_for_test(directory.path(), SealingKey::File(directory.path().join("other.key")));
    let other = Sealer::open(&other, Arc::clone(&place.store)).await.unwrap();
    let opened =
        Voucher::open(&config(Signature::EdDsa), Arc::clone(&place.store), Arc::new(other), now).await;
    assert!(opened.unwrap_err().to_string().contains("another sealing key"));
    assert_eq!(place.store.scan(Table::Keys, b"").await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_token_says_nothing_secret_and_prints_nothing() {
    let (place, now) = (place().await, SystemTime::now());
    let voucher = place.voucher(&config(Signature::EdDsa), now).await.unwrap();
    let permit = permit_for_test(alice(), server(true), call(r#"{"password":"SENTINEL-3"}"#));
    let token = voucher.vouch(&permit, &context(now)).unwrap();
    assert_eq!(format!("{token:?} {:?}", token.value), "Token(…) Sensitive");
    assert_eq!(format!("{voucher:?}"), "Voucher(https://gate.acme.example, 1 keys)");
    let claims = verified(token.value.to_str().unwrap(), &voucher.jwks()).unwrap().to_string();
    assert!(!claims.contains("SENTINEL"), "{claims}");
    let jwks = voucher.jwks().to_string();
    assert!(!jwks.contains("\"d\""), "no private part is published: {jwks}");
}
