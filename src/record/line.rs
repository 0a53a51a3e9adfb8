//! What a line says: who, what, by which rules, and what became of it. Never an argument, never a result.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::decide::{Circumstances, Comparison, Permit, Subject};
use crate::decode::{Action, Era, Reference};
use crate::identify::Caller;
use crate::name::{Invocation, Revision, ServerName, TenantId};
use crate::record::candidate::Beside;
use crate::record::mac::{Mac, Macs};
use crate::record::outcome::{Outcome, Status};
use crate::record::unkept::{Narrowed, Unkept};
use crate::refusal::Refusal;

/// Free text of a caller is cut to so many bytes: a line is to stay a line.
const TEXT_MAX: usize = 1024;

/// A call that is about to be forwarded.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// The proof that policy allowed it: caller, server, message, rules.
    pub permit: &'a Permit,
    /// The circumstances under which it did.
    pub circumstances: &'a Circumstances,
}

/// A message that goes no further. What is not known yet is absent: a stranger has no tenant.
#[derive(Debug, Clone, Copy)]
pub struct RefusalLine<'a> {
    /// The message in flight.
    pub invocation: Invocation,
    /// Why.
    pub refusal: &'a Refusal,
    /// From where.
    pub source_ip: IpAddr,
    /// Who, where that was established.
    pub caller: Option<&'a Caller>,
    /// The server that was meant.
    pub server: Option<&'a ServerName>,
    /// The method, one that the gate knows.
    pub method: Option<&'a str>,
    /// What it was about.
    pub about: About<'a>,
    /// The era.
    pub era: Option<Era>,
    /// The protocol revision.
    pub protocol: Option<&'a str>,
    /// The client's name as it says itself.
    pub client: Option<&'a str>,
    /// The workflow as the client says.
    pub workflow: Option<&'a str>,
    /// The exact arguments; only their HMAC is kept.
    pub arguments: Option<&'a [u8]>,
    /// The rules that allowed it, where it was refused after that.
    pub rules: &'a [Arc<str>],
    /// The policy's revision.
    pub revision: Option<&'a Revision>,
    /// What a second policy makes of it.
    pub comparison: Option<&'a Comparison>,
}

impl<'a> RefusalLine<'a> {
    /// A line that knows only that a message came from somewhere and was refused; further fields are set on it.
    #[must_use]
    pub fn new(invocation: Invocation, refusal: &'a Refusal, source_ip: IpAddr) -> Self {
        Self {
            invocation,
            refusal,
            source_ip,
            caller: None,
            server: None,
            method: None,
            about: About::Nothing,
            era: None,
            protocol: None,
            client: None,
            workflow: None,
            arguments: None,
            rules: &[],
            revision: None,
            comparison: None,
        }
    }
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About<'a> {
    /// A tool by name.
    Tool(&'a str),
    /// A resource by URI.
    Resource(&'a str),
    /// A prompt by name.
    Prompt(&'a str),
    /// A task by id.
    Task(&'a str),
    /// Nothing in particular.
    Nothing,
}

impl<'a> About<'a> {
    /// What a message asks about, as it says itself.
    #[must_use]
    pub fn of(action: &'a Action) -> Self {
        match action {
            Action::CallTool(call) => Self::Tool(call.name.as_str()),
            Action::ReadResource { uri } | Action::Subscribe { uri } | Action::Unsubscribe { uri } => {
                Self::Resource(uri)
            }
            Action::GetPrompt { name, .. } | Action::Complete(Reference::Prompt(name)) => Self::Prompt(name),
            Action::Complete(Reference::Resource(uri)) => Self::Resource(uri),
            Action::Task { id, .. } => Self::Task(id),
            Action::Initialize { .. }
            | Action::Discover
            | Action::Ping
            | Action::List(_)
            | Action::SetLevel
            | Action::Listen(_)
            | Action::Notify(_)
            | Action::Respond
            | Action::OpenStream
            | Action::EndSession => Self::Nothing,
        }
    }

    /// What policy was asked about.
    #[must_use]
    pub fn judged(subject: &'a Subject, action: &'a Action) -> Self {
        match subject {
            Subject::Tool(tool) => Self::Tool(tool.name.as_str()),
            Subject::Resource(uri) => Self::Resource(uri),
            Subject::Prompt(name) => Self::Prompt(name),
            Subject::Server => Self::of(action),
        }
    }
}

/// An intent or a refusal as it is written; `seq`, `time` and `prev` come before it.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub(super) kind: &'static str,
    pub(super) invocation: Invocation,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<&'a TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) agent: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) roles: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authn: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) narrowed: Option<Narrowed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unkept: Option<Unkept<'a>>,
    pub(super) source_ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) era: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) workflow: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) args: Option<Mac>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) rules: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) candidate: Option<Beside<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<&'a serde_json::Map<String, serde_json::Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) argument: Option<&'a str>,
}

impl<'a> Line<'a> {
    pub(super) fn of(
        kind: &'static str,
        invocation: Invocation,
        source_ip: IpAddr,
        caller: Option<&'a Caller>,
    ) -> Self {
        Self {
            kind,
            invocation,
            tenant: caller.map(Caller::tenant),
            user: caller.and_then(Caller::user).map(|u| u.as_str()),
            agent: caller.and_then(Caller::agent).map(|a| a.as_str()),
            roles: caller.map(Caller::roles).unwrap_or_default(),
            authn: caller.map(|c| c.authentication().kind.as_str()),
            scope: caller.and_then(Caller::scope).map(|s| s.id.as_str()),
            narrowed: caller.and_then(Caller::scope).map(|scope| Narrowed::of(scope)),
            unkept: caller.map(Unkept),
            source_ip,
            server: None,
            method: None,
            tool: None,
            resource: None,
            prompt: None,
            task: None,
            era: None,
            protocol: None,
            client: None,
            workflow: None,
            args: None,
            rules: &[],
            revision: None,
            candidate: None,
            annotations: None,
            cost: None,
            reason: None,
            code: None,
            message: None,
            argument: None,
        }
    }

    pub(super) fn about(mut self, about: About<'a>) -> Self {
        match about {
            About::Tool(name) => self.tool = Some(cut(name)),
            About::Resource(uri) => self.resource = Some(cut(uri)),
            About::Prompt(name) => self.prompt = Some(cut(name)),
            About::Task(id) => self.task = Some(cut(id)),
            About::Nothing => {}
        }
        self
    }

    /// The policy's own code and words. The texts of other refusals may quote the message, which is not kept.
    pub(super) fn why(mut self, refusal: &'a Refusal) -> Self {
        if let Refusal::Denied { code, message } = refusal {
            self.code = code.as_deref().map(cut);
            self.message = Some(cut(message));
        }
        if let Refusal::NotPinned { how, .. } | Refusal::NotApproved { how, .. } = refusal {
            self.code = Some(how);
        }
        if let Refusal::Constrained { argument, .. } = refusal {
            self.argument = Some(cut(argument));
        }
        self
    }

    fn body(&self) -> Vec<u8> {
        body(self)
    }
}

/// The body of an `intent` line.
pub(super) fn intent(intent: &Intent<'_>, macs: &Macs) -> Vec<u8> {
    let (permit, circumstances) = (intent.permit, intent.circumstances);
    let (message, verdict) = (permit.message(), permit.verdict());
    let line = Line::of("intent", permit.invocation(), circumstances.source_ip, Some(permit.caller()));
    Line {
        server: Some(permit.server().name.as_str()),
        method: (!message.method.is_empty()).then_some(message.method),
        era: Some(era(message.era)),
        protocol: circumstances.protocol,
        client: circumstances.client.as_ref().map(|(name, _)| cut(name)),
        workflow: circumstances.workflow.as_deref(),
        args: message.action.arguments().map(|raw| macs.of(raw.get().as_bytes())),
        rules: &verdict.rules,
        revision: Some(verdict.revision.as_str()),
        candidate: permit.comparison().and_then(Beside::of),
        annotations: Some(&verdict.annotations).filter(|a| !a.is_empty()),
        cost: Some(verdict.cost).filter(|cost| *cost != 0.0),
        ..line
    }
    .about(About::judged(permit.subject(), &message.action))
    .body()
}

/// The body of a `refused` line.
pub(super) fn refused(refused: &RefusalLine<'_>, macs: &Macs) -> Vec<u8> {
    let line = Line::of("refused", refused.invocation, refused.source_ip, refused.caller);
    Line {
        server: refused.server.map(ServerName::as_str),
        method: refused.method.map(cut),
        era: refused.era.map(era),
        protocol: refused.protocol.map(cut),
        client: refused.client.map(cut),
        workflow: refused.workflow,
        args: refused.arguments.map(|bytes| macs.of(bytes)),
        rules: refused.rules,
        revision: refused.revision.map(Revision::as_str),
        candidate: refused.comparison.and_then(Beside::of),
        reason: Some(refused.refusal.reason()),
        ..line
    }
    .about(refused.about)
    .why(refused.refusal)
    .body()
}

/// The body of an `outcome` line.
pub(super) fn outcome(
    invocation: Invocation,
    tenant: Option<&TenantId>,
    outcome: &Outcome,
    took: std::time::Duration,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Ended<'a> {
        kind: &'static str,
        invocation: Invocation,
        #[serde(skip_serializing_if = "Option::is_none")]
        tenant: Option<&'a TenantId>,
        status: Status,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<Mac>,
        duration_us: u64,
        bytes: u64,
    }
    body(&Ended {
        kind: "outcome",
        invocation,
        tenant,
        status: outcome.status,
        error: outcome.error,
        reason: outcome.reason,
        result: outcome.result,
        duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        bytes: outcome.bytes,
    })
}

/// Any other line's body.
pub(super) fn body(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(768);
    if serde_json::to_writer(&mut out, value).is_err() {
        out.clear();
        out.extend_from_slice(br#"{"kind":"refused","reason":"unwritable"}"#);
    }
    out
}

pub(super) fn era(era: Era) -> &'static str {
    match era {
        Era::Legacy => "legacy",
        Era::Modern => "modern",
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or(text)
}
