//! What is known of a message while it is on its way: filled in step by step, so that a refusal at any step can say it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::config::Server;
use crate::decide::{Circumstances, Comparison, Denied};
use crate::decode::{Action, Era, Message, Rejected, RequestId, Version};
use crate::gateway::Gateway;
use crate::gateway::open::Open;
use crate::identify::Caller;
use crate::name::{Invocation, Revision, TenantId};
use crate::record;
use crate::record::trace::{Asker, CallTrace, Traced};
use crate::refusal::Refusal;
use crate::respond::filter::Resumed;
use crate::respond::table::Asked;
use crate::tenancy::Held;
use crate::vouch::Context;

/// Whom the request comes from, which server it goes to, and in which session.
pub(in crate::gateway) struct Way {
    pub caller: Arc<Caller>,
    pub server: Arc<Server>,
    /// The caller's tenant's account there, if there is one.
    pub account: Option<Arc<Held>>,
    /// The server's own session id, and the revision that was negotiated with it.
    pub session: Option<(String, Version)>,
    /// Whose eyes see what comes back.
    pub eyes: Eyes,
}

/// Who sees what comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Eyes {
    /// The caller: what policy and pins let them see.
    Caller,
    /// The operator of the gate, who wants to know what a server offers. No request of an agent is ever theirs.
    Operator,
    /// Nobody: the gate tells a server no in the caller's place.
    Nobody,
}

impl Way {
    /// The account; without one there is no call.
    pub(in crate::gateway) fn account(&self) -> Result<&Arc<Held>, Refusal> {
        self.account.as_ref().ok_or_else(|| Refusal::NoAccount(self.server.name.clone()))
    }

    /// The account's own URL, where it has one.
    pub(in crate::gateway) fn url(&self) -> Option<&http::Uri> {
        self.account.as_ref().and_then(|held| held.account.url.as_ref())
    }

    /// The revision of the session, where there is one.
    pub(in crate::gateway) fn version(&self) -> Option<Version> {
        self.session.as_ref().map(|(_, version)| *version)
    }
}

/// One message under way.
pub(in crate::gateway) struct Call {
    pub invocation: Invocation,
    pub source: SocketAddr,
    pub begun: Instant,
    pub caller: Option<Arc<Caller>>,
    pub server: Option<Arc<Server>>,
    pub id: Option<RequestId>,
    pub era: Era,
    pub version: Option<Version>,
    pub method: Option<&'static str>,
    pub tool_call: bool,
    pub about: Option<About>,
    pub client: Option<(String, Option<String>)>,
    pub workflow: Option<Box<str>>,
    pub arguments: Option<Box<serde_json::value::RawValue>>,
    pub rules: Vec<Arc<str>>,
    pub revision: Option<Revision>,
    pub comparison: Option<Comparison>,
    /// What of a server's the gate declines with this message.
    pub declines: Option<&'static str>,
    /// Its trace, until it is open.
    pub trace: CallTrace,
    pub asker: Asker,
    /// The call whose answer is awaited on the stream that is resumed.
    pub resumed: Option<Resumed>,
    pub open: Option<Open>,
}

/// What a refused message was about; the message itself may be gone by then.
pub(in crate::gateway) enum About {
    Tool(crate::name::ToolName),
    Resource(String),
    Prompt(String),
    Task(String),
}

impl Call {
    pub(in crate::gateway) fn begin(source: SocketAddr) -> Self {
        Self {
            invocation: Invocation::new(),
            source,
            begun: Instant::now(),
            caller: None,
            server: None,
            id: None,
            era: Era::Legacy,
            version: None,
            method: None,
            tool_call: false,
            about: None,
            client: None,
            workflow: None,
            arguments: None,
            rules: Vec::new(),
            revision: None,
            comparison: None,
            declines: None,
            trace: CallTrace::default(),
            asker: Asker::Caller,
            resumed: None,
            open: None,
        }
    }

    /// Another message of the same request.
    pub(in crate::gateway) fn sibling(way: &Way, source: SocketAddr) -> Self {
        let mut call = Self::begin(source);
        call.caller = Some(Arc::clone(&way.caller));
        call.server = Some(Arc::clone(&way.server));
        call
    }

    /// Notes what the message says of itself.
    pub(in crate::gateway) fn asks(&mut self, message: &Message) {
        self.id = message.id.clone();
        self.era = message.era;
        self.version = message.version;
        self.method = (!message.method.is_empty()).then_some(message.method);
        self.client = message.meta.client();
        self.workflow.clone_from(&message.meta.workflow);
        match &message.action {
            Action::CallTool(call) => {
                self.tool_call = true;
                self.about = Some(About::Tool(call.name.clone()));
            }
            Action::ReadResource { uri } | Action::Subscribe { uri } | Action::Unsubscribe { uri } => {
                self.about = Some(About::Resource(uri.clone()));
            }
            Action::GetPrompt { name, .. } => self.about = Some(About::Prompt(name.clone())),
            Action::Task { id, .. } => self.about = Some(About::Task(id.clone())),
            Action::Initialize { .. }
            | Action::Discover
            | Action::Ping
            | Action::List(_)
            | Action::Complete(_)
            | Action::SetLevel
            | Action::Listen(_)
            | Action::Notify(_)
            | Action::Respond
            | Action::OpenStream
            | Action::EndSession => {}
        }
    }

    /// What the trace of its message says at the beginning.
    pub(in crate::gateway) fn traced<'a>(&self, message: &'a Message) -> Traced<'a> {
        Traced {
            invocation: self.invocation,
            message,
            protocol: self.version.map(Version::as_str),
            client: self.source,
            asker: self.asker,
        }
    }

    /// Notes what `decode` could read of a message that it rejects.
    pub(in crate::gateway) fn rejected(&mut self, rejected: Rejected) -> Refusal {
        self.id = rejected.id;
        self.era = rejected.era;
        rejected.refusal
    }

    /// Notes what policy said of a message that it denies.
    pub(in crate::gateway) fn denied(&mut self, denied: Denied) -> Refusal {
        self.rules = denied.rules;
        self.revision = Some(denied.revision);
        self.comparison = denied.comparison;
        if let Refusal::Denied { .. } | Refusal::Constrained { .. } = denied.refusal {
            self.trace.concerns(record::About::judged(&denied.subject, &denied.message.action));
        }
        if let Action::CallTool(call) = denied.message.action {
            self.arguments = call.arguments;
        }
        denied.refusal
    }

    /// The circumstances that policy may read, without what the tenant has used: see [`Gateway::circumstances`].
    pub(in crate::gateway) fn circumstances(&self) -> Circumstances {
        Circumstances {
            invocation: self.invocation,
            time: jiff::Timestamp::now(),
            source_ip: self.source.ip(),
            protocol: self.version.map(Version::as_str),
            client: self.client.clone(),
            workflow: self.workflow.as_deref().map(str::to_owned),
            rate_remaining: None,
            cost_this_month: None,
        }
    }

    /// What the signed statement says beside the permit.
    pub(in crate::gateway) fn vouched<'a>(&self, url: Option<&'a http::Uri>) -> Context<'a> {
        Context { client_address: self.source.ip(), now: SystemTime::now(), url }
    }

    /// What the message was about, for the record.
    pub(in crate::gateway) fn about(&self) -> record::About<'_> {
        match &self.about {
            Some(About::Tool(name)) => record::About::Tool(name.as_str()),
            Some(About::Resource(uri)) => record::About::Resource(uri),
            Some(About::Prompt(name)) => record::About::Prompt(name),
            Some(About::Task(id)) => record::About::Task(id),
            None => record::About::Nothing,
        }
    }

    /// What an answer to a refusal needs.
    pub(in crate::gateway) fn asked(&self) -> Asked {
        Asked { id: self.id.clone(), era: self.era, tool_call: self.tool_call, invocation: self.invocation }
    }
}

impl Gateway {
    /// The circumstances of a message, with what the tenant has used as far as policy reads it.
    pub(in crate::gateway) fn circumstances(&self, tenant: &TenantId, call: &Call) -> Circumstances {
        let mut circumstances = call.circumstances();
        let (panel, govern) = (self.rollout.panel(tenant), &self.shared.govern);
        if panel.reads_rate() {
            circumstances.rate_remaining = govern.rate_remaining(tenant, self.quotas(tenant));
        }
        if panel.reads_cost() {
            circumstances.cost_this_month = Some(govern.spent(tenant, circumstances.time));
        }
        circumstances
    }
}
