//! API keys: made, listed, revoked.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Office, Page, Part, tenant};
use crate::config::Static;
use crate::identify::key::{KeyProblem, KeyRecord, NewKey};
use crate::name::{AgentId, TenantId, UserId};
use crate::tenancy::Problem;
use crate::tenancy::problem::Fault;

/// An API key that is wanted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    /// The tenant.
    pub tenant: String,
    /// The user that its holder acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The agent that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The holder's roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The holder's groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The holder's attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
    /// When it ends: a moment in RFC 3339, or how long it lasts, such as `7d`. Absent: when it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Office {
    /// Makes an API key; it is in the answer this once.
    ///
    /// # Errors
    /// What is wrong in what is wanted; there is no such tenant; or the store fails.
    pub async fn create_key(&self, body: KeyBody) -> Result<Value, Problem> {
        let now = Timestamp::now();
        let new = wanted(body, now)?;
        self.known(&new.who.tenant).await?;
        let (record, key) = self.records.keys.create(new, now).await.map_err(|problem| match problem {
            KeyProblem::AlreadyExpired(_) => {
                Problem::unfit("expires_at", problem.to_string(), "give a time that is to come")
            }
            KeyProblem::Store(error) => error.into(),
            KeyProblem::NoRandom => Problem::Failed(problem.to_string()),
        })?;
        // A removal that began meanwhile may have passed this place already.
        if let Err(gone) = self.known(&record.tenant).await {
            self.records.keys.revoke(&record.tenant, record.id.as_str()).await?;
            return Err(gone);
        }
        let mut shown = shown(&record, &HashMap::new());
        if let Some(members) = shown.as_object_mut() {
            members.insert("key".to_owned(), json!(key.expose()));
        }
        Ok(shown)
    }

    /// The keys of a tenant, without what makes them keys.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn keys(&self, tenant: &TenantId, part: &Part) -> Result<Page, Problem> {
        let (keys, next) = self.records.keys.page(tenant, part.after.as_deref(), part.limit).await?;
        let uses = self.records.uses.of(self.store.as_ref(), tenant).await?;
        Ok(Page { items: keys.iter().map(|record| shown(record, &uses)).collect(), next })
    }

    /// Takes a key back at once.
    ///
    /// # Errors
    /// There is none, or the store fails.
    pub async fn revoke_key(&self, tenant: &TenantId, id: &str) -> Result<(), Problem> {
        if !self.records.keys.revoke(tenant, id).await? {
            return Err(Problem::Unknown(format!("API key `{}` of tenant `{tenant}`", id.escape_debug())));
        }
        Ok(self.records.uses.forget(self.store.as_ref(), tenant, id).await?)
    }
}

/// A moment, or how long from `now` it lasts, to the second.
///
/// # Errors
/// In words, why it is none.
pub fn end(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let end = match humantime::parse_duration(text) {
        Ok(after) => {
            let after = jiff::SignedDuration::try_from(after).ok();
            let end = after.and_then(|after| now.checked_add(after).ok());
            Some(end.and_then(|end| end.round(jiff::Unit::Second).ok()).ok_or("it is too far away")?)
        }
        Err(_) => text.parse().ok(),
    };
    end.ok_or_else(|| {
        "it is no time: write how long it lasts, such as `7d`, or its end, such as `2027-01-01T00:00:00Z`"
            .to_owned()
    })
}

fn wanted(body: KeyBody, now: Timestamp) -> Result<NewKey, Problem> {
    let tenant = tenant(&body.tenant)?;
    let mut faults = Vec::new();
    let fault = |key: &str, why: &dyn std::fmt::Display| {
        Fault::new(key, format!("is no name: {why}"), "give its name")
    };
    let user = body.user.as_deref().map(UserId::parse).transpose().unwrap_or_else(|why| {
        faults.push(fault("user", &why));
        None
    });
    let agent = body.agent.as_deref().map(AgentId::parse).transpose().unwrap_or_else(|why| {
        faults.push(fault("agent", &why));
        None
    });
    let expires_at =
        body.expires_at.as_deref().map(|text| end(text, now)).transpose().unwrap_or_else(|why| {
            faults.push(Fault::new("expires_at", why, "or leave it out: then it ends when it is revoked"));
            None
        });
    if !faults.is_empty() {
        return Err(Problem::Unfit(faults));
    }
    let texts = |texts: Vec<String>| texts.into_iter().map(Into::into).collect();
    let (roles, groups) = (texts(body.roles), texts(body.groups));
    let who = Static { tenant, user, agent, roles, groups, attributes: body.attributes };
    Ok(NewKey { who, expires_at, note: body.note })
}

fn shown(record: &KeyRecord, uses: &HashMap<String, Timestamp>) -> Value {
    let mut shown = serde_json::to_value(record).unwrap_or_default();
    if let (Some(members), Some(used)) = (shown.as_object_mut(), uses.get(record.id.as_str())) {
        members.insert("last_used_at".to_owned(), json!(used.to_string()));
    }
    shown
}
