//! Secrets of accounts that are not kept here: fetched from a service, used for a short while, and wiped.
//!
//! # Why they are kept at all
//! A call that had to ask a service for its secret would be as slow as that service, and as often down. One that is used is fetched
//! again at half its time, while nobody waits; where the service cannot be asked, the one before serves for the stated time and no
//! longer. That a secret is gone is an answer, and ends it at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::value::RawValue;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::config::{Account, Fetched, SecretPlace, SecretService, SecretSource};
use crate::credential::fetched::local::{CommandOutput, MountedFile};
use crate::credential::fetched::manager::Manager;
use crate::credential::fetched::vault::VaultKv;
use crate::credential::tokens::jittered;
use crate::secret::Secret;

mod local;
mod manager;
#[cfg(test)]
mod tests;
mod vault;

/// How long a call waits for a flight while an older secret would do.
const PATIENCE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A secret that a server rejects is fetched anew only so often.
const BETWEEN_REJECTIONS: Duration = Duration::from_secs(10);

/// Why nothing was fetched. For the operator; holds no secret.
#[derive(Debug, Clone)]
pub(in crate::credential) enum Missing {
    /// The service has no such secret.
    Gone(String),
    /// The service cannot be asked, or does not let itself be asked, for now.
    Unasked(String),
}

/// Whose secret is asked for.
#[derive(Debug, Clone, Copy)]
pub(in crate::credential) struct Asked<'a> {
    tenant: &'a str,
    server: &'a str,
    /// Where it is at the service; empty for a command.
    place: &'a str,
}

/// A service that has secrets.
#[async_trait]
pub(in crate::credential) trait Source: Send + Sync {
    /// The secret: a text, or a JSON object.
    async fn fetch(&self, asked: Asked<'_>) -> Result<Zeroizing<Vec<u8>>, Missing>;
}

/// The services by name.
#[derive(Default)]
pub(in crate::credential) struct Sources(HashMap<String, (Arc<dyn Source>, Arc<SecretService>)>);

impl Sources {
    pub(in crate::credential) fn new<'a>(
        services: impl IntoIterator<Item = (&'a String, &'a Arc<SecretService>)>,
    ) -> Self {
        let source = |service: &SecretService| -> Arc<dyn Source> {
            match &service.place {
                SecretPlace::Vault(it) => Arc::new(VaultKv::new(it)),
                SecretPlace::Aws(it) => Arc::new(Manager::new(it)),
                SecretPlace::File(_) => Arc::new(MountedFile),
                SecretPlace::Command(words) => Arc::new(CommandOutput(words.clone())),
            }
        };
        let services = services.into_iter();
        Self(services.map(|(name, it)| (name.clone(), (source(it), Arc::clone(it)))).collect())
    }

    /// What is kept of each secret of an account, in the order of its secrets. Members of one secret are fetched together.
    pub(in crate::credential) fn kept(&self, account: &Account) -> Vec<Option<Arc<Kept>>> {
        let mut all: Vec<Option<Arc<Kept>>> = Vec::new();
        for source in account.credential.secrets() {
            let kept = match source {
                SecretSource::Fetched(it) => {
                    let same = all.iter().flatten().find(|kept| kept.is_of(it)).map(Arc::clone);
                    same.or_else(|| self.new_kept(account, it))
                }
                SecretSource::File(_) | SecretSource::Sealed | SecretSource::Inline(_) => None,
            };
            all.push(kept);
        }
        all
    }

    fn new_kept(&self, account: &Account, fetched: &Fetched) -> Option<Arc<Kept>> {
        let (source, service) = self.0.get(&fetched.from)?;
        Some(Arc::new(Kept {
            source: Arc::clone(source),
            service: Arc::clone(service),
            from: fetched.from.clone(),
            place: fetched.place.clone().unwrap_or_default(),
            tenant: account.tenant.to_string(),
            server: account.server.to_string(),
            state: Mutex::default(),
        }))
    }
}

/// One secret of an account, for as long as it may be kept.
pub(in crate::credential) struct Kept {
    source: Arc<dyn Source>,
    service: Arc<SecretService>,
    from: String,
    place: String,
    tenant: String,
    server: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Text>>,
    flight: Option<Flight>,
    pause: Option<(Instant, Duration)>,
    rejected_at: Option<Instant>,
}

type Outcome = Result<Arc<Text>, Missing>;
type Flight = watch::Receiver<Option<Outcome>>;

/// What was fetched.
pub(in crate::credential) struct Text {
    bytes: Zeroizing<Vec<u8>>,
    /// Counts what was fetched and differs from what was there before.
    pub(in crate::credential) version: u64,
    at: Instant,
    /// Whether a server rejected it, so that it is to be fetched anew.
    is_rejected: bool,
}

enum Next {
    Use(Arc<Text>),
    Join(Flight, Option<Arc<Text>>),
    Refuse(String),
}

impl Kept {
    fn is_of(&self, fetched: &Fetched) -> bool {
        self.from == fetched.from && fetched.place.as_deref().unwrap_or_default() == self.place
    }

    /// The secret as it is now.
    ///
    /// # Errors
    /// Why there is none, for the operator.
    pub(in crate::credential) async fn get(self: &Arc<Self>) -> Result<Arc<Text>, String> {
        match self.next(Instant::now()) {
            Next::Use(text) => Ok(text),
            Next::Refuse(why) => Err(why),
            Next::Join(flight, None) => landed(flight).await.map_err(Missing::into_text),
            Next::Join(flight, Some(stale)) => match tokio::time::timeout(PATIENCE, landed(flight)).await {
                Ok(Ok(text)) => Ok(text),
                Ok(Err(Missing::Gone(why))) => Err(why),
                Ok(Err(Missing::Unasked(_))) | Err(_) => Ok(stale),
            },
        }
    }

    /// A server did not accept the credential: what is kept may be older than what the service has.
    pub(in crate::credential) fn rejected(&self) {
        let mut state = self.state();
        let now = Instant::now();
        if state.rejected_at.is_some_and(|at| now.duration_since(at) < BETWEEN_REJECTIONS) {
            return;
        }
        state.rejected_at = Some(now);
        if let Some(text) = state.current.take() {
            let bytes = text.bytes.clone();
            state.current = Some(Arc::new(Text { bytes, is_rejected: true, ..*text }));
        }
    }

    fn next(self: &Arc<Self>, now: Instant) -> Next {
        let mut state = self.state();
        let paused = state.pause.is_some_and(|(until, _)| now < until);
        let (keep, stale) = (self.service.keep, self.service.stale);
        let Some(text) = state.current.clone() else {
            return match (&state.flight, paused) {
                (Some(flight), _) => Next::Join(flight.clone(), None),
                (None, true) => Next::Refuse("the service is given a pause after it failed".into()),
                (None, false) => Next::Join(self.fly(&mut state), None),
            };
        };
        let age = now.duration_since(text.at);
        let is_due = text.is_rejected || age >= keep / 2;
        if is_due && !paused && state.flight.is_none() {
            self.fly(&mut state);
        }
        let usable = (age < keep + stale).then(|| Arc::clone(&text));
        match (&state.flight, usable) {
            (_, Some(text)) if age < keep && !text.is_rejected => Next::Use(text),
            (Some(flight), usable) => Next::Join(flight.clone(), usable),
            (None, Some(text)) => Next::Use(text),
            (None, None) => {
                state.current = None;
                Next::Refuse("the service is given a pause after it failed".into())
            }
        }
    }

    fn fly(self: &Arc<Self>, state: &mut State) -> Flight {
        let (sender, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let kept = Arc::clone(self);
        tokio::spawn(async move {
            let landing = Landing { kept: &kept, sender };
            let asked = Asked { tenant: &kept.tenant, server: &kept.server, place: &kept.place };
            landing.land(kept.source.fetch(asked).await);
        });
        flight
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, missing: &Missing) {
        let (tenant, server) = (&self.tenant, &self.server);
        let (Missing::Gone(why) | Missing::Unasked(why)) = missing;
        tracing::warn!(%tenant, %server, %why, "The account's secret cannot be fetched");
    }
}

impl State {
    fn take(&mut self, fetched: Result<Zeroizing<Vec<u8>>, Missing>, now: Instant) -> Outcome {
        match fetched {
            Ok(bytes) => {
                let before = self.current.take();
                let version = before.map_or(1, |before| before.version + u64::from(before.bytes != bytes));
                let text = Arc::new(Text { bytes, version, at: now, is_rejected: false });
                (self.current, self.pause) = (Some(Arc::clone(&text)), None);
                Ok(text)
            }
            Err(missing) => {
                let length = self.pause.map_or(FIRST_PAUSE, |(_, before)| (before * 2).min(LONGEST_PAUSE));
                self.pause = Some((now + jittered(length), length));
                if matches!(missing, Missing::Gone(_)) {
                    self.current = None;
                }
                Err(missing)
            }
        }
    }
}

impl Text {
    /// The whole text without the one newline that editors leave at its end, or a member of the object that it is.
    ///
    /// # Errors
    /// It is none, or has no such member; for the operator.
    pub(in crate::credential) fn select(&self, field: Option<&str>) -> Result<Secret, String> {
        let text = std::str::from_utf8(&self.bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
        let found = match field {
            None => Some(text.strip_suffix('\n').map_or(text, |line| line.trim_end_matches('\r')).to_owned()),
            Some(field) => {
                let object: HashMap<String, &RawValue> =
                    serde_json::from_str(text).map_err(|_| "it is no JSON object".to_owned())?;
                object.get(field).and_then(|value| serde_json::from_str::<String>(value.get()).ok())
            }
        };
        let found = found.map(Secret::new).filter(|secret| !secret.expose().is_empty());
        found.ok_or_else(|| match field {
            None => "it is empty".to_owned(),
            Some(field) => format!("its `{field}` is no text, or there is none"),
        })
    }
}

impl Missing {
    fn into_text(self) -> String {
        match self {
            Self::Gone(why) | Self::Unasked(why) => why,
        }
    }
}

async fn landed(mut flight: Flight) -> Outcome {
    let lost = || Missing::Unasked("the fetch broke off".into());
    match flight.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(lost())),
        Err(_) => Err(lost()),
    }
}

/// Ends a flight: with its outcome, or, if its task dies, with none.
struct Landing<'a> {
    kept: &'a Kept,
    sender: watch::Sender<Option<Outcome>>,
}

impl Landing<'_> {
    fn land(self, fetched: Result<Zeroizing<Vec<u8>>, Missing>) {
        if let Err(missing) = &fetched {
            self.kept.tell(missing);
        }
        let outcome = self.kept.state().take(fetched, Instant::now());
        self.sender.send_replace(Some(outcome));
    }
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.kept.state().flight = None;
    }
}
