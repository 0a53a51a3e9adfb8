use super::*;
use crate::config::{Credential, server_for_test};
use crate::decide::permit_for_test;
use crate::decode::{Action, Era, Message, Meta};
use crate::identify::caller_for_test;

fn rate(requests: u32, burst: u32) -> Rate {
    let many = |n| NonZeroU32::new(n).unwrap();
    Rate { requests: many(requests), per: Duration::from_secs(3600), burst: many(burst) }
}

fn permit(tenant: &str, user: &str) -> Permit {
    let message = Message {
        era: Era::Legacy,
        version: None,
        id: None,
        method: "ping",
        action: Action::Ping,
        meta: Meta::default(),
        state: None,
        bytes: bytes::Bytes::new(),
    };
    permit_for_test(
        caller_for_test(tenant, user, &[]),
        Arc::new(server_for_test("erp", "http://127.0.0.1:1/")),
        message,
    )
}

fn account(slots: u32) -> Account {
    Account {
        tenant: TenantId::parse("acme").unwrap(),
        server: ServerName::parse("erp").unwrap(),
        url: None,
        credential: Credential::None,
        slots: NonZeroU32::new(slots),
    }
}

async fn admit(govern: &Govern, quotas: &Quotas, tenant: &str, user: &str) -> Result<Slot, Refusal> {
    govern.admit(&permit(tenant, user), quotas, None, Duration::ZERO).await
}

#[tokio::test]
async fn a_tenant_at_its_limit_is_told_when_to_come_back_and_others_are_not_slowed() {
    let govern = Govern::default();
    let quotas = Quotas::new(&Rates { tenant: Some(rate(2, 2)), ..Rates::default() });
    for _ in 0..2 {
        let _ = admit(&govern, &quotas, "acme", "ana").await.unwrap();
    }
    let Err(Refusal::TooMany(exhausted)) = admit(&govern, &quotas, "acme", "ana").await else {
        panic!("admitted")
    };
    assert_eq!((exhausted.what, exhausted.limit, exhausted.remaining), (Limit::TenantRate, 2, 0));
    assert!(exhausted.retry > Duration::from_secs(60) && exhausted.retry <= Duration::from_secs(1800));
    let _ = admit(&govern, &quotas, "umbrella", "ana").await.unwrap();
}

#[tokio::test]
async fn a_users_limit_is_the_users_own() {
    let govern = Govern::default();
    let quotas = Quotas::new(&Rates { user: Some(rate(1, 1)), ..Rates::default() });
    let _ = admit(&govern, &quotas, "acme", "ana").await.unwrap();
    let _ = admit(&govern, &quotas, "acme", "ben").await.unwrap();
    assert!(admit(&govern, &quotas, "acme", "ana").await.is_err());
    // A user of the same name of another tenant is another user.
    let _ = admit(&govern, &quotas, "umbrella", "ana").await.unwrap();
}

#[tokio::test]
async fn a_new_rate_counts_from_the_next_call_on() {
    let govern = Govern::default();
    let narrow = Quotas::new(&Rates { tenant: Some(rate(1, 1)), ..Rates::default() });
    let _ = admit(&govern, &narrow, "acme", "ana").await.unwrap();
    assert!(admit(&govern, &narrow, "acme", "ana").await.is_err());
    let wide = Quotas::new(&Rates { tenant: Some(rate(10, 10)), ..Rates::default() });
    let _ = admit(&govern, &wide, "acme", "ana").await.unwrap();
}

#[tokio::test]
async fn refused_messages_count_as_well() {
    let govern = Govern::default();
    let quotas = Quotas::new(&Rates { tenant: Some(rate(1, 1)), ..Rates::default() });
    let caller = caller_for_test("acme", "ana", &[]);
    govern.count_refused(&caller, &quotas).unwrap();
    assert!(govern.count_refused(&caller, &quotas).is_err());
}

#[tokio::test]
async fn a_slot_is_given_back_when_its_call_is_over() {
    let (govern, quotas, account) = (Govern::default(), Quotas::default(), account(1));
    let take = async || govern.admit(&permit("acme", "ana"), &quotas, Some(&account), Duration::ZERO).await;
    let first = take().await.unwrap();
    let Err(Refusal::TooMany(exhausted)) = take().await else { panic!("admitted") };
    assert_eq!((exhausted.what, exhausted.limit), (Limit::Slots, 1));
    drop(first);
    let _ = take().await.unwrap();
}

#[tokio::test]
async fn a_call_waits_for_a_slot_as_long_as_it_may() {
    let (govern, quotas, account) = (Arc::new(Govern::default()), Quotas::default(), account(1));
    let first = govern.admit(&permit("acme", "ana"), &quotas, Some(&account), Duration::ZERO).await.unwrap();
    let waiting = permit("acme", "ben");
    let second = govern.admit(&waiting, &quotas, Some(&account), Duration::from_secs(60));
    tokio::pin!(second);
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx).is_pending())).await);
    drop(first);
    let _ = second.await.unwrap();
}

#[tokio::test]
async fn counters_that_are_full_again_are_forgotten() {
    let govern = Govern::default();
    let idle = Quotas::new(&Rates {
        tenant: Some(Rate { per: Duration::from_nanos(1), ..rate(1, 1) }),
        ..Rates::default()
    });
    let _ = admit(&govern, &idle, "acme", "ana").await.unwrap();
    let busy = Quotas::new(&Rates { tenant: Some(rate(1, 1)), ..Rates::default() });
    let _ = admit(&govern, &busy, "umbrella", "ana").await.unwrap();
    govern.tidy();
    assert_eq!(govern.limiters.len(), 1);
    assert!(admit(&govern, &busy, "umbrella", "ana").await.is_err());
}

#[tokio::test]
async fn a_tenant_has_so_many_standing_streams_and_gets_them_back() {
    let (govern, quotas) = (Govern::default(), Quotas::default());
    let open = async |tenant: &str| govern.admit_stream(&permit(tenant, "ana"), &quotas, 1).await;
    let first = open("acme").await.unwrap();
    assert!(matches!(open("acme").await, Err(Refusal::Overloaded(_))));
    drop(open("umbrella").await.unwrap());
    drop(first);
    drop(open("acme").await.unwrap());
}

#[tokio::test]
async fn what_is_left_of_a_tenants_rate_is_known_before_it_is_used_up() {
    let govern = Govern::default();
    let quotas = Quotas::new(&Rates { tenant: Some(rate(10, 3)), ..Rates::default() });
    let acme = TenantId::parse("acme").unwrap();
    let left = || govern.rate_remaining(&acme, &quotas);
    assert_eq!(left(), Some(3));
    for still in [2, 1, 0] {
        let _ = admit(&govern, &quotas, "acme", "ana").await.unwrap();
        assert_eq!(left(), Some(still));
    }
    assert!(admit(&govern, &quotas, "acme", "ana").await.is_err());
    assert_eq!(left(), Some(0));
    assert_eq!(govern.rate_remaining(&TenantId::parse("umbrella").unwrap(), &quotas), Some(3));
    assert_eq!(govern.rate_remaining(&acme, &Quotas::default()), None);
}
