//! What every engine promises. Each test takes keys of its own, so that they run on one store side by side.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::store::lock::Lock;
use portcullis::store::{Store, StoreError, Table};
use portcullis_integration::wait::until;

type Any = Arc<dyn Store>;

/// All of them.
pub async fn holds(store: &Any) {
    tokio::join!(
        a_writer_that_saw_an_old_version_changes_nothing(store),
        of_many_writers_of_one_version_exactly_one_succeeds(store),
        an_entry_with_a_life_vanishes_on_time_and_from_lists(store),
        a_version_is_never_used_again(store),
        a_table_is_paged_through_in_order(store),
        tables_are_spaces_of_their_own_and_any_byte_is_kept(store),
        of_those_who_want_a_lock_one_gets_it(store),
        entries_that_are_written_together_are_all_there(store),
    );
}

async fn value(store: &Any, table: Table, key: &[u8]) -> Option<Vec<u8>> {
    store.get(table, key).await.unwrap().map(|stored| stored.value)
}

async fn a_writer_that_saw_an_old_version_changes_nothing(store: &Any) {
    let first = store.put(Table::Accounts, b"cas", b"first", Some(0)).await.unwrap();
    for stale in [0, 7, first - 1] {
        let late = store.put(Table::Accounts, b"cas", b"late", Some(stale)).await;
        assert!(matches!(late, Err(StoreError::Changed)), "{late:?}");
        let late = store.put_for(Table::Accounts, b"cas", b"late", Some(stale), Duration::from_secs(9)).await;
        assert!(matches!(late, Err(StoreError::Changed)), "{late:?}");
    }
    assert_eq!(value(store, Table::Accounts, b"cas").await.unwrap(), b"first");
    let second = store.put(Table::Accounts, b"cas", b"second", Some(first)).await.unwrap();
    let found = store.get(Table::Accounts, b"cas").await.unwrap().unwrap();
    assert_eq!((found.value.as_slice(), found.version), (b"second".as_slice(), second));
    let late = store.remove_version(Table::Accounts, b"cas", first).await;
    assert!(matches!(late, Err(StoreError::Changed)), "{late:?}");
    assert!(store.remove_version(Table::Accounts, b"cas", second).await.unwrap());
    assert!(!store.remove_version(Table::Accounts, b"cas", second).await.unwrap());
    assert_eq!(
        value(store, Table::Accounts, b"cas").await,
        None,
        "what this process removed it does not read"
    );
}

async fn of_many_writers_of_one_version_exactly_one_succeeds(store: &Any) {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..30_u8 {
        let store = Arc::clone(store);
        writers.spawn(async move { store.put(Table::Keys, b"race", &[writer], Some(0)).await.is_ok() });
    }
    assert_eq!(writers.join_all().await.into_iter().filter(|won| *won).count(), 1);
}

async fn an_entry_with_a_life_vanishes_on_time_and_from_lists(store: &Any) {
    let life = Duration::from_millis(700);
    let begun = Instant::now();
    let first = store.put_for(Table::Grants, b"life/a", b"1", Some(0), life).await.unwrap();
    store.put(Table::Grants, b"life/b", b"2", None).await.unwrap();
    store.put_for(Table::Grants, b"life/c", b"3", None, life).await.unwrap();
    store.put(Table::Grants, b"life/c", b"3", None).await.unwrap();
    let left = store.vanishing(Table::Grants).await.unwrap();
    let fits = left.get(b"life/a".as_slice()).map_or(begun.elapsed() >= life, |left| *left <= life);
    assert!(fits, "{left:?} after {:?}", begun.elapsed());
    assert!(!left.contains_key(b"life/c".as_slice()), "written again without a life, it stays");
    let there = value(store, Table::Grants, b"life/a").await;
    assert!(there.is_some() || begun.elapsed() >= life);
    until("its end", async || value(store, Table::Grants, b"life/a").await.is_none().then_some(())).await;
    let took = begun.elapsed();
    assert!(took + Duration::from_millis(20) >= life, "it was gone too early: {took:?}");
    let listed = store.scan(Table::Grants, b"life/").await.unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
    let late = store.put(Table::Grants, b"life/a", b"late", Some(first)).await;
    assert!(matches!(late, Err(StoreError::Changed)), "{late:?}");
    store.put(Table::Grants, b"life/a", b"new", Some(0)).await.unwrap();
    assert_eq!(value(store, Table::Grants, b"life/a").await.unwrap(), b"new");
}

async fn a_version_is_never_used_again(store: &Any) {
    let mut last = 0;
    for round in 0..20 {
        let version = match round % 2 {
            0 => store.put(Table::Tenants, b"version", b"", Some(0)).await.unwrap(),
            _ => {
                store.put_for(Table::Tenants, b"version", b"", Some(0), Duration::from_secs(9)).await.unwrap()
            }
        };
        assert!(version > last, "{version} after {last}");
        last = version;
        assert!(store.remove(Table::Tenants, b"version").await.unwrap());
    }
}

async fn a_table_is_paged_through_in_order(store: &Any) {
    let mut all: Vec<Vec<u8>> =
        (0..1200_u16).map(|n| [b"page\0".as_slice(), &n.to_be_bytes()].concat()).collect();
    all.extend([b"page\0\xff\xff\xff".to_vec(), b"page\0:{}\r\n*$".to_vec()]);
    let entries = all.iter().map(|key| (key.clone(), key.clone())).collect();
    store.put_all(Table::Webhooks, entries).await.unwrap();
    for beside in [b"page".as_slice(), b"page\x01", b"pagf", b"\xff"] {
        store.put(Table::Webhooks, beside, b"another's", None).await.unwrap();
    }
    all.sort();
    let scanned: Vec<_> = store.scan(Table::Webhooks, b"page\0").await.unwrap();
    assert!(scanned.iter().all(|(key, stored)| *key == stored.value));
    assert_eq!(scanned.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), all);
    let mut seen: Vec<Vec<u8>> = Vec::new();
    loop {
        let page = store.page(Table::Webhooks, b"page\0", seen.last().map(Vec::as_slice), 501).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|(key, _)| key));
    }
    assert_eq!(seen, all);
    assert_eq!(store.page(Table::Webhooks, b"page\0", Some(b"aaa"), 2).await.unwrap().len(), 2);
    assert_eq!(store.page(Table::Webhooks, b"", None, 0).await.unwrap(), []);
}

async fn tables_are_spaces_of_their_own_and_any_byte_is_kept(store: &Any) {
    let odd: Vec<u8> = (0..=255).collect();
    let large = vec![b':'; 1 << 20];
    for (key, stored) in [(odd.as_slice(), large.as_slice()), (b"", b""), (b"plain", &odd)] {
        store.put(Table::Idempotency, key, stored, None).await.unwrap();
        assert_eq!(value(store, Table::Idempotency, key).await.unwrap(), stored);
        assert_eq!(value(store, Table::Spending, key).await, None);
        assert!(store.remove(Table::Idempotency, key).await.unwrap());
    }
}

async fn of_those_who_want_a_lock_one_gets_it(store: &Any) {
    let long = Duration::from_secs(60);
    let mut takers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = Arc::clone(store);
        takers.spawn(async move { Lock::take(&store, b"lock", long).await.unwrap() });
    }
    let mut held: Vec<_> = takers.join_all().await.into_iter().flatten().collect();
    let mut lock = held.pop().expect("one holder");
    assert!(held.is_empty(), "and one only");
    assert!(lock.extend(Duration::from_millis(1)).await.unwrap());
    let taken = until("the end of a lock whose holder is dead", async || {
        Lock::take(store, b"lock", long).await.unwrap()
    });
    let taken = taken.await;
    assert!(!lock.release().await.unwrap(), "the late one releases nothing");
    assert!(Lock::take(store, b"lock", long).await.unwrap().is_none());
    assert!(taken.release().await.unwrap());
    assert!(Lock::take(store, b"lock", long).await.unwrap().is_some());
}

async fn entries_that_are_written_together_are_all_there(store: &Any) {
    store.put(Table::Policies, b"both/1", b"old", None).await.unwrap();
    let entries = vec![(b"both/1".to_vec(), b"new".to_vec()), (b"both/2".to_vec(), b"new".to_vec())];
    store.put_all(Table::Policies, entries).await.unwrap();
    store.put_all(Table::Policies, Vec::new()).await.unwrap();
    let listed = store.scan(Table::Policies, b"both/").await.unwrap();
    assert!(listed.len() == 2 && listed.iter().all(|(_, stored)| stored.value == b"new"), "{listed:?}");
}
