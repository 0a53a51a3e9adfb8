//! The embedded store in a process that is killed while it writes, again and again.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use portcullis::store::file::FileStore;
use portcullis::store::{Store, Table};
use portcullis_integration::process::Process;

const STORE: &str = "STATE_TEST_STORE";
const WRITES: u64 = 30;

/// Not a test: the process that the test below kills. It says what was acknowledged, and never ends by itself.
#[tokio::test]
#[ignore = "the other half of a test"]
async fn a_writer_without_an_end() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let store = FileStore::open(path).unwrap();
    let begun = store.scan(Table::Grants, b"").await.unwrap().len();
    for number in begun.. {
        let key = number.to_be_bytes();
        let version = store.put(Table::Grants, &key, &vec![7; number % 5000], Some(0)).await.unwrap();
        println!("put {number} {version}");
        store.put_for(Table::Locks, &key, b"", None, Duration::from_secs(1)).await.unwrap();
        if number % 3 == 0 {
            let version = store.put(Table::Grants, &key, b"again", Some(version)).await.unwrap();
            println!("put {number} {version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_every_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    for round in 0..10 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "killed::a_writer_without_an_end", "--ignored", "--nocapture"])
            .env(STORE, &path);
        let mut writer = Process::start("writer", command);
        let more = WRITES + round * 7;
        writer.until("some writes", |lines| (puts(lines).count() as u64 >= more).then_some(()));
        writer.signal("KILL");
        writer.wait();
        let said: Vec<String> = writer.output().lines().map(str::to_owned).collect();
        acknowledged.extend(puts(&said));
        let store = FileStore::open(&path).expect("a store that was killed opens");
        let there: BTreeMap<u64, u64> = store
            .scan(Table::Grants, b"")
            .await
            .unwrap()
            .into_iter()
            .map(|(key, stored)| (u64::from_be_bytes(key.try_into().unwrap()), stored.version))
            .collect();
        for (number, version) in &acknowledged {
            let found = there.get(number).unwrap_or_else(|| panic!("{number} is lost in round {round}"));
            assert!(found >= version, "{number} is older than what was acknowledged");
        }
    }
    println!("{} writes were acknowledged over ten kills", acknowledged.len());
}

/// What the writer says that was acknowledged. A line that the kill cut off says nothing.
fn puts(lines: &[String]) -> impl Iterator<Item = (u64, u64)> {
    lines.iter().filter_map(|line| {
        let mut words = line.split(' ');
        let put = words.next()? == "put";
        let numbers = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        put.then_some(numbers)
    })
}
