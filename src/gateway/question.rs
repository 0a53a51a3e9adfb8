//! One question about a call, answered as the call would be: the same caller, server, tool and policy, and nothing sent.
//!
//! # What is not foretold
//! Whatever depends on the moment of the call: rates, slots and budgets, whether the account's credential can be had, and
//! what the server itself answers.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::config::Server;
use crate::decide::{Circumstances, Question, Subject};
use crate::decode::access::{Ask, Who};
use crate::decode::{Action, ListKind, Message, Version};
use crate::gateway::Gateway;
use crate::gateway::call::{Call, Eyes, Way};
use crate::gateway::pull::{Asking, TOOLS};
use crate::gateway::subject::Named;
use crate::identify::Caller;
use crate::name::{Invocation, ServerName};
use crate::record::QuestionLine;
use crate::refusal::Refusal;

/// Who asks, and from where.
pub(in crate::gateway) struct Asker {
    pub caller: Arc<Caller>,
    pub source: SocketAddr,
    /// The server that is meant where a question names none; a scoped URL or a server's own path means one.
    pub meant: Option<ServerName>,
    /// Whether `meant` is the only one that may be asked about.
    pub reach: Reach,
    /// What the calls would say of themselves, where a question does not.
    pub speaks: Speaks,
}

/// Which servers a question may name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Reach {
    /// Any.
    Every,
    /// The one that is meant.
    One,
}

/// What a call would say of itself.
#[derive(Clone)]
pub(in crate::gateway) struct Speaks {
    pub version: Option<Version>,
    pub client: Option<(String, Option<String>)>,
}

/// A question and its answer.
pub(in crate::gateway) struct Answered {
    pub invocation: Invocation,
    /// What its arguments must be, where it would pass and none were given; or why it would be refused.
    pub answer: Result<Map<String, Value>, Refusal>,
}

impl Gateway {
    /// Answers one question. It is counted and on the record, whatever the answer.
    pub(in crate::gateway) async fn question(self: &Arc<Self>, asker: &Asker, ask: &Ask) -> Answered {
        let mut call = Call::begin(asker.source);
        call.caller = Some(Arc::clone(&asker.caller));
        let answer = self.foretell(asker, ask, &mut call).await;
        self.record_question(asker, &call, answer.as_ref().err());
        self.shared.metrics.asked(call.method, answer.as_ref().err());
        Answered { invocation: call.invocation, answer }
    }

    async fn foretell(
        self: &Arc<Self>,
        asker: &Asker,
        ask: &Ask,
        call: &mut Call,
    ) -> Result<Map<String, Value>, Refusal> {
        // What is not on the record is not answered, as a call is not made.
        self.shared.record.health().map_err(|_| Refusal::NotRecorded)?;
        self.shared.govern.count_question(&asker.caller, self.quotas(asker.caller.tenant()))?;
        if !is_asker(&ask.subject, &asker.caller) {
            return Err(Refusal::OtherSubject);
        }
        let server = self.server_in_question(asker, ask)?;
        call.server = Some(Arc::clone(&server));
        let message = ask.message(asker.speaks.version)?;
        call.asks(&message);
        call.client.clone_from(&asker.speaks.client);
        call.arguments.clone_from(&ask.arguments);
        let account = self.directory.find(asker.caller.tenant(), &server.name).await?;
        let way =
            Way { caller: Arc::clone(&asker.caller), server, account, session: None, eyes: Eyes::Caller };
        let circumstances = self.circumstances(way.caller.tenant(), call);
        if self.is_own(&way, &message) {
            return self.may_use_own(&way, &circumstances).map(|()| Map::new());
        }
        let subject = self.subject_in_question(&way, &message.action).await?;
        let deciding = self.rollout.panel(way.caller.tenant()).deciding();
        call.revision = Some(deciding.revision().clone());
        let question = question(&way, message.method, &subject, &circumstances);
        let question = Question { arguments: ask.arguments.as_deref(), ..question };
        let would = deciding.would(&question, &message.action);
        match would {
            Ok(would) => {
                call.rules.clone_from(&would.verdict.rules);
                way.account().map(|_| would.limits)
            }
            Err(would_not) => {
                call.rules = would_not.rules;
                Err(would_not.refusal)
            }
        }
    }

    /// Whether the caller has anything at all to do with the server, which is who is shown the gate's own tool.
    pub(in crate::gateway) fn may_use_own(
        &self,
        way: &Way,
        circumstances: &Circumstances,
    ) -> Result<(), Refusal> {
        let own = self.config.ask_first.clone().ok_or(Refusal::Internal)?;
        let question = question(way, "tools/list", &Subject::Server, circumstances);
        let deciding = self.rollout.panel(way.caller.tenant()).deciding();
        let would = deciding.would(&question, &Action::List(ListKind::Tools));
        would.map(drop).map_err(|_| Refusal::UnknownTool(own))
    }

    /// The server that a question is about. Of one that the asker does not reach it is not told whether it exists.
    fn server_in_question(&self, asker: &Asker, ask: &Ask) -> Result<Arc<Server>, Refusal> {
        let itself = (ask.kind == "mcp_server").then_some(ask.id.as_str());
        let named = match (itself, ask.server.as_deref()) {
            (Some(id), Some(server)) if id != server => return Err(Refusal::NotFound("server")),
            (named, other) => named.or(other),
        };
        let name = match (named, &asker.meant) {
            (Some(named), Some(meant)) if asker.reach == Reach::One && named != meant.as_str() => {
                return Err(Refusal::NotFound("server"));
            }
            (Some(named), _) => ServerName::parse(named).map_err(|_| Refusal::NotFound("server"))?,
            (None, Some(meant)) => meant.clone(),
            (None, None) => {
                return Err(Refusal::BadParams("the question names no server: give `server`".to_owned()));
            }
        };
        self.config.servers.get(&name).map(Arc::clone).ok_or(Refusal::NotFound("server"))
    }

    async fn subject_in_question(self: &Arc<Self>, way: &Way, action: &Action) -> Result<Subject, Refusal> {
        match Named::by(action) {
            Named::Tool(tool_call) => self.tool_in_question(way, tool_call).await.map(Subject::Tool),
            Named::Whole(subject) => self.approved(way, action).await.map(|()| subject),
        }
    }

    /// Looks at the server's list on the asker's behalf, in whichever era it speaks: judged, recorded and sent like a list
    /// that they had asked for. One look at a time, and none too soon after another.
    pub(in crate::gateway) fn look_in_any_era<'a>(
        self: &'a Arc<Self>,
        way: &'a Way,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let Some(_turn) = self.shared.looks.turn(way.caller.tenant(), &way.server.name).await else {
                return;
            };
            let modern = self.all(way, Asking::Modern, TOOLS).await;
            self.shared.metrics.pulled(&modern);
            if modern.is_ok() {
                return;
            }
            if let Ok((way, _)) = self.initialized(way).await {
                self.shared.metrics.pulled(&self.all(&way, Asking::Legacy, TOOLS).await);
                self.ended(&way).await;
            }
        })
    }

    fn record_question(&self, asker: &Asker, call: &Call, refusal: Option<&Refusal>) {
        let spoken = call.method.map(|_| (call.era, call.version.map(Version::as_str)));
        self.shared.record.asked(&QuestionLine {
            invocation: call.invocation,
            caller: &asker.caller,
            source_ip: call.source.ip(),
            server: call.server.as_ref().map(|server| &server.name),
            method: call.method,
            about: call.about(),
            spoken,
            arguments: call.arguments.as_ref().map(|arguments| arguments.get().as_bytes()),
            rules: &call.rules,
            revision: call.revision.as_ref(),
            refusal,
        });
    }
}

impl Speaks {
    /// The newest revision, and no client's name.
    pub(in crate::gateway) fn newest() -> Self {
        Self { version: Some(Version::V2026_07_28), client: None }
    }

    /// As the message of a call does.
    pub(in crate::gateway) fn like(message: &Message) -> Self {
        Self { version: message.version, client: message.meta.client() }
    }
}

/// What policy is asked, before it is known with which arguments.
fn question<'a>(
    way: &'a Way,
    method: &'a str,
    subject: &'a Subject,
    circumstances: &'a Circumstances,
) -> Question<'a> {
    Question { caller: &way.caller, server: &way.server, method, subject, arguments: None, circumstances }
}

/// Whether a question is about the one who asks it. `identity` is whoever acts: the user, or else the agent.
fn is_asker(subject: &Who, caller: &Caller) -> bool {
    let Who::Named { kind, id } = subject else { return true };
    let user = caller.user().map(|user| user.as_str());
    let agent = caller.agent().map(|agent| agent.as_str());
    let is = match kind.as_str() {
        "user" => user,
        "agent" => agent,
        "identity" => user.or(agent),
        "caller" => Some("self"),
        _ => None,
    };
    is == Some(id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::caller_for_test;

    #[test]
    fn a_question_is_about_the_one_who_asks_it_or_not_answered() {
        let alice = caller_for_test("a", "alice", &["reader"]);
        let named = |kind: &str, id: &str| Who::Named { kind: kind.to_owned(), id: id.to_owned() };
        for (kind, id) in [("user", "alice"), ("identity", "alice"), ("caller", "self")] {
            assert!(is_asker(&named(kind, id), &alice), "{kind} {id}");
        }
        let others = [
            ("user", "bob"),
            ("user", "Alice"),
            ("user", ""),
            ("agent", "alice"),
            ("agent", ""),
            ("role", "alice"),
        ];
        for (kind, id) in
            others.into_iter().chain([("caller", "alice"), ("User", "alice"), ("identity", "self")])
        {
            assert!(!is_asker(&named(kind, id), &alice), "{kind} {id}");
        }
    }
}
