//! What is kept of a revocation.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::name::TenantId;
use crate::store::StoreError;

/// How the entries begin that say when a tenant's list was changed.
pub(in crate::identify::revoked) const CHANGES: &[u8] = b"c\0";

/// What of a token an entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevokedBy {
    /// One token, by its `jti`.
    Token,
    /// Every token of a subject (`sub`).
    Subject,
    /// Every token of a client (`client_id`, `azp`).
    Client,
    /// Every token of a session at the issuer (`sid`).
    Session,
}

impl RevokedBy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Session => "session",
        }
    }
}

/// What shall be revoked.
#[derive(Debug, Clone)]
pub struct NewRevocation {
    /// In which tenant.
    pub tenant: TenantId,
    /// Whose tokens: `iss`.
    pub issuer: String,
    /// What of them is named.
    pub by: RevokedBy,
    /// Its value.
    pub value: String,
    /// Only tokens that were issued until then; `None`: later ones too.
    pub issued_until: Option<Timestamp>,
    /// When the entry vanishes.
    pub expires_at: Timestamp,
    /// Why, in words.
    pub note: Option<String>,
}

/// An entry of the list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Its public id, `rv_…`: the same for the same issuer and value.
    pub id: String,
    /// In which tenant.
    pub tenant: TenantId,
    /// Whose tokens: `iss`.
    pub issuer: String,
    /// What of them is named.
    pub by: RevokedBy,
    /// Its value.
    pub value: String,
    /// Only tokens that were issued until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_until: Option<Timestamp>,
    /// When it vanishes.
    pub expires_at: Timestamp,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Revocation {
    pub(in crate::identify::revoked) fn new(new: NewRevocation, created_at: Timestamp) -> Self {
        let NewRevocation { tenant, issuer, by, value, issued_until, expires_at, note } = new;
        let id = id(&issuer, by, &value);
        Self { id, tenant, issuer, by, value, issued_until, expires_at, note, created_at }
    }

    pub(in crate::identify::revoked) fn read(value: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(value)
            .map_err(|error| StoreError::Damaged { path: "revocations".to_owned(), why: error.to_string() })
    }

    /// Whether it is about a token that was issued then; one that does not say when is as old as any.
    pub(in crate::identify::revoked) fn covers(&self, issued_at: Option<Timestamp>, now: Timestamp) -> bool {
        let is_older = |until| issued_at.is_none_or(|issued| issued <= until);
        self.expires_at > now && self.issued_until.is_none_or(is_older)
    }
}

/// The id of an entry: a digest, so that a token's claims lead to it and keys stay short.
pub(in crate::identify::revoked) fn id(issuer: &str, by: RevokedBy, value: &str) -> String {
    let mut digest = Sha256::new_with_prefix(b"portcullis revocation 1");
    for part in [issuer, by.as_str(), value] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    format!("rv_{}", URL_SAFE_NO_PAD.encode(digest.first_chunk::<16>().unwrap_or(&[0; 16])))
}

/// Where an entry is.
pub(in crate::identify::revoked) fn key(tenant: &TenantId, id: &str) -> Vec<u8> {
    [b"t\0".as_slice(), tenant.as_str().as_bytes(), &[0], id.as_bytes()].concat()
}

/// Where it says when the tenant's list was changed.
pub(in crate::identify::revoked) fn change(tenant: &TenantId) -> Vec<u8> {
    [CHANGES, tenant.as_str().as_bytes()].concat()
}

/// The tenant of such a place.
pub(in crate::identify::revoked) fn changed(key: &[u8]) -> Option<TenantId> {
    TenantId::parse(std::str::from_utf8(key.strip_prefix(CHANGES)?).ok()?).ok()
}
