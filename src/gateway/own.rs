//! The gate's own tool: which of the calls that an agent means to make would pass, and why the others would not.
//!
//! # Why the name is the gate's
//! An agent tells this tool what it is about to do. A server that listed a tool of the same name would be told it instead,
//! so such a tool is hidden and cannot be called.

use std::sync::Arc;

use crate::decide::Circumstances;
use crate::decode::access::planned;
use crate::decode::{Action, Message};
use crate::gateway::call::{Call, Eyes, Way};
use crate::gateway::question::{Asker, Reach, Speaks};
use crate::gateway::{Gateway, Relay};
use crate::refusal::Refusal;
use crate::respond::Answer;
use crate::respond::access::{Planned, plan};

impl Gateway {
    /// Whether a message calls the gate's own tool.
    pub(in crate::gateway) fn is_own(&self, way: &Way, message: &Message) -> bool {
        match (&message.action, &self.config.ask_first) {
            (Action::CallTool(call), Some(own)) => way.eyes == Eyes::Caller && call.name == *own,
            (_, _) => false,
        }
    }

    /// Answers a call of the gate's own tool. Nothing goes to a server but the look at its list that a call takes, too.
    pub(in crate::gateway) async fn answer_own(
        self: &Arc<Self>,
        way: &Way,
        message: &Message,
        circumstances: &Circumstances,
        call: &Call,
    ) -> Result<Answer<Relay>, Refusal> {
        self.may_use_own(way, circumstances)?;
        let Action::CallTool(tool_call) = &message.action else { return Err(Refusal::Internal) };
        if tool_call.task {
            return Err(Refusal::BadParams("this tool does not run as a task".to_owned()));
        }
        let asks = planned(tool_call.arguments.as_deref())?;
        let reach = if way.caller.scope().is_some() { Reach::One } else { Reach::Every };
        let asker = Asker {
            caller: Arc::clone(&way.caller),
            source: call.source,
            meant: Some(way.server.name.clone()),
            reach,
            speaks: Speaks::like(message),
        };
        let mut answers = Vec::with_capacity(asks.len());
        for ask in &asks {
            let answered = self.question(&asker, ask).await;
            let server = ask.server.as_deref().unwrap_or(way.server.name.as_str());
            answers.push((ask, server, answered));
        }
        let told = answers.iter().map(|(ask, server, answered)| Planned {
            server,
            tool: &ask.id,
            answer: answered.answer.as_ref(),
            invocation: answered.invocation,
        });
        Ok(plan(told, &call.asked()))
    }
}
