//! What is kept of a scoped URL: everything but its token.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Static;
use crate::identify::url::NewUrl;
use crate::name::{AgentId, BadName, ServerName, TenantId, UrlId, UserId};
use crate::store::StoreError;

/// A scoped URL. As JSON it is what is stored, and what lists show.
#[derive(Debug, Clone, Serialize)]
#[serde(into = "Written")]
pub struct UrlRecord {
    /// Its public id, `su_…`.
    pub id: UrlId,
    /// The first characters of the token, so that a holder can be told which of theirs it is.
    pub prefix: String,
    /// Whom its holder acts for.
    pub who: Static,
    /// The server that it leads to.
    pub server: ServerName,
    /// Operations or classes; `None`: it does not narrow by method. Never empty.
    pub methods: Option<Vec<Arc<str>>>,
    /// Tags; `None`: it does not narrow by tag. Never empty.
    pub tags: Option<Vec<Arc<str>>>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Whether its holder needs a JWT or an API key as well; `None`: as the configuration says.
    pub second_factor: Option<bool>,
    /// What it is for, in words.
    pub note: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl UrlRecord {
    pub(in crate::identify::url) fn new(
        id: UrlId,
        prefix: String,
        created_at: Timestamp,
        new: NewUrl,
    ) -> Self {
        let NewUrl { who, server, methods, tags, expires_at, second_factor, note } = new;
        Self { id, prefix, who, server, methods, tags, expires_at, second_factor, note, created_at }
    }

    /// A record of nobody, as long to read as another.
    pub(in crate::identify::url) fn decoy() -> Option<Self> {
        let who = Static {
            tenant: TenantId::parse("decoy").ok()?,
            user: UserId::parse("nobody@decoy.example").ok(),
            agent: AgentId::parse("decoy").ok(),
            roles: vec![Arc::from("nobody")],
            groups: Vec::new(),
            attributes: BTreeMap::new(),
        };
        Some(Self {
            id: UrlId::parse("su_AAAAAAAAAAAAAAAA").ok()?,
            prefix: "AAAAAA".to_owned(),
            who,
            server: ServerName::parse("decoy").ok()?,
            methods: Some(vec![Arc::from("read")]),
            tags: Some(vec![Arc::from("decoy")]),
            expires_at: Some(Timestamp::UNIX_EPOCH),
            second_factor: None,
            note: None,
            created_at: Timestamp::UNIX_EPOCH,
        })
    }

    pub(in crate::identify::url) fn read(value: &[u8]) -> Result<Self, StoreError> {
        let damaged = |why: String| StoreError::Damaged { path: "scoped URLs".to_owned(), why };
        let written: Written = serde_json::from_slice(value).map_err(|error| damaged(error.to_string()))?;
        Self::try_from(written).map_err(|error| damaged(error.to_string()))
    }

    /// Whether its end has come.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// A record as JSON. A member that this version does not know may narrow, so it is an error and not passed over.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    prefix: String,
    tenant: String,
    server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    methods: Option<Vec<Arc<str>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<Arc<str>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second_factor: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    created_at: String,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("a name in it is none: {0}")]
    Name(#[from] BadName),
    #[error("a time in it is none: {0}")]
    Time(#[from] jiff::Error),
    #[error("a list in it is empty")]
    EmptyList,
}

impl From<UrlRecord> for Written {
    fn from(record: UrlRecord) -> Self {
        let who = record.who;
        Self {
            id: record.id.to_string(),
            prefix: record.prefix,
            tenant: who.tenant.to_string(),
            server: record.server.to_string(),
            methods: record.methods,
            tags: record.tags,
            user: who.user.map(|user| user.to_string()),
            agent: who.agent.map(|agent| agent.to_string()),
            roles: who.roles,
            groups: who.groups,
            attributes: who.attributes,
            expires_at: record.expires_at.map(|end| end.to_string()),
            second_factor: record.second_factor,
            note: record.note,
            created_at: record.created_at.to_string(),
        }
    }
}

impl TryFrom<Written> for UrlRecord {
    type Error = Unreadable;

    fn try_from(written: Written) -> Result<Self, Unreadable> {
        let is_empty = |list: &Option<Vec<Arc<str>>>| list.as_ref().is_some_and(Vec::is_empty);
        if is_empty(&written.methods) || is_empty(&written.tags) {
            return Err(Unreadable::EmptyList);
        }
        let who = Static {
            tenant: TenantId::parse(&written.tenant)?,
            user: written.user.as_deref().map(UserId::parse).transpose()?,
            agent: written.agent.as_deref().map(AgentId::parse).transpose()?,
            roles: written.roles,
            groups: written.groups,
            attributes: written.attributes,
        };
        Ok(Self {
            id: UrlId::parse(&written.id)?,
            prefix: written.prefix,
            who,
            server: ServerName::parse(&written.server)?,
            methods: written.methods,
            tags: written.tags,
            expires_at: written.expires_at.as_deref().map(str::parse).transpose()?,
            second_factor: written.second_factor,
            note: written.note,
            created_at: written.created_at.parse()?,
        })
    }
}
