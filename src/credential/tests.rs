use std::path::{Path, PathBuf};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::config::{Credential, SealingKey, SecretSource, state_for_test};
use crate::store::Table;
use crate::store::file::FileStore;

mod client_credentials;
mod grants;

/// A store and a sealing key in a directory of their own.
pub(super) struct Place {
    directory: tempfile::TempDir,
    store: Arc<dyn Store>,
    sealer: Arc<Sealer>,
}

impl Place {
    pub(super) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(FileStore::open(directory.path().join("store.redb")).unwrap());
        let state = state_for_test(directory.path(), SealingKey::File(directory.path().join("seal.key")));
        let sealer = Sealer::open(&state, Arc::clone(&store)).await.unwrap();
        Self { store, sealer: Arc::new(sealer), directory }
    }

    pub(super) fn vault(&self, accounts: &[Arc<Account>]) -> Result<Vault, Vec<BadAccount>> {
        Vault::of(accounts.iter(), self.places(Arc::clone(&self.sealer)))
    }

    pub(super) fn on(&self, store: Arc<dyn Store>, accounts: &[Arc<Account>]) -> Arc<Vault> {
        let places = Places { store, ..self.places(Arc::clone(&self.sealer)) };
        Arc::new(Vault::of(accounts.iter(), places).unwrap())
    }

    pub(super) fn places(&self, sealer: Arc<Sealer>) -> Places {
        let store = Arc::clone(&self.store);
        let key = crate::secret::Key::new(vec![7; 32]);
        Places {
            consents: Consents::new("https://gate.example", &key).unwrap(),
            notices: Notices::new(Arc::clone(&store), None).unwrap(),
            sources: Sources::default(),
            servers: HashMap::new(),
            store,
            sealer,
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

pub(super) fn account(tenant: &str, credential: Credential) -> Arc<Account> {
    Arc::new(Account { tenant: self::tenant(tenant), server: netsuite(), url: None, credential, slots: None })
}

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

pub(super) fn netsuite() -> ServerName {
    ServerName::parse("netsuite").unwrap()
}

pub(super) fn inline(text: &str) -> SecretSource {
    SecretSource::Inline(Secret::new(text.into()))
}

pub(super) fn sent(lease: &Lease) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer the-callers-own"));
    apply(lease, &mut headers);
    headers
}

pub(super) fn apply(lease: &Lease, headers: &mut HeaderMap) -> Option<Arc<Secret>> {
    let (url, mut query) = ("https://up.example/mcp?a=1".parse().unwrap(), None);
    let method = http::Method::POST;
    lease.apply(Outgoing { method: &method, url: &url, headers, body: b"{}", query: &mut query }).unwrap();
    query
}

#[tokio::test]
async fn each_tenant_gets_its_own_credential_and_nobody_elses() {
    let place = Place::new().await;
    let vault = place
        .vault(&[
            account("acme", Credential::Bearer(inline("acme-token-1"))),
            account("globex", Credential::Bearer(inline("globex-token"))),
        ])
        .unwrap();
    for (name, token) in [("acme", "Bearer acme-token-1"), ("globex", "Bearer globex-token")] {
        let lease = vault.lease_for(&tenant(name), &netsuite()).await.unwrap();
        let headers = sent(&lease);
        assert_eq!(headers.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), [token]);
        assert!(headers[AUTHORIZATION].is_sensitive());
    }
}

#[tokio::test]
async fn a_tenant_without_an_account_gets_no_credential() {
    let place = Place::new().await;
    let vault = place.vault(&[account("acme", Credential::Bearer(inline("acme-token-1")))]).unwrap();
    let refusal = vault.lease_for(&tenant("globex"), &netsuite()).await.unwrap_err();
    assert_eq!(refusal, Refusal::NoAccount(netsuite()));
    let sap = ServerName::parse("sap").unwrap();
    assert_eq!(vault.lease_for(&tenant("acme"), &sap).await.unwrap_err(), Refusal::NoAccount(sap));
}

#[tokio::test]
async fn basic_and_header_credentials_go_where_they_belong() {
    let place = Place::new().await;
    let name = HeaderName::from_static("x-api-key");
    let vault = place
        .vault(&[
            account("acme", Credential::Basic { user: "api".into(), password: inline("hunter2") }),
            account("globex", Credential::Header { name: name.clone(), value: inline("key-1234") }),
            account("initech", Credential::None),
        ])
        .unwrap();
    let lease = vault.lease_for(&tenant("acme"), &netsuite()).await.unwrap();
    assert_eq!(sent(&lease)[AUTHORIZATION], "Basic YXBpOmh1bnRlcjI=");
    let lease = vault.lease_for(&tenant("globex"), &netsuite()).await.unwrap();
    assert_eq!(sent(&lease)[&name], "key-1234");
    let lease = vault.lease_for(&tenant("initech"), &netsuite()).await.unwrap();
    let mut headers = HeaderMap::new();
    apply(&lease, &mut headers);
    assert!(headers.is_empty());
}

#[tokio::test]
async fn a_secret_file_is_read_again_when_it_changes() {
    let place = Place::new().await;
    let path = place.file("token", "first-token\n");
    let vault =
        place.vault(&[account("acme", Credential::Bearer(SecretSource::File(path.clone())))]).unwrap();
    for token in ["first-token", "other-token", "third-longer-token"] {
        std::fs::write(&path, format!("{token}\n")).unwrap();
        let lease = vault.lease_for(&tenant("acme"), &netsuite()).await.unwrap();
        assert_eq!(sent(&lease)[AUTHORIZATION], format!("Bearer {token}").as_str());
    }
}

#[tokio::test]
async fn a_secret_file_that_is_replaced_is_read() {
    let place = Place::new().await;
    let path = place.file("token", "first-token");
    let vault =
        place.vault(&[account("acme", Credential::Bearer(SecretSource::File(path.clone())))]).unwrap();
    assert!(vault.lease_for(&tenant("acme"), &netsuite()).await.is_ok());
    std::fs::rename(place.file("token.new", "other-token"), &path).unwrap();
    let lease = vault.lease_for(&tenant("acme"), &netsuite()).await.unwrap();
    assert_eq!(sent(&lease)[AUTHORIZATION], "Bearer other-token");
}

#[tokio::test]
async fn a_secret_file_that_is_missing_empty_or_no_text_gives_no_credential() {
    let place = Place::new().await;
    let path = place.directory.path().join("token");
    let vault =
        place.vault(&[account("acme", Credential::Bearer(SecretSource::File(path.clone())))]).unwrap();
    let unavailable = Refusal::CredentialUnavailable { server: netsuite() };
    assert_eq!(vault.lease_for(&tenant("acme"), &netsuite()).await.unwrap_err(), unavailable);
    for text in [b"".as_slice(), b"\n", b"\xff\xfe", b"two\nlines", &[b'x'; 70_000]] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(vault.lease_for(&tenant("acme"), &netsuite()).await.unwrap_err(), unavailable);
    }
    std::fs::write(&path, "a-token\r\n").unwrap();
    assert!(vault.lease_for(&tenant("acme"), &netsuite()).await.is_ok(), "it recovers by itself");
}

#[tokio::test]
async fn a_sealed_secret_is_used_replaced_and_removed_at_once() {
    let place = Place::new().await;
    let vault = place.vault(&[account("acme", Credential::Bearer(SecretSource::Sealed))]).unwrap();
    let needs_reauth = Refusal::NeedsReauth { server: netsuite() };
    assert_eq!(vault.lease_for(&tenant("acme"), &netsuite()).await.unwrap_err(), needs_reauth);
    for token in ["sealed-token-1", "sealed-token-2"] {
        vault.put_secret(&tenant("acme"), &netsuite(), Secret::new(token.into())).await.unwrap();
        for _ in 0..2 {
            let lease = vault.lease_for(&tenant("acme"), &netsuite()).await.unwrap();
            assert_eq!(sent(&lease)[AUTHORIZATION], format!("Bearer {token}").as_str());
        }
    }
    assert!(vault.remove_secret(&tenant("acme"), &netsuite()).await.unwrap());
    assert_eq!(vault.lease_for(&tenant("acme"), &netsuite()).await.unwrap_err(), needs_reauth);
    let kept = std::fs::read(place.directory.path().join("store.redb")).unwrap();
    assert!(memchr::memmem::find(&kept, b"sealed-token").is_none(), "nothing is on the disk in the clear");
}

#[tokio::test]
async fn a_sealed_secret_copied_to_another_tenant_does_not_open() {
    let place = Place::new().await;
    let accounts = ["acme", "globex"].map(|name| account(name, Credential::Bearer(SecretSource::Sealed)));
    let vault = place.vault(&accounts).unwrap();
    vault.put_secret(&tenant("acme"), &netsuite(), Secret::new("sealed-token-1".into())).await.unwrap();
    let stolen = place.store.get(Table::Credentials, b"acme\0netsuite").await.unwrap().unwrap();
    place.store.put(Table::Credentials, b"globex\0netsuite", &stolen.value, None).await.unwrap();
    let refusal = vault.lease_for(&tenant("globex"), &netsuite()).await.unwrap_err();
    assert_eq!(refusal, Refusal::CredentialUnavailable { server: netsuite() });
}

#[tokio::test]
async fn a_vault_whose_kms_is_sealed_says_so_and_gives_nothing_away() {
    let place = Place::new().await;
    let locked = state_for_test(Path::new(""), SealingKey::Command(vec!["false".into()]));
    let locked = Arc::new(Sealer::open(&locked, Arc::clone(&place.store)).await.unwrap());
    let sealed = place.vault(&[account("acme", Credential::Bearer(SecretSource::Sealed))]).unwrap();
    sealed.put_secret(&tenant("acme"), &netsuite(), Secret::new("sealed-token-1".into())).await.unwrap();
    let accounts = [account("acme", Credential::Bearer(SecretSource::Sealed))];
    let vault = Vault::of(accounts.iter(), place.places(locked)).unwrap();
    assert!(!vault.is_unlocked());
    let refusal = vault.lease_for(&tenant("acme"), &netsuite()).await.unwrap_err();
    assert_eq!(refusal, Refusal::CredentialUnavailable { server: netsuite() });
}

#[tokio::test]
async fn a_secret_is_put_only_where_an_account_asks_for_a_sealed_one() {
    let place = Place::new().await;
    let vault = place.vault(&[account("acme", Credential::Bearer(inline("acme-token-1")))]).unwrap();
    let put =
        |name: &str| vault.put_secret(&tenant(name), &netsuite(), Secret::new("x".repeat(9))).await_now();
    assert!(matches!(put("acme"), Err(VaultError::NotSealed(..))));
    assert!(matches!(put("globex"), Err(VaultError::NoAccount(..))));
}

/// For futures that are ready at once.
trait AwaitNow: Future + Sized {
    fn await_now(self) -> Self::Output {
        let mut future = std::pin::pin!(self);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => output,
            std::task::Poll::Pending => panic!("it waits"),
        }
    }
}

impl<F: Future> AwaitNow for F {}

#[tokio::test]
async fn every_account_that_cannot_work_is_named_at_once() {
    let place = Place::new().await;
    let reserved = HeaderName::from_static("content-length");
    let problems = place
        .vault(&[
            account("acme", Credential::Basic { user: "a:b".into(), password: inline("x") }),
            account("globex", Credential::Header { name: reserved, value: inline("x") }),
            account("initech", Credential::Bearer(inline("two\nlines"))),
            account("hooli", client_credentials::of("ftp://idp.example/token", inline("x"))),
        ])
        .unwrap_err();
    let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for expected in
        ["`acme` for server `netsuite`: the user name `a:b`", "content-length", "initech", "https://"]
    {
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn an_account_that_was_made_through_the_api_has_no_token_endpoint_inside() {
    let place = Place::new().await;
    let vault = place.vault(&[]).unwrap();
    for url in ["http://127.0.0.1:9/token", "https://10.0.0.7/token", "http://idp.example/token"] {
        let inside = account("acme", client_credentials::of(url, inline("secret-of-acme")));
        let bad = vault.connect(&inside).unwrap_err();
        assert!(bad[0].what.contains("cannot be used"), "{bad:?}");
        assert!(place.vault(&[inside]).is_ok(), "the operator may name it");
    }
    let outside = account("acme", client_credentials::of("https://idp.example/token", inline("x")));
    assert!(vault.connect(&outside).is_ok());
}

#[tokio::test]
async fn pools_are_told_apart_by_tenant_server_and_kind() {
    let place = Place::new().await;
    let mut seen = std::collections::HashSet::new();
    for accounts in [
        [account("acme", Credential::Bearer(inline("same-token"))), account("globex", Credential::None)],
        [account("acme", Credential::None), account("globex", Credential::Bearer(inline("same-token")))],
    ] {
        let vault = place.vault(&accounts).unwrap();
        for name in ["acme", "globex"] {
            seen.insert(vault.lease_for(&tenant(name), &netsuite()).await.unwrap().fingerprint());
        }
    }
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn nothing_of_the_vault_prints_a_secret() {
    let place = Place::new().await;
    let name = HeaderName::from_static("x-api-key");
    let accounts = [
        account("acme", Credential::Bearer(inline("SENTINEL-1"))),
        account("globex", Credential::Basic { user: "api".into(), password: inline("SENTINEL-2") }),
        account("initech", Credential::Header { name, value: inline("SENTINEL-3") }),
        account("hooli", client_credentials::of("https://idp.example/token", inline("SENTINEL-4"))),
    ];
    let vault = place.vault(&accounts).unwrap();
    let mut printed = format!("{vault:?} {accounts:?} {:?}", place.sealer);
    for name in ["acme", "globex", "initech"] {
        let lease = vault.lease_for(&tenant(name), &netsuite()).await.unwrap();
        printed.push_str(&format!("{lease:?} {:?} {:?}", lease.material, sent(&lease)));
    }
    let bad = place.vault(&[account("acme", Credential::Bearer(inline("SENTINEL\n5")))]).unwrap_err();
    let unusable = vault.put_secret(&tenant("acme"), &netsuite(), Secret::new("SENTINEL-6".into())).await;
    printed.push_str(&format!("{bad:?} {} {unusable:?}", bad[0]));
    assert!(!printed.contains("SENTINEL"), "{printed}");
    assert!(!printed.contains("U0VOVElORUw"), "nor in base64: {printed}");
}
