//! What calls cost, from the moment they go to the server: counted, and kept in the store behind them.

use serde::{Deserialize, Serialize};

use crate::gateway::build::{BuildError, Shared};
use crate::govern::{Govern, Paid, Saved, Slot};
use crate::name::TenantId;
use crate::record::metrics::Kept;
use crate::refusal::Refusal;
use crate::store::{Store, StoreError, Table};

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
        let saved =
            tenant.zip(entry).map(|(tenant, Entry { month, cost })| Saved { tenant, month, cost, change: 0 });
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
        match self.store().put_all(Table::Spending, unsaved.iter().filter_map(entry).collect()).await {
            Ok(()) => {
                self.govern().stored(&unsaved);
                self.metrics().spending().kept(Kept::Written);
            }
            Err(error) => {
                tracing::warn!(%error, "What tenants have spent could not be written; it counts on in memory");
                self.metrics().spending().kept(Kept::Failed);
            }
        }
    }
}

fn entry(saved: &Saved) -> Option<(Vec<u8>, Vec<u8>)> {
    let entry = Entry { month: saved.month.clone(), cost: saved.cost };
    Some((saved.tenant.as_str().as_bytes().to_vec(), serde_json::to_vec(&entry).ok()?))
}
