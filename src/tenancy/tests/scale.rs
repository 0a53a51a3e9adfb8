//! What many tenants cost. It takes a while and prints what it measures: `cargo test --lib scale -- --ignored --nocapture`.

use std::time::Instant;

use serde_json::json;

use super::fixture::{House, erp, named};
use crate::store::Table;
use crate::store::file::FileStore;

/// Tenants `t000000` and so on, each with an account.
async fn fill(house: &House, many: usize) {
    let created_at = jiff::Timestamp::UNIX_EPOCH;
    let tenant = json!({"status": "active", "created_at": created_at}).to_string().into_bytes();
    let account =
        json!({"account": {"slots": 5, "credential": {"bearer": "sealed"}}, "created_at": created_at});
    let account = account.to_string().into_bytes();
    let name = |at: usize| format!("t{at:06}").into_bytes();
    let tenants = (0..many).map(|at| (name(at), tenant.clone())).collect();
    let key = |at: usize| [name(at), b"\0erp".to_vec()].concat();
    let accounts = (0..many).map(|at| (key(at), account.clone())).collect();
    house.office.store.put_all(Table::Tenants, tenants).await.unwrap();
    house.office.store.put_all(Table::Accounts, accounts).await.unwrap();
}

/// Nanoseconds for a look at a tenant and its account, over `names` of them.
async fn look(house: &House, names: &[String]) -> u128 {
    let begun = Instant::now();
    for name in names {
        let tenant = named(name);
        assert_eq!(
            house.office.records.tenants.standing(&tenant).await.unwrap(),
            crate::tenancy::Standing::Served
        );
        assert!(house.directory.find(&tenant, &erp()).await.unwrap().is_some());
    }
    begun.elapsed().as_nanos() / names.len() as u128
}

#[tokio::test]
#[ignore = "takes a while; it measures"]
async fn a_hundred_thousand_tenants_cost_the_start_and_a_lookup_no_more_than_a_hundred() {
    let mut warm = Vec::new();
    for many in [100, 100_000] {
        let house = House::new().await;
        fill(&house, many).await;
        let names: Vec<String> = (0..1000).map(|at| format!("t{:06}", at * 7919 % many)).collect();
        let cold = look(&house, &names).await;
        look(&house, &names).await;
        let again = look(&house, &names).await;
        warm.push(again);
        let path = house.office.config.state.directory.join("store.redb");
        let bytes = std::fs::metadata(&path).unwrap().len();
        let copy = path.with_file_name("copy.redb");
        std::fs::copy(&path, &copy).unwrap();
        let begun = Instant::now();
        drop(FileStore::open(&copy).unwrap());
        println!(
            "{many} tenants: open {:?}, {bytes} bytes; look cold {cold} ns, warm {again} ns",
            begun.elapsed()
        );
    }
    assert!(warm[1] < warm[0] * 3, "{warm:?}");
}
