//! The token of one account: kept until shortly before it ends, fetched by one flight at a time.
//!
//! # Why the flight is a task of its own
//! A caller that goes away takes its own wait with it and nothing else: the fetch goes on for the others, who wait for
//! at most twenty seconds. After a failure there is a pause, so that a hundred calls make one request per pause and not a
//! hundred; meanwhile the old token is used for as long as it is good.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::credential::material::Material;
use crate::secret::Secret;

/// A token is renewed so long before its end, and a call waits for that.
const MARGIN: Duration = Duration::from_secs(30);
/// A token that is used is renewed between so long before its end and thrice that, and no call waits. By chance, so that
/// accounts whose tokens end together are not renewed together.
const AHEAD: Duration = Duration::from_secs(60);
/// How long a caller waits for a flight: longer than a dead gate holds up the others.
const WAIT: Duration = Duration::from_secs(20);
/// A token whose end only the server knows.
const NO_END: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A client that was refused is not soon accepted, and too many attempts may lock it.
const FIRST_PAUSE_IF_REFUSED: Duration = Duration::from_secs(5);
/// A server that rejects every token has a new one fetched only so often.
const BETWEEN_REJECTIONS: Duration = Duration::from_secs(10);

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
    /// Whether the endpoint said `invalid_grant`.
    pub(in crate::credential) grant_is_gone: bool,
}

/// A token, and how long it lives.
pub(in crate::credential) struct Granted {
    pub(in crate::credential) token: Secret,
    /// From now on; `None`: until it is rejected.
    pub(in crate::credential) left: Option<Duration>,
    /// Its whole life.
    pub(in crate::credential) life: Option<Duration>,
    /// What tells a stored token from the one before.
    pub(in crate::credential) came: Option<Timestamp>,
}

impl From<Failure> for Setback {
    fn from(failure: Failure) -> Self {
        Self { failure, why: String::new(), wait: None, grant_is_gone: false }
    }
}

pub(in crate::credential) struct Token {
    pub(in crate::credential) material: Arc<Material>,
    pub(in crate::credential) expires_at: Instant,
    /// When it is renewed although it is still good for long.
    pub(in crate::credential) ahead_at: Instant,
    came: Option<Timestamp>,
    renew_at: Instant,
    used: AtomicBool,
}

impl Token {
    /// Whether this is the first call that uses it.
    pub(in crate::credential) fn is_first_use(&self) -> bool {
        !self.used.load(Ordering::Relaxed) && !self.used.swap(true, Ordering::Relaxed)
    }
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
    /// The stored token that a server rejected.
    rejected: Option<Timestamp>,
    /// When a token was dropped because a server rejected it.
    dropped_at: Option<Instant>,
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
    pub(in crate::credential) async fn get<F>(self: &Arc<Self>, fetch: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = Result<Granted, Setback>> + Send + 'static,
    {
        match self.next(fetch) {
            Next::Use(token) => Ok(token),
            Next::Refuse(failure) => Err(failure),
            Next::Join(flight) => self.landed(flight).await,
        }
    }

    fn next<F>(self: &Arc<Self>, fetch: impl FnOnce() -> F) -> Next
    where
        F: Future<Output = Result<Granted, Setback>> + Send + 'static,
    {
        let now = Instant::now();
        let mut state = self.state();
        let current = state.current.as_ref().filter(|token| now < token.renew_at).map(Arc::clone);
        if let Some(token) = current {
            if now >= token.ahead_at && state.may_fly(now) {
                self.fly(&mut state, fetch());
            }
            return Next::Use(token);
        }
        if let Some(flight) = &state.flight {
            return Next::Join(flight.clone());
        }
        if let Some(pause) = state.pause.as_ref().filter(|pause| now < pause.until) {
            return state.still_good(now).map_or(Next::Refuse(pause.failure), Next::Use);
        }
        Next::Join(self.fly(&mut state, fetch()))
    }

    /// Renews a token that is soon to end, and lets nobody wait for it.
    pub(in crate::credential) fn renew_ahead<F>(self: &Arc<Self>, fetch: F)
    where
        F: Future<Output = Result<Granted, Setback>> + Send + 'static,
    {
        let now = Instant::now();
        let mut state = self.state();
        if state.current.as_ref().is_some_and(|token| now >= token.ahead_at) && state.may_fly(now) {
            self.fly(&mut state, fetch);
        }
    }

    fn fly<F>(self: &Arc<Self>, state: &mut State, fetch: F) -> Flight
    where
        F: Future<Output = Result<Granted, Setback>> + Send + 'static,
    {
        let (sender, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let landing = Landing { tokens: Arc::clone(self), generation: state.generation, sender };
        tokio::spawn(async move { landing.land(fetch.await) });
        flight
    }

    /// Takes a token that another gate, or whoever connected the account, has put into the store.
    pub(in crate::credential) fn put(&self, granted: &Granted) -> Result<(), Failure> {
        let mut state = self.state();
        let is_known = state.current.as_ref().is_some_and(|token| token.came == granted.came);
        if is_known || (granted.came.is_some() && state.rejected == granted.came) {
            return Ok(());
        }
        state.current = Some(token(granted, Instant::now()).map_err(|setback| setback.failure)?);
        (state.pause, state.rejected) = (None, None);
        Ok(())
    }

    /// The stored token that is to be replaced: the one that is used, or that was rejected.
    pub(in crate::credential) fn outdated(&self) -> Option<Timestamp> {
        let state = self.state();
        state.current.as_ref().map_or(state.rejected, |token| token.came)
    }

    async fn landed(&self, mut flight: Flight) -> Outcome {
        let landed = tokio::time::timeout(WAIT, flight.wait_for(Option::is_some)).await;
        let outcome = match landed {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(Failure::Unavailable)),
            Ok(Err(_)) | Err(_) => Err(Failure::Unavailable),
        };
        outcome.or_else(|failure| self.state().still_good(Instant::now()).ok_or(failure))
    }

    /// Drops the token that `material` is of, unless one was dropped seconds ago: the next one would be rejected too.
    pub(in crate::credential) fn rejected(&self, material: &Arc<Material>) {
        let mut state = self.state();
        let now = Instant::now();
        let is_rejected = state.current.as_ref().is_some_and(|token| Arc::ptr_eq(&token.material, material));
        let is_first = state.dropped_at.is_none_or(|at| now.duration_since(at) >= BETWEEN_REJECTIONS);
        if is_rejected && is_first {
            state.dropped_at = Some(now);
            state.rejected = state.current.take().and_then(|token| token.came);
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
    fn may_fly(&self, now: Instant) -> bool {
        self.flight.is_none() && self.pause.as_ref().is_none_or(|pause| now >= pause.until)
    }

    fn still_good(&self, now: Instant) -> Option<Arc<Token>> {
        self.current.as_ref().filter(|token| now < token.expires_at).map(Arc::clone)
    }

    fn take(&mut self, fetched: Result<Granted, Setback>, now: Instant) -> Outcome {
        match fetched.and_then(|granted| token(&granted, now)) {
            Ok(token) => {
                (self.pause, self.rejected) = (None, None);
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
    let left = granted.left.unwrap_or(NO_END);
    let half = granted.life.unwrap_or(NO_END) / 2;
    let margin = MARGIN.min(half);
    let ahead = (AHEAD + AHEAD.mul_f64(2.0 * chance())).min(half).max(margin);
    Ok(Arc::new(Token {
        material: Arc::new(material),
        expires_at: now + left,
        ahead_at: now + left.saturating_sub(ahead),
        came: granted.came,
        renew_at: now + left.saturating_sub(margin),
        used: AtomicBool::new(false),
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
pub(in crate::credential) fn jittered(length: Duration) -> Duration {
    length.mul_f64(0.75 + chance() / 2.0)
}

/// Between 0 and 1.
fn chance() -> f64 {
    let mut chance = [0_u8; 2];
    // Without chance things only happen more at once.
    let _ = aws_lc_rs::rand::fill(&mut chance);
    f64::from(u16::from_be_bytes(chance)) / f64::from(u16::MAX)
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
