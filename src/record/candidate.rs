//! What the record says of a second policy: beside a message, of a list that it would show otherwise, and of its way to
//! serving.

use std::sync::Arc;

use serde::Serialize;

use crate::config::Canary;
use crate::decide::{Change, Compared, Comparison, Opinion, Seat};
use crate::identify::Caller;
use crate::name::{Invocation, Revision, ServerName, TenantId, ToolName};
use crate::record::line::body;

/// So many tools of one list are named; the others are counted. A server may list whatever it likes.
const MOST: usize = 100;

/// A page of a list that two policies show differently.
#[derive(Debug, Clone, Copy)]
pub struct ListLine<'a> {
    /// The message in flight.
    pub invocation: Invocation,
    /// Whose list it is.
    pub caller: &'a Caller,
    /// Of which server.
    pub server: &'a ServerName,
    /// By which method.
    pub method: &'a str,
    /// Whose view the caller got.
    pub decided_by: Seat,
    /// The policy that serves.
    pub live: &'a Revision,
    /// The one that is tried.
    pub candidate: &'a Revision,
    /// The tools that differ.
    pub tools: &'a [ToolSeen],
}

/// A tool that two policies show differently.
#[derive(Debug, Serialize)]
pub struct ToolSeen {
    /// Which.
    pub tool: ToolName,
    /// What would be different under the candidate.
    pub changes: Vec<Change>,
    /// The rules by which the policy that serves shows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub live_rules: Vec<Arc<str>>,
    /// The rules by which the candidate does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidate_rules: Vec<Arc<str>>,
}

/// A step on a candidate's way to serving, or back.
#[derive(Debug, Clone, Copy)]
pub struct PolicyLine<'a> {
    /// Which step.
    pub event: PolicyEvent,
    /// The policy that serves after it.
    pub live: &'a Revision,
    /// The candidate that it is about.
    pub candidate: Option<&'a Revision>,
    /// For whom the candidate decides from now on.
    pub canary: Option<&'a Canary>,
}

/// The steps of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyEvent {
    /// It was loaded, and is compared from now on.
    Candidate,
    /// It decides for some tenants.
    Canary,
    /// It serves.
    Promoted,
    /// It decides for nobody any more.
    RolledBack,
    /// The directory whose place a promoted candidate took has changed, and serves again.
    PromotionEnded,
}

/// The field `candidate` of a line.
#[derive(Serialize)]
pub(super) struct Beside<'a> {
    stage: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    changes: &'a [Change],
    /// What the candidate would have decided.
    #[serde(flatten)]
    shadow: Option<&'a Opinion>,
    /// What the policy that serves would have decided, where the candidate did.
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<&'a Opinion>,
}

impl<'a> Beside<'a> {
    /// What a line says of a comparison: nothing, where the policy that serves has decided and the other agrees.
    pub(super) fn of(comparison: &'a Comparison) -> Option<Self> {
        let (changes, other): (&[Change], _) = match &comparison.compared {
            Compared::Differs(difference) => (&difference.changes, Some(&difference.other)),
            Compared::Same | Compared::LeftOut => (&[], None),
        };
        match comparison.decided_by {
            Seat::Live => {
                other.map(|other| Self { stage: "shadow", changes, shadow: Some(other), live: None })
            }
            Seat::Candidate => Some(Self { stage: "canary", changes, shadow: None, live: other }),
        }
    }
}

/// The body of a `shadow` line.
pub(super) fn list(line: &ListLine<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        kind: &'static str,
        invocation: Invocation,
        tenant: &'a TenantId,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        agent: Option<&'a str>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        roles: &'a [Arc<str>],
        server: &'a ServerName,
        method: &'a str,
        stage: &'static str,
        live: &'a Revision,
        candidate: &'a Revision,
        tools: &'a [ToolSeen],
        #[serde(skip_serializing_if = "Option::is_none")]
        more: Option<usize>,
    }
    let caller = line.caller;
    let tools = line.tools.get(..MOST).unwrap_or(line.tools);
    body(&Line {
        kind: "shadow",
        invocation: line.invocation,
        tenant: caller.tenant(),
        user: caller.user().map(|user| user.as_str()),
        agent: caller.agent().map(|agent| agent.as_str()),
        roles: caller.roles(),
        server: line.server,
        method: line.method,
        stage: match line.decided_by {
            Seat::Live => "shadow",
            Seat::Candidate => "canary",
        },
        live: line.live,
        candidate: line.candidate,
        tools,
        more: line.tools.len().checked_sub(tools.len()).filter(|more| *more > 0),
    })
}

/// The body of a `policy` line.
pub(super) fn policy(line: &PolicyLine<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        kind: &'static str,
        event: PolicyEvent,
        live: &'a Revision,
        #[serde(skip_serializing_if = "Option::is_none")]
        candidate: Option<&'a Revision>,
        #[serde(skip_serializing_if = "Option::is_none")]
        canary: Option<&'a Canary>,
    }
    let PolicyLine { event, live, candidate, canary } = *line;
    body(&Line { kind: "policy", event, live, candidate, canary })
}
