use super::*;
use crate::secret::Secret;

fn granted(text: &str, seconds: u64) -> Granted {
    Granted { token: Secret::new(text.into()), life: Duration::from_secs(seconds) }
}

/// Tokens whose current one was fetched so many seconds ago.
fn fetched_before(seconds: u64, life: u64) -> Arc<Tokens> {
    let tokens = Arc::new(Tokens::default());
    let then = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
    tokens.state().take(Ok(granted("old-token", life)), then).unwrap();
    tokens
}

async fn unreachable_endpoint() -> Result<Granted, Setback> {
    Err(Failure::Unavailable.into())
}

fn shows(token: &Token, text: &str) -> bool {
    token.material.reveals(text.as_bytes())
}

#[tokio::test]
async fn a_token_is_renewed_half_a_minute_before_it_ends() {
    let tokens = fetched_before(29, 60);
    let token = tokens.get(async { Ok(granted("new-token", 60)) }).await.unwrap();
    assert!(shows(&token, "old-token"));
    let tokens = fetched_before(31, 60);
    let token = tokens.get(async { Ok(granted("new-token", 60)) }).await.unwrap();
    assert!(shows(&token, "new-token"));
}

#[tokio::test]
async fn the_old_token_serves_while_it_is_good_and_the_endpoint_fails() {
    let tokens = fetched_before(40, 60);
    for _ in 0..3 {
        assert!(shows(&tokens.get(unreachable_endpoint()).await.unwrap(), "old-token"));
    }
    let tokens = fetched_before(61, 60);
    assert_eq!(tokens.get(unreachable_endpoint()).await.err(), Some(Failure::Unavailable));
}

#[tokio::test]
async fn a_flight_whose_task_dies_is_followed_by_another() {
    let tokens = Arc::new(Tokens::default());
    assert!(tokens.get(async { panic!("a defect") }).await.is_err());
    let token = tokens.get(async { Ok(granted("new-token", 60)) }).await.unwrap();
    assert!(shows(&token, "new-token"));
}

#[tokio::test]
async fn what_was_forgotten_is_not_brought_back_by_a_flight_that_began_before() {
    let tokens = Arc::new(Tokens::default());
    let (land, landing) = tokio::sync::oneshot::channel();
    let flight = tokio::spawn({
        let tokens = Arc::clone(&tokens);
        async move { tokens.get(async { landing.await.unwrap() }).await.is_ok() }
    });
    while tokens.state().flight.is_none() {
        tokio::task::yield_now().await;
    }
    tokens.forget();
    let _ = land.send(Ok(granted("of-the-removed-secret", 60)));
    assert!(!flight.await.unwrap());
    assert!(tokens.state().current.is_none());
}

#[test]
fn a_rejected_token_is_dropped_once_it_is_not_brand_new() {
    for (age, dropped) in [(1, false), (20, true)] {
        let tokens = fetched_before(age, 3600);
        let material = Arc::clone(&tokens.state().current.as_ref().unwrap().material);
        tokens.rejected(&material);
        assert_eq!(tokens.state().current.is_none(), dropped);
    }
}

#[test]
fn pauses_grow_to_half_a_minute_and_heed_the_endpoint() {
    let now = Instant::now();
    let mut pause = Pause::after(None, &Failure::Unavailable.into(), now);
    assert!(
        pause.until >= now + Duration::from_millis(750) && pause.until <= now + Duration::from_millis(1250)
    );
    for _ in 0..10 {
        pause = Pause::after(Some(&pause), &Failure::Unavailable.into(), now);
    }
    assert_eq!(pause.length, LONGEST_PAUSE);
    let asked = Setback { wait: Some(Duration::from_secs(50)), ..Failure::Unavailable.into() };
    assert_eq!(Pause::after(None, &asked, now).until, now + Duration::from_secs(50));
}
