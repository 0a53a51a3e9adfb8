use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::ReadableTableMetadata as _;
use tempfile::TempDir;

use super::schema::{META, SCHEMA, SCHEMA_KEY};
use super::write::VANISHING;
use super::*;
use crate::store::lock::Lock;

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
    let first = store.put(Table::Urls, b"acme/1", b"one", None).await.unwrap();
    let second = store.put(Table::Urls, b"acme/1", b"two", None).await.unwrap();
    assert!(first < second);
    drop(store);
    let store = FileStore::open(&place.path).unwrap();
    let found = store.get(Table::Urls, b"acme/1").await.unwrap().unwrap();
    assert_eq!((found.value.as_slice(), found.version), (b"two".as_slice(), second));
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
    let first = store.put(Table::Keys, b"k", b"first", Some(0)).await.unwrap();
    assert!(matches!(store.put(Table::Keys, b"k", b"late", Some(0)).await, Err(StoreError::Changed)));
    assert!(matches!(store.put(Table::Keys, b"k", b"late", Some(7)).await, Err(StoreError::Changed)));
    assert_eq!(store.get(Table::Keys, b"k").await.unwrap().unwrap().value, b"first");
    store.put(Table::Keys, b"k", b"second", Some(first)).await.unwrap();
    let late = store.remove_version(Table::Keys, b"k", first).await;
    assert!(matches!(late, Err(StoreError::Changed)), "{late:?}");
    assert_eq!(store.get(Table::Keys, b"k").await.unwrap().unwrap().value, b"second");
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
    write.open_table(META).unwrap().insert(SCHEMA_KEY, SCHEMA + 1).unwrap();
    write.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let error = FileStore::open(&place.path).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("its schema is 3"), "{error}");
    }
}

#[test]
fn a_missing_directory_is_named() {
    let error = FileStore::open("/nonexistent/portcullis/store.redb").unwrap_err();
    assert!(error.to_string().contains("/nonexistent/portcullis/store.redb"), "{error}");
}

/// A store whose clock, in microseconds, the test sets.
fn with_clock(place: &Place, at: u64) -> (Arc<FileStore>, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(at));
    let told = Arc::clone(&time);
    let store = FileStore::with_clock(&place.path, Arc::new(move || told.load(Ordering::SeqCst)));
    (Arc::new(store.unwrap()), time)
}

const SECOND: u64 = 1_000_000;

#[tokio::test]
async fn an_entry_with_a_life_is_gone_the_moment_it_ends_and_swept_by_a_later_write() {
    let place = place();
    let (store, time) = with_clock(&place, SECOND);
    let life = Duration::from_secs(10);
    let first = store.put_for(Table::Consents, b"a", b"1", Some(0), life).await.unwrap();
    store.put(Table::Consents, b"b", b"2", None).await.unwrap();
    time.store(11 * SECOND - 1, Ordering::SeqCst);
    assert_eq!(store.get(Table::Consents, b"a").await.unwrap().unwrap().version, first);
    time.store(11 * SECOND, Ordering::SeqCst);
    assert_eq!(store.get(Table::Consents, b"a").await.unwrap(), None);
    assert_eq!(store.scan(Table::Consents, b"").await.unwrap().len(), 1);
    assert!(matches!(store.put(Table::Consents, b"a", b"late", Some(first)).await, Err(StoreError::Changed)));
    assert!(!store.remove(Table::Consents, b"a").await.unwrap(), "what has vanished cannot be removed");
    store.put(Table::Urls, b"another table", b"", None).await.unwrap();
    let read = store.database.begin_read().unwrap();
    assert_eq!(read.open_table(VANISHING).unwrap().len().unwrap(), 0);
    assert_eq!(read.open_table(definition(Table::Consents)).unwrap().len().unwrap(), 1, "it was swept");
}

#[tokio::test]
async fn an_entry_that_is_written_again_lives_as_its_last_writer_said() {
    let place = place();
    let (store, time) = with_clock(&place, SECOND);
    for key in [b"longer", b"stays\0"] {
        store.put_for(Table::Locks, key, b"", None, Duration::from_secs(1)).await.unwrap();
    }
    store.put_for(Table::Locks, b"longer", b"", None, Duration::from_secs(100)).await.unwrap();
    store.put(Table::Locks, b"stays\0", b"", None).await.unwrap();
    time.store(50 * SECOND, Ordering::SeqCst);
    store.put(Table::Urls, b"this one sweeps", b"", None).await.unwrap();
    assert_eq!(store.scan(Table::Locks, b"").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_version_is_never_used_again_even_where_the_clock_goes_back() {
    let place = place();
    let (store, time) = with_clock(&place, 1000 * SECOND);
    let first = store.put(Table::Keys, b"k", b"", Some(0)).await.unwrap();
    assert!(store.remove_version(Table::Keys, b"k", first).await.unwrap());
    time.store(SECOND, Ordering::SeqCst);
    let second = store.put_for(Table::Keys, b"k", b"", Some(0), Duration::from_secs(1)).await.unwrap();
    time.store(3 * SECOND, Ordering::SeqCst);
    drop(store);
    let (store, _) = with_clock(&place, 3 * SECOND);
    let third = store.put(Table::Keys, b"k", b"", Some(0)).await.unwrap();
    assert!(first < second && second < third, "{first} {second} {third}");
}

#[tokio::test]
async fn a_table_is_paged_through_without_a_gap_or_a_repetition() {
    let place = place();
    let (store, _) = with_clock(&place, SECOND);
    for key in ["acme\0a", "acme\0b", "acme\0c", "acmetwo\0", "aaa"] {
        store.put(Table::Accounts, key.as_bytes(), b"", None).await.unwrap();
    }
    let mut seen: Vec<Vec<u8>> = Vec::new();
    loop {
        let after = seen.last().map(Vec::as_slice);
        let page = store.page(Table::Accounts, b"acme\0", after, 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|(key, _)| key));
    }
    assert_eq!(seen, [b"acme\0a", b"acme\0b", b"acme\0c"]);
    let before = store.page(Table::Accounts, b"acme\0", Some(b"aaa"), 9).await.unwrap();
    assert_eq!(before.len(), 3, "a place before the prefix is its beginning");
}

#[tokio::test]
async fn of_those_who_want_a_lock_one_gets_it_and_a_dead_holders_ends() {
    let place = place();
    let (file, time) = with_clock(&place, SECOND);
    let store: Arc<dyn Store> = file;
    let life = Duration::from_secs(10);
    let mut first = Lock::take(&store, b"acme/erp", life).await.unwrap().unwrap();
    assert!(Lock::take(&store, b"acme/erp", life).await.unwrap().is_none());
    let _other = Lock::take(&store, b"acme/sap", life).await.unwrap().unwrap();
    time.store(9 * SECOND, Ordering::SeqCst);
    assert!(first.extend(life).await.unwrap());
    time.store(15 * SECOND, Ordering::SeqCst);
    assert!(Lock::take(&store, b"acme/erp", life).await.unwrap().is_none(), "it was extended");
    time.store(30 * SECOND, Ordering::SeqCst);
    let second = Lock::take(&store, b"acme/erp", life).await.unwrap().unwrap();
    assert!(!first.extend(life).await.unwrap(), "it is another's now");
    assert!(!first.release().await.unwrap());
    assert!(Lock::take(&store, b"acme/erp", life).await.unwrap().is_none(), "the late one released nothing");
    assert!(second.release().await.unwrap());
    assert!(Lock::take(&store, b"acme/erp", life).await.unwrap().is_some());
}

/// A file as the first schema laid it out.
fn of_the_first_schema(path: &Path, entries: &[(&str, &[u8], u64, &[u8])]) {
    let database = Database::create(path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(META).unwrap().insert(SCHEMA_KEY, 1).unwrap();
    for name in ["urls", "credentials", "keys", "policies", "spending"] {
        let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(name);
        write.open_table(table).unwrap();
    }
    for (name, key, version, value) in entries {
        let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(name);
        let bytes = [&version.to_be_bytes(), *value].concat();
        write.open_table(table).unwrap().insert(*key, bytes.as_slice()).unwrap();
    }
    write.commit().unwrap();
}

#[tokio::test]
async fn a_file_of_the_first_schema_is_brought_up_to_date_and_has_everything() {
    let place = place();
    let entries: [(&str, &[u8], u64, &[u8]); 4] = [
        ("urls", b"digest", 1, b"{}"),
        ("credentials", b"acme\0erp", 7, b"sealed"),
        ("keys", b"a", 3, b""),
        ("spending", b"acme", u64::MAX / 2, b"12"),
    ];
    of_the_first_schema(&place.path, &entries);
    for _ in 0..2 {
        let store = FileStore::open(&place.path).unwrap();
        for (name, key, version, value) in &entries {
            let found = store.get(Table::named(name).unwrap(), key).await.unwrap().unwrap();
            assert_eq!((found.version, found.value.as_slice()), (*version, *value), "{name}");
        }
        let read = store.database.begin_read().unwrap();
        let schema = read.open_table(META).unwrap().get(SCHEMA_KEY).unwrap().unwrap().value();
        assert_eq!(schema, SCHEMA);
    }
    let store = FileStore::open(&place.path).unwrap();
    let next = store.put(Table::Keys, b"a", b"new", Some(3)).await.unwrap();
    assert!(next > u64::MAX / 2, "no version of the old file is used again");
}

#[test]
fn a_file_of_the_first_schema_that_is_damaged_is_left_as_it_is() {
    let place = place();
    of_the_first_schema(&place.path, &[("urls", b"whole", 1, b"{}")]);
    let database = Database::open(&place.path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(definition(Table::Urls)).unwrap().insert(&b"short"[..], &b"1"[..]).unwrap();
    write.commit().unwrap();
    drop(database);
    FileStore::open(&place.path).unwrap_err();
    let database = Database::open(&place.path).unwrap();
    let read = database.begin_read().unwrap();
    assert_eq!(read.open_table(META).unwrap().get(SCHEMA_KEY).unwrap().unwrap().value(), 1);
}
