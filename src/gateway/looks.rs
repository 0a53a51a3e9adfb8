//! One look at a server's list at a time, and none again too soon after.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::name::{ServerName, TenantId};

/// After a look, whatever came of it, the next one waits so long.
const PAUSE: Duration = Duration::from_secs(5);

type Last = Option<Instant>;

/// The looks at every account's server; the key begins with the tenant.
#[derive(Default)]
pub(in crate::gateway) struct Looks(DashMap<(TenantId, ServerName), Arc<Mutex<Last>>>);

/// The right to look; the next may look when it is dropped.
pub(in crate::gateway) struct Turn(OwnedMutexGuard<Last>);

impl Looks {
    /// Waits until nobody looks. `None`: somebody has just looked, so that there is nothing more to see.
    pub(in crate::gateway) async fn turn(&self, tenant: &TenantId, server: &ServerName) -> Option<Turn> {
        let key = (tenant.clone(), server.clone());
        let last = Arc::clone(&self.0.entry(key).or_default());
        let last = last.lock_owned().await;
        let just = last.is_some_and(|looked| looked.elapsed() < PAUSE);
        (!just).then_some(Turn(last))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0 = Some(Instant::now());
    }
}
