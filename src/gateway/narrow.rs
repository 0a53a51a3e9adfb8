//! `subscriptions/listen`, entry by entry: what the caller may not see is not asked for.

use bytes::Bytes;

use crate::decide::{Circumstances, Question, Sight, Subject};
use crate::decode::{Action, Filter, Message, splice};
use crate::gateway::Gateway;
use crate::gateway::call::Way;
use crate::refusal::Refusal;

impl Gateway {
    /// The message without the entries of its filter that the caller may not see. A server may honour a part of a
    /// filter, and says in its acknowledgement which.
    pub(in crate::gateway) fn narrow(
        &self,
        way: &Way,
        mut message: Message,
        circumstances: &Circumstances,
    ) -> Result<Message, Refusal> {
        let Action::Listen(filter) = &mut message.action else { return Ok(message) };
        let asked = (filter.uris.len(), filter.tasks.len());
        filter.uris.retain(|uri| self.may_follow(way, uri, circumstances));
        let principal = way.caller.principal();
        let tasks = &self.shared.tasks;
        filter.tasks.retain(|id| tasks.of(way.caller.tenant(), &way.server.name, id, &principal).is_some());
        if asked != (filter.uris.len(), filter.tasks.len()) {
            message.bytes = rewritten(&message.bytes, filter)?;
        }
        Ok(message)
    }

    fn may_follow(&self, way: &Way, uri: &str, circumstances: &Circumstances) -> bool {
        let question = Question {
            caller: &way.caller,
            server: &way.server,
            method: "resources/subscribe",
            subject: &Subject::Resource(uri.into()),
            arguments: None,
            circumstances,
        };
        matches!(self.rollout.panel(way.caller.tenant()).may_see(&question), Sight::Shown(_))
    }
}

fn rewritten(bytes: &[u8], filter: &Filter) -> Result<Bytes, Refusal> {
    let mut bytes = bytes.to_vec();
    for (key, entries) in [("resourceSubscriptions", &filter.uris), ("taskIds", &filter.tasks)] {
        let path = ["params", "notifications", key];
        if matches!(splice::get(&bytes, &path), Ok(Some(_))) {
            let list = serde_json::value::to_raw_value(entries).map_err(|_| Refusal::Internal)?;
            bytes = splice::set(&bytes, &path, &list).map_err(|_| Refusal::Internal)?;
        }
    }
    Ok(bytes.into())
}
