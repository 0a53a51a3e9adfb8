use serde_json::{Value, json};

use super::fixture::{House, body, erp, first, named};
use crate::store::Table;
use crate::tenancy::{Problem, entry};

#[tokio::test]
async fn a_stored_account_is_found_and_a_changed_one_is_found_changed() {
    let house = House::new().await;
    house.tenant("acme").await;
    let acme = named("acme");
    let slots = async || {
        let held = house.directory.find(&acme, &erp()).await.unwrap()?;
        held.account.slots.map(|slots| slots.get())
    };
    assert_eq!(slots().await, None);
    let entry = json!({"tenant": "acme", "server": "erp", "slots": 2, "credential": {"bearer": "sealed"}});
    let made = house.account(entry, Some("hunter2")).await.unwrap();
    assert_eq!((slots().await, &made.value["sealed"]), (Some(2), &json!(true)));
    let first = house.directory.find(&acme, &erp()).await.unwrap().unwrap();
    let again = house.directory.find(&acme, &erp()).await.unwrap().unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &again), "what has not changed is not parsed again");
    let other = body(json!({"slots": 7, "credential": {"bearer": "sealed"}}), None);
    house.office.replace_account((&acme, &erp()), other, made.version).await.unwrap();
    assert_eq!(slots().await, Some(7));
    house.office.delete_account(&acme, &erp(), None).await.unwrap();
    assert!(house.directory.find(&acme, &erp()).await.unwrap().is_none());
}

#[tokio::test]
async fn an_account_names_nothing_of_the_host_and_holds_no_secret_in_the_open() {
    let house = House::new().await;
    house.tenant("acme").await;
    for credential in [
        json!({"bearer": {"file": "/etc/shadow"}}),
        json!({"bearer": {"inline": "hunter2"}}),
        json!({"bearer": {"command": ["cat", "/etc/shadow"]}}),
        json!({"basic": {"user": "api", "password": {"file": "/etc/shadow"}}}),
    ] {
        let entry = json!({"tenant": "acme", "server": "erp", "credential": credential});
        let Err(Problem::Unfit(faults)) = house.account(entry, None).await else {
            panic!("{credential} was taken")
        };
        assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
    }
    assert!(house.office.store.scan(Table::Accounts, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn every_mistake_is_told_at_once_in_the_words_of_the_configuration() {
    let house = House::new().await;
    house.tenant("acme").await;
    let told = async |entry: Value| match house.account(entry, None).await {
        Err(Problem::Unfit(faults)) => faults,
        other => panic!("{other:?}"),
    };
    let entry = json!({"tenant": "acme", "server": "erp", "slot": 3, "url": "ftp://x", "credential": {"bearer": "sealed"}});
    let faults = told(entry).await;
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert!(keys.contains(&"slot") && keys.contains(&"url"), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.fix == "did you mean `slots`?"), "{faults:?}");
    let faults = told(json!({"tenant": "acme", "server": "erq"})).await;
    assert_eq!((&*faults[0].what, &*faults[0].fix), ("there is no server `erq`", "did you mean `erp`?"));
    let faults = told(json!({"tenant": "acme"})).await;
    assert_eq!((&*faults[0].key, &*faults[0].what), ("server", "is missing"));
}

#[tokio::test]
async fn an_account_of_a_tenant_that_is_not_there_is_not_made() {
    let house = House::new().await;
    let made = house.account(json!({"tenant": "acme", "server": "erp"}), None).await;
    assert!(matches!(made, Err(Problem::Unknown(_))));
}

#[tokio::test]
async fn what_an_account_of_the_same_names_has_left_behind_is_not_this_ones() {
    let house = House::new().await;
    house.tenant("acme").await;
    let key = entry::key(&named("acme"), &erp());
    house.office.store.put(Table::Credentials, &key, b"left behind", None).await.unwrap();
    let entry = json!({"tenant": "acme", "server": "erp", "credential": {"bearer": "sealed"}});
    let made = house.account(entry, None).await.unwrap();
    assert_eq!(made.value["sealed"], false);
}

#[tokio::test]
async fn accounts_are_listed_by_tenant_and_without_what_a_configured_one_is_made_of() {
    let house = House::new().await;
    house.tenant("acme").await;
    house
        .account(json!({"tenant": "acme", "server": "erp", "credential": {"bearer": "sealed"}}), None)
        .await
        .unwrap();
    let all = house.office.accounts(None, &first(10)).await.unwrap().items;
    let fixed = named("fixed");
    let own = house.office.accounts(Some(&fixed), &first(10)).await.unwrap().items;
    assert_eq!((all.len(), own.len()), (2, 1));
    assert_eq!(
        own[0],
        json!({"tenant": "fixed", "server": "erp", "credential": "bearer", "source": "configuration"})
    );
}
