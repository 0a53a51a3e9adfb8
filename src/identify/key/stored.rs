//! API keys that were made while the gate runs: by their SHA-256 in the store, and listed by tenant.
//!
//! # Why two entries for one key
//! A call looks a key up by its hash; an admin lists those of a tenant. The second entry says the hash of the first. It is
//! written before and removed after it, so that a key that works is always listed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Static;
use crate::identify::key::new_api_key;
use crate::identify::proof::{BadProof, Found};
use crate::identify::{Authentication, Caller, Proof, Uses};
use crate::name::{AgentId, KeyId, TenantId, UserId};
use crate::secret::Secret;
use crate::store::{Store, StoreError, Table};

/// Holders that are kept ready.
const KEPT: usize = 20_000;
/// Of the key, for lists: `pck_` and some more.
const SHOWN: usize = 10;

/// What a new key shall be.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Whom it stands for.
    pub who: Static,
    /// When it ends; `None`: when it is revoked.
    pub expires_at: Option<Timestamp>,
    /// What it is for, in words.
    pub note: Option<String>,
}

/// What is kept of a key: everything but the key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Its public id, `ak_…`.
    pub id: KeyId,
    /// Its first characters, so that a holder can be told which of theirs it is.
    pub prefix: String,
    /// The tenant.
    pub tenant: TenantId,
    /// The user that its holder acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The agent that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The holder's roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Arc<str>>,
    /// The holder's groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Arc<str>>,
    /// The holder's attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
    /// When it ends; absent: when it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum KeyProblem {
    /// Its end is in the past.
    #[error("`expires_at` {0} is in the past")]
    AlreadyExpired(Timestamp),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gave no random bits.
    #[error("the system gives no random bits")]
    NoRandom,
}

/// The stored keys of every tenant.
pub struct KeyRecords {
    store: Arc<dyn Store>,
    kept: Cache<[u8; 32], Kept>,
}

#[derive(Clone)]
struct Kept {
    version: u64,
    holder: Arc<Holder>,
}

struct Holder {
    caller: Arc<Caller>,
    id: KeyId,
    expires_at: Option<Timestamp>,
}

impl KeyRecords {
    /// The keys in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, kept: Cache::new(KEPT) }
    }

    /// Makes a key. It is in the answer and nowhere else: it cannot be shown again.
    ///
    /// # Errors
    /// An end in the past, or a store that fails.
    pub async fn create(&self, new: NewKey, now: Timestamp) -> Result<(KeyRecord, Secret), KeyProblem> {
        let life = life(new.expires_at, now)?;
        let (key, digest) = new_api_key().map_err(|_| KeyProblem::NoRandom)?;
        let mut bits = [0; 12];
        aws_lc_rs::rand::fill(&mut bits).map_err(|_| KeyProblem::NoRandom)?;
        let id = KeyId::parse(&format!("ak_{}", URL_SAFE_NO_PAD.encode(bits)))
            .map_err(|_| KeyProblem::NoRandom)?;
        let NewKey { who, expires_at, note } = new;
        let Static { tenant, user, agent, roles, groups, attributes } = who;
        let prefix = key.expose().chars().take(SHOWN).collect();
        let created_at = now;
        let record = KeyRecord {
            id,
            prefix,
            tenant,
            user,
            agent,
            roles,
            groups,
            attributes,
            expires_at,
            note,
            created_at,
        };
        let value = serde_json::to_vec(&record).map_err(|error| StoreError::Failed(error.to_string()))?;
        self.write(&listed(&record.tenant, record.id.as_str()), &digest, life).await?;
        self.write(&by_hash(&digest), &value, life).await?;
        Ok((record, key))
    }

    async fn write(&self, key: &[u8], value: &[u8], life: Option<Duration>) -> Result<u64, StoreError> {
        match life {
            None => self.store.put(Table::ApiKeys, key, value, Some(0)).await,
            Some(life) => self.store.put_for(Table::ApiKeys, key, value, Some(0), life).await,
        }
    }

    /// At most `limit` of the tenant's keys whose id comes after `after`, and after which the next ones come, if there
    /// may be more.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn page(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<KeyRecord>, Option<String>), StoreError> {
        let prefix = listed(tenant, "");
        let after = after.map(|id| listed(tenant, id));
        let page = self.store.page(Table::ApiKeys, &prefix, after.as_deref(), limit).await?;
        let last = page.last().filter(|_| page.len() == limit).map(|(key, _)| key);
        let last = last.and_then(|key| String::from_utf8(key.get(prefix.len()..)?.to_vec()).ok());
        let mut records = Vec::with_capacity(page.len());
        for (_, stored) in page {
            // What has no second entry was being made or revoked when the gate was killed.
            if let Some(record) = self.store.get(Table::ApiKeys, &by_hash(&stored.value)).await? {
                records.push(read(&record.value)?);
            }
        }
        Ok((records, last))
    }

    /// Takes a key back; true if there was one. It works no more, on any gate.
    ///
    /// # Errors
    /// Where the store fails: then the key may still work.
    pub async fn revoke(&self, tenant: &TenantId, id: &str) -> Result<bool, StoreError> {
        let entry = listed(tenant, id);
        let Some(stored) = self.store.get(Table::ApiKeys, &entry).await? else { return Ok(false) };
        self.store.remove(Table::ApiKeys, &by_hash(&stored.value)).await?;
        self.store.remove(Table::ApiKeys, &entry).await
    }

    pub(in crate::identify) async fn find(&self, digest: &[u8; 32], uses: &Uses, now: Timestamp) -> Found {
        match self.holder(digest).await {
            Ok(None) => Found::Invalid(BadProof::UnknownApiKey),
            Ok(Some(holder)) if holder.expires_at.is_some_and(|end| end <= now) => {
                Found::Invalid(BadProof::ExpiredApiKey)
            }
            Ok(Some(holder)) => {
                uses.note(&holder.caller.tenant, holder.id.as_str(), now);
                Found::Valid(Arc::clone(&holder.caller))
            }
            Err(error) => {
                tracing::error!(%error, "An API key could not be looked up");
                Found::Invalid(BadProof::NoStore)
            }
        }
    }

    async fn holder(&self, digest: &[u8; 32]) -> Result<Option<Arc<Holder>>, StoreError> {
        let Some(stored) = self.store.get(Table::ApiKeys, &by_hash(digest)).await? else { return Ok(None) };
        if let Some(kept) = self.kept.get(digest).filter(|kept| kept.version == stored.version) {
            return Ok(Some(kept.holder));
        }
        let record = read(&stored.value)?;
        let who = Static {
            tenant: record.tenant,
            user: record.user,
            agent: record.agent,
            roles: record.roles,
            groups: record.groups,
            attributes: record.attributes,
        };
        let caller = Arc::new(Caller::configured(&who, Authentication::by(Proof::ApiKey)));
        let holder = Arc::new(Holder { caller, id: record.id, expires_at: record.expires_at });
        self.kept.insert(*digest, Kept { version: stored.version, holder: Arc::clone(&holder) });
        Ok(Some(holder))
    }
}

impl std::fmt::Debug for KeyRecords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyRecords")
    }
}

fn life(end: Option<Timestamp>, now: Timestamp) -> Result<Option<Duration>, KeyProblem> {
    let Some(end) = end else { return Ok(None) };
    let left = Duration::try_from(end.duration_since(now)).ok().filter(|left| !left.is_zero());
    left.map(Some).ok_or(KeyProblem::AlreadyExpired(end))
}

fn read(value: &[u8]) -> Result<KeyRecord, StoreError> {
    serde_json::from_slice(value)
        .map_err(|error| StoreError::Damaged { path: "API keys".to_owned(), why: error.to_string() })
}

fn by_hash(digest: &[u8]) -> Vec<u8> {
    [b"h\0".as_slice(), digest].concat()
}

fn listed(tenant: &TenantId, id: &str) -> Vec<u8> {
    [b"t\0".as_slice(), tenant.as_str().as_bytes(), &[0], id.as_bytes()].concat()
}
