//! The token of one account: kept until shortly before it ends, fetched by one flight at a time.
//!
//! # Why the flight is a task of its own
//! A caller that goes away takes its own wait with it and nothing else: the fetch goes on for the others, who wait for
//! at most ten seconds. After a failure there is a pause, so that a hundred calls make one request per pause and not a
//! hundred; meanwhile the old token is used for as long as it is good.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::credential::endpoint::Granted;
use crate::credential::material::Material;

/// A token is renewed so long before its end.
const MARGIN: Duration = Duration::from_secs(30);
/// How long a caller waits for a flight.
const WAIT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A client that was refused is not soon accepted, and too many attempts may lock it.
const FIRST_PAUSE_IF_REFUSED: Duration = Duration::from_secs(5);
/// A token that is younger and is rejected is not fetched again: the next one would be rejected too.
const YOUNGEST_REJECTED: Duration = Duration::from_secs(10);

/// What the caller is told. The operator reads why in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::credential) enum Failure {
    /// Not now.
    Unavailable,
    /// Not until somebody authorises the account again.
    NeedsReauth,
}

/// Why a fetch gave nothing.
#[derive(Debug)]
pub(in crate::credential) struct Setback {
    pub(in crate::credential) failure: Failure,
    /// For the operator; holds no secret.
    pub(in crate::credential) why: String,
    /// How long the endpoint asks us to wait.
    pub(in crate::credential) wait: Option<Duration>,
}

impl From<Failure> for Setback {
    fn from(failure: Failure) -> Self {
        Self { failure, why: String::new(), wait: None }
    }
}

pub(in crate::credential) struct Token {
    pub(in crate::credential) material: Arc<Material>,
    pub(in crate::credential) expires_at: Instant,
    fetched_at: Instant,
    renew_at: Instant,
}

type Outcome = Result<Arc<Token>, Failure>;
type Flight = watch::Receiver<Option<Outcome>>;

#[derive(Default)]
pub(in crate::credential) struct Tokens(Mutex<State>);

#[derive(Default)]
struct State {
    current: Option<Arc<Token>>,
    flight: Option<Flight>,
    pause: Option<Pause>,
    /// Counts what was forgotten, so that a flight that began before does not bring it back.
    generation: u64,
}

struct Pause {
    failure: Failure,
    until: Instant,
    length: Duration,
}

enum Next {
    Use(Arc<Token>),
    Refuse(Failure),
    Join(Flight),
}

impl Tokens {
    /// A token that is good for a call; `fetch` is run only where one is needed and nobody fetches already.
    ///
    /// # Errors
    /// There is none, and none could be had.
    pub(in crate::credential) async fn get<F>(self: &Arc<Self>, fetch: F) -> Outcome
    where
        F: Future<Output = Result<Granted, Setback>> + Send + 'static,
    {
        match self.next(fetch) {
            Next::Use(token) => Ok(token),
            Next::Refuse(failure) => Err(failure),
            Next::Join(flight) => self.landed(flight).await,
        }
    }

    fn next<F>(self: &Arc<Self>, fetch: F) -> Next
    where
        F: Future<Output = Result<Granted, Setback>> + Send + 'static,
    {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(token) = state.current.as_ref().filter(|token| now < token.renew_at) {
            return Next::Use(Arc::clone(token));
        }
        if let Some(flight) = &state.flight {
            return Next::Join(flight.clone());
        }
        if let Some(pause) = state.pause.as_ref().filter(|pause| now < pause.until) {
            return state.still_good(now).map_or(Next::Refuse(pause.failure), Next::Use);
        }
        let (sender, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let landing = Landing { tokens: Arc::clone(self), generation: state.generation, sender };
        tokio::spawn(async move { landing.land(fetch.await) });
        Next::Join(flight)
    }

    async fn landed(&self, mut flight: Flight) -> Outcome {
        let landed = tokio::time::timeout(WAIT, flight.wait_for(Option::is_some)).await;
        let outcome = match landed {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(Failure::Unavailable)),
            Ok(Err(_)) | Err(_) => Err(Failure::Unavailable),
        };
        outcome.or_else(|failure| self.state().still_good(Instant::now()).ok_or(failure))
    }

    /// Drops the token that `material` is of, unless it is only seconds old.
    pub(in crate::credential) fn rejected(&self, material: &Arc<Material>) {
        let mut state = self.state();
        let rejected = state.current.as_ref().is_some_and(|token| {
            Arc::ptr_eq(&token.material, material) && token.fetched_at.elapsed() >= YOUNGEST_REJECTED
        });
        if rejected {
            state.current = None;
        }
    }

    /// Drops everything: the secret is another one now.
    pub(in crate::credential) fn forget(&self) {
        let mut state = self.state();
        *state = State { generation: state.generation.wrapping_add(1), ..State::default() };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn still_good(&self, now: Instant) -> Option<Arc<Token>> {
        self.current.as_ref().filter(|token| now < token.expires_at).map(Arc::clone)
    }

    fn take(&mut self, fetched: Result<Granted, Setback>, now: Instant) -> Outcome {
        match fetched.and_then(|granted| token(&granted, now)) {
            Ok(token) => {
                self.pause = None;
                self.current = Some(Arc::clone(&token));
                Ok(token)
            }
            Err(setback) => {
                self.pause = Some(Pause::after(self.pause.as_ref(), &setback, now));
                Err(setback.failure)
            }
        }
    }
}

fn token(granted: &Granted, now: Instant) -> Result<Arc<Token>, Setback> {
    let material = Material::bearer(&granted.token).map_err(|_| Setback::from(Failure::Unavailable))?;
    let keep = granted.life.saturating_sub(MARGIN.min(granted.life / 2));
    Ok(Arc::new(Token {
        material: Arc::new(material),
        expires_at: now + granted.life,
        fetched_at: now,
        renew_at: now + keep,
    }))
}

impl Pause {
    /// Twice the one before, with chance in it so that several gates do not come back at once.
    fn after(before: Option<&Self>, setback: &Setback, now: Instant) -> Self {
        let first = match setback.failure {
            Failure::Unavailable => FIRST_PAUSE,
            Failure::NeedsReauth => FIRST_PAUSE_IF_REFUSED,
        };
        let length = before.map_or(first, |before| (before.length * 2).clamp(first, LONGEST_PAUSE));
        let wait = jittered(length).max(setback.wait.unwrap_or_default());
        Self { failure: setback.failure, until: now + wait, length }
    }
}

/// Between three quarters and five quarters of `length`.
fn jittered(length: Duration) -> Duration {
    let mut chance = [0_u8; 2];
    // Without chance the pause is only less spread.
    let _ = aws_lc_rs::rand::fill(&mut chance);
    length * 3 / 4 + length * u32::from(u16::from_be_bytes(chance)) / u32::from(u16::MAX) / 2
}

/// Ends a flight: with its outcome, or, if its task dies, with none.
struct Landing {
    tokens: Arc<Tokens>,
    generation: u64,
    sender: watch::Sender<Option<Outcome>>,
}

impl Landing {
    fn land(self, fetched: Result<Granted, Setback>) {
        let now = Instant::now();
        let mut state = self.tokens.state();
        let outcome = if state.generation == self.generation {
            state.take(fetched, now)
        } else {
            Err(Failure::Unavailable)
        };
        drop(state);
        self.sender.send_replace(Some(outcome));
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut state = self.tokens.state();
        if state.generation == self.generation {
            state.flight = None;
        }
    }
}

#[cfg(test)]
mod tests;
