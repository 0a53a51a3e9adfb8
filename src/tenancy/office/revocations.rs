//! Revocations: made, listed, removed.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Office, Page, Part, end, tenant};
use crate::identify::{NewRevocation, RevokedBy};
use crate::name::TenantId;
use crate::tenancy::Problem;
use crate::tenancy::problem::Fault;

/// How long an entry lasts where nothing is said: longer than access tokens live.
const LIFE: &str = "30d";
/// Of an issuer or a value, in bytes.
const LONGEST: usize = 2048;

/// Tokens that are to be refused from now on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationBody {
    /// The tenant.
    pub tenant: String,
    /// Whose tokens: `iss`, exactly.
    pub issuer: String,
    /// What of them is named.
    pub by: RevokedBy,
    /// Its value: a `jti`, `sub`, `client_id` or `sid`.
    pub value: String,
    /// Only tokens that were issued until then, a moment in RFC 3339 or `now`. Absent: later ones too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_until: Option<String>,
    /// When the entry vanishes: a moment in RFC 3339, or how long it lasts, such as `7d`. Absent: after 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Office {
    /// Revokes tokens.
    ///
    /// # Errors
    /// What is wrong in what is wanted, or the store fails.
    pub async fn create_revocation(&self, body: RevocationBody) -> Result<Value, Problem> {
        let now = Timestamp::now();
        let record = self.records.revocations.create(wanted(body, now)?, now).await?;
        Ok(json!(record))
    }

    /// What is revoked in a tenant.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn revocations(&self, tenant: &TenantId, part: &Part) -> Result<Page, Problem> {
        let page = self.records.revocations.page(tenant, part.after.as_deref(), part.limit).await;
        let (entries, next) = page?;
        Ok(Page { items: entries.into_iter().map(|entry| json!(entry)).collect(), next })
    }

    /// Takes a revocation back.
    ///
    /// # Errors
    /// There is none, or the store fails.
    pub async fn remove_revocation(&self, tenant: &TenantId, id: &str) -> Result<(), Problem> {
        match self.records.revocations.remove(tenant, id, Timestamp::now()).await? {
            true => Ok(()),
            false => {
                Err(Problem::Unknown(format!("revocation `{}` of tenant `{tenant}`", id.escape_debug())))
            }
        }
    }
}

fn wanted(body: RevocationBody, now: Timestamp) -> Result<NewRevocation, Problem> {
    let tenant = tenant(&body.tenant)?;
    let mut faults = Vec::new();
    for (key, text) in [("issuer", &body.issuer), ("value", &body.value)] {
        if text.is_empty() || text.len() > LONGEST {
            faults.push(Fault::new(key, "is empty or too long", "give the claim's text, exactly"));
        }
    }
    let mut moment = |key: &str, text: Option<&str>| match text {
        None => None,
        Some("now") if key == "issued_until" => Some(now),
        Some(text) => end(text, now).map_err(|why| faults.push(Fault::new(key, why, "give a time"))).ok(),
    };
    let issued_until = moment("issued_until", body.issued_until.as_deref());
    let expires_at = moment("expires_at", body.expires_at.as_deref().or(Some(LIFE)));
    if expires_at.is_some_and(|end| end <= now) {
        faults.push(Fault::new("expires_at", "is in the past", "give a time that is to come"));
    }
    match expires_at {
        Some(expires_at) if faults.is_empty() => {
            let RevocationBody { issuer, by, value, note, .. } = body;
            Ok(NewRevocation { tenant, issuer, by, value, issued_until, expires_at, note })
        }
        Some(_) | None => Err(Problem::Unfit(faults)),
    }
}
