//! The grant of one account: read from the store, and refreshed by one gate at a time.
//!
//! # Why the version is the fence and the lock only saves work
//! A holder of the lock may be held up for longer than the lock lasts. What it then writes is written with the version that it
//! read under the lock, so it changes nothing; it reads again and uses what another gate has got.
//!
//! # What can be lost
//! A provider that rotates refresh tokens has made the old one useless when it answers. The new one is in the store before
//! the access token is used; between the answer and the store it is in this process alone. A gate that is killed there loses
//! it, and the account needs to be connected again, unless the provider takes the old one once more. A store that fails
//! there loses nothing: the grant is kept here and written before anything else is tried.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::AuthorizationCode;
use crate::credential::Places;
use crate::credential::oauth::answer::{Answer, unavailable};
use crate::credential::oauth::endpoint::{Endpoint, Proof, checked, place};
use crate::credential::oauth::form::Form;
use crate::credential::oauth::grant::{Grant, State};
use crate::credential::oauth::http::Http;
use crate::credential::seal::{Owner, SealedSecret};
use crate::credential::tokens::{Failure, Setback};
use crate::name::{ServerName, TenantId};
use crate::secret::Secret;
use crate::store::lock::Lock;
use crate::store::{StoreError, Stored, Table};

/// A dead holder's lock ends after so long: soon enough for those who wait.
const LOCK_LIFE: Duration = Duration::from_secs(4);
/// How often a holder says that it is alive.
const ALIVE: Duration = Duration::from_secs(1);
/// How long a refresh waits for that of another gate, and then tries by itself.
const PATIENCE: Duration = Duration::from_secs(18);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(100);
/// A token that has less than this left is not taken from another gate.
const LEAST_LEFT: Duration = Duration::from_secs(1);
/// What the seal of a grant says that it is.
const KIND: &str = "grant";

/// The grant of one account.
pub(in crate::credential) struct Keeper {
    pub(in crate::credential) tenant: TenantId,
    pub(in crate::credential) server: ServerName,
    pub(in crate::credential) http: Http,
    pub(in crate::credential) places: Arc<Places>,
    /// Got from the provider, and not yet in the store.
    unsaved: Mutex<Option<(Grant, u64)>>,
}

/// A grant as it is in the store.
pub(in crate::credential) struct Kept {
    pub(in crate::credential) grant: Grant,
    pub(in crate::credential) version: u64,
}

/// What a refresh is made with.
pub(in crate::credential) struct Wanted<'a> {
    pub(in crate::credential) account: &'a AuthorizationCode,
    /// The client's secret as it is configured.
    pub(in crate::credential) secret: &'a Secret,
    /// The token that is no longer wanted, by the moment that it came at.
    pub(in crate::credential) instead_of: Option<Timestamp>,
}

impl Keeper {
    pub(in crate::credential) fn new(
        tenant: TenantId,
        server: ServerName,
        http: Http,
        places: Arc<Places>,
    ) -> Self {
        Self { tenant, server, http, places, unsaved: Mutex::default() }
    }

    /// The entry as it is in the store, still sealed.
    pub(in crate::credential) async fn stored(&self) -> Result<Option<Stored>, StoreError> {
        self.places.store.get(Table::Grants, &key(&self.tenant, &self.server)).await
    }

    /// Opens an entry.
    pub(in crate::credential) async fn open(&self, stored: Stored) -> Result<Kept, Setback> {
        let version = stored.version;
        let sealed = SealedSecret::from_bytes(stored.value);
        let opened = self.places.sealer.open_sealed(owner(&self.tenant, &self.server), &sealed).await;
        let opened = opened.map_err(|error| unavailable(format!("the grant cannot be opened: {error}")))?;
        let grant = Grant::from_bytes(opened.expose());
        let grant = grant.map_err(|_| unavailable("the grant in the store is not one".into()))?;
        Ok(Kept { grant, version })
    }

    /// The grant as it is now.
    ///
    /// # Errors
    /// There is none, it needs to be connected again, or the store failed.
    pub(in crate::credential) async fn kept(&self) -> Result<Kept, Setback> {
        match self.stored().await.map_err(|error| unavailable(error.to_string()))? {
            Some(stored) => self.open(stored).await,
            None => Err(not_connected()),
        }
    }

    /// The grant as the store itself has it: what this gate remembers of a shared one may be a moment old, and a refresh token
    /// that is used twice is the end of a grant.
    async fn fresh(&self) -> Result<Kept, Setback> {
        let key = key(&self.tenant, &self.server);
        let found = self.places.store.page(Table::Grants, &key, None, 1).await;
        let found = found.map_err(|error| unavailable(error.to_string()))?;
        match found.into_iter().find(|(at, _)| *at == key) {
            Some((_, stored)) => self.open(stored).await,
            None => Err(not_connected()),
        }
    }

    /// Writes a grant in the place of the version that it was made from; `None`: of whatever is there.
    ///
    /// # Errors
    /// Another version is there, or the store failed.
    pub(in crate::credential) async fn save(
        &self,
        grant: &Grant,
        expected: Option<u64>,
    ) -> Result<u64, StoreError> {
        let failed = |why: &str| StoreError::Failed(why.to_owned());
        let plain = grant.to_bytes().map_err(|_| failed("the grant cannot be written"))?;
        let sealed = self.places.sealer.seal(owner(&self.tenant, &self.server), &plain).await;
        let sealed = sealed.map_err(|error| failed(&error.to_string()))?;
        let key = key(&self.tenant, &self.server);
        self.places.store.put(Table::Grants, &key, sealed.as_bytes(), expected).await
    }

    /// A grant whose token is another than the one that is no longer wanted: another gate's, or from the provider.
    ///
    /// # Errors
    /// There is none now, or none before a person connects the account again.
    pub(in crate::credential) async fn refresh(&self, wanted: &Wanted<'_>) -> Result<Kept, Setback> {
        self.settle().await?;
        let give_up = Instant::now() + PATIENCE;
        loop {
            let kept = usable_now(self.kept().await?)?;
            if will_do(&kept, wanted) {
                return Ok(kept);
            }
            let name = [b"grant\0".as_slice(), &key(&self.tenant, &self.server)].concat();
            let lock = Lock::take(&self.places.store, &name, LOCK_LIFE).await;
            if let Some(mut lock) = lock.map_err(|error| unavailable(error.to_string()))? {
                let refreshed = holding(&mut lock, self.under_lock(wanted)).await;
                if let Err(error) = lock.release().await {
                    tracing::warn!(tenant = %self.tenant, server = %self.server, %error, "A lock was not given back; it ends by itself");
                }
                return refreshed;
            }
            if Instant::now() >= give_up {
                return Err(unavailable("another gate is refreshing and does not finish".into()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn under_lock(&self, wanted: &Wanted<'_>) -> Result<Kept, Setback> {
        let kept = usable_now(self.fresh().await?)?;
        if will_do(&kept, wanted) {
            return Ok(kept);
        }
        let Kept { grant, version } = kept;
        match self.ask(&grant, wanted).await {
            Ok(answer) => {
                let missing = missing(&grant, answer.scopes.as_deref());
                if !missing.is_empty() {
                    tracing::warn!(tenant = %self.tenant, server = %self.server, missing = missing.join(" "), "The account has lost scopes");
                }
                self.keep(grant.refreshed(answer, Timestamp::now()), version).await
            }
            Err(setback) => self.note(grant, version, setback).await,
        }
    }

    /// Asks the provider. Only `invalid_grant` says that the grant is gone; a client that is refused is the operator's to mend,
    /// and no reason to have thousands of accounts connected again.
    async fn ask(&self, grant: &Grant, wanted: &Wanted<'_>) -> Result<Answer, Setback> {
        let Some(refresh_token) = &grant.refresh_token else {
            let why = "the token has ended, and the authorization server gave no refresh token".to_owned();
            return Err(Setback { why, ..Failure::NeedsReauth.into() });
        };
        let url = checked("token_url", &grant.token_url).map_err(unavailable)?;
        let form = Form::new("refresh_token")
            .with("refresh_token", refresh_token.expose())
            .with_some("resource", grant.resource.as_deref());
        let asked = Endpoint {
            http: &self.http,
            url: &url,
            client_id: &grant.client.id,
            proof: proof(grant, wanted, &url),
        };
        let mut answer = asked.ask(form).await;
        if let Err(setback) = &mut answer {
            if !setback.grant_is_gone {
                setback.failure = Failure::Unavailable;
            }
            tracing::warn!(tenant = %self.tenant, server = %self.server, endpoint = %place(&url), why = %setback.why, "The account's token was not refreshed");
        }
        answer
    }

    /// Puts what the provider gave into the store, before anybody uses it.
    async fn keep(&self, grant: Grant, expected: u64) -> Result<Kept, Setback> {
        match self.save(&grant, Some(expected)).await {
            Ok(version) => Ok(Kept { grant, version }),
            // Somebody has connected the account again, or another gate was faster: theirs counts.
            Err(StoreError::Changed) => usable_now(self.fresh().await?),
            Err(error) => {
                *self.unsaved.lock().unwrap_or_else(PoisonError::into_inner) = Some((grant, expected));
                let why = format!("the refreshed grant is not in the store yet, and is tried again: {error}");
                tracing::warn!(tenant = %self.tenant, server = %self.server, %error, "A refreshed grant is not in the store yet");
                Err(unavailable(why))
            }
        }
    }

    /// Writes what could not be written before.
    async fn settle(&self) -> Result<(), Setback> {
        let unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).take();
        match unsaved {
            None => Ok(()),
            Some((grant, expected)) => self.keep(grant, expected).await.map(drop),
        }
    }

    /// Writes down that a refresh failed.
    async fn note(&self, grant: Grant, version: u64, setback: Setback) -> Result<Kept, Setback> {
        let state = match setback.failure {
            Failure::NeedsReauth => State::NeedsReauth,
            Failure::Unavailable => grant.state,
        };
        let grant = grant.failed(&setback.why, state, Timestamp::now());
        match self.save(&grant, Some(version)).await {
            Ok(_) if state == State::NeedsReauth => {
                tracing::warn!(
                    tenant = %self.tenant, server = %self.server, why = %setback.why,
                    "The account needs to be authorised again: run `portcullis account connect`"
                );
                self.places.notices.needs_reauth(&self.tenant, &self.server, &setback.why).await;
                Err(setback)
            }
            // Refused with a refresh token that another gate has replaced meanwhile: its token is good.
            Err(StoreError::Changed) => usable_now(self.fresh().await?),
            Ok(_) => Err(setback),
            Err(error) => {
                tracing::warn!(tenant = %self.tenant, server = %self.server, %error, "A failed refresh could not be written down");
                Err(setback)
            }
        }
    }
}

fn not_connected() -> Setback {
    Setback { why: "the account is not connected yet".into(), ..Failure::NeedsReauth.into() }
}

/// Does it under the lock, which lasts for as long as this process lives. Where it is lost all the same, the version decides.
async fn holding<T>(lock: &mut Lock, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(ALIVE) => {
                if !matches!(lock.extend(LOCK_LIFE).await, Ok(true)) {
                    tracing::warn!("The lock of a refresh could not be held");
                }
            }
        }
    }
}

/// Whether the token is another than the one that is no longer wanted, and good for a while.
fn will_do(kept: &Kept, wanted: &Wanted<'_>) -> bool {
    let is_other = wanted.instead_of.is_none_or(|moment| kept.grant.obtained_at != moment);
    is_other && kept.grant.left(Timestamp::now()).is_none_or(|left| left > LEAST_LEFT)
}

fn usable_now(kept: Kept) -> Result<Kept, Setback> {
    match kept.grant.state {
        State::Active => Ok(kept),
        State::NeedsReauth => {
            let why = kept.grant.last_failure.map_or_else(String::new, |failed| failed.why);
            Err(Setback { why, ..Failure::NeedsReauth.into() })
        }
    }
}

/// A client that the gate registered by itself has its secret in the grant; any other one is configured.
fn proof<'a>(grant: &'a Grant, wanted: &'a Wanted<'_>, url: &reqwest::Url) -> Proof<'a> {
    match (&grant.client.secret, grant.client.registered) {
        (Some(secret), true) if grant.client.in_body => Proof::Body(secret),
        (Some(secret), true) => Proof::Basic(secret),
        (None, true) => Proof::Id,
        (_, false) => Proof::of(&wanted.account.proof, wanted.secret, url, &grant.scopes),
    }
}

/// The scopes that were there and are not any more.
fn missing<'a>(grant: &'a Grant, now: Option<&[String]>) -> Vec<&'a str> {
    let Some(now) = now else { return Vec::new() };
    grant.scopes.iter().filter(|scope| !now.contains(scope)).map(String::as_str).collect()
}

/// The tenant, a NUL (which no name has), the server.
pub(in crate::credential) fn key(tenant: &TenantId, server: &ServerName) -> Vec<u8> {
    [tenant.as_str().as_bytes(), &[0], server.as_str().as_bytes()].concat()
}

pub(in crate::credential) fn owner<'a>(tenant: &'a TenantId, server: &'a ServerName) -> Owner<'a> {
    Owner { tenant: tenant.as_str(), server: server.as_str(), kind: KIND }
}
