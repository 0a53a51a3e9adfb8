//! What else has to be said to a server for a call that was permitted: to open a session for it, to answer what the server
//! asks in it, to cancel it.

use std::sync::Arc;

use crate::credential::Lease;
use crate::forward::{Endpoint, Exchange, Forward, Passage, Request};
use crate::name::TenantId;
use crate::refusal::Refusal;

/// The right to speak to one server for one permitted call. Only the passage of such a call gives it.
#[derive(Clone)]
pub struct Errand {
    forward: Arc<Forward>,
    endpoint: Arc<Endpoint>,
    tenant: TenantId,
    lease: Lease,
}

impl std::fmt::Debug for Errand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Errand({})", self.endpoint.server)
    }
}

impl Errand {
    /// For the call of `passage`, at its server.
    #[must_use]
    pub fn of(passage: &Passage, forward: &Arc<Forward>, endpoint: &Arc<Endpoint>) -> Self {
        Self {
            forward: Arc::clone(forward),
            endpoint: Arc::clone(endpoint),
            tenant: passage.permit.caller().tenant().clone(),
            lease: passage.lease.clone(),
        }
    }

    /// Sends a request and reads the head of the answer.
    ///
    /// # Errors
    /// As [`Forward::send`].
    pub async fn send(&self, request: Request) -> Result<Exchange, Refusal> {
        self.forward.exchange(&self.endpoint, &self.tenant, &self.lease, request).await
    }

    /// Where it goes.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}
