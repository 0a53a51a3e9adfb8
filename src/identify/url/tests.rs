//! Scoped URLs: one answer for those that do not work, and no way around their limits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::catalogue::{Class, Tool};
use crate::config::Identity;
use crate::identify::Proof;
use crate::identify::tests::fixture::{Gate, api_key, head, no_identity, to_url, who};
use crate::identify::url::{NewUrl, UrlProblem};
use crate::inbound::{Head, Target};
use crate::name::{ServerName, TenantId, ToolName, UrlId};
use crate::refusal::Refusal;
use crate::secret::Secret;

fn new_url() -> NewUrl {
    NewUrl {
        who: who("a", "alice"),
        server: ServerName::parse("erp").unwrap(),
        methods: Some(vec!["read".into()]),
        tags: None,
        expires_at: None,
        second_factor: None,
        note: Some("for a week".into()),
    }
}

fn tool(name: &str, operation: &str, class: Class, tag: &str) -> Tool {
    let name = ToolName::parse(name).unwrap();
    Tool {
        name,
        operation: operation.into(),
        class,
        tags: vec![tag.into()],
        annotations: None,
        pinned: false,
        mirrored: Arc::default(),
    }
}

fn tenant(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

#[tokio::test]
async fn a_scoped_url_says_who_its_holder_acts_for_and_what_it_narrows_to() {
    let gate = Gate::new(&no_identity());
    let (record, token) = gate.urls.create(new_url(), None).await.unwrap();
    assert!(record.id.as_str().starts_with("su_") && token.expose().len() == 43);
    let caller = gate.identify.caller(&to_url(&token, &[])).await.unwrap();
    assert_eq!((caller.tenant().as_str(), caller.authentication().kind), ("a", Proof::ScopedUrl));
    let scope = caller.scope().unwrap();
    assert_eq!(
        (&scope.id, scope.server.as_str(), &*scope.methods),
        (&record.id, "erp", &[Arc::from("read")][..])
    );
    let found = gate.urls.find(&token).await.unwrap();
    assert_eq!(found.note.as_deref(), Some("for a week"));
}

#[tokio::test]
async fn the_store_never_sees_a_token() {
    let gate = Gate::new(&no_identity());
    let (record, token) = gate.urls.create(new_url(), None).await.unwrap();
    let stored = gate.store.everything();
    let contains = |needle: &[u8]| stored.windows(needle.len()).any(|window| window == needle);
    assert!(!contains(token.expose().as_bytes()));
    assert!(contains(record.id.as_str().as_bytes()));
    assert!(token.expose().starts_with(&record.prefix) && record.prefix.len() == 6);
}

/// AU-15.
#[tokio::test]
async fn unknown_revoked_and_expired_urls_are_one_and_the_same() {
    let gate = Gate::new(&no_identity());
    let end = Some(gate.clock.now() + Duration::from_secs(60));
    let (_, expired) = gate.urls.create(NewUrl { expires_at: end, ..new_url() }, None).await.unwrap();
    let (record, revoked) = gate.urls.create(new_url(), None).await.unwrap();
    for token in [&expired, &revoked] {
        gate.identify.caller(&to_url(token, &[])).await.unwrap();
    }
    gate.clock.advance(Duration::from_secs(60));
    assert!(gate.urls.revoke(&tenant("a"), &record.id).await.unwrap());
    let unknown = Secret::new("A".repeat(43));
    let bearer = [("authorization", "Bearer a.b.c")];
    for token in [&unknown, &revoked, &expired, &Secret::new(String::new()), &Secret::new("x".repeat(9000))] {
        for fields in [&[][..], &bearer[..]] {
            let before = gate.store.reads();
            let refusal = gate.identify.caller(&to_url(token, fields)).await.unwrap_err();
            assert_eq!((refusal, gate.store.reads() - before), (Refusal::UnknownUrl, 1));
        }
    }
    while gate.store.len() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_revoked_url_stops_at_once_whoever_took_it_out_of_the_store() {
    let gate = Gate::new(&no_identity());
    let (record, token) = gate.urls.create(new_url(), None).await.unwrap();
    gate.identify.caller(&to_url(&token, &[])).await.unwrap();
    gate.urls.revoke(&tenant("a"), &record.id).await.unwrap();
    assert_eq!(gate.identify.caller(&to_url(&token, &[])).await.unwrap_err(), Refusal::UnknownUrl);

    let (_, token) = gate.urls.create(new_url(), None).await.unwrap();
    gate.identify.caller(&to_url(&token, &[])).await.unwrap();
    let entries = crate::store::Store::scan(&*gate.store, crate::store::Table::Urls, &[]).await.unwrap();
    for (key, _) in entries {
        crate::store::Store::remove(&*gate.store, crate::store::Table::Urls, &key).await.unwrap();
    }
    assert_eq!(gate.identify.caller(&to_url(&token, &[])).await.unwrap_err(), Refusal::UnknownUrl);
}

#[tokio::test]
async fn a_url_ends_on_time_though_it_is_remembered() {
    let gate = Gate::new(&no_identity());
    let end = Some(gate.clock.now() + Duration::from_millis(500));
    let (_, token) = gate.urls.create(NewUrl { expires_at: end, ..new_url() }, None).await.unwrap();
    gate.identify.caller(&to_url(&token, &[])).await.unwrap();
    gate.clock.advance(Duration::from_millis(500));
    assert_eq!(gate.identify.caller(&to_url(&token, &[])).await.unwrap_err(), Refusal::UnknownUrl);
}

#[tokio::test]
async fn a_tenant_lists_and_revokes_only_its_own_urls() {
    let gate = Gate::new(&no_identity());
    let (record, token) = gate.urls.create(new_url(), None).await.unwrap();
    gate.urls.create(NewUrl { who: who("b", "bob"), ..new_url() }, None).await.unwrap();
    let own = gate.urls.list(&tenant("a")).await.unwrap();
    assert_eq!(own.iter().map(|record| &record.id).collect::<Vec<_>>(), [&record.id]);
    assert!(!gate.urls.revoke(&tenant("b"), &record.id).await.unwrap());
    assert!(!gate.urls.revoke(&tenant("a"), &UrlId::parse("su_other").unwrap()).await.unwrap());
    gate.identify.caller(&to_url(&token, &[])).await.unwrap();
}

#[tokio::test]
async fn with_a_second_factor_the_url_alone_is_not_enough() {
    let (secret, key) = api_key("a", "carol");
    let (stranger, foreign) = api_key("b", "bob");
    let gate = Gate::new(&Identity { second_factor: true, api_keys: vec![key, foreign], ..no_identity() });
    let (record, token) = gate.urls.create(new_url(), None).await.unwrap();
    assert_eq!(gate.identify.caller(&to_url(&token, &[])).await.unwrap_err(), Refusal::NotAuthenticated);
    let caller = gate.identify.caller(&to_url(&token, &[("x-api-key", secret.expose())])).await.unwrap();
    assert_eq!((caller.user().unwrap().as_str(), caller.authentication().kind), ("carol", Proof::ApiKey));
    assert_eq!(caller.scope().unwrap().id, record.id);
    let foreign = gate.identify.caller(&to_url(&token, &[("x-api-key", stranger.expose())])).await;
    assert_eq!(foreign.unwrap_err(), Refusal::UnknownUrl);
    let failed = gate.identify.caller(&to_url(&token, &[("x-api-key", "pck_x")])).await;
    assert_eq!(failed.unwrap_err(), Refusal::BadCredential("the API key is not known"));
}

#[tokio::test]
async fn a_failed_second_factor_is_refused_even_where_none_is_needed() {
    let gate = Gate::new(&no_identity());
    let (_, token) = gate.urls.create(new_url(), None).await.unwrap();
    let failed = gate.identify.caller(&to_url(&token, &[("authorization", "Bearer a.b.c")])).await;
    assert!(matches!(failed.unwrap_err(), Refusal::BadCredential(_)));
}

#[tokio::test]
async fn an_operator_who_requires_a_second_factor_later_requires_it_of_old_urls_too() {
    let gate = Gate::new(&no_identity());
    let always = NewUrl { second_factor: Some(true), ..new_url() };
    let (_, token) = gate.urls.create(always, None).await.unwrap();
    assert_eq!(gate.identify.caller(&to_url(&token, &[])).await.unwrap_err(), Refusal::NotAuthenticated);
}

#[tokio::test]
async fn a_url_that_would_lead_to_no_tool_is_refused_with_what_each_filter_removed() {
    let gate = Gate::new(&no_identity());
    let tools = [
        tool("list_invoices", "list", Class::Read, "invoices"),
        tool("create_invoice", "create", Class::Write, "invoices"),
        tool("list_staff", "list", Class::Read, "hr"),
    ];
    let none = NewUrl { methods: Some(vec!["write".into()]), tags: Some(vec!["hr".into()]), ..new_url() };
    let problem = gate.urls.create(none, Some(&tools)).await.unwrap_err();
    assert_eq!(
        problem.to_string(),
        "the URL would lead to no tool of `erp`: `methods: [write]` keeps create_invoice and removes list_invoices, \
         list_staff; `tags: [hr]` keeps list_staff and removes list_invoices, create_invoice"
    );
    let some =
        NewUrl { methods: Some(vec!["create".into()]), tags: Some(vec!["invoices".into()]), ..new_url() };
    gate.urls.create(some, Some(&tools)).await.unwrap();
    let empty = NewUrl { methods: Some(Vec::new()), ..new_url() };
    assert!(matches!(gate.urls.create(empty, None).await, Err(UrlProblem::EmptyList("methods"))));
    let past = NewUrl { expires_at: Some(gate.clock.now()), ..new_url() };
    assert!(matches!(gate.urls.create(past, None).await, Err(UrlProblem::AlreadyExpired(_))));
    assert_eq!(gate.store.len(), 1);
}

#[tokio::test]
async fn a_store_that_fails_lets_nobody_in_and_does_not_say_unknown() {
    let gate = Gate::new(&no_identity());
    let (_, token) = gate.urls.create(new_url(), None).await.unwrap();
    gate.store.broken.store(true, Ordering::SeqCst);
    let refusal = gate.identify.caller(&to_url(&token, &[])).await.unwrap_err();
    assert_eq!(refusal, Refusal::IdentityUnavailable);
}

#[tokio::test]
async fn a_record_with_a_member_from_a_newer_version_is_not_read_as_wider() {
    let gate = Gate::new(&no_identity());
    let (_, token) = gate.urls.create(new_url(), None).await.unwrap();
    let entries = crate::store::Store::scan(&*gate.store, crate::store::Table::Urls, &[]).await.unwrap();
    for (key, stored) in entries {
        let mut value: serde_json::Value = serde_json::from_slice(&stored.value).unwrap();
        value["only_on"] = serde_json::json!("mondays");
        let value = value.to_string();
        crate::store::Store::put(&*gate.store, crate::store::Table::Urls, &key, value.as_bytes(), None)
            .await
            .unwrap();
    }
    let refusal = gate.identify.caller(&to_url(&token, &[])).await.unwrap_err();
    assert_eq!(refusal, Refusal::IdentityUnavailable);
}

#[tokio::test]
async fn the_token_in_the_path_is_of_no_use_in_a_header_or_at_a_server() {
    let gate = Gate::new(&no_identity());
    let (_, token) = gate.urls.create(new_url(), None).await.unwrap();
    let bearer = format!("Bearer {}", token.expose());
    let at_server = Head { target: Target::Server(ServerName::parse("erp").unwrap()), ..head(&[]) };
    assert_eq!(gate.identify.caller(&at_server).await.unwrap_err(), Refusal::NotAuthenticated);
    let refusal = gate.identify.caller(&head(&[("authorization", &bearer)])).await.unwrap_err();
    assert!(matches!(refusal, Refusal::BadCredential(_)));
}
