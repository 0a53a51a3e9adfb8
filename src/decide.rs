//! Whether it may happen: a question → [`Permit`], or a refusal with reasons.
//!
//! # Why a list and a call cannot disagree
//! What a list shows is what the question of its use ([`Subject::used_by`]) answers with `phase: "list"` and no arguments.
//! A call asks the same question first: what its caller is not shown does not exist for them. A rule of `deny` hides
//! too, unless it says `input.phase == "call"`: then the thing is shown, and its use refused with the reason.
//!
//! # Why verdicts are kept
//! A verdict says nothing of the arguments, which `constraints` hold. It depends on the paths of `input` that the policy
//! reads, and on nothing else; so it is kept under their exact values, unless the policy reads time, chance or usage.

mod again;
mod allowance;
mod ask;
mod builtin;
mod bundle;
mod cases;
mod check;
mod comparison;
mod conditions;
mod constraint;
mod contract;
mod decline;
mod engine;
mod explain;
mod fit;
mod inspect;
mod key;
mod lint;
mod names;
mod outline;
mod paths;
mod problem;
mod rates;
mod reads;
mod rego;
mod rollout;
mod settled;
mod sources;
mod trial;
pub mod watch;
mod written;
mod yaml;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::value::RawValue;

use crate::catalogue::Tool;
use crate::config::Server;
use crate::decode::Message;
use crate::identify::Caller;
use crate::name::{Invocation, Revision};
use crate::refusal::{Challenge, Refusal};

pub use again::{Again, conditions};
pub use ask::{Would, WouldNot};
pub use cases::Servers;
pub use comparison::{Change, Compared, Comparison, Difference, Opinion, Seat, Word};
pub use constraint::Narrowed;
pub use engine::Decide;
pub use explain::{Detail, Explanation, Known, Miss, Outcome, Why};
pub use names::Names;
pub use problem::PolicyProblem;
pub use rego::{Coverage, Covered, Stop, Tested};
pub use rollout::{Candidacy, Panel, Rollout, Stage};
pub use sources::{CopyError, Source, Sources};
pub use trial::{Trials, Wanted};
pub use written::Written;

/// What a message is about, as policy sees it.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A tool.
    Tool(Arc<Tool>),
    /// A resource or a resource template, by URI.
    Resource(Arc<str>),
    /// A prompt by name.
    Prompt(Arc<str>),
    /// The server itself: `initialize`, lists, `ping`, …
    Server,
}

impl Subject {
    /// The method by which it is used, which is what a list asks about; the server itself has none.
    #[must_use]
    pub fn used_by(&self) -> Option<&'static str> {
        match self {
            Self::Tool(_) => Some("tools/call"),
            Self::Resource(_) => Some("resources/read"),
            Self::Prompt(_) => Some("prompts/get"),
            Self::Server => None,
        }
    }
}

/// Whether a list is asked about, or a use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    List,
    Call,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Call => "call",
        }
    }
}

/// The circumstances of a request that policy may read.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// The message in flight.
    pub invocation: Invocation,
    /// When it came.
    pub time: jiff::Timestamp,
    /// From where.
    pub source_ip: std::net::IpAddr,
    /// The protocol revision, as far as it is known.
    pub protocol: Option<&'static str>,
    /// The client's name and version as it says itself.
    pub client: Option<(String, Option<String>)>,
    /// The workflow that the call belongs to, as the client says.
    pub workflow: Option<String>,
    /// Requests left in the tenant's rate, where policy reads it and there is a rate.
    pub rate_remaining: Option<u32>,
    /// What the tenant's calls have cost in this calendar month, where policy reads it.
    pub cost_this_month: Option<f64>,
}

impl Circumstances {
    /// Those of a question that is only imagined: a call of the newest revision from this machine.
    #[must_use]
    pub fn imagined(now: jiff::Timestamp) -> Self {
        Self {
            invocation: Invocation::new(),
            time: now,
            source_ip: std::net::Ipv4Addr::LOCALHOST.into(),
            protocol: Some("2026-07-28"),
            client: None,
            workflow: None,
            rate_remaining: None,
            cost_this_month: None,
        }
    }
}

/// One question to policy.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Of which server.
    pub server: &'a Server,
    /// By which method.
    pub method: &'a str,
    /// About what.
    pub subject: &'a Subject,
    /// With which arguments; never at list time.
    pub arguments: Option<&'a RawValue>,
    /// Under which circumstances.
    pub circumstances: &'a Circumstances,
}

/// How often policy was asked: counted across every policy that has served.
#[derive(Debug, Default)]
pub struct Tally {
    kept: AtomicU64,
    new: AtomicU64,
}

impl Tally {
    /// How many verdicts had been kept from before.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// How many verdicts were new.
    #[must_use]
    pub fn new_ones(&self) -> u64 {
        self.new.load(Ordering::Relaxed)
    }
}

/// The proof that policy allowed this message of this caller. Only `decide` makes one; it is used up by sending.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    pub(in crate::decide) caller: Arc<Caller>,
    pub(in crate::decide) server: Arc<Server>,
    pub(in crate::decide) subject: Subject,
    pub(in crate::decide) message: Message,
    pub(in crate::decide) verdict: Arc<Verdict>,
    pub(in crate::decide) invocation: Invocation,
    pub(in crate::decide) comparison: Option<Comparison>,
}

/// What policy said about one question. It says nothing about the arguments, which `constraints` hold.
#[derive(Debug)]
pub struct Verdict {
    /// Whether a rule allowed it and none denied it.
    pub allow: bool,
    /// The reasons of the rules that denied it: code and message.
    pub deny: Vec<(Option<String>, String)>,
    /// How the caller must authenticate for all of those to be lifted.
    pub challenge: Option<Challenge>,
    /// The rules that allowed it.
    pub rules: Vec<Arc<str>>,
    /// JSON Pointers to mask in results.
    pub redact: Vec<Arc<str>>,
    /// Charged to the tenant's budget.
    pub cost: f64,
    /// Extra fields for the audit.
    pub annotations: serde_json::Map<String, serde_json::Value>,
    /// The policy's revision.
    pub revision: Revision,
    pub(in crate::decide) constraints: constraint::Constraints,
}

impl Verdict {
    /// A tool's input schema with the constraints in it, so that a model sees what it may give. All else in it stays byte
    /// for byte. `None`: the tool has no schema.
    #[must_use]
    pub fn narrow(&self, input_schema: Option<&RawValue>) -> Narrowed {
        self.constraints.narrow(input_schema)
    }
}

/// What a list shows of one thing.
#[derive(Debug)]
pub enum Sight {
    /// Nothing: for this caller it does not exist.
    Hidden,
    /// It is shown, narrowed by the verdict.
    Shown(Arc<Verdict>),
}

/// A message that policy refused: what the answer and the audit are made from.
#[derive(Debug)]
pub struct Denied {
    /// What the caller is told.
    pub refusal: Refusal,
    /// The message that was judged.
    pub message: Message,
    /// Who asked.
    pub caller: Arc<Caller>,
    /// Of which server.
    pub server: Arc<Server>,
    /// About what.
    pub subject: Subject,
    /// Rules that would have allowed it; for the audit.
    pub rules: Vec<Arc<str>>,
    /// The reasons of the rules that denied it, also where the caller is not told: code and message; for the audit.
    pub deny: Vec<(Option<String>, String)>,
    /// The policy that refused.
    pub revision: Revision,
    /// The message in flight.
    pub invocation: Invocation,
    /// What a second policy made of the message.
    pub comparison: Option<Comparison>,
}

impl Permit {
    /// Whose call it is.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// The server it goes to.
    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The message that was judged.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// What policy said.
    #[must_use]
    pub fn verdict(&self) -> &Arc<Verdict> {
        &self.verdict
    }

    /// The message in flight.
    #[must_use]
    pub fn invocation(&self) -> Invocation {
        self.invocation
    }

    /// What a second policy made of the message.
    #[must_use]
    pub fn comparison(&self) -> Option<&Comparison> {
        self.comparison.as_ref()
    }
}

#[cfg(test)]
impl Verdict {
    /// A verdict that allows, made up for a test of another room.
    pub(crate) fn for_test() -> Self {
        Self {
            allow: true,
            deny: Vec::new(),
            challenge: None,
            rules: Vec::new(),
            redact: Vec::new(),
            cost: 0.0,
            annotations: serde_json::Map::new(),
            revision: Revision::from_digest("test"),
            constraints: constraint::Constraints::default(),
        }
    }
}

/// A permit made up for a test of another room.
#[cfg(test)]
pub(crate) fn permit_for_test(caller: Caller, server: Arc<Server>, message: Message) -> Permit {
    judged_for_test(caller, server, Subject::Server, message, Verdict::for_test())
}

/// The same with what policy said.
#[cfg(test)]
pub(crate) fn judged_for_test(
    caller: Caller,
    server: Arc<Server>,
    subject: Subject,
    message: Message,
    verdict: Verdict,
) -> Permit {
    Permit {
        caller: Arc::new(caller),
        server,
        subject,
        message,
        verdict: Arc::new(verdict),
        invocation: Invocation::new(),
        comparison: None,
    }
}
