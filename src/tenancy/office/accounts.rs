//! Accounts: made, listed, replaced, removed, and given their secrets.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Office, Page, Part, Shown, said, server, tenant, version, written};
use crate::config::Account;
use crate::credential::Connection;
use crate::name::{ServerName, TenantId};
use crate::secret::Secret;
use crate::store::{StoreError, Table};
use crate::tenancy::{AccountEntry, Problem, entry};

/// An account that is wanted: an entry of `accounts`, and its secret where that is to be sealed at once.
#[derive(Debug, Deserialize)]
pub struct AccountBody {
    /// The secret, which is sealed and never shown again.
    #[serde(default, deserialize_with = "hidden")]
    pub secret: Option<Secret>,
    /// The entry.
    #[serde(flatten)]
    pub account: Map<String, Value>,
}

fn hidden<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    Option::<String>::deserialize(from).map(|secret| secret.map(Secret::new))
}

impl AccountBody {
    /// Whose account at which server it says that it is.
    ///
    /// # Errors
    /// It does not say, or what it says is no name.
    pub fn names(&mut self) -> Result<(TenantId, ServerName), Problem> {
        let mut take = |key: &str| match self.account.remove(key) {
            Some(Value::String(name)) => Ok(name),
            Some(_) => Err(Problem::unfit(key, "is no text", "give its name")),
            None => Err(Problem::unfit(key, "is missing", "it has no default: give it")),
        };
        let names = (take("tenant")?, take("server")?);
        Ok((tenant(&names.0)?, server(&names.1)?))
    }
}

impl Office {
    /// Makes an account. Where it comes with a secret, that is sealed, or there is no account.
    ///
    /// # Errors
    /// Every mistake in it; there is no such tenant; it is there already; or the store or the sealing key fails.
    pub async fn create_account(&self, mut body: AccountBody) -> Result<Shown, Problem> {
        let (tenant, server) = body.names()?;
        self.known(&tenant).await?;
        self.not_configured(&tenant, &server)?;
        let key = entry::key(&tenant, &server);
        let exists = || Problem::Exists(format!("an account of `{tenant}` at `{server}`"));
        if self.store.get(Table::Accounts, &key).await?.is_some() {
            return Err(exists());
        }
        let (connection, account) = self.checked(&tenant, &server, body.account)?;
        // What an account of these names has left behind is not this one's.
        self.forget_secrets(&key).await?;
        let entry = AccountEntry { account, created_at: Timestamp::now() };
        let put = self.store.put(Table::Accounts, &key, &written(&entry)?, Some(0)).await;
        let made = match put {
            Ok(version) => version,
            Err(StoreError::Changed) => return Err(exists()),
            Err(error) => return Err(error.into()),
        };
        // A removal that began meanwhile may have passed this place already.
        if let Err(gone) = self.known(&tenant).await {
            self.store.remove_version(Table::Accounts, &key, made).await?;
            return Err(gone);
        }
        if let Some(secret) = body.secret
            && let Err(error) = connection.seal(&secret).await
        {
            self.store.remove_version(Table::Accounts, &key, made).await?;
            return Err(error.into());
        }
        self.shown(&tenant, &server, &entry, made).await
    }

    /// Puts another account in the place of one. Its secret stays, unless it comes with one.
    ///
    /// # Errors
    /// Every mistake in it; there is none; it stands in the configuration; it is another version; or the store fails.
    pub async fn replace_account(
        &self,
        (tenant, server): (&TenantId, &ServerName),
        mut body: AccountBody,
        expected: Option<u64>,
    ) -> Result<Shown, Problem> {
        self.not_configured(tenant, server)?;
        let (before, there) = self.account_entry(tenant, server).await?;
        let there = version(there, expected)?;
        for (key, name) in [("tenant", tenant.as_str()), ("server", server.as_str())] {
            if body.account.remove(key).is_some_and(|said| said != name) {
                return Err(Problem::unfit(
                    key,
                    format!("is not `{name}`, as the path says"),
                    "leave it out",
                ));
            }
        }
        let (connection, account) = self.checked(tenant, server, body.account)?;
        let entry = AccountEntry { account, created_at: before.created_at };
        let key = entry::key(tenant, server);
        let made = self.store.put(Table::Accounts, &key, &written(&entry)?, Some(there)).await?;
        if let Some(secret) = body.secret {
            connection.seal(&secret).await?;
        }
        self.shown(tenant, server, &entry, made).await
    }

    /// An account.
    ///
    /// # Errors
    /// There is none, or the store fails.
    pub async fn account(&self, tenant: &TenantId, server: &ServerName) -> Result<Shown, Problem> {
        if let Some(account) = self.config.accounts.get(&(tenant.clone(), server.clone())) {
            return Ok(Shown { value: configured(account), version: None });
        }
        let (entry, version) = self.account_entry(tenant, server).await?;
        self.shown(tenant, server, &entry, version).await
    }

    /// Accounts by tenant and server; of one tenant, or of all.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn accounts(&self, of: Option<&TenantId>, part: &Part) -> Result<Page, Problem> {
        let prefix = of.map(entry::prefix).unwrap_or_default();
        let after = part.after.as_deref().map(str::as_bytes);
        let mut listed: Vec<(Vec<u8>, Value)> = Vec::new();
        for (key, found) in self.store.page(Table::Accounts, &prefix, after, part.limit).await? {
            let Some((tenant, server)) = entry::names(&key) else { continue };
            let value = view(&tenant, &server, &AccountEntry::read(&found.value)?);
            listed.push((key, value));
        }
        for ((tenant, server), account) in &self.config.accounts {
            let key = entry::key(tenant, server);
            if key.starts_with(&prefix) && after.is_none_or(|after| key.as_slice() > after) {
                listed.push((key, configured(account)));
            }
        }
        listed.sort_by(|(one, _), (other, _)| one.cmp(other));
        let more = listed.len() >= part.limit;
        listed.truncate(part.limit);
        let next = listed.last().filter(|_| more).and_then(|(key, _)| String::from_utf8(key.clone()).ok());
        Ok(Page { items: listed.into_iter().map(|(_, value)| value).collect(), next })
    }

    /// Removes an account with its secrets.
    ///
    /// # Errors
    /// There is none; it stands in the configuration; it is another version; or the store fails, and then it is removed by
    /// asking again.
    pub async fn delete_account(
        &self,
        tenant: &TenantId,
        server: &ServerName,
        expected: Option<u64>,
    ) -> Result<(), Problem> {
        self.not_configured(tenant, server)?;
        let (_, there) = self.account_entry(tenant, server).await?;
        let there = version(there, expected)?;
        let key = entry::key(tenant, server);
        self.forget_secrets(&key).await?;
        self.store.remove_version(Table::Accounts, &key, there).await?;
        // Between the two a call may have got a token.
        self.forget_secrets(&key).await
    }

    /// Seals a secret for an account, in the place of the one before. The account may be a configured one.
    ///
    /// # Errors
    /// There is no such account, it takes no sealed secret, or the store or the sealing key fails.
    pub async fn seal_secret(
        &self,
        tenant: &TenantId,
        server: &ServerName,
        secret: &Secret,
    ) -> Result<(), Problem> {
        Ok(self.connection(tenant, server).await?.seal(secret).await?)
    }

    /// Removes an account's sealed secret; true if there was one.
    ///
    /// # Errors
    /// There is no such account, it takes no sealed secret, or the store fails.
    pub async fn forget_secret(&self, tenant: &TenantId, server: &ServerName) -> Result<bool, Problem> {
        Ok(self.connection(tenant, server).await?.forget_secret().await?)
    }

    async fn connection(&self, tenant: &TenantId, server: &ServerName) -> Result<Arc<Connection>, Problem> {
        if let Some(connection) = self.vault.connection(tenant, server) {
            return Ok(Arc::clone(connection));
        }
        let (entry, _) = self.account_entry(tenant, server).await?;
        let account = self.config.stored_account(tenant, server, &entry.account)?;
        self.connected(&Arc::new(account))
    }

    fn connected(&self, account: &Arc<Account>) -> Result<Arc<Connection>, Problem> {
        self.vault.connect(account).map_err(|wrong| {
            let fault = |bad: crate::credential::BadAccount| {
                crate::tenancy::problem::Fault::new(
                    "credential",
                    bad.what,
                    "see the documentation of `accounts`",
                )
            };
            Problem::Unfit(wrong.into_iter().map(fault).collect())
        })
    }

    /// The connection of what is written, and that as it is to be kept.
    fn checked(
        &self,
        tenant: &TenantId,
        server: &ServerName,
        written: Map<String, Value>,
    ) -> Result<(Arc<Connection>, Value), Problem> {
        let written = said(Value::Object(written));
        let account = self.config.checked_account(tenant, server, &written)?;
        Ok((self.connected(&Arc::new(account))?, written))
    }

    async fn account_entry(
        &self,
        tenant: &TenantId,
        server: &ServerName,
    ) -> Result<(AccountEntry, u64), Problem> {
        let found = self.store.get(Table::Accounts, &entry::key(tenant, server)).await?;
        let found = found.ok_or_else(|| Problem::Unknown(format!("account of `{tenant}` at `{server}`")))?;
        Ok((AccountEntry::read(&found.value)?, found.version))
    }

    fn not_configured(&self, tenant: &TenantId, server: &ServerName) -> Result<(), Problem> {
        match self.config.accounts.contains_key(&(tenant.clone(), server.clone())) {
            true => Err(Problem::Configured(format!("the account of `{tenant}` at `{server}`"))),
            false => Ok(()),
        }
    }

    /// Removes what is kept of an account beside itself: its secret and its tokens.
    pub(in crate::tenancy) async fn forget_secrets(&self, account: &[u8]) -> Result<(), Problem> {
        self.store.remove(Table::Credentials, account).await?;
        for (key, _) in self.store.scan(Table::Grants, account).await? {
            // Another server's name may begin with this one's.
            if matches!(key.get(account.len()), None | Some(0)) {
                self.store.remove(Table::Grants, &key).await?;
            }
        }
        Ok(())
    }

    async fn shown(
        &self,
        tenant: &TenantId,
        server: &ServerName,
        entry: &AccountEntry,
        version: u64,
    ) -> Result<Shown, Problem> {
        let sealed = self.store.get(Table::Credentials, &entry::key(tenant, server)).await?.is_some();
        let mut value = view(tenant, server, entry);
        if let Some(members) = value.as_object_mut() {
            members.insert("sealed".to_owned(), json!(sealed));
        }
        Ok(Shown { value, version: Some(version) })
    }
}

fn view(tenant: &TenantId, server: &ServerName, entry: &AccountEntry) -> Value {
    let mut view = entry.account.as_object().cloned().unwrap_or_default();
    view.entry("credential").or_insert_with(|| json!("none"));
    view.insert("tenant".to_owned(), json!(tenant));
    view.insert("server".to_owned(), json!(server));
    view.insert("created_at".to_owned(), json!(entry.created_at.to_string()));
    view.insert("source".to_owned(), json!("store"));
    Value::Object(view)
}

/// Of an account that is configured only the kind of credential: where its secret is, is the operator's.
fn configured(account: &Account) -> Value {
    let masked = account.masked();
    let kind = match masked.get("credential") {
        Some(Value::Object(kind)) => kind.keys().next().cloned(),
        Some(Value::String(kind)) => Some(kind.clone()),
        _ => None,
    };
    said(json!({
        "tenant": account.tenant,
        "server": account.server,
        "url": masked.get("url"),
        "slots": account.slots,
        "credential": kind,
        "source": "configuration",
    }))
}
