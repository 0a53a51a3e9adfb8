//! What calls cost, from the moment they go to the server: counted, and kept in the store behind them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::gateway::build::{BuildError, Shared};
use crate::govern::{Govern, Paid, Saved, Slot};
use crate::name::TenantId;
use crate::record::metrics::Kept;
use crate::refusal::Refusal;
use crate::store::{Store, StoreError, Table};

/// Tenants whose spending is added at once.
const AT_ONCE: usize = 64;
/// For one tenant, where other gates add at the same moment.
const ATTEMPTS: usize = 20;

/// What is kept of a tenant, under its name.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    month: String,
    cost: f64,
}

/// Takes up what tenants had spent before the gate was started.
pub(in crate::gateway) async fn restore(store: &dyn Store, govern: &Govern) -> Result<(), BuildError> {
    for (key, stored) in store.scan(Table::Spending, b"").await? {
        let tenant = std::str::from_utf8(&key).ok().and_then(|name| TenantId::parse(name).ok());
        let entry: Option<Entry> = serde_json::from_slice(&stored.value).ok();
        let saved = tenant.zip(entry).map(|(tenant, Entry { month, cost })| Saved {
            tenant,
            month,
            cost,
            added: 0.0,
            change: 0,
        });
        if !saved.is_some_and(|saved| govern.restore(&saved)) {
            let name = String::from_utf8_lossy(&key).escape_debug().to_string();
            return Err(StoreError::Failed(format!("what tenant `{name}` has spent cannot be read")).into());
        }
    }
    Ok(())
}

impl Shared {
    /// A call goes to the server now.
    pub(in crate::gateway) fn pay(&self, slot: &mut Slot) -> Paid {
        let paid = slot.pay();
        self.metrics().spending().charged(paid.cost());
        paid
    }

    /// A call came to nothing. What never reached the server is given back.
    pub(in crate::gateway) fn unpaid(&self, paid: Paid, refusal: Refusal) -> Refusal {
        if matches!(refusal, Refusal::Unreachable { .. }) {
            self.metrics().spending().given_back(paid.cost());
            paid.give_back();
        }
        refusal
    }

    /// Writes what was spent since it was last written; a failure is told, and tried again the next time.
    pub async fn save_spending(&self) {
        let unsaved = self.govern().unsaved();
        if unsaved.is_empty() {
            return;
        }
        let kept = match self.store().is_shared() {
            true => self.add_spending(unsaved).await,
            false => self.write_spending(unsaved).await,
        };
        if let Err(error) = &kept {
            tracing::warn!(%error, "What tenants have spent could not be written; it counts on in memory");
        }
        self.metrics().spending().kept(if kept.is_ok() { Kept::Written } else { Kept::Failed });
    }

    /// On a store of this gate alone: what it knows is all.
    async fn write_spending(&self, unsaved: Vec<Saved>) -> Result<(), StoreError> {
        let entries = unsaved.iter().filter_map(|saved| {
            Some((saved.tenant.as_str().as_bytes().to_vec(), entry(&saved.month, saved.cost)?))
        });
        self.store().put_all(Table::Spending, entries.collect()).await?;
        unsaved.iter().for_each(|saved| self.govern().stored(saved, saved.cost));
        Ok(())
    }

    /// On a store that gates share: each adds its own, and takes up what the others have added.
    async fn add_spending(&self, unsaved: Vec<Saved>) -> Result<(), StoreError> {
        let mut unsaved = unsaved.into_iter();
        let mut adding = JoinSet::new();
        let mut kept = Ok(());
        loop {
            while adding.len() < AT_ONCE
                && let Some(saved) = unsaved.next()
            {
                adding.spawn(add(Arc::clone(self.store()), saved));
            }
            match adding.join_next().await {
                None => return kept,
                Some(Ok(Ok((saved, sum)))) => self.govern().stored(&saved, sum),
                Some(Ok(Err(error))) => kept = Err(error),
                Some(Err(error)) => kept = Err(StoreError::Failed(error.to_string())),
            }
        }
    }
}

/// Adds what was spent here to what all have spent; answers with the sum. Where the store's answer is lost it is added again the
/// next time: a budget may end too early by that, and never too late.
async fn add(store: Arc<dyn Store>, saved: Saved) -> Result<(Saved, f64), StoreError> {
    let key = saved.tenant.as_str().as_bytes();
    for _ in 0..ATTEMPTS {
        let there = store.get(Table::Spending, key).await?;
        let version = there.as_ref().map_or(0, |stored| stored.version);
        let before: Option<Entry> = there.and_then(|stored| serde_json::from_slice(&stored.value).ok());
        let sum = match &before {
            // Months are written so that a later one is the greater text.
            Some(before) if before.month > saved.month => {
                let known = saved.cost;
                return Ok((saved, known));
            }
            Some(before) if before.month == saved.month => (before.cost + saved.added).max(0.0),
            Some(_) | None => saved.added.max(0.0),
        };
        let Some(value) = entry(&saved.month, sum) else { return Err(StoreError::Changed) };
        match store.put(Table::Spending, key, &value, Some(version)).await {
            Ok(_) => return Ok((saved, sum)),
            Err(StoreError::Changed) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Changed)
}

fn entry(month: &str, cost: f64) -> Option<Vec<u8>> {
    serde_json::to_vec(&Entry { month: month.to_owned(), cost }).ok()
}
