//! The suite on every engine and topology.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::config::{HostPort, Redis as Config, Topology, UpstreamTls};
use portcullis::secret::Secret;
use portcullis::store::file::FileStore;
use portcullis::store::redis::RedisStore;
use portcullis::store::{Store, Table};
use portcullis_integration::certificate::Authority;
use portcullis_integration::redis::{Pem, Redis};
use portcullis_integration::wait::until;

use crate::suite;

/// The configuration of a store on these servers.
pub fn config(topology: Topology) -> Config {
    Config {
        url: "redis://test".to_owned(),
        topology,
        tls: None,
        user: None,
        password: None,
        database: 0,
        prefix: "test".to_owned(),
        replicas: 0,
        limits_within: None,
    }
}

/// Where a server is.
pub fn at(server: &Redis) -> HostPort {
    HostPort { host: "127.0.0.1".to_owned(), port: server.port() }
}

/// A store on one server.
pub async fn on(server: &Redis) -> Arc<dyn Store> {
    open(config(Topology::Alone(at(server)))).await
}

/// A store of this configuration.
pub async fn open(config: Config) -> Arc<dyn Store> {
    Arc::new(RedisStore::open(Arc::new(config)).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_every_promise() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path().join("store.redb")).unwrap();
    suite::holds(&(Arc::new(store) as Arc<dyn Store>)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_alone_keeps_every_promise() {
    let server = Redis::start();
    suite::holds(&on(&server).await).await;
}

/// Every key begins with the prefix, so that a user who may touch nothing else is enough.
const USER: [&str; 6] = ["ACL", "SETUSER", "gate", "on", ">s3cret", "~{test}:*"];
const MAY: [&str; 19] = [
    "+get",
    "+set",
    "+getrange",
    "+del",
    "+zadd",
    "+zrem",
    "+zrange",
    "+zrangebylex",
    "+zrangebyscore",
    "+eval",
    "+evalsha",
    "+script|load",
    "+time",
    "+hello",
    "+auth",
    "+ping",
    "+select",
    "+wait",
    "+client|tracking",
];

#[tokio::test(flavor = "multi_thread")]
async fn one_with_tls_and_a_user_who_may_touch_nothing_else_keeps_every_promise() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let authority = Authority::new("state");
    let pair = authority.server("redis.test");
    let (ca, certificate, key) = (
        write("ca.pem", &authority.pem()),
        write("cert.pem", &pair.certificate),
        write("key.pem", &pair.key),
    );
    let server = Redis::with_tls(&Pem { authorities: &ca, certificate: &certificate, key: &key });
    server.cli(&[USER.as_slice(), &MAY].concat());
    server.cli(&["ACL", "SETUSER", "default", "resetkeys"]);
    let with = |authorities: &Path, password: &str| Config {
        tls: Some(UpstreamTls {
            authorities: Some(authorities.to_owned()),
            client: Some((certificate.clone(), key.clone())),
        }),
        user: Some("gate".to_owned()),
        password: Some(Secret::new(password.to_owned())),
        ..config(Topology::Alone(at(&server)))
    };
    suite::holds(&open(with(&ca, "s3cret")).await).await;
    let wrong = RedisStore::open(Arc::new(with(&ca, "hunter2"))).await.unwrap_err().to_string();
    assert!(wrong.contains("WRONGPASS") || wrong.to_lowercase().contains("auth"), "{wrong}");
    assert!(!wrong.contains("hunter2"), "{wrong}");
    let stranger = write("other.pem", &Authority::new("stranger").pem());
    let wrong = RedisStore::open(Arc::new(with(&stranger, "s3cret"))).await.unwrap_err().to_string();
    assert!(wrong.contains("certificate"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_every_promise_whichever_node_is_named() {
    let nodes = Redis::cluster(3);
    for node in &nodes {
        let store = open(config(Topology::Cluster(vec![at(node)]))).await;
        suite::holds(&store).await;
        for table in Table::ALL {
            for (key, _) in store.scan(table, b"").await.unwrap() {
                store.remove(table, &key).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_to_another_node_is_followed() {
    let nodes = Redis::cluster(2);
    let store = open(config(Topology::Cluster(nodes.iter().map(at).collect()))).await;
    store.put(Table::Urls, b"k", b"before", None).await.unwrap();
    let slot = nodes[0].cli(&["CLUSTER", "KEYSLOT", "{test}"]).trim().to_owned();
    let ids: Vec<_> = nodes.iter().map(|node| node.cli(&["CLUSTER", "MYID"]).trim().to_owned()).collect();
    let (from, to) = if slot.parse::<u16>().unwrap() < 8192 { (0, 1) } else { (1, 0) };
    nodes[from].cli(&["FLUSHALL"]);
    for node in [&nodes[to], &nodes[from]] {
        node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[to]]);
    }
    until("the new owner", async || store.put(Table::Urls, b"k", b"after", None).await.ok()).await;
    assert_eq!(store.get(Table::Urls, b"k").await.unwrap().unwrap().value, b"after");
    assert!(nodes[to].cli(&["KEYS", "*"]).contains("{test}:e:urls:k"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_are_asked_and_a_fail_over_loses_nothing_that_replicas_have() {
    let mut primary = Redis::start();
    let replica = primary.replica();
    let sentinels: Vec<_> = (0..3).map(|_| primary.sentinel("main", 2)).collect();
    for sentinel in &sentinels {
        sentinel.until(&["SENTINEL", "MASTER", "main"], "num-other-sentinels\n2");
        sentinel.until(&["SENTINEL", "REPLICAS", "main"], &replica.port().to_string());
    }
    let topology = Topology::Sentinels { at: sentinels.iter().map(at).collect(), primary: "main".to_owned() };
    let store = open(Config { replicas: 1, ..config(topology) }).await;
    suite::holds(&store).await;
    let version = store.put(Table::Grants, b"token", b"rotated", None).await.unwrap();
    assert_eq!(store.get(Table::Grants, b"token").await.unwrap().unwrap().value, b"rotated");
    primary.kill();
    let begun = Instant::now();
    let found = until("the new primary", async || store.get(Table::Grants, b"token").await.ok()).await;
    println!("failed over after {:?}", begun.elapsed());
    let found = found.expect("it was acknowledged");
    assert_eq!((found.value.as_slice(), found.version), (b"rotated".as_slice(), version));
    until("the reason why it is not acknowledged", async || {
        let alone = store.put(Table::Grants, b"token", b"next", None).await.unwrap_err().to_string();
        alone.contains("0 of 1 replicas").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_handle_changes_another_reads_at_once_though_it_had_kept_it() {
    let server = Redis::start();
    let (writer, reader) = (on(&server).await, on(&server).await);
    let version = writer.put(Table::Urls, b"k", b"0", None).await.unwrap();
    let reading = Arc::clone(&reader);
    let watch = tokio::spawn(async move {
        let (mut last, mut reads) = (version, 0_u64);
        loop {
            let Some(found) = reading.get(Table::Urls, b"k").await.unwrap() else { return reads };
            assert!(found.version >= last, "an old value came back");
            (last, reads) = (found.version, reads + 1);
            if reads.is_multiple_of(64) {
                tokio::task::yield_now().await;
            }
        }
    });
    let mut slowest = Duration::ZERO;
    for round in 1..300_u32 {
        let version = writer.put(Table::Urls, b"k", &round.to_be_bytes(), None).await.unwrap();
        let begun = Instant::now();
        until("the new version", async || {
            let found = reader.get(Table::Urls, b"k").await.unwrap().unwrap();
            (found.version >= version).then_some(())
        })
        .await;
        slowest = slowest.max(begun.elapsed());
    }
    assert!(writer.remove(Table::Urls, b"k").await.unwrap());
    let reads = watch.await.unwrap();
    println!("slowest of 300 changes: {slowest:?}; {reads} reads beside them");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let asked: u64 = stat(&server, "total_commands_processed");
    assert!(reads > 2 * asked, "most reads were answered here: {reads} reads, {asked} commands");
}

fn stat(server: &Redis, name: &str) -> u64 {
    let info = server.cli(&["INFO", "stats"]);
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_of_a_newer_version_is_refused_by_name() {
    let server = Redis::start();
    drop(on(&server).await);
    server.cli(&["SET", "{test}:schema", "99"]);
    let error = RedisStore::open(Arc::new(config(Topology::Alone(at(&server))))).await.unwrap_err();
    assert!(error.to_string().contains("its schema is 99"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_with_prefixes_of_their_own_see_nothing_of_one_another() {
    let server = Redis::start();
    let one = on(&server).await;
    let other = open(Config { prefix: "tes".to_owned(), ..config(Topology::Alone(at(&server))) }).await;
    one.put(Table::Urls, b"k", b"v", None).await.unwrap();
    assert_eq!(other.get(Table::Urls, b"k").await.unwrap(), None);
    assert!(other.scan(Table::Urls, b"").await.unwrap().is_empty());
}
