//! Scoped URLs: `/mcp/<token>`, a credential for one tenant's use of one server, narrowed by methods and tags.
//!
//! # Why an HMAC and no comparison
//! The token is 256 random bits and is kept nowhere; its HMAC under the gate's key is the key of the record. Whoever reads the store
//! can make no URL of it, and a lookup by digest tells nothing by its time.
//!
//! # Why unknown, revoked and expired take the same time
//! Revoking removes the record, and an expired one is removed when it is seen, so all three are a lookup that finds nothing. The one
//! time that an expired record is still there costs as much, because a lookup that finds nothing reads a decoy.

mod narrowing;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use quick_cache::sync::Cache;
use sha2::Sha256;

use crate::catalogue::Tool;
use crate::config::Static;
use crate::identify::clock::Clock;
use crate::identify::url::narrowing::check_narrowing;
pub use crate::identify::url::record::UrlRecord;
use crate::identify::{Authentication, Caller, Proof, Scope};
use crate::name::{ServerName, TenantId, UrlId};
use crate::refusal::Refusal;
use crate::secret::{Key, Secret};
use crate::store::{Store, StoreError, Stored, Table};

/// Found records that are kept parsed. The store is asked each time whether they are still the ones.
const PARSED: usize = 100_000;
/// Of the token, for lists.
const SHOWN: usize = 6;

/// What a new scoped URL shall be.
#[derive(Debug, Clone)]
pub struct NewUrl {
    /// Whom its holder acts for, where no other credential says so.
    pub who: Static,
    /// The server that it leads to.
    pub server: ServerName,
    /// Operations or classes (`read`, `write`, `custom`); `None`: it does not narrow by method.
    pub methods: Option<Vec<Arc<str>>>,
    /// Tags, one of which a tool must have; `None`: it does not narrow by tag.
    pub tags: Option<Vec<Arc<str>>>,
    /// When it ends; `None`: when it is revoked.
    pub expires_at: Option<Timestamp>,
    /// Whether its holder needs a JWT or an API key as well; `None`: as the configuration says.
    pub second_factor: Option<bool>,
    /// What it is for, in words.
    pub note: Option<String>,
}

impl NewUrl {
    /// Whether its methods and tags leave any of `tools`; `None`: they are not known.
    ///
    /// # Errors
    /// An empty list; or what each filter removed, where none is left.
    pub fn narrows(&self, tools: Option<&[Tool]>) -> Result<(), UrlProblem> {
        check_narrowing(self, tools)
    }
}

/// Why a scoped URL was not made.
#[derive(Debug, thiserror::Error)]
pub enum UrlProblem {
    /// A list that narrows has nothing in it.
    #[error("`{0}` is an empty list, which would leave nothing: leave it out if it shall not narrow")]
    EmptyList(&'static str),
    /// Its end is in the past.
    #[error("`expires_at` {0} is in the past")]
    AlreadyExpired(Timestamp),
    /// Methods and tags leave no tool. The text names what each of them removed.
    #[error("{0}")]
    NothingLeft(String),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gave no random bits.
    #[error("the system gives no random bits")]
    NoRandom,
}

/// The scoped URLs of every tenant.
#[derive(Debug)]
pub struct ScopedUrls {
    store: Arc<dyn Store>,
    key: Hmac<Sha256>,
    second_factor: bool,
    /// By digest, with the version that was parsed.
    parsed: Cache<[u8; 32], (u64, Arc<Live>)>,
    decoy: Vec<u8>,
    clock: Clock,
}

/// A record that was found to be good, ready for use.
#[derive(Debug)]
pub(in crate::identify) struct Live {
    /// The holder, where no other credential says who they are.
    pub(in crate::identify) caller: Arc<Caller>,
    pub(in crate::identify) needs_second_factor: bool,
    record: UrlRecord,
}

impl ScopedUrls {
    /// The scoped URLs in `store`, under the gate's key. `second_factor`: whether they need one unless they say otherwise.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the key cannot be used.
    pub fn new(store: Arc<dyn Store>, gate_key: &Key, second_factor: bool) -> Result<Self, Refusal> {
        Self::with_clock(store, gate_key, second_factor, Clock::system())
    }

    pub(in crate::identify) fn with_clock(
        store: Arc<dyn Store>,
        gate_key: &Key,
        second_factor: bool,
        clock: Clock,
    ) -> Result<Self, Refusal> {
        let mut key =
            <Hmac<Sha256> as KeyInit>::new_from_slice(gate_key.expose()).map_err(|_| Refusal::Internal)?;
        key.update(b"scoped url 1\0");
        let decoy = UrlRecord::decoy().and_then(|record| serde_json::to_vec(&record).ok());
        Ok(Self {
            store,
            key,
            second_factor,
            parsed: Cache::new(PARSED),
            decoy: decoy.ok_or(Refusal::Internal)?,
            clock,
        })
    }

    /// Makes a scoped URL. The token is in the answer and nowhere else: it cannot be shown again. `tools` are those that the
    /// server is known to have; `None`: they are not known.
    ///
    /// # Errors
    /// An empty list, an end in the past, methods and tags that leave no tool, or a store that fails.
    pub async fn create(
        &self,
        new: NewUrl,
        tools: Option<&[Tool]>,
    ) -> Result<(UrlRecord, Secret), UrlProblem> {
        let now = self.clock.now();
        if let Some(end) = new.expires_at.filter(|end| *end <= now) {
            return Err(UrlProblem::AlreadyExpired(end));
        }
        check_narrowing(&new, tools)?;
        let token = Secret::new(random::<32>()?);
        let prefix = token.expose().chars().take(SHOWN).collect();
        let id = UrlId::parse(&format!("su_{}", random::<12>()?)).map_err(|_| UrlProblem::NoRandom)?;
        let end = new.expires_at;
        let record = UrlRecord::new(id, prefix, now, new);
        let value = serde_json::to_vec(&record).map_err(|error| StoreError::Failed(error.to_string()))?;
        let digest = self.digest(token.expose());
        match end.map(|end| end.duration_since(now)) {
            None => self.store.put(Table::Urls, &digest, &value, Some(0)).await?,
            Some(left) => {
                let life = Duration::try_from(left).unwrap_or_default();
                self.store.put_for(Table::Urls, &digest, &value, Some(0), life).await?
            }
        };
        Ok((record, token))
    }

    /// Who the holder of such a URL would be, before it is made: to find out what it would lead to.
    #[must_use]
    pub fn holder(&self, new: &NewUrl) -> Option<Arc<Caller>> {
        let id = UrlId::parse("su_not-made-yet").ok()?;
        Some(self.ready(UrlRecord::new(id, String::new(), self.clock.now(), new.clone())).caller)
    }

    /// The tenant's URLs, oldest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn list(&self, tenant: &TenantId) -> Result<Vec<UrlRecord>, StoreError> {
        let mut records: Vec<UrlRecord> =
            self.of(tenant).await?.into_iter().map(|(_, record)| record).collect();
        records.sort_by_key(|record| record.created_at);
        Ok(records)
    }

    /// Takes a URL back; true if there was one. It works no more on this gate from now on, and on others as soon as their
    /// store says so: in much less than a second.
    ///
    /// # Errors
    /// Where the store fails: then the URL may still work.
    pub async fn revoke(&self, tenant: &TenantId, id: &UrlId) -> Result<bool, StoreError> {
        let all = self.of(tenant).await?;
        let Some((digest, _)) = all.into_iter().find(|(_, record)| record.id == *id) else {
            return Ok(false);
        };
        self.store.remove(Table::Urls, &digest).await
    }

    /// The record of a token.
    ///
    /// # Errors
    /// [`Refusal::UnknownUrl`] where it is unknown, revoked or expired, in the same time; [`Refusal::IdentityUnavailable`] where
    /// the store fails.
    pub async fn find(&self, token: &Secret) -> Result<UrlRecord, Refusal> {
        self.live(token.expose()).await.map(|live| live.record.clone())
    }

    pub(in crate::identify) async fn live(&self, token: &str) -> Result<Arc<Live>, Refusal> {
        let digest = self.digest(token);
        let stored = self.store.get(Table::Urls, &digest).await.map_err(unavailable)?;
        if let Some(live) = stored.as_ref().and_then(|stored| self.parsed(&digest, stored.version)) {
            return Ok(live);
        }
        let record = UrlRecord::read(stored.as_ref().map_or(&self.decoy, |stored| &stored.value));
        let Some(Stored { version, .. }) = stored else { return Err(Refusal::UnknownUrl) };
        let record = record.map_err(unavailable)?;
        if record.has_ended(self.clock.now()) {
            self.forget(digest.to_vec());
            return Err(Refusal::UnknownUrl);
        }
        let live = Arc::new(self.ready(record));
        self.parsed.insert(digest, (version, Arc::clone(&live)));
        Ok(live)
    }

    /// The record of that very version, where it was parsed before and has not ended.
    fn parsed(&self, digest: &[u8; 32], version: u64) -> Option<Arc<Live>> {
        let (parsed, live) = self.parsed.get(digest)?;
        (parsed == version && !live.record.has_ended(self.clock.now())).then_some(live)
    }

    fn ready(&self, record: UrlRecord) -> Live {
        let scope = Scope {
            id: record.id.clone(),
            server: record.server.clone(),
            methods: record.methods.clone().unwrap_or_default(),
            tags: record.tags.clone().unwrap_or_default(),
            expires_at: record.expires_at,
        };
        let mut caller = Caller::configured(&record.who, Authentication::by(Proof::ScopedUrl));
        caller.scope = Some(Arc::new(scope));
        let needs_second_factor = record.second_factor.unwrap_or(self.second_factor);
        Live { caller: Arc::new(caller), needs_second_factor, record }
    }

    /// The tenant's records with their keys. Expired ones are removed on the way.
    async fn of(&self, tenant: &TenantId) -> Result<Vec<(Vec<u8>, UrlRecord)>, StoreError> {
        let mut own = Vec::new();
        for (key, stored) in self.store.scan(Table::Urls, &[]).await? {
            match UrlRecord::read(&stored.value) {
                Ok(record) if record.has_ended(self.clock.now()) => self.forget(key),
                Ok(record) if record.who.tenant == *tenant => own.push((key, record)),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "Scoped URL's record cannot be read"),
            }
        }
        Ok(own)
    }

    /// Removes an expired record, and nobody waits for it: the time of an answer must not tell that there was one.
    fn forget(&self, key: Vec<u8>) {
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            if let Err(error) = store.remove(Table::Urls, &key).await {
                tracing::warn!(%error, "Expired scoped URL was not removed");
            }
        });
    }

    fn digest(&self, token: &str) -> [u8; 32] {
        self.key.clone().chain_update(token).finalize().into_bytes().into()
    }
}

fn unavailable(error: StoreError) -> Refusal {
    tracing::error!(%error, "Scoped URL could not be looked up");
    Refusal::IdentityUnavailable
}

/// `N` random bytes in base64url.
fn random<const N: usize>() -> Result<String, UrlProblem> {
    let mut bits = [0; N];
    aws_lc_rs::rand::fill(&mut bits).map_err(|_| UrlProblem::NoRandom)?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}
