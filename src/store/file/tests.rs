use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

struct Place {
    _directory: TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    Place { _directory: directory, path }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let place = place();
    let store = FileStore::open(&place.path).unwrap();
    assert_eq!(store.put(Table::Urls, b"acme/1", b"one", None).await.unwrap(), 1);
    assert_eq!(store.put(Table::Urls, b"acme/1", b"two", None).await.unwrap(), 2);
    drop(store);
    let store = FileStore::open(&place.path).unwrap();
    let found = store.get(Table::Urls, b"acme/1").await.unwrap().unwrap();
    assert_eq!((found.value.as_slice(), found.version), (b"two".as_slice(), 2));
    assert_eq!(
        store.get(Table::Credentials, b"acme/1").await.unwrap(),
        None,
        "tables are spaces of their own"
    );
    assert!(store.remove(Table::Urls, b"acme/1").await.unwrap());
    assert!(!store.remove(Table::Urls, b"acme/1").await.unwrap());
}

#[tokio::test]
async fn a_writer_that_saw_an_old_version_changes_nothing() {
    let place = place();
    let store = FileStore::open(&place.path).unwrap();
    assert_eq!(store.put(Table::Keys, b"k", b"first", Some(0)).await.unwrap(), 1);
    assert!(matches!(store.put(Table::Keys, b"k", b"late", Some(0)).await, Err(StoreError::Changed)));
    assert!(matches!(store.put(Table::Keys, b"k", b"late", Some(7)).await, Err(StoreError::Changed)));
    assert_eq!(store.get(Table::Keys, b"k").await.unwrap().unwrap().value, b"first");
    assert_eq!(store.put(Table::Keys, b"k", b"second", Some(1)).await.unwrap(), 2);
}

#[tokio::test]
async fn of_many_writers_of_one_version_exactly_one_succeeds() {
    let place = place();
    let store = Arc::new(FileStore::open(&place.path).unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..20_u8 {
        let store = Arc::clone(&store);
        writers.spawn(async move { store.put(Table::Keys, b"k", &[writer], Some(0)).await.is_ok() });
    }
    let winners = writers.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_scan_gives_the_entries_of_one_tenant_in_order_and_no_other() {
    let place = place();
    let store = FileStore::open(&place.path).unwrap();
    for key in ["acme\0b", "acme\0a", "acmetwo\0c", "aaa\0z"] {
        store.put(Table::Credentials, key.as_bytes(), b"x", None).await.unwrap();
    }
    let found = store.scan(Table::Credentials, b"acme\0").await.unwrap();
    let keys: Vec<_> = found.iter().map(|(key, _)| key.as_slice()).collect();
    assert_eq!(keys, [b"acme\0a".as_slice(), b"acme\0b"]);
}

#[test]
fn a_store_that_is_open_is_not_opened_twice() {
    let place = place();
    let _first = FileStore::open(&place.path).unwrap();
    let error = FileStore::open(&place.path).unwrap_err();
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
}

#[cfg(unix)]
#[test]
fn the_file_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = place();
    let store = FileStore::open(&place.path).unwrap();
    assert_eq!(std::fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let names = std::fs::read_dir(place.path.parent().unwrap()).unwrap().count();
    assert_eq!(names, 1, "no draft is left behind");
}

fn refused_and_unchanged(path: &Path) -> StoreError {
    let before = std::fs::read(path).unwrap();
    let error = FileStore::open(path).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    assert_eq!(std::fs::read(path).unwrap().len(), before.len(), "nothing is made anew");
    error
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let place = place();
    std::fs::write(&place.path, b"notes of a meeting, certainly not a store").unwrap();
    refused_and_unchanged(&place.path);
    std::fs::write(&place.path, b"").unwrap();
    refused_and_unchanged(&place.path);
}

#[tokio::test]
async fn a_damaged_page_is_refused_and_never_made_anew() {
    let place = place();
    let store = FileStore::open(&place.path).unwrap();
    for key in 0..200_u32 {
        store.put(Table::Credentials, &key.to_be_bytes(), &[7; 300], None).await.unwrap();
    }
    drop(store);
    let length = std::fs::metadata(&place.path).unwrap().len();
    let mut file = OpenOptions::new().write(true).open(&place.path).unwrap();
    for page in 1..(length / 4096) {
        file.seek(SeekFrom::Start(page * 4096 + 100)).unwrap();
        file.write_all(&[0xA5; 64]).unwrap();
    }
    drop(file);
    refused_and_unchanged(&place.path);
}

#[tokio::test]
async fn one_changed_byte_in_one_entry_is_noticed_when_the_store_is_opened() {
    let place = place();
    let store = FileStore::open(&place.path).unwrap();
    store.put(Table::Credentials, b"acme\0netsuite", &[7; 300], None).await.unwrap();
    drop(store);
    let mut bytes = std::fs::read(&place.path).unwrap();
    let places: Vec<_> = memchr::memmem::find_iter(&bytes, &[7; 300]).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at + 150] ^= 1;
    }
    std::fs::write(&place.path, bytes).unwrap();
    refused_and_unchanged(&place.path);
}

#[test]
fn a_truncated_file_is_refused() {
    let place = place();
    drop(FileStore::open(&place.path).unwrap());
    OpenOptions::new().write(true).open(&place.path).unwrap().set_len(5000).unwrap();
    refused_and_unchanged(&place.path);
}

#[test]
fn a_store_of_a_newer_version_is_refused_by_name() {
    let place = place();
    drop(FileStore::open(&place.path).unwrap());
    let database = Database::open(&place.path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(META).unwrap().insert(SCHEMA_KEY, 2).unwrap();
    write.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let error = FileStore::open(&place.path).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("its schema is 2"), "{error}");
    }
}

#[test]
fn a_missing_directory_is_named() {
    let error = FileStore::open("/nonexistent/portcullis/store.redb").unwrap_err();
    assert!(error.to_string().contains("/nonexistent/portcullis/store.redb"), "{error}");
}
