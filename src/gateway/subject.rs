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

/// A tool that was found.
enum Found {
    /// As its server lists it.
    Listed(Arc<Listed>),
    /// By its name, or as it was.
    Named(Arc<Tool>),
}

impl Found {
    fn tool(self) -> Arc<Tool> {
        match self {
            Self::Listed(listed) => Arc::clone(&listed.tool),
            Self::Named(tool) => tool,
        }
    }
}

/// What an action names.
pub(in crate::gateway) enum Named<'a> {
    /// A tool, of which policy is told more than its name.
    Tool(&'a ToolCall),
    /// All that policy is told.
    Whole(Subject),
}

impl<'a> Named<'a> {
    pub(in crate::gateway) fn by(action: &'a Action) -> Self {
        Self::Whole(match action {
            Action::CallTool(tool_call) => return Self::Tool(tool_call),
            Action::ReadResource { uri }
            | Action::Subscribe { uri }
            | Action::Unsubscribe { uri }
            | Action::Complete(Reference::Resource(uri)) => Subject::Resource(uri.as_str().into()),
            Action::GetPrompt { name, .. } | Action::Complete(Reference::Prompt(name)) => {
                Subject::Prompt(name.as_str().into())
            }
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
}

impl Gateway {
    /// What `message` is about.
    pub(in crate::gateway) async fn subject<I: Inbound>(
        self: &Arc<Self>,
        inbound: &I,
        way: &Way,
        message: &Message,
        call: &Call,
    ) -> Result<Subject, Refusal> {
        match Named::by(&message.action) {
            Named::Tool(tool_call) => {
                self.tool(inbound.head(), way, message, tool_call, call).await.map(Subject::Tool)
            }
            Named::Whole(subject) => self.approved(way, &message.action).await.map(|()| subject),
        }
    }

    async fn tool(
        self: &Arc<Self>,
        head: &Head,
        way: &Way,
        message: &Message,
        tool_call: &ToolCall,
        call: &Call,
    ) -> Result<Arc<Tool>, Refusal> {
        if self.known(way, tool_call).is_older_than(STALE) {
            self.look(head, way, message, call).await;
        }
        let found = self.found(way, tool_call)?;
        if let Found::Listed(listed) = &found {
            check_mirrored(head, message, listed, tool_call)?;
        }
        Ok(found.tool())
    }

    /// The tool that a question is about: as for a call, which has headers of its own to be checked besides.
    pub(in crate::gateway) async fn tool_in_question(
        self: &Arc<Self>,
        way: &Way,
        tool_call: &ToolCall,
    ) -> Result<Arc<Tool>, Refusal> {
        if self.known(way, tool_call).is_older_than(STALE) {
            self.look_in_any_era(way).await;
        }
        self.found(way, tool_call).map(Found::tool)
    }

    fn found(&self, way: &Way, tool_call: &ToolCall) -> Result<Found, Refusal> {
        match self.known(way, tool_call) {
            Known::Listed(listed) => self.as_pinned(way, listed, tool_call).map(Found::Listed),
            Known::Absent { .. } => Err(Refusal::UnknownTool(tool_call.name.clone())),
            Known::Unseen => self.unseen(way, tool_call),
        }
    }

    /// The tool, unless it is withheld because it is not what was pinned.
    fn as_pinned(
        &self,
        way: &Way,
        listed: Arc<Listed>,
        tool_call: &ToolCall,
    ) -> Result<Arc<Listed>, Refusal> {
        match listed.drift.filter(|_| listed.is_withheld(self.pins.mode(&way.server))) {
            Some(drift) => Err(Refusal::NotPinned { tool: tool_call.name.clone(), how: drift.as_str() }),
            None => Ok(listed),
        }
    }

    /// A tool of a list that cannot be seen now: as it was before, or by its name alone. Where pins are enforced, what was
    /// never seen matches none.
    fn unseen(&self, way: &Way, tool_call: &ToolCall) -> Result<Found, Refusal> {
        let named = || Found::Named(Arc::new(Tool::named(&way.server, tool_call.name.clone())));
        let (tenant, catalogue) = (way.caller.tenant(), &self.shared.catalogue);
        let before = || catalogue.before(tenant, &way.server, &self.pins, &tool_call.name);
        match self.pins.mode(&way.server) {
            PinMode::Off => Ok(named()),
            PinMode::Warn => Ok(before().map_or_else(named, |listed| Found::Named(Arc::clone(&listed.tool)))),
            PinMode::Enforce => match before() {
                Some(listed) => self.as_pinned(way, listed, tool_call).map(Found::Listed),
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
        Era::Modern => listed.tool.mirrored.check(head, call.arguments.as_deref()),
        Era::Legacy => Ok(()),
    }
}
