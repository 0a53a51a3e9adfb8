//! What is fetched, from what stands in for Vault (none can be had from a package registry) and keeps to its documented answers, and
//! from files and commands.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use axum::Json;
use axum::extract::{Path as At, State as Of};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::config::{Template, VaultKv as Configured, VaultLogin};

const SECOND: Duration = Duration::from_secs(1);

/// A server of Vault with one AppRole, one role of Kubernetes and one secret.
#[derive(Default)]
struct Server {
    secret: Mutex<Option<Value>>,
    /// How it answers where not as it should; 0: as it should.
    fails: AtomicU16,
    logins: AtomicUsize,
    reads: AtomicUsize,
    slow: AtomicUsize,
}

impl Server {
    async fn start() -> (Arc<Self>, String) {
        let server = Arc::new(Self::default());
        server.put(json!({"token": "tok-of-acme", "other": "x"}));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .route("/v1/auth/{method}/login", axum::routing::post(login))
            .route("/v1/kv/data/{*path}", axum::routing::get(read));
        let router = router.with_state(Arc::clone(&server));
        tokio::spawn(axum::serve(listener, router).into_future());
        (server, url)
    }

    fn put(&self, secret: Value) {
        *self.secret.lock().unwrap() = Some(secret);
    }

    fn token(&self) -> String {
        format!("hvs.{}", self.logins.load(Ordering::SeqCst))
    }
}

async fn login(
    Of(server): Of<Arc<Server>>,
    At(method): At<String>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let good = match method.as_str() {
        "approle" => json!({"role_id": "gate", "secret_id": "the secret id"}),
        _ => json!({"role": "gate", "jwt": "the pod's token"}),
    };
    if body != good {
        return (StatusCode::BAD_REQUEST, Json(json!({"errors": ["invalid role or secret ID"]})));
    }
    server.logins.fetch_add(1, Ordering::SeqCst);
    (StatusCode::OK, Json(json!({"auth": {"client_token": server.token(), "lease_duration": 3600}})))
}

async fn read(
    Of(server): Of<Arc<Server>>,
    At(path): At<String>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    server.reads.fetch_add(1, Ordering::SeqCst);
    let slow = server.slow.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(slow as u64)).await;
    let fails = StatusCode::from_u16(server.fails.load(Ordering::SeqCst));
    if let Ok(status) = fails {
        return (status, Json(json!({"errors": []})));
    }
    if headers.get("x-vault-token").is_none_or(|token| token != server.token().as_str()) {
        return (StatusCode::FORBIDDEN, Json(json!({"errors": ["permission denied"]})));
    }
    let secret = server.secret.lock().unwrap().clone().filter(|_| path == "mcp/acme/crm");
    match secret {
        Some(secret) => (StatusCode::OK, Json(json!({"data": {"data": secret, "metadata": {"version": 1}}}))),
        None => (StatusCode::NOT_FOUND, Json(json!({"errors": []}))),
    }
}

/// A directory with what the gate proves itself by.
fn proofs() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("secret_id", "the secret id\n"), ("jwt", "the pod's token"), ("token", "hvs.0")] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn app_role(proofs: &tempfile::TempDir) -> VaultLogin {
    let secret_id = proofs.path().join("secret_id");
    VaultLogin::AppRole { mount: "approle".into(), role_id: "gate".into(), secret_id }
}

fn vault(url: &str, login: VaultLogin, keep: Duration, stale: Duration) -> SecretService {
    let path = Template::parse("mcp/{tenant}/{server}").unwrap();
    let (url, mount) = (url.to_owned(), "kv".to_owned());
    let kv = Configured { url, namespace: None, mount, path, login, authorities: None };
    SecretService { place: SecretPlace::Vault(kv), keep, stale }
}

fn kept(service: SecretService, place: &str) -> Arc<Kept> {
    let services = [("corporate".to_owned(), Arc::new(service))];
    let sources = Sources::new(services.iter().map(|(name, service)| (name, service)));
    let place = Some(place.to_owned()).filter(|place| !place.is_empty());
    let it = Fetched { from: "corporate".into(), place, path: None, field: None };
    let account = crate::credential::tests::account("acme", crate::config::Credential::None);
    sources.new_kept(&account, &it).unwrap()
}

async fn token(kept: &Arc<Kept>) -> Result<String, String> {
    kept.get().await?.select(Some("token")).map(|secret| secret.expose().to_owned())
}

#[tokio::test]
async fn a_secret_of_vault_is_fetched_with_each_kind_of_login() {
    let (server, url) = Server::start().await;
    let proofs = proofs();
    let jwt = proofs.path().join("jwt");
    let kubernetes = VaultLogin::Kubernetes { mount: "kubernetes".into(), role: "gate".into(), token: jwt };
    for login in [app_role(&proofs), kubernetes] {
        let kept = kept(vault(&url, login, 30 * SECOND, SECOND), "mcp/acme/crm");
        assert_eq!(token(&kept).await.unwrap(), "tok-of-acme");
    }
    let file = proofs.path().join("token");
    std::fs::write(&file, server.token()).unwrap();
    let kept = kept(vault(&url, VaultLogin::Token(file), 30 * SECOND, SECOND), "mcp/acme/crm");
    assert_eq!(token(&kept).await.unwrap(), "tok-of-acme");
    assert_eq!(server.logins.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_hundred_calls_at_once_fetch_once_and_a_token_that_was_revoked_is_replaced() {
    let (server, url) = Server::start().await;
    let proofs = proofs();
    server.slow.store(50, Ordering::SeqCst);
    let kept = kept(vault(&url, app_role(&proofs), 30 * SECOND, SECOND), "mcp/acme/crm");
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move { token(&kept).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "tok-of-acme");
    }
    assert_eq!(server.reads.load(Ordering::SeqCst), 1);
    server.logins.fetch_add(1, Ordering::SeqCst); // the gate's token is none any more
    kept.rejected();
    assert_eq!(token(&kept).await.unwrap(), "tok-of-acme");
    assert_eq!(server.logins.load(Ordering::SeqCst), 3, "it logged in again");
}

#[tokio::test]
async fn while_the_service_is_down_slow_or_refuses_the_one_before_serves_for_the_stated_time() {
    let (server, url) = Server::start().await;
    let proofs = proofs();
    for (status, slow) in [(503, 0), (403, 0), (429, 0), (0, 3000)] {
        server.fails.store(0, Ordering::SeqCst);
        server.slow.store(0, Ordering::SeqCst);
        let service = vault(&url, app_role(&proofs), Duration::from_millis(1), 3600 * SECOND);
        let kept = kept(service, "mcp/acme/crm");
        token(&kept).await.unwrap();
        server.fails.store(status, Ordering::SeqCst);
        server.slow.store(slow, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let begun = Instant::now();
        assert_eq!(token(&kept).await.unwrap(), "tok-of-acme", "{status}");
        assert!(begun.elapsed() < 2 * SECOND, "a slow service holds nobody up for long");
    }
}

#[tokio::test]
async fn past_the_stated_time_a_secret_that_cannot_be_fetched_serves_no_more() {
    let (server, url) = Server::start().await;
    let proofs = proofs();
    let brief = Duration::from_millis(20);
    let kept = kept(vault(&url, app_role(&proofs), brief, brief), "mcp/acme/crm");
    token(&kept).await.unwrap();
    server.fails.store(503, Ordering::SeqCst);
    tokio::time::sleep(3 * brief).await;
    let error = token(&kept).await.unwrap_err();
    assert!(error.contains("503"), "{error}");
    assert!(kept.state().current.is_none() || token(&kept).await.is_err());
    let reads = server.reads.load(Ordering::SeqCst);
    token(&kept).await.unwrap_err();
    assert_eq!(server.reads.load(Ordering::SeqCst), reads, "a service that failed is given a pause");
}

#[tokio::test]
async fn a_secret_that_is_gone_serves_no_more_however_fresh_it_was() {
    let (server, url) = Server::start().await;
    let proofs = proofs();
    let service = vault(&url, app_role(&proofs), 3600 * SECOND, 3600 * SECOND);
    let kept = kept(service, "mcp/acme/crm");
    token(&kept).await.unwrap();
    *server.secret.lock().unwrap() = None;
    kept.rejected();
    let error = token(&kept).await.unwrap_err();
    assert!(error.contains("there is none"), "{error}");
    assert!(token(&kept).await.is_err());
}

#[tokio::test]
async fn a_secret_that_changed_is_a_new_version_and_one_that_did_not_is_none() {
    let (server, url) = Server::start().await;
    let proofs = proofs();
    let kept = kept(vault(&url, app_role(&proofs), 3600 * SECOND, SECOND), "mcp/acme/crm");
    let first = kept.get().await.unwrap().version;
    kept.rejected();
    assert_eq!(kept.get().await.unwrap().version, first);
    server.put(json!({"token": "another"}));
    kept.state().rejected_at = None;
    kept.rejected();
    assert_eq!(kept.get().await.unwrap().version, first + 1);
    assert_eq!(token(&kept).await.unwrap(), "another");
    let missing = kept.get().await.unwrap().select(Some("password")).unwrap_err();
    assert!(missing.contains("`password`") && !missing.contains("another"), "{missing}");
}

#[tokio::test]
async fn a_mounted_file_and_a_command_give_secrets_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "tok-in-a-file\n").unwrap();
    let template = Template::parse("/run/{tenant}").unwrap();
    let service =
        |place: SecretPlace| SecretService { place, keep: Duration::from_millis(1), stale: Duration::ZERO };
    let mounted = kept(service(SecretPlace::File(template)), &file.display().to_string());
    assert_eq!(mounted.get().await.unwrap().select(None).unwrap().expose(), "tok-in-a-file");
    std::fs::remove_file(&file).unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert!(mounted.get().await.err().unwrap().contains("secret`"));
    let script = r#"printf '{"token": "of %s at %s"}' "$PORTCULLIS_TENANT" "$PORTCULLIS_SERVER""#;
    let told = ["sh", "-c", script].map(str::to_owned).to_vec();
    assert_eq!(token(&kept(service(SecretPlace::Command(told)), "")).await.unwrap(), "of acme at netsuite");
    let fails = kept(service(SecretPlace::Command(vec!["false".to_owned()])), "");
    assert!(token(&fails).await.unwrap_err().contains("`false` failed"));
}
