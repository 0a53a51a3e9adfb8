use super::*;
use crate::secret::Secret;

fn granted(text: &str, seconds: u64) -> Granted {
    let life = Some(Duration::from_secs(seconds));
    Granted { token: Secret::new(text.into()), left: life, life, came: None }
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
    let token = tokens.get(|| async { Ok(granted("new-token", 60)) }).await.unwrap();
    assert!(shows(&token, "old-token"));
    let tokens = fetched_before(31, 60);
    let token = tokens.get(|| async { Ok(granted("new-token", 60)) }).await.unwrap();
    assert!(shows(&token, "new-token"));
}

#[tokio::test]
async fn the_old_token_serves_while_it_is_good_and_the_endpoint_fails() {
    let tokens = fetched_before(40, 60);
    for _ in 0..3 {
        assert!(shows(&tokens.get(unreachable_endpoint).await.unwrap(), "old-token"));
    }
    let tokens = fetched_before(61, 60);
    assert_eq!(tokens.get(unreachable_endpoint).await.err(), Some(Failure::Unavailable));
}

#[tokio::test]
async fn a_flight_whose_task_dies_is_followed_by_another() {
    let tokens = Arc::new(Tokens::default());
    assert!(tokens.get(|| async { panic!("a defect") }).await.is_err());
    let token = tokens.get(|| async { Ok(granted("new-token", 60)) }).await.unwrap();
    assert!(shows(&token, "new-token"));
}

#[tokio::test]
async fn what_was_forgotten_is_not_brought_back_by_a_flight_that_began_before() {
    let tokens = Arc::new(Tokens::default());
    let (land, landing) = tokio::sync::oneshot::channel();
    let flight = tokio::spawn({
        let tokens = Arc::clone(&tokens);
        async move { tokens.get(|| async { landing.await.unwrap() }).await.is_ok() }
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
fn a_rejected_token_is_dropped_and_the_next_one_not_within_seconds() {
    let tokens = fetched_before(1, 3600);
    let current = || tokens.state().current.as_ref().map(|token| Arc::clone(&token.material));
    let first = current().unwrap();
    tokens.rejected(&first);
    assert!(current().is_none());
    tokens.state().take(Ok(granted("new-token", 3600)), Instant::now()).unwrap();
    tokens.rejected(&first);
    assert!(current().is_some(), "what was rejected is another one");
    tokens.rejected(&current().unwrap());
    assert!(current().is_some(), "a server that rejects everything has nothing fetched");
    tokens.state().dropped_at = Instant::now().checked_sub(BETWEEN_REJECTIONS);
    tokens.rejected(&current().unwrap());
    assert!(current().is_none());
}

#[tokio::test]
async fn a_token_that_is_used_is_renewed_ahead_and_nobody_waits() {
    // Of a life of an hour between 57 and 59 minutes are over: whether it is time already is chance, at 59.2 it is certain.
    let tokens = fetched_before(3600 - 48, 3600);
    let (land, landing) = tokio::sync::oneshot::channel();
    let token = tokens.get(|| async { landing.await.unwrap() }).await.unwrap();
    assert!(shows(&token, "old-token"), "it is good, so nobody waits");
    land.send(Ok(granted("new-token", 3600))).ok().unwrap();
    while tokens.state().flight.is_some() {
        tokio::task::yield_now().await;
    }
    assert!(shows(&tokens.get(unreachable_endpoint).await.unwrap(), "new-token"));
    let young = fetched_before(60, 3600);
    drop(young.get(unreachable_endpoint).await);
    assert!(young.state().flight.is_none(), "it is not renewed long before its end");
}

#[test]
fn accounts_whose_tokens_end_together_are_not_renewed_together() {
    let ahead = || {
        let tokens = fetched_before(0, 3600);
        let state = tokens.state();
        let token = state.current.as_ref().unwrap();
        token.expires_at - token.ahead_at
    };
    let all: Vec<Duration> = (0..200).map(|_| ahead()).collect();
    let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
    assert!(*least >= AHEAD && *most <= AHEAD * 3, "{least:?} {most:?}");
    assert!(*most - *least > AHEAD, "{least:?} {most:?}");
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
