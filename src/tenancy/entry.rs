//! How an account is kept in the store.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::{ServerName, TenantId};
use crate::store::StoreError;

/// An account as it is stored: what was written, and when. Its secret is sealed in a table of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountEntry {
    /// The entry as it would stand under `accounts`, without `tenant` and `server`.
    pub account: Value,
    /// When it was made.
    pub created_at: Timestamp,
}

impl AccountEntry {
    pub(in crate::tenancy) fn read(value: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(value)
            .map_err(|error| StoreError::Damaged { path: "accounts".to_owned(), why: error.to_string() })
    }
}

/// The tenant, a NUL (which no name has), the server.
pub(in crate::tenancy) fn key(tenant: &TenantId, server: &ServerName) -> Vec<u8> {
    [tenant.as_str().as_bytes(), &[0], server.as_str().as_bytes()].concat()
}

/// What every key of a tenant begins with.
pub(in crate::tenancy) fn prefix(tenant: &TenantId) -> Vec<u8> {
    [tenant.as_str().as_bytes(), &[0]].concat()
}

/// The names in a key.
pub(in crate::tenancy) fn names(key: &[u8]) -> Option<(TenantId, ServerName)> {
    let (tenant, server) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    Some((TenantId::parse(tenant).ok()?, ServerName::parse(server).ok()?))
}

/// Before the first name of a tenant: no name has a control character.
pub(in crate::tenancy) const FIRST_NAME: &[u8] = b"\0\xff";
/// What the notes of removals begin with, in the table of tenants.
pub(in crate::tenancy) const REMOVALS: &[u8] = b"\0removing\0";

/// The note that a tenant is being removed.
pub(in crate::tenancy) fn removal(tenant: &TenantId) -> Vec<u8> {
    [REMOVALS, tenant.as_str().as_bytes()].concat()
}
