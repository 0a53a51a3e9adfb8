//! Calls in several rounds (MCP 2026-07-28 basic/patterns/mrtr): the server's state goes to the caller sealed, and back as
//! it was. Every round is a call of its own to policy, rates and the audit.

use std::time::SystemTime;

use crate::catalogue::canonical_text;
use crate::decode::{Action, Era, Message, splice};
use crate::gateway::Gateway;
use crate::gateway::call::Way;
use crate::identify::Caller;
use crate::identify::state::{Round, States};
use crate::name::ServerName;
use crate::refusal::Refusal;

/// What a state is refused with that is not the caller's, or not this call's.
const NOT_GIVEN: &str =
    "`requestState` was not given to you for this call, or too long ago: begin the call anew without it";

impl Gateway {
    /// The message with the server's own state in it, where it brings one that was given to its caller for this call.
    pub(in crate::gateway) fn resume(&self, way: &Way, mut message: Message) -> Result<Message, Refusal> {
        let (Era::Modern, Some(sealed)) = (message.era, &message.state) else { return Ok(message) };
        let state = with_round(&way.caller, &way.server.name, &message, |round| {
            self.states.open(sealed, round, SystemTime::now())
        });
        let state = state.flatten().ok_or_else(|| Refusal::BadParams(NOT_GIVEN.into()))?;
        let path = ["params", "requestState"];
        let bytes = splice::set(&message.bytes, &path, &splice::string(&state));
        message.bytes = bytes.map_err(|_| Refusal::Internal)?.into();
        Ok(message)
    }
}

/// The server's state as its caller gets it; `None` where the message is none that may take rounds.
pub(in crate::gateway) fn sealed(
    states: &States,
    caller: &Caller,
    server: &ServerName,
    asked: &Message,
    state: &str,
) -> Option<String> {
    with_round(caller, server, asked, |round| states.seal(state, round, SystemTime::now()).ok()).flatten()
}

fn with_round<T>(
    caller: &Caller,
    server: &ServerName,
    message: &Message,
    use_it: impl FnOnce(&Round<'_>) -> T,
) -> Option<T> {
    let name = match &message.action {
        Action::CallTool(call) => call.name.as_str(),
        Action::GetPrompt { name, .. } => name,
        Action::ReadResource { uri } => uri,
        Action::Initialize { .. }
        | Action::Discover
        | Action::Ping
        | Action::List(_)
        | Action::Subscribe { .. }
        | Action::Unsubscribe { .. }
        | Action::Complete(_)
        | Action::SetLevel
        | Action::Listen(_)
        | Action::Task { .. }
        | Action::Notify(_)
        | Action::Respond
        | Action::OpenStream
        | Action::EndSession => return None,
    };
    let arguments = message.action.arguments().map(canonical_text).transpose().ok()?.unwrap_or_default();
    Some(use_it(&Round { caller, server, method: message.method, name, arguments: &arguments }))
}
