use std::path::PathBuf;

use super::*;
use crate::config::{SealingKey, state_for_test};
use crate::store::file::FileStore;

mod google;
mod rekey;
mod transit;

const ACME: Owner<'static> = Owner { tenant: "acme", server: "netsuite", kind: "bearer" };

/// A store, and wrapping keys in files beside it.
struct Place {
    directory: tempfile::TempDir,
    store: Arc<dyn Store>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(FileStore::open(directory.path().join("store.redb")).unwrap());
        Self { directory, store }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn open(&self, key: SealingKey) -> Result<Sealer, SealError> {
        Sealer::open(&state_for_test(self.directory.path(), key), Arc::clone(&self.store)).await
    }

    async fn sealer(&self, name: &str) -> Sealer {
        self.open(SealingKey::File(self.file(name))).await.unwrap()
    }

    async fn rotated(&self, current: &str, retired: &[&str]) -> Sealer {
        let mut state = state_for_test(self.directory.path(), SealingKey::File(self.file(current)));
        state.retired_sealing_keys = retired.iter().map(|name| SealingKey::File(self.file(name))).collect();
        Sealer::open(&state, Arc::clone(&self.store)).await.unwrap()
    }
}

fn shell(script: &str) -> SealingKey {
    SealingKey::Command(vec!["sh".into(), "-c".into(), script.into()])
}

#[tokio::test]
async fn what_is_sealed_opens_again_with_the_key_from_the_file() {
    let place = Place::new();
    let sealed = place.sealer("seal.key").await.seal(ACME, b"hunter2 hunter2").await.unwrap();
    assert!(memchr::memmem::find(sealed.as_bytes(), b"hunter2").is_none());
    let opened = place.sealer("seal.key").await.open_sealed(ACME, &sealed).await.unwrap();
    assert_eq!(opened.expose(), b"hunter2 hunter2");
}

#[tokio::test]
async fn a_sealed_value_opens_for_no_other_tenant_server_or_kind() {
    let place = Place::new();
    let sealer = place.sealer("seal.key").await;
    let sealed = sealer.seal(ACME, b"hunter2").await.unwrap();
    sealer.seal(Owner { tenant: "globex", ..ACME }, b"theirs").await.unwrap();
    for other in [
        Owner { tenant: "globex", ..ACME },
        Owner { tenant: "initech", ..ACME },
        Owner { server: "sap", ..ACME },
        Owner { kind: "basic", ..ACME },
        Owner { tenant: "acmen", server: "etsuite", ..ACME },
    ] {
        assert!(matches!(sealer.open_sealed(other, &sealed).await, Err(SealError::Damaged)), "{other:?}");
    }
}

#[tokio::test]
async fn a_data_key_in_another_tenants_place_opens_nothing() {
    let place = Place::new();
    let sealer = place.sealer("seal.key").await;
    let sealed = sealer.seal(ACME, b"hunter2").await.unwrap();
    let stolen = place.store.get(Table::DataKeys, &entry("acme")).await.unwrap().unwrap();
    place.store.put(Table::DataKeys, &entry("globex"), &stolen.value, None).await.unwrap();
    let globex = Owner { tenant: "globex", ..ACME };
    assert!(matches!(sealer.open_sealed(globex, &sealed).await, Err(SealError::Damaged)));
    assert!(matches!(sealer.seal(globex, b"theirs").await, Err(SealError::Damaged)));
}

#[tokio::test]
async fn every_changed_or_missing_byte_is_noticed() {
    let place = Place::new();
    let sealer = place.sealer("seal.key").await;
    let sealed = sealer.seal(ACME, b"hunter2").await.unwrap();
    for at in 0..sealed.as_bytes().len() {
        let mut changed = sealed.as_bytes().to_vec();
        changed[at] ^= 1;
        assert!(sealer.open_sealed(ACME, &SealedSecret::from_bytes(changed)).await.is_err(), "byte {at}");
        let cut = SealedSecret::from_bytes(sealed.as_bytes()[..at].to_vec());
        assert!(sealer.open_sealed(ACME, &cut).await.is_err(), "cut at {at}");
    }
}

#[tokio::test]
async fn the_same_value_is_sealed_differently_each_time() {
    let place = Place::new();
    let sealer = place.sealer("seal.key").await;
    assert_ne!(sealer.seal(ACME, b"hunter2").await.unwrap(), sealer.seal(ACME, b"hunter2").await.unwrap());
}

#[tokio::test]
async fn gates_that_seal_for_a_tenant_at_once_have_one_data_key() {
    let place = Place::new();
    let gates = [place.sealer("seal.key").await, place.sealer("seal.key").await];
    let [one, other] = &gates;
    let (first, second) = tokio::join!(one.seal(ACME, b"first"), other.seal(ACME, b"second"));
    assert_eq!(other.open_sealed(ACME, &first.unwrap()).await.unwrap().expose(), b"first");
    assert_eq!(one.open_sealed(ACME, &second.unwrap()).await.unwrap().expose(), b"second");
    assert_eq!(place.store.scan(Table::DataKeys, b"").await.unwrap().len(), 1);
}

#[tokio::test]
async fn another_key_is_told_apart_from_damage() {
    let place = Place::new();
    let sealed = place.sealer("one.key").await.seal(ACME, b"hunter2").await.unwrap();
    let error = place.sealer("two.key").await.open_sealed(ACME, &sealed).await.unwrap_err();
    assert!(matches!(error, SealError::OtherKey { .. }));
    assert!(error.to_string().contains("another sealing key"), "{error}");
}

#[tokio::test]
async fn what_the_first_version_sealed_under_the_key_itself_opens() {
    let place = Place::new();
    let sealer = place.sealer("seal.key").await;
    let cipher = Cipher::new(&source::from_file(&place.file("seal.key")).unwrap()).unwrap();
    let old = SealedSecret(cipher.seal(Layout::Direct, ACME, b"hunter2").unwrap());
    assert_eq!(sealer.open_sealed(ACME, &old).await.unwrap().expose(), b"hunter2");
    let other = Owner { tenant: "globex", ..ACME };
    assert!(matches!(sealer.open_sealed(other, &old).await, Err(SealError::Damaged)));
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_that_is_made_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    place.sealer("seal.key").await;
    let mode = std::fs::metadata(place.file("seal.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(place.directory.path()).unwrap().count(), 2, "no draft is left behind");
}

#[tokio::test]
async fn a_file_that_holds_no_key_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let path = place.file("seal.key");
    for text in ["", "c2hvcnQ=", "not a key, at all, whatever one may think"] {
        std::fs::write(&path, text).unwrap();
        let error = place.open(SealingKey::File(path.clone())).await.unwrap_err();
        assert!(error.to_string().contains("32 bytes in base64 or hex"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[tokio::test]
async fn hex_and_base64_are_the_same_key() {
    let place = Place::new();
    std::fs::write(place.file("hex"), "00".repeat(32)).unwrap();
    std::fs::write(place.file("base64"), format!("{}=\n", "A".repeat(43))).unwrap();
    let sealed = place.sealer("hex").await.seal(ACME, b"hunter2").await.unwrap();
    assert!(place.sealer("base64").await.open_sealed(ACME, &sealed).await.is_ok());
}

#[tokio::test]
async fn a_key_comes_from_a_command() {
    let place = Place::new();
    let sealer = place.open(shell(&format!("echo {}", "ab".repeat(32)))).await.unwrap();
    let sealed = sealer.seal(ACME, b"hunter2").await.unwrap();
    assert_eq!(sealer.open_sealed(ACME, &sealed).await.unwrap().expose(), b"hunter2");
}

#[tokio::test]
async fn a_kms_that_is_sealed_at_start_leaves_the_gate_locked_and_not_open() {
    let sealer = Place::new().open(shell("exit 2")).await.unwrap();
    assert!(!sealer.is_unlocked());
    assert!(matches!(sealer.seal(ACME, b"hunter2").await, Err(SealError::Unavailable(_))));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_mistake_in_the_configuration() {
    let place = Place::new();
    let error = place.open(SealingKey::Command(vec!["/no/such/kms".into()])).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/kms"), "{error}");
    assert!(place.open(shell("echo no key")).await.is_err());
}

#[tokio::test]
async fn a_sealer_prints_nothing_of_its_key() {
    let sealer = Place::new().open(shell(&format!("echo {}", "ab".repeat(32)))).await.unwrap();
    let sealed = sealer.seal(ACME, b"hunter2").await.unwrap();
    assert_eq!(format!("{sealer:?} {sealed:?}"), "Sealer(unlocked) SealedSecret(44 bytes)");
}
