//! What a message refers to must be the caller's own: a task that their call became, a question that a server put to them.

use quick_cache::sync::Cache;

use crate::decode::{Action, Era, Message, RequestId, TASKS};
use crate::gateway::Gateway;
use crate::gateway::call::{Eyes, Way};
use crate::identify::Caller;
use crate::name::{ServerName, TenantId};
use crate::refusal::Refusal;

/// How many questions of servers are remembered in all; the oldest are forgotten, and then cannot be answered.
const MOST: usize = 10_000;

/// The questions that servers have put to callers and that await an answer; the key begins with the tenant.
pub(in crate::gateway) struct Questions(Cache<Key, ()>);

impl Questions {
    pub(in crate::gateway) fn new() -> Self {
        Self(Cache::new(MOST))
    }

    /// The server asks the caller.
    pub(in crate::gateway) fn ask(&self, caller: &Caller, server: &ServerName, id: RequestId) {
        self.0.insert(key(caller, server, id), ());
    }

    /// Whether the server did ask that; it can be answered once.
    fn take(&self, way: &Way, id: &RequestId) -> bool {
        self.0.remove(&key(&way.caller, &way.server.name, id.clone())).is_some()
    }
}

type Key = (TenantId, ServerName, [u8; 32], RequestId);

fn key(caller: &Caller, server: &ServerName, id: RequestId) -> Key {
    (caller.tenant().clone(), server.clone(), caller.principal(), id)
}

impl Gateway {
    /// Refuses a message about another caller's task, and an answer to what nobody asked.
    pub(in crate::gateway) fn belongs(&self, way: &Way, message: &Message) -> Result<(), Refusal> {
        match (&message.action, &message.id) {
            (Action::Task { .. }, _) if message.era == Era::Modern && !message.meta.tasks => {
                Err(Refusal::MissingCapability(TASKS))
            }
            (Action::Task { id, .. }, _) => {
                let (tenant, principal) = (way.caller.tenant(), way.caller.principal());
                let own = self.shared.tasks.of(tenant, &way.server.name, id, &principal);
                own.map(drop).ok_or(Refusal::NotFound("task"))
            }
            // What the gate declines was never put to the caller.
            (Action::Respond, Some(_)) if way.eyes == Eyes::Nobody => Ok(()),
            (Action::Respond, Some(id)) if self.shared.questions.take(way, id) => Ok(()),
            (Action::Respond, _) => {
                Err(Refusal::Invalid("it answers no request that the server has sent".to_owned()))
            }
            (_, _) => Ok(()),
        }
    }
}
