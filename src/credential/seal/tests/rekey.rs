use super::*;

const GLOBEX: Owner<'static> = Owner { tenant: "globex", ..ACME };

#[tokio::test]
async fn after_a_rekey_the_old_wrapping_key_is_needed_no_more() {
    let place = Place::new();
    let old = place.sealer("old.key").await;
    let sealed = [old.seal(ACME, b"acme's").await.unwrap(), old.seal(GLOBEX, b"globex's").await.unwrap()];
    let both = place.rotated("new.key", &["old.key"]).await;
    assert_eq!(both.open_sealed(ACME, &sealed[0]).await.unwrap().expose(), b"acme's", "before it as well");
    let done = both.rekey().await.unwrap();
    assert_eq!((done.rewrapped, done.current, done.failed), (2, 0, 0));
    let in_use = both.in_use().await.unwrap();
    assert_eq!(in_use.data_keys, [(in_use.current.clone(), 2)].into());
    let new = place.sealer("new.key").await;
    for (owner, sealed, plain) in [(ACME, &sealed[0], "acme's"), (GLOBEX, &sealed[1], "globex's")] {
        assert_eq!(new.open_sealed(owner, sealed).await.unwrap().expose(), plain.as_bytes());
    }
    let error = place.sealer("old.key").await.open_sealed(ACME, &sealed[0]).await.unwrap_err();
    assert!(matches!(error, SealError::OtherKey { .. }), "{error}");
}

#[tokio::test]
async fn a_rekey_that_was_broken_off_goes_on_where_it_was() {
    let place = Place::new();
    let old = place.sealer("old.key").await;
    for tenant in 0..5 {
        old.seal(Owner { tenant: &format!("t{tenant}"), ..ACME }, b"x").await.unwrap();
    }
    let both = place.rotated("new.key", &["old.key"]).await;
    for tenant in ["t0", "t3"] {
        let stored = place.store.get(Table::DataKeys, &entry(tenant)).await.unwrap().unwrap();
        both.rewrap(tenant, &entry(tenant), &stored).await.unwrap();
    }
    let done = both.rekey().await.unwrap();
    assert_eq!((done.rewrapped, done.current, done.failed), (3, 2, 0));
}

#[tokio::test]
async fn a_data_key_that_does_not_open_is_named_and_keeps_none_of_the_others_back() {
    let place = Place::new();
    let lost = place.sealer("lost.key").await;
    lost.seal(ACME, b"x").await.unwrap();
    place.sealer("old.key").await.seal(GLOBEX, b"globex's").await.unwrap();
    let done = place.rotated("new.key", &["old.key"]).await.rekey().await.unwrap();
    assert_eq!((done.rewrapped, done.failed), (1, 1));
    let (tenant, why) = &done.because[0];
    assert_eq!(tenant, "acme");
    assert!(why.contains("another sealing key"), "{why}");
}

#[tokio::test]
async fn a_gate_that_serves_takes_a_new_wrapping_key_and_keeps_the_old_one_where_it_cannot() {
    let place = Place::new();
    let sealer = place.sealer("old.key").await;
    let sealed = sealer.seal(ACME, b"acme's").await.unwrap();
    let mut state = state_for_test(place.directory.path(), shell("exit 1"));
    assert!(sealer.turn(&state).await.is_err());
    assert!(sealer.is_unlocked());
    assert_eq!(sealer.open_sealed(ACME, &sealed).await.unwrap().expose(), b"acme's");
    state = state_for_test(place.directory.path(), SealingKey::File(place.file("new.key")));
    state.retired_sealing_keys = vec![SealingKey::File(place.file("old.key"))];
    sealer.turn(&state).await.unwrap();
    assert_eq!(sealer.rekey().await.unwrap().rewrapped, 1);
    assert_eq!(sealer.open_sealed(ACME, &sealed).await.unwrap().expose(), b"acme's");
}
