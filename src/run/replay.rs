//! Recorded decisions, judged again by another policy: line by line, in bounded memory, and nothing guessed.
//!
//! # What is never guessed
//! The audit keeps no arguments, groups or attributes. Where the policy may depend on what was there and is not kept, the
//! decision depends on arguments, or cannot be known, and the reason is told. Tools, servers and their tags are those of
//! the configuration now.

mod line;
mod report;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::catalogue::Tool;
use crate::config::{Config, PinMode, Server, Static};
use crate::decide::{Again, Circumstances, Decide, Outcome, Question, Subject};
use crate::decode::Version;
use crate::identify::{Imagined, Proof};
use crate::name::{AgentId, ServerName, TenantId, ToolName, UserId};
use crate::record::{RecordError, read};
use crate::review::Expected;

use line::{Line, Was};
pub use report::{Effect, Form, Report};

/// Which lines are judged.
#[derive(Debug, Default)]
pub struct Span {
    /// Not before.
    pub since: Option<jiff::Timestamp>,
    /// Before.
    pub until: Option<jiff::Timestamp>,
    /// Of this tenant only.
    pub tenant: Option<TenantId>,
}

/// Judges lines again.
pub struct Replay<'a> {
    policy: &'a Decide,
    config: &'a Config,
    /// What the policy reads and no line holds, told once.
    never: Vec<&'static str>,
    /// What the policy reads and a line holds in part.
    parts: Vec<&'static str>,
    /// The attributes that can open a grant, where nothing else can come of attributes.
    conditions: Option<BTreeSet<String>>,
    expected: Expected,
}

/// What became of one decision.
struct Judged {
    effect: Effect,
    /// Why it is not known, or by which rules it is what it is.
    because: Vec<String>,
}

impl<'a> Replay<'a> {
    /// `conditions`: [`crate::decide::conditions`] of the policy's directory.
    #[must_use]
    pub fn new(policy: &'a Decide, config: &'a Config, conditions: Option<BTreeSet<String>>) -> Self {
        let (never, parts) = (policy.never_recorded(), policy.unrecorded());
        Self { policy, config, never, parts, conditions, expected: Expected::default() }
    }

    /// The same, where this may become allowed.
    #[must_use]
    pub fn expecting(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }

    /// What was expected and has not been met so far.
    pub fn unmet(&self) -> impl Iterator<Item = &str> {
        self.expected.unmet()
    }

    /// Judges every line of a directory that `span` holds.
    ///
    /// # Errors
    /// The audit cannot be read.
    pub fn of(&self, directory: &Path, span: &Span) -> Result<Report, RecordError> {
        let mut report = Report::new(self.policy.revision());
        read::lines(directory, |text| {
            if let Ok(line) = serde_json::from_str::<Line<'_>>(text)
                && line.is_in(span)
            {
                self.line(&line, &mut report);
            }
        })?;
        Ok(report)
    }

    fn line(&self, line: &Line<'_>, report: &mut Report) {
        let Some(was) = line.was() else { return };
        match was {
            Was::Undecided(reason) => report.undecided(reason),
            Was::Allowed | Was::Refused | Was::Constrained => {
                let judged = self.judge(line, was);
                if judged.effect == Effect::Allowed && !self.expects(line) {
                    report.unexpected();
                }
                report.add(line, judged.effect, judged.because);
            }
        }
    }

    fn expects(&self, line: &Line<'_>) -> bool {
        let Some((kind, name)) = line.thing() else { return false };
        let (names, server) = (line.names(), line.server.as_deref().unwrap_or_default());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.expected.covers(&names, (server, kind, name))
    }

    fn judge(&self, line: &Line<'_>, was: Was<'_>) -> Judged {
        // The very policy that decided decides no other way, but where it looks at the clock or at usage.
        let same_policy = line.revision.as_deref() == Some(self.policy.revision().as_str());
        if same_policy && !self.never.contains(&"the clock or chance") && !self.parts.contains(&"usage") {
            return Judged { effect: Effect::Same, because: Vec::new() };
        }
        match self.asked(line) {
            Ok((who, server, subject)) => self.answer(line, was, &who, &server, &subject),
            Err(why) => Judged { effect: Effect::Unknown, because: vec![why] },
        }
    }

    fn answer(
        &self,
        line: &Line<'_>,
        was: Was<'_>,
        who: &Static,
        server: &Server,
        subject: &Subject,
    ) -> Judged {
        let missing = self.missing(line, server);
        let attributes = missing.contains(&"caller.attributes");
        let others: Vec<String> = missing
            .iter()
            .filter(|part| **part != "caller.attributes")
            .map(|part| (*part).to_owned())
            .collect();
        let unknown = |because: Vec<String>| Judged { effect: Effect::Unknown, because };
        if !others.is_empty() {
            return unknown(others);
        }
        let without = self.ask(line, who, server, subject);
        if !attributes {
            return self.compared(line, was, &without);
        }
        let attributes = || unknown(vec!["caller.attributes".to_owned()]);
        let Some(conditions) = &self.conditions else { return attributes() };
        // Attributes open grants and do nothing else: the answers without any and with all of them bound the true one.
        let all = conditions.iter().map(|name| (name.clone(), Value::from("?"))).collect();
        let with = self.ask(line, &Static { attributes: all, ..who.clone() }, server, subject);
        let open = |again: &Again| again.outcome == Outcome::Allowed;
        match (open(&without), open(&with)) {
            (false, true) => attributes(),
            (true, _) | (false, false) => self.compared(line, was, &without),
        }
    }

    fn ask(&self, line: &Line<'_>, who: &Static, server: &Server, subject: &Subject) -> Again {
        let proof = Proof::ALL.into_iter().find(|proof| Some(proof.as_str()) == line.authn.as_deref());
        let caller = Imagined::new(who, proof.unwrap_or(Proof::ApiKey));
        let caller = match line.scope(server) {
            Some(scope) => caller.within(scope),
            None => caller,
        };
        let mut circumstances = Circumstances::imagined(line.time);
        circumstances.protocol =
            line.protocol.as_deref().and_then(Version::parse).map(|version| version.as_str());
        if let Some(ip) = line.source_ip.as_deref().and_then(|ip| ip.parse().ok()) {
            circumstances.source_ip = ip;
        }
        self.policy.again(&Question {
            caller: caller.caller(),
            server,
            method: line.method.as_deref().unwrap_or_default(),
            subject,
            arguments: None,
            circumstances: &circumstances,
        })
    }

    /// What was decided, and what would be now. Arguments that a call was made without are known to be none.
    fn compared(&self, line: &Line<'_>, was: Was<'_>, again: &Again) -> Judged {
        let rules = |again: &Again| {
            let rules = again.verdict.iter().flat_map(|verdict| verdict.rules.iter());
            rules.map(ToString::to_string).collect::<Vec<_>>()
        };
        let takes = matches!(line.method.as_deref(), Some("tools/call" | "prompts/get"));
        let constrained = takes && again.is_constrained();
        let allowed = again.outcome == Outcome::Allowed;
        let depends = (constrained && allowed) || (takes && self.policy.reads_arguments());
        if depends && !line.had_no_arguments() {
            return Judged { effect: Effect::Arguments, because: rules(again) };
        }
        let passes = allowed && !constrained;
        match (was, passes) {
            (Was::Allowed, true) | (Was::Refused | Was::Constrained, false) => {
                Judged { effect: Effect::Same, because: Vec::new() }
            }
            (Was::Allowed, false) => Judged {
                effect: Effect::Refused,
                because: line.rules.iter().map(ToString::to_string).collect(),
            },
            (Was::Refused | Was::Constrained, true) => {
                Judged { effect: Effect::Allowed, because: rules(again) }
            }
            (Was::Undecided(reason), _) => {
                Judged { effect: Effect::Unknown, because: vec![reason.to_owned()] }
            }
        }
    }

    /// What the policy reads, was there, and is not kept.
    fn missing(&self, line: &Line<'_>, server: &Server) -> Vec<&'static str> {
        let there = |part: &str| match part {
            "caller.groups" => line.lacks("groups"),
            "caller.attributes" => line.lacks("attributes"),
            "caller.authentication" => line.lacks("authentication"),
            "scope" => line.scope.is_some() && line.scope(server).is_none(),
            // A tool that is compared with nothing never matches its pin; and the stock rules do not ask.
            "tool.pinned" => line.tool.is_some() && server.pins != PinMode::Off && self.conditions.is_none(),
            "tool.annotations" => false,
            "request.client" => line.client.is_some(),
            "request.workflow" => line.workflow.is_some(),
            _ => true,
        };
        // What a trusted server says of a tool makes its operation and class, too.
        let annotations = (line.tool.is_some() && server.trust_annotations).then_some("tool.annotations");
        let parts = self.never.iter().chain(&self.parts).copied();
        parts.filter(|part| there(part)).chain(annotations).collect()
    }

    /// Who asked, of which server, about what.
    fn asked(&self, line: &Line<'_>) -> Result<(Static, Arc<Server>, Subject), String> {
        let bad = |what: &str| format!("the line's {what} cannot be read");
        let tenant = line.tenant.as_deref().and_then(|tenant| TenantId::parse(tenant).ok());
        let who = Static {
            tenant: tenant.ok_or_else(|| bad("tenant"))?,
            user: line.user.as_deref().and_then(|user| UserId::parse(user).ok()),
            agent: line.agent.as_deref().and_then(|agent| AgentId::parse(agent).ok()),
            roles: line.roles.iter().map(|role| Arc::from(&**role)).collect(),
            groups: Vec::new(),
            attributes: std::collections::BTreeMap::new(),
        };
        let name = line.server.as_deref().and_then(|name| ServerName::parse(name).ok());
        let name = name.ok_or_else(|| bad("server"))?;
        let server = self.config.servers.get(&name);
        let server = server.ok_or_else(|| format!("the configuration has no server `{name}` now"))?;
        let subject = match (&line.tool, &line.resource, &line.prompt) {
            (Some(tool), _, _) => {
                let tool = ToolName::parse(tool).map_err(|_| bad("tool"))?;
                Subject::Tool(Arc::new(Tool::named(server, tool)))
            }
            (None, Some(uri), _) => Subject::Resource((**uri).into()),
            (None, None, Some(prompt)) => Subject::Prompt((**prompt).into()),
            (None, None, None) => Subject::Server,
        };
        Ok((who, Arc::clone(server), subject))
    }
}

#[cfg(test)]
mod tests;
