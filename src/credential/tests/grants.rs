//! Grants that a person gave, at a token endpoint that does what a test says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use super::client_credentials::{SECRET, TokenEndpoint, bearer, error, lease, token};
use super::*;
use crate::config::{Authority, AuthorizationCode, ClientProof, UpstreamTls};
use crate::credential::oauth::grant::{Client, Grant, State};
use crate::store::lock::Lock;
use crate::store::{StoreError, Stored};

fn at(endpoint: &TokenEndpoint) -> Arc<Account> {
    let code = AuthorizationCode {
        authority: Authority::Endpoints {
            authorization: "https://idp.example/authorize".into(),
            token: endpoint.url.clone(),
            issuer: None,
        },
        client_id: Some("gate".into()),
        proof: ClientProof::Basic(inline(SECRET)),
        tls: UpstreamTls::default(),
        scopes: vec!["read".into(), "write".into()],
        resource: None,
    };
    account("acme", Credential::AuthorizationCode(Box::new(code)))
}

/// A grant whose token ends so many seconds from now.
fn grant(endpoint: &TokenEndpoint, ends_in: i64) -> Grant {
    let now = Timestamp::now();
    Grant {
        state: State::Active,
        access_token: Secret::new("granted-token".into()),
        refresh_token: Some(Secret::new("refresh-token-0".into())),
        obtained_at: now - SignedDuration::from_hours(1),
        expires_at: Some(now + SignedDuration::from_secs(ends_in)),
        connected_at: now,
        scopes: vec!["read".into(), "write".into()],
        resource: None,
        issuer: None,
        token_url: endpoint.url.clone(),
        client: Client { id: "gate".into(), registered: false, secret: None, in_body: false },
        refreshes: 0,
        failures: 0,
        last_failure: None,
    }
}

async fn given(vault: &Vault, grant: &Grant) -> u64 {
    let connection = vault.connection(&tenant("acme"), &netsuite()).unwrap();
    connection.connectable().unwrap().0.save(grant, None).await.unwrap()
}

async fn standing(vault: &Vault) -> Standing {
    vault.standings(None).await.unwrap().remove(0)
}

/// A rotating endpoint: request n gives token n and refresh token n.
fn rotating(number: usize) -> axum::response::Response {
    token(number, &format!(r#","expires_in":3600,"refresh_token":"refresh-token-{number}""#))
}

async fn fifty(vault: &Arc<Vault>) -> Vec<Result<String, Refusal>> {
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let vault = Arc::clone(vault);
        calls.spawn(async move { lease(&vault).await.map(|lease| bearer(&lease)) });
    }
    calls.join_all().await
}

/// A lease as soon as the pause after a failure is over.
async fn soon(vault: &Vault) -> Lease {
    for _ in 0..500 {
        if let Ok(lease) = lease(vault).await {
            return lease;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no lease for five seconds")
}

#[tokio::test]
async fn two_gates_refresh_once_and_both_use_the_result() {
    let endpoint = TokenEndpoint::start(rotating).await;
    let place = Place::new().await;
    let gates = [
        place.on(Arc::clone(&place.store), &[at(&endpoint)]),
        place.on(Arc::clone(&place.store), &[at(&endpoint)]),
    ];
    given(&gates[0], &grant(&endpoint, -10)).await;
    let (one, other) = tokio::join!(fifty(&gates[0]), fifty(&gates[1]));
    for call in one.into_iter().chain(other) {
        assert_eq!(call.unwrap(), "Bearer token-0001");
    }
    assert_eq!(endpoint.asked(), 1);
}

#[tokio::test]
async fn a_dead_gates_lock_ends_and_another_one_refreshes() {
    let endpoint = TokenEndpoint::start(rotating).await;
    let place = Place::new().await;
    let vault = place.on(Arc::clone(&place.store), &[at(&endpoint)]);
    given(&vault, &grant(&endpoint, -10)).await;
    let name = b"grant\0acme\0netsuite";
    let held = Lock::take(&place.store, name, Duration::from_millis(400)).await.unwrap().unwrap();
    drop(held);
    assert_eq!(bearer(&lease(&vault).await.unwrap()), "Bearer token-0001");
    let again = Lock::take(&place.store, name, Duration::from_millis(1)).await.unwrap();
    assert!(again.is_some(), "whoever refreshed has given the lock back");
}

#[tokio::test]
async fn a_gate_that_was_held_up_for_too_long_changes_nothing() {
    let endpoint = TokenEndpoint::start(rotating).await;
    let place = Place::new().await;
    let vault = place.on(Arc::clone(&place.store), &[at(&endpoint)]);
    given(&vault, &grant(&endpoint, -10)).await;
    endpoint.close();
    let late = tokio::spawn({
        let vault = Arc::clone(&vault);
        async move { lease(&vault).await.map(|lease| bearer(&lease)) }
    });
    endpoint.is_asked().await;
    // Meanwhile somebody connects the account again.
    let newer = Grant {
        access_token: Secret::new("newer-token".into()),
        obtained_at: Timestamp::now(),
        ..grant(&endpoint, 3600)
    };
    let version = given(&vault, &newer).await;
    endpoint.open();
    assert_eq!(late.await.unwrap().unwrap(), "Bearer newer-token");
    let stored = place.store.get(Table::Grants, b"acme\0netsuite").await.unwrap().unwrap();
    assert_eq!(stored.version, version);
}

#[tokio::test]
async fn a_refusal_of_a_refresh_token_that_another_gate_replaced_is_no_refusal() {
    let endpoint = TokenEndpoint::start(|_| error(StatusCode::BAD_REQUEST, "invalid_grant")).await;
    let place = Place::new().await;
    let vault = place.on(Arc::clone(&place.store), &[at(&endpoint)]);
    given(&vault, &grant(&endpoint, -10)).await;
    endpoint.close();
    let late = tokio::spawn({
        let vault = Arc::clone(&vault);
        async move { lease(&vault).await.map(|lease| bearer(&lease)) }
    });
    endpoint.is_asked().await;
    let now = Timestamp::now();
    given(&vault, &Grant { obtained_at: now, ..grant(&endpoint, 3600) }).await;
    endpoint.open();
    assert_eq!(late.await.unwrap().unwrap(), "Bearer granted-token");
    assert_eq!(standing(&vault).await.state, "active");
}

#[tokio::test]
async fn a_store_that_fails_after_the_provider_has_answered_loses_nothing() {
    let endpoint = TokenEndpoint::start(rotating).await;
    let place = Place::new().await;
    let broken = Arc::new(Broken { inner: Arc::clone(&place.store), is_broken: AtomicBool::new(false) });
    let vault = place.on(Arc::clone(&broken) as Arc<dyn Store>, &[at(&endpoint)]);
    given(&vault, &grant(&endpoint, -10)).await;
    broken.is_broken.store(true, Ordering::SeqCst);
    assert_eq!(lease(&vault).await.unwrap_err(), Refusal::CredentialUnavailable { server: netsuite() });
    assert_eq!(
        endpoint.asked(),
        1,
        "the provider has answered, and its answer is in no store: nobody uses it"
    );
    broken.is_broken.store(false, Ordering::SeqCst);
    assert_eq!(bearer(&soon(&vault).await), "Bearer token-0001");
    assert_eq!(endpoint.asked(), 1, "the answer was kept");
    let other = place.on(Arc::clone(&place.store), &[at(&endpoint)]);
    assert_eq!(bearer(&lease(&other).await.unwrap()), "Bearer token-0001", "and is in the store now");
}

#[tokio::test]
async fn only_a_grant_that_is_gone_needs_a_person() {
    for (status, code, state) in [
        (StatusCode::BAD_REQUEST, "invalid_grant", "needs_reauth"),
        (StatusCode::UNAUTHORIZED, "invalid_client", "active"),
        (StatusCode::BAD_REQUEST, "unauthorized_client", "active"),
        (StatusCode::INTERNAL_SERVER_ERROR, "invalid_grant", "active"),
    ] {
        let endpoint = TokenEndpoint::start(move |_| error(status, code)).await;
        let place = Place::new().await;
        let vault = place.on(Arc::clone(&place.store), &[at(&endpoint)]);
        given(&vault, &grant(&endpoint, -10)).await;
        assert!(lease(&vault).await.is_err());
        let standing = standing(&vault).await;
        assert_eq!((standing.state, standing.failures), (state, 1), "{code}");
        assert!(standing.last_failure.unwrap().contains(code));
    }
}

#[tokio::test]
async fn a_grant_that_needs_a_person_is_refused_at_once_on_every_gate() {
    let endpoint = TokenEndpoint::start(|_| error(StatusCode::BAD_REQUEST, "invalid_grant")).await;
    let place = Place::new().await;
    let gates = [
        place.on(Arc::clone(&place.store), &[at(&endpoint)]),
        place.on(Arc::clone(&place.store), &[at(&endpoint)]),
    ];
    given(&gates[0], &grant(&endpoint, 20)).await;
    // Its token is good for some seconds more, and is used while the provider is asked.
    assert!(lease(&gates[1]).await.is_ok());
    while standing(&gates[0]).await.state == "active" {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        for gate in &gates {
            assert_eq!(lease(gate).await.unwrap_err(), Refusal::NeedsReauth { server: netsuite() });
        }
    }
    assert_eq!(endpoint.asked(), 1);
}

#[tokio::test]
async fn a_server_that_gives_no_refresh_token_has_its_token_used_until_it_ends() {
    let endpoint = TokenEndpoint::start(rotating).await;
    let place = Place::new().await;
    let vault = place.on(Arc::clone(&place.store), &[at(&endpoint)]);
    let without = |ends_in| Grant { refresh_token: None, ..grant(&endpoint, ends_in) };
    given(&vault, &Grant { expires_at: None, ..without(0) }).await;
    assert_eq!(bearer(&lease(&vault).await.unwrap()), "Bearer granted-token");
    given(&vault, &Grant { obtained_at: Timestamp::now(), ..without(-1) }).await;
    assert_eq!(lease(&vault).await.unwrap_err(), Refusal::NeedsReauth { server: netsuite() });
    assert_eq!(endpoint.asked(), 0);
}

#[tokio::test]
async fn fewer_scopes_and_no_end_and_no_new_refresh_token_are_lived_with() {
    let endpoint = TokenEndpoint::start(|n| token(n, r#","scope":"read""#)).await;
    let place = Place::new().await;
    let vault = place.on(Arc::clone(&place.store), &[at(&endpoint)]);
    given(&vault, &grant(&endpoint, -10)).await;
    assert_eq!(bearer(&lease(&vault).await.unwrap()), "Bearer token-0001");
    let standing = standing(&vault).await;
    assert_eq!(
        (standing.scopes, standing.can_refresh, standing.refreshes),
        (vec!["read".to_owned()], true, 1)
    );
    assert!(standing.expires_at.unwrap() > Timestamp::now(), "an end that is not said is assumed");
}

#[tokio::test]
async fn a_grant_copied_to_another_tenant_does_not_open() {
    let endpoint = TokenEndpoint::start(rotating).await;
    let place = Place::new().await;
    let mut globex = at(&endpoint);
    Arc::get_mut(&mut globex).unwrap().tenant = tenant("globex");
    let vault = place.on(Arc::clone(&place.store), &[at(&endpoint), globex]);
    given(&vault, &grant(&endpoint, 3600)).await;
    let stolen = place.store.get(Table::Grants, b"acme\0netsuite").await.unwrap().unwrap();
    place.store.put(Table::Grants, b"globex\0netsuite", &stolen.value, None).await.unwrap();
    let refusal = vault.lease_for(&tenant("globex"), &netsuite()).await.unwrap_err();
    assert_eq!(refusal, Refusal::CredentialUnavailable { server: netsuite() });
    assert_eq!(endpoint.asked(), 0);
}

#[tokio::test]
async fn nothing_of_a_grant_prints_a_secret_or_is_in_the_store_in_the_clear() {
    let endpoint = TokenEndpoint::start(rotating).await;
    let place = Place::new().await;
    let vault = place.on(Arc::clone(&place.store), &[at(&endpoint)]);
    given(&vault, &grant(&endpoint, -10)).await;
    let lease = lease(&vault).await.unwrap();
    let printed = format!("{:?} {lease:?} {:?}", grant(&endpoint, 0), standing(&vault).await);
    let kept = std::fs::read(place.directory.path().join("store.redb")).unwrap();
    for secret in ["granted-token", "refresh-token", "token-0001", SECRET] {
        assert!(!printed.contains(secret), "{printed}");
        assert!(memchr::memmem::find(&kept, secret.as_bytes()).is_none(), "{secret}");
    }
}

/// A store that takes no grant for a while.
#[derive(Debug)]
struct Broken {
    inner: Arc<dyn Store>,
    is_broken: AtomicBool,
}

#[async_trait]
impl Store for Broken {
    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        self.inner.get(table, key).await
    }

    async fn put(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
        expected: Option<u64>,
    ) -> Result<u64, StoreError> {
        if table == Table::Grants && self.is_broken.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("read-only file system".into()));
        }
        self.inner.put(table, key, value, expected).await
    }

    async fn put_for(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
        expected: Option<u64>,
        life: Duration,
    ) -> Result<u64, StoreError> {
        self.inner.put_for(table, key, value, expected, life).await
    }

    async fn put_all(&self, table: Table, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), StoreError> {
        self.inner.put_all(table, entries).await
    }

    async fn remove(&self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        self.inner.remove(table, key).await
    }

    async fn remove_version(&self, table: Table, key: &[u8], expected: u64) -> Result<bool, StoreError> {
        self.inner.remove_version(table, key, expected).await
    }

    async fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Stored)>, StoreError> {
        self.inner.scan(table, prefix).await
    }

    async fn vanishing(&self, table: Table) -> Result<HashMap<Vec<u8>, Duration>, StoreError> {
        self.inner.vanishing(table).await
    }

    async fn page(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Stored)>, StoreError> {
        self.inner.page(table, prefix, after, limit).await
    }
}
