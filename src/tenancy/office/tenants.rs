//! Tenants: made, listed, changed. They are removed in `removal`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::{Office, Page, Part, Shown, said, tenant, version, written};
use crate::name::TenantId;
use crate::store::{StoreError, Table};
use crate::tenancy::{Problem, Status, Tenant, entry};

/// No text about a tenant is longer; in characters.
const LONGEST: usize = 1024;
/// So many accounts and keys of one tenant are counted at most.
const COUNTED: usize = 1000;

/// A tenant that is wanted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantBody {
    /// Its name: what tokens, policies and the audit call it.
    #[schemars(length(min = 1, max = 256))]
    pub tenant: String,
    /// What people call it.
    #[serde(default)]
    pub display_name: Option<String>,
    /// What you want to remember of it.
    #[serde(default)]
    pub note: Option<String>,
}

/// What is to be different (a JSON Merge Patch, RFC 7396: `null` removes).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantPatch {
    /// What people call it.
    #[serde(default, deserialize_with = "given")]
    pub display_name: Option<Option<String>>,
    /// What you want to remember of it.
    #[serde(default, deserialize_with = "given")]
    pub note: Option<Option<String>>,
    /// `active` or `suspended`.
    #[serde(default)]
    pub status: Option<Status>,
}

fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(from).map(Some)
}

impl Office {
    /// Makes a tenant.
    ///
    /// # Errors
    /// It is there, or in the configuration; or the store fails.
    pub async fn create_tenant(&self, body: TenantBody) -> Result<Shown, Problem> {
        let name = tenant(&body.tenant)?;
        self.written_here(&name)?;
        let entry = Tenant {
            display_name: brief("display_name", body.display_name)?,
            note: brief("note", body.note)?,
            status: Status::Active,
            created_at: Timestamp::now(),
        };
        let put = self.store.put(Table::Tenants, name.as_str().as_bytes(), &written(&entry)?, Some(0)).await;
        match put {
            Ok(version) => Ok(Shown { value: stored(&name, &entry), version: Some(version) }),
            Err(StoreError::Changed) => Err(Problem::Exists(format!("a tenant `{name}`"))),
            Err(error) => Err(error.into()),
        }
    }

    /// A tenant, with how much it has.
    ///
    /// # Errors
    /// There is none, or the store fails.
    pub async fn tenant(&self, name: &TenantId) -> Result<Shown, Problem> {
        let (mut value, version) = match self.records.tenants.configured().contains(name) {
            true => (configured(name), None),
            false => {
                let (entry, version) = self.tenant_entry(name).await?;
                (stored(name, &entry), Some(version))
            }
        };
        if let Some(members) = value.as_object_mut() {
            members.insert("accounts".to_owned(), json!(self.accounts_of(name).await?));
            let (keys, _) = self.records.keys.page(name, None, COUNTED).await?;
            members.insert("keys".to_owned(), json!(keys.len()));
        }
        Ok(Shown { value, version })
    }

    /// Tenants by name, the configuration's among them.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn tenants(&self, part: &Part) -> Result<Page, Problem> {
        let after = part.after.as_deref().unwrap_or_default();
        // Before the first name comes what is kept of tenants that are being removed.
        let from = if after.is_empty() { entry::FIRST_NAME } else { after.as_bytes() };
        let mut listed: Vec<(String, serde_json::Value)> = Vec::new();
        for (key, found) in self.store.page(Table::Tenants, &[], Some(from), part.limit).await? {
            let name = String::from_utf8(key).ok().and_then(|name| TenantId::parse(&name).ok());
            let Some(name) = name.filter(|name| !self.records.tenants.configured().contains(name)) else {
                continue;
            };
            listed.push((name.to_string(), stored(&name, &Tenant::read(&found.value)?)));
        }
        let own = self.records.tenants.configured().iter().filter(|name| name.as_str() > after);
        listed.extend(own.map(|name| (name.to_string(), configured(name))));
        listed.sort_by(|(one, _), (other, _)| one.cmp(other));
        let more = listed.len() > part.limit || listed.len() == part.limit;
        listed.truncate(part.limit);
        let next = listed.last().filter(|_| more).map(|(name, _)| name.clone());
        Ok(Page { items: listed.into_iter().map(|(_, value)| value).collect(), next })
    }

    /// Changes a tenant; suspended, it is not served from now on, on any gate.
    ///
    /// # Errors
    /// There is none, it stands in the configuration, it is another version, or the store fails.
    pub async fn patch_tenant(
        &self,
        name: &TenantId,
        patch: TenantPatch,
        expected: Option<u64>,
    ) -> Result<Shown, Problem> {
        self.written_here(name)?;
        let (mut entry, there) = self.tenant_entry(name).await?;
        let there = version(there, expected)?;
        if entry.status == Status::Deleting {
            return Err(Problem::Conflict(format!("tenant `{name}` is being deleted")));
        }
        match patch.status {
            Some(Status::Deleting) => {
                return Err(Problem::unfit(
                    "status",
                    "is what `DELETE` does",
                    "give `active` or `suspended`",
                ));
            }
            Some(status @ (Status::Active | Status::Suspended)) => entry.status = status,
            None => {}
        }
        if let Some(display_name) = patch.display_name {
            entry.display_name = brief("display_name", display_name)?;
        }
        if let Some(note) = patch.note {
            entry.note = brief("note", note)?;
        }
        let key = name.as_str().as_bytes();
        let version = self.store.put(Table::Tenants, key, &written(&entry)?, Some(there)).await?;
        Ok(Shown { value: stored(name, &entry), version: Some(version) })
    }

    /// The entry of a stored tenant, and its version.
    pub(in crate::tenancy) async fn tenant_entry(&self, name: &TenantId) -> Result<(Tenant, u64), Problem> {
        let found = self.store.get(Table::Tenants, name.as_str().as_bytes()).await?;
        let found = found.ok_or_else(|| Problem::Unknown(format!("tenant `{name}`")))?;
        Ok((Tenant::read(&found.value)?, found.version))
    }

    /// What the configuration has is not written here.
    pub(in crate::tenancy) fn written_here(&self, name: &TenantId) -> Result<(), Problem> {
        match self.records.tenants.configured().contains(name) {
            true => Err(Problem::Configured(format!("tenant `{name}`"))),
            false => Ok(()),
        }
    }

    async fn accounts_of(&self, name: &TenantId) -> Result<usize, Problem> {
        let own = self.config.accounts.keys().filter(|(tenant, _)| tenant == name).count();
        let stored = self.store.page(Table::Accounts, &entry::prefix(name), None, COUNTED).await?;
        Ok(own + stored.len())
    }
}

fn stored(name: &TenantId, entry: &Tenant) -> serde_json::Value {
    said(json!({
        "tenant": name,
        "display_name": entry.display_name,
        "note": entry.note,
        "status": entry.status,
        "created_at": entry.created_at.to_string(),
        "source": "store",
    }))
}

fn configured(name: &TenantId) -> serde_json::Value {
    json!({"tenant": name, "status": Status::Active, "source": "configuration"})
}

fn brief(key: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match &text {
        Some(long) if long.chars().count() > LONGEST => {
            Err(Problem::unfit(key, format!("is longer than {LONGEST} characters"), "give a shorter one"))
        }
        Some(_) | None => Ok(text),
    }
}
