//! What a message is about, as policy sees it: for tools that takes the catalogue, and at first a look at the server.

use std::sync::Arc;
use std::time::Duration;

use crate::catalogue::{Known, Listed, Tool};
use crate::config::PinMode;
use crate::decide::Subject;
use crate::decode::{Action, Era, Message, Reference, ToolCall};
use crate::gateway::Gateway;
use crate::gateway::call::{Call, Way};
use crate::inbound::{Head, Inbound};
use crate::refusal::Refusal;

/// After so long a tool that was absent may have appeared.
const STALE: Duration = Duration::from_secs(30);

impl Gateway {
    /// What `message` is about.
    pub(in crate::gateway) async fn subject<I: Inbound>(
        self: &Arc<Self>,
        inbound: &I,
        way: &Way,
        message: &Message,
        call: &Call,
    ) -> Result<Subject, Refusal> {
        Ok(match &message.action {
            Action::CallTool(tool_call) => {
                Subject::Tool(self.tool(inbound.head(), way, message, tool_call, call).await?)
            }
            Action::ReadResource { uri } | Action::Subscribe { uri } | Action::Unsubscribe { uri } => {
                Subject::Resource(uri.as_str().into())
            }
            Action::GetPrompt { name, .. } | Action::Complete(Reference::Prompt(name)) => {
                Subject::Prompt(name.as_str().into())
            }
            Action::Complete(Reference::Resource(uri)) => Subject::Resource(uri.as_str().into()),
            Action::Initialize { .. }
            | Action::Discover
            | Action::Ping
            | Action::List(_)
            | Action::SetLevel
            | Action::Listen(_)
            | Action::Task { .. }
            | Action::Notify(_)
            | Action::Respond
            | Action::OpenStream
            | Action::EndSession => Subject::Server,
        })
    }

    async fn tool(
        self: &Arc<Self>,
        head: &Head,
        way: &Way,
        message: &Message,
        tool_call: &ToolCall,
        call: &Call,
    ) -> Result<Arc<Tool>, Refusal> {
        let mut known = self.known(way, tool_call);
        if known.is_older_than(STALE) {
            self.look(head, way, message, call).await;
            known = self.known(way, tool_call);
        }
        match known {
            Known::Listed(listed) => self.as_pinned(head, way, message, &listed, tool_call),
            Known::Absent { .. } => Err(Refusal::UnknownTool(tool_call.name.clone())),
            Known::Unseen => self.unseen(head, way, message, tool_call),
        }
    }

    /// The tool, unless it is withheld because it is not what was pinned.
    fn as_pinned(
        &self,
        head: &Head,
        way: &Way,
        message: &Message,
        listed: &Listed,
        tool_call: &ToolCall,
    ) -> Result<Arc<Tool>, Refusal> {
        match listed.drift.filter(|_| listed.is_withheld(self.pins.mode(&way.server))) {
            Some(drift) => Err(Refusal::NotPinned { tool: tool_call.name.clone(), how: drift.as_str() }),
            None => {
                check_mirrored(head, message, listed, tool_call)?;
                Ok(Arc::clone(&listed.tool))
            }
        }
    }

    /// A tool of a list that cannot be seen now: as it was before, or by its name alone. Where pins are enforced, what was
    /// never seen matches none.
    fn unseen(
        &self,
        head: &Head,
        way: &Way,
        message: &Message,
        tool_call: &ToolCall,
    ) -> Result<Arc<Tool>, Refusal> {
        let named = || Arc::new(Tool::named(&way.server, tool_call.name.clone()));
        let (tenant, catalogue) = (way.caller.tenant(), &self.shared.catalogue);
        let before = || catalogue.before(tenant, &way.server, &self.pins, &tool_call.name);
        match self.pins.mode(&way.server) {
            PinMode::Off => Ok(named()),
            PinMode::Warn => Ok(before().map_or_else(named, |listed| Arc::clone(&listed.tool))),
            PinMode::Enforce => match before() {
                Some(listed) => self.as_pinned(head, way, message, &listed, tool_call),
                None => Err(Refusal::NotPinned { tool: tool_call.name.clone(), how: "unseen" }),
            },
        }
    }

    fn known(&self, way: &Way, tool_call: &ToolCall) -> Known {
        self.shared.catalogue.tool(way.caller.tenant(), &way.server, &self.pins, &tool_call.name)
    }
}

/// Compares `Mcp-Param-*` headers with the arguments, as the tool's schema says which are mirrored.
fn check_mirrored(head: &Head, message: &Message, listed: &Listed, call: &ToolCall) -> Result<(), Refusal> {
    match message.era {
        Era::Modern => listed.mirrored.check(head, call.arguments.as_deref()),
        Era::Legacy => Ok(()),
    }
}
