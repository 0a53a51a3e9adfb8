//! What of a permitted message is left out on its way up: entries of `subscriptions/listen` that the caller may not see, and
//! the client's offers to be asked what policy does not let the server ask.
//!
//! # Why the offer is taken away
//! A modern server asks within the result of a call (2026-07-28 basic/patterns/mrtr). One that was not offered the
//! capability does without, or says that it cannot; one that asks all the same has its answer refused (`respond`).

use bytes::Bytes;

use crate::decide::{Circumstances, Question, Sight, Subject};
use crate::decode::{Action, Asking, Era, Filter, Message, splice};
use crate::gateway::Gateway;
use crate::gateway::call::Way;
use crate::refusal::Refusal;

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

impl Gateway {
    /// The message without what the server is not to see of it. A server may honour a part of a filter, and says in its
    /// acknowledgement which.
    pub(in crate::gateway) fn narrow(
        &self,
        way: &Way,
        mut message: Message,
        circumstances: &Circumstances,
    ) -> Result<Message, Refusal> {
        let filter = match &mut message.action {
            Action::Listen(filter) => filter,
            Action::CallTool(_) | Action::GetPrompt { .. } | Action::ReadResource { .. }
                if message.era == Era::Modern =>
            {
                return self.without_refused(way, message, circumstances);
            }
            _ => return Ok(message),
        };
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

    fn without_refused(
        &self,
        way: &Way,
        mut message: Message,
        circumstances: &Circumstances,
    ) -> Result<Message, Refusal> {
        let may = |asking: &Asking| self.may(way, asking.method(), &Subject::Server, circumstances);
        for asking in message.meta.offers.iter().flatten().filter(|asking| !may(asking)) {
            let path = ["params", "_meta", CAPABILITIES, asking.capability()];
            let without = splice::remove(&message.bytes, &path).map_err(|_| Refusal::Internal)?;
            message.bytes = without.map_or_else(|| message.bytes.clone(), Bytes::from);
        }
        Ok(message)
    }

    fn may_follow(&self, way: &Way, uri: &str, circumstances: &Circumstances) -> bool {
        self.may(way, "resources/subscribe", &Subject::Resource(uri.into()), circumstances)
    }

    fn may(&self, way: &Way, method: &str, subject: &Subject, circumstances: &Circumstances) -> bool {
        let question = Question {
            caller: &way.caller,
            server: &way.server,
            method,
            subject,
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
