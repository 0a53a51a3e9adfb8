//! Whose task is whose: a task's id is no proof, so it is bound to the caller whose call made it.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::name::{ServerName, TenantId};

/// How many tasks are remembered in all; the oldest are forgotten, and then unknown to everyone.
const MOST: usize = 100_000;

/// The tasks of every tenant; the key begins with the tenant.
pub(in crate::gateway) struct Tasks(Cache<(TenantId, ServerName, Box<str>), Arc<Bound>>);

/// To whom a task belongs, and what of its result is masked.
#[derive(Debug)]
pub(in crate::gateway) struct Bound {
    pub principal: [u8; 32],
    pub redact: Vec<Arc<str>>,
}

impl Tasks {
    pub(in crate::gateway) fn new() -> Self {
        Self(Cache::new(MOST))
    }

    pub(in crate::gateway) fn bind(&self, tenant: &TenantId, server: &ServerName, id: &str, bound: Bound) {
        self.0.insert((tenant.clone(), server.clone(), id.into()), Arc::new(bound));
    }

    /// The task, if it is this principal's.
    pub(in crate::gateway) fn of(
        &self,
        tenant: &TenantId,
        server: &ServerName,
        id: &str,
        principal: &[u8; 32],
    ) -> Option<Arc<Bound>> {
        let found = self.0.get(&(tenant.clone(), server.clone(), id.into()))?;
        (found.principal == *principal).then_some(found)
    }
}
