//! The line that says that somebody asked whether a call would pass, and what the answer was. Nothing was called.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::decode::Era;
use crate::identify::Caller;
use crate::name::{Invocation, Revision, ServerName};
use crate::record::About;
use crate::record::line::{Line, body, era};
use crate::record::mac::Macs;
use crate::refusal::Refusal;

/// A question about a call, and its answer.
#[derive(Debug, Clone, Copy)]
pub struct QuestionLine<'a> {
    /// The question, as its answer names it.
    pub invocation: Invocation,
    /// Who asked.
    pub caller: &'a Caller,
    /// From where.
    pub source_ip: IpAddr,
    /// The server that the call would go to, where there is one.
    pub server: Option<&'a ServerName>,
    /// The call's method, one that the gate knows.
    pub method: Option<&'static str>,
    /// What the call would be about.
    pub about: About<'a>,
    /// The era and revision in which it would be made.
    pub spoken: Option<(Era, Option<&'static str>)>,
    /// Its arguments, where they were given; only their HMAC is kept.
    pub arguments: Option<&'a [u8]>,
    /// The rules that would allow it.
    pub rules: &'a [Arc<str>],
    /// The policy that was asked.
    pub revision: Option<&'a Revision>,
    /// Why it would be refused; `None`: it would pass.
    pub refusal: Option<&'a Refusal>,
}

/// The body of a `question` line.
pub(super) fn line(question: &QuestionLine<'_>, macs: &Macs) -> Vec<u8> {
    #[derive(Serialize)]
    struct Question<'a> {
        #[serde(flatten)]
        line: Line<'a>,
        decision: bool,
    }
    let line = Line::of("question", question.invocation, question.source_ip, Some(question.caller));
    let line = Line {
        server: question.server.map(ServerName::as_str),
        method: question.method,
        era: question.spoken.map(|(spoken, _)| era(spoken)),
        protocol: question.spoken.and_then(|(_, protocol)| protocol),
        args: question.arguments.map(|bytes| macs.of(bytes)),
        rules: question.rules,
        revision: question.revision.map(Revision::as_str),
        reason: question.refusal.map(Refusal::reason),
        ..line
    }
    .about(question.about);
    let line = match question.refusal {
        Some(refusal) => line.why(refusal),
        None => line,
    };
    body(&Question { line, decision: question.refusal.is_none() })
}
