use std::path::PathBuf;

use super::*;

const ACME: Owner<'static> = Owner { tenant: "acme", server: "netsuite", kind: "bearer" };

async fn sealer(directory: &tempfile::TempDir, name: &str) -> Sealer {
    Sealer::open(&SealingKey::File(directory.path().join(name))).await.unwrap()
}

#[tokio::test]
async fn what_is_sealed_opens_again_with_the_key_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let sealed = sealer(&directory, "seal.key").await.seal(ACME, b"hunter2 hunter2").await.unwrap();
    assert!(memchr::memmem::find(sealed.as_bytes(), b"hunter2").is_none());
    let opened = sealer(&directory, "seal.key").await.open_sealed(ACME, &sealed).await.unwrap();
    assert_eq!(opened.expose(), b"hunter2 hunter2");
}

#[tokio::test]
async fn a_sealed_value_opens_for_no_other_tenant_server_or_kind() {
    let directory = tempfile::tempdir().unwrap();
    let sealer = sealer(&directory, "seal.key").await;
    let sealed = sealer.seal(ACME, b"hunter2").await.unwrap();
    for other in [
        Owner { tenant: "globex", ..ACME },
        Owner { server: "sap", ..ACME },
        Owner { kind: "basic", ..ACME },
        Owner { tenant: "acmen", server: "etsuite", ..ACME },
    ] {
        assert!(matches!(sealer.open_sealed(other, &sealed).await, Err(SealError::Damaged)), "{other:?}");
    }
}

#[tokio::test]
async fn every_changed_or_missing_byte_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let sealer = sealer(&directory, "seal.key").await;
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
    let directory = tempfile::tempdir().unwrap();
    let sealer = sealer(&directory, "seal.key").await;
    assert_ne!(sealer.seal(ACME, b"hunter2").await.unwrap(), sealer.seal(ACME, b"hunter2").await.unwrap());
}

#[tokio::test]
async fn another_key_is_told_apart_from_damage() {
    let directory = tempfile::tempdir().unwrap();
    let sealed = sealer(&directory, "one.key").await.seal(ACME, b"hunter2").await.unwrap();
    let error = sealer(&directory, "two.key").await.open_sealed(ACME, &sealed).await.unwrap_err();
    assert!(matches!(error, SealError::OtherKey { .. }));
    assert!(error.to_string().contains("another sealing key"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_that_is_made_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    sealer(&directory, "seal.key").await;
    let mode = std::fs::metadata(directory.path().join("seal.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left behind");
}

#[tokio::test]
async fn a_file_that_holds_no_key_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("seal.key");
    for text in ["", "c2hvcnQ=", "not a key, at all, whatever one may think"] {
        std::fs::write(&path, text).unwrap();
        let error = Sealer::open(&SealingKey::File(path.clone())).await.unwrap_err();
        assert!(error.to_string().contains("32 bytes in base64 or hex"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[tokio::test]
async fn hex_and_base64_are_the_same_key() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("hex"), "00".repeat(32)).unwrap();
    std::fs::write(directory.path().join("base64"), format!("{}=\n", "A".repeat(43))).unwrap();
    let sealed = sealer(&directory, "hex").await.seal(ACME, b"hunter2").await.unwrap();
    assert!(sealer(&directory, "base64").await.open_sealed(ACME, &sealed).await.is_ok());
}

fn shell(script: &str) -> SealingKey {
    SealingKey::Command(vec!["sh".into(), "-c".into(), script.into()])
}

#[tokio::test]
async fn a_key_comes_from_a_command() {
    let sealer = Sealer::open(&shell(&format!("echo {}", "ab".repeat(32)))).await.unwrap();
    let sealed = sealer.seal(ACME, b"hunter2").await.unwrap();
    assert_eq!(sealer.open_sealed(ACME, &sealed).await.unwrap().expose(), b"hunter2");
}

#[tokio::test]
async fn a_kms_that_is_sealed_at_start_leaves_the_gate_locked_and_not_open() {
    let sealer = Sealer::open(&shell("exit 2")).await.unwrap();
    assert!(!sealer.is_unlocked());
    assert!(matches!(sealer.seal(ACME, b"hunter2").await, Err(SealError::Unavailable(_))));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_mistake_in_the_configuration() {
    let error = Sealer::open(&SealingKey::Command(vec!["/no/such/kms".into()])).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/kms"), "{error}");
    assert!(Sealer::open(&shell("echo no key")).await.is_err());
}

#[tokio::test]
async fn a_sealer_prints_nothing_of_its_key() {
    let sealer = Sealer::open(&shell(&format!("echo {}", "ab".repeat(32)))).await.unwrap();
    let sealed = sealer.seal(ACME, b"hunter2").await.unwrap();
    assert_eq!(format!("{sealer:?} {sealed:?}"), "Sealer(unlocked) SealedSecret(44 bytes)");
}
