use serde_json::json;

use super::fixture::{House, erp, first, named};
use crate::store::Table;
use crate::tenancy::office::{KeyBody, Part, TenantBody, TenantPatch};
use crate::tenancy::{Problem, Standing, Status};

fn suspended() -> TenantPatch {
    TenantPatch { status: Some(Status::Suspended), ..TenantPatch::default() }
}

#[tokio::test]
async fn a_tenant_is_served_unless_it_is_suspended_and_nobody_waits_for_a_cache() {
    let house = House::new().await;
    let (acme, tenants) = (named("acme"), &house.office.records.tenants);
    assert_eq!(tenants.standing(&acme).await.unwrap(), Standing::Unknown);
    house.tenant("acme").await;
    assert_eq!(tenants.standing(&acme).await.unwrap(), Standing::Served);
    house.office.patch_tenant(&acme, suspended(), None).await.unwrap();
    assert_eq!(tenants.standing(&acme).await.unwrap(), Standing::Suspended);
    let active = TenantPatch { status: Some(Status::Active), ..TenantPatch::default() };
    house.office.patch_tenant(&acme, active, None).await.unwrap();
    assert_eq!(tenants.standing(&acme).await.unwrap(), Standing::Served);
}

#[tokio::test]
async fn of_two_writers_with_one_version_the_second_is_told() {
    let house = House::new().await;
    let made = house.tenant("acme").await.version;
    let acme = named("acme");
    house.office.patch_tenant(&acme, suspended(), made).await.unwrap();
    let note = TenantPatch { note: Some(Some("mine".to_owned())), ..TenantPatch::default() };
    assert!(matches!(house.office.patch_tenant(&acme, note, made).await, Err(Problem::Changed)));
    assert!(matches!(house.office.delete_tenant(&acme, made).await, Err(Problem::Changed)));
    let shown = house.office.tenant(&acme).await.unwrap().value;
    assert_eq!((&shown["status"], shown.get("note")), (&json!("suspended"), None));
}

#[tokio::test]
async fn what_the_configuration_has_is_not_written() {
    let house = House::new().await;
    let fixed = named("fixed");
    let again = TenantBody { tenant: "fixed".to_owned(), display_name: None, note: None };
    assert!(matches!(house.office.create_tenant(again).await, Err(Problem::Configured(_))));
    assert!(matches!(
        house.office.patch_tenant(&fixed, suspended(), None).await,
        Err(Problem::Configured(_))
    ));
    assert!(matches!(house.office.delete_tenant(&fixed, None).await, Err(Problem::Configured(_))));
    assert_eq!(house.office.tenant(&fixed).await.unwrap().value["source"], "configuration");
    let entry = json!({"tenant": "fixed", "server": "erp"});
    assert!(matches!(house.account(entry, None).await, Err(Problem::Configured(_))));
    // At another server it may have an account of its own.
    house.account(json!({"tenant": "fixed", "server": "crm"}), None).await.unwrap();
}

#[tokio::test]
async fn a_list_is_walked_page_by_page_and_has_everything_once() {
    let house = House::new().await;
    for name in ["beta", "alpha", "zeta", "gamma"] {
        house.tenant(name).await;
    }
    let (mut seen, mut part) = (Vec::new(), first(2));
    for _ in 0..10 {
        let page = house.office.tenants(&part).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(|it| it["tenant"].as_str().unwrap().to_owned()));
        match page.next {
            Some(next) => part = Part { after: Some(next), limit: 2 },
            None => break,
        }
    }
    assert_eq!(seen, ["alpha", "beta", "fixed", "gamma", "zeta"]);
}

async fn furnish(house: &House, name: &str) {
    house.tenant(name).await;
    let entry = json!({"tenant": name, "server": "erp", "credential": {"bearer": "sealed"}});
    house.account(entry, Some("hunter2")).await.unwrap();
    let key = KeyBody {
        tenant: name.to_owned(),
        user: None,
        agent: Some("bot".to_owned()),
        roles: Vec::new(),
        groups: Vec::new(),
        attributes: Default::default(),
        expires_at: Some("7d".to_owned()),
        note: None,
    };
    house.office.create_key(key).await.unwrap();
}

async fn left(house: &House, name: &str) -> Vec<&'static str> {
    let mut left = Vec::new();
    for table in Table::ALL {
        let all = house.office.store.scan(table, &[]).await.unwrap();
        let own = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(name);
        if all.iter().any(|(key, stored)| own(key) || own(&stored.value)) {
            left.push(table.name());
        }
    }
    left
}

#[tokio::test]
async fn a_deleted_tenant_leaves_nothing_behind_and_takes_nothing_of_another() {
    let house = House::new().await;
    furnish(&house, "acme").await;
    furnish(&house, "other").await;
    let before = left(&house, "other").await;
    assert_eq!(before, ["credentials", "data_keys", "tenants", "accounts", "api_keys"]);
    house.office.delete_tenant(&named("acme"), None).await.unwrap();
    assert!(left(&house, "acme").await.is_empty(), "{:?}", left(&house, "acme").await);
    assert_eq!(left(&house, "other").await, before);
    assert!(house.directory.find(&named("acme"), &erp()).await.unwrap().is_none());
    assert!(matches!(house.office.delete_tenant(&named("acme"), None).await, Err(Problem::Unknown(_))));
}

#[tokio::test]
async fn a_removal_that_was_killed_half_way_is_finished_at_the_next_start() {
    let house = House::new().await;
    furnish(&house, "acme").await;
    let acme = named("acme");
    // As a gate leaves it that is killed when it has marked the tenant and removed the account.
    let (mut entry, version) = house.office.tenant_entry(&acme).await.unwrap();
    entry.status = Status::Deleting;
    let (key, value) = (b"acme".as_slice(), serde_json::to_vec(&entry).unwrap());
    house.office.store.put(Table::Tenants, b"\0removing\0acme", &[], None).await.unwrap();
    house.office.store.put(Table::Tenants, key, &value, Some(version)).await.unwrap();
    house.office.delete_account(&acme, &erp(), None).await.unwrap();
    assert_eq!(house.office.records.tenants.standing(&acme).await.unwrap(), Standing::Suspended);
    assert!(matches!(
        house.account(json!({"tenant": "acme", "server": "erp"}), None).await,
        Err(Problem::Conflict(_))
    ));
    house.office.finish_removals().await.unwrap();
    assert!(left(&house, "acme").await.is_empty());
    house.tenant("acme").await;
}
