//! A tenant is removed with everything that it has.
//!
//! # What happens when it is killed half way
//! The tenant is marked first, and nobody serves it from then on; its entry goes last. A note that says "being removed" is
//! written before the mark, so that whichever gate starts next finds it and goes on, and so does whoever asks again.

use crate::name::{ServerName, TenantId};
use crate::store::{StoreError, Table};
use crate::tenancy::{Office, Problem, Status, entry};

/// So much is removed between two looks at the store.
const AT_ONCE: usize = 200;

impl Office {
    /// Deletes a tenant, its accounts, secrets, tokens, scoped URLs and API keys. It may be asked again where it broke off.
    ///
    /// # Errors
    /// There is none; it stands in the configuration; it is another version; or the store fails.
    pub async fn delete_tenant(&self, name: &TenantId, expected: Option<u64>) -> Result<(), Problem> {
        self.written_here(name)?;
        let (mut tenant, there) = self.tenant_entry(name).await?;
        if tenant.status != Status::Deleting {
            if expected.is_some_and(|expected| expected != there) {
                return Err(Problem::Changed);
            }
            tenant.status = Status::Deleting;
            let written = serde_json::to_vec(&tenant).map_err(|error| Problem::Failed(error.to_string()))?;
            self.store.put(Table::Tenants, &entry::removal(name), &[], None).await?;
            self.store.put(Table::Tenants, name.as_str().as_bytes(), &written, Some(there)).await?;
        }
        self.remove_all(name).await
    }

    /// Goes on with every removal that was broken off.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn finish_removals(&self) -> Result<(), Problem> {
        for (key, _) in self.store.scan(Table::Tenants, entry::REMOVALS).await? {
            let name = key.get(entry::REMOVALS.len()..).and_then(|name| std::str::from_utf8(name).ok());
            let Some(name) = name.and_then(|name| TenantId::parse(name).ok()) else { continue };
            match self.tenant_entry(&name).await {
                Ok((tenant, _)) if tenant.status == Status::Deleting => {
                    tracing::info!(tenant = %name, "Going on with the removal of a tenant");
                    self.remove_all(&name).await?;
                }
                // It was noted, and then not marked; or all of it is gone.
                Ok(_) | Err(Problem::Unknown(_)) => drop(self.store.remove(Table::Tenants, &key).await?),
                Err(problem) => return Err(problem),
            }
        }
        Ok(())
    }

    async fn remove_all(&self, name: &TenantId) -> Result<(), Problem> {
        for url in self.urls.list(name).await? {
            self.urls.revoke(name, &url.id).await?;
        }
        loop {
            let (keys, next) = self.records.keys.page(name, None, AT_ONCE).await?;
            for key in &keys {
                self.records.keys.revoke(name, key.id.as_str()).await?;
            }
            if next.is_none() || keys.is_empty() {
                break;
            }
        }
        self.remove_prefixed(Table::ApiKeys, &[b"t\0".as_slice(), &entry::prefix(name)].concat()).await?;
        self.records.revocations.forget(name).await?;
        self.remove_accounts(name).await?;
        // Without its data key no copy of its secrets can be opened, in whatever backup it is.
        for table in [Table::DataKeys, Table::Credentials, Table::Grants, Table::Webhooks, Table::Uses] {
            self.remove_prefixed(table, &entry::prefix(name)).await?;
        }
        self.store.remove(Table::Tenants, name.as_str().as_bytes()).await?;
        self.store.remove(Table::Tenants, &entry::removal(name)).await?;
        Ok(())
    }

    async fn remove_accounts(&self, name: &TenantId) -> Result<(), Problem> {
        let found = self.store.scan(Table::Accounts, &entry::prefix(name)).await?;
        let servers: Vec<ServerName> =
            found.iter().filter_map(|(key, _)| entry::names(key)).map(|(_, at)| at).collect();
        for server in servers {
            let key = entry::key(name, &server);
            self.forget_secrets(&key).await?;
            self.store.remove(Table::Accounts, &key).await?;
        }
        self.remove_prefixed(Table::Accounts, &entry::prefix(name)).await.map_err(Into::into)
    }

    async fn remove_prefixed(&self, table: Table, prefix: &[u8]) -> Result<(), StoreError> {
        for (key, _) in self.store.scan(table, prefix).await? {
            self.store.remove(table, &key).await?;
        }
        Ok(())
    }
}
