//! The operator's own look at what a server offers: permitted by nobody's policy, and narrow by its shape.
//!
//! # Why not a rule of the policy
//! Policy says what callers may see, and what is to be pinned is what they would see. So the look cannot depend on it. It
//! asks for lists and opens and closes the session that this takes; it can call, read and change nothing.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::config::Server;
use crate::decide::constraint::Constraints;
use crate::decide::{Circumstances, Decide, Denied, Permit, Subject, Verdict};
use crate::decode::{Action, ListKind, Message, Notification};
use crate::identify::Caller;
use crate::refusal::Refusal;

/// What the audit names as the rule that allowed it.
const RULE: &str = "portcullis.catalogue";

impl Decide {
    /// The permit of the operator's own look. `caller`: in whose account's name.
    ///
    /// # Errors
    /// The message is none that such a look takes.
    pub fn inspect(
        &self,
        caller: Arc<Caller>,
        server: Arc<Server>,
        message: Message,
        circumstances: &Circumstances,
    ) -> Result<Permit, Box<Denied>> {
        match is_a_look(&message.action) {
            true => Ok(self.own_verdict(RULE, Map::new()).permits(caller, server, message, circumstances)),
            false => Err(self.no_own_permit(caller, server, message, circumstances)),
        }
    }

    /// A verdict that no policy gives, for what the gate does of itself, under the name of a rule of its own.
    pub(in crate::decide) fn own_verdict(
        &self,
        rule: &'static str,
        annotations: Map<String, Value>,
    ) -> Verdict {
        Verdict {
            allow: true,
            deny: Vec::new(),
            challenge: None,
            rules: vec![rule.into()],
            redact: Vec::new(),
            cost: 0.0,
            annotations,
            revision: self.revision().clone(),
            constraints: Constraints::default(),
        }
    }

    /// The gate asks for what it does not do of itself: a defect.
    pub(in crate::decide) fn no_own_permit(
        &self,
        caller: Arc<Caller>,
        server: Arc<Server>,
        message: Message,
        circumstances: &Circumstances,
    ) -> Box<Denied> {
        Box::new(Denied {
            refusal: Refusal::Internal,
            message,
            caller,
            server,
            subject: Subject::Server,
            rules: Vec::new(),
            deny: Vec::new(),
            revision: self.revision().clone(),
            invocation: circumstances.invocation,
            comparison: None,
        })
    }
}

impl Verdict {
    /// The permit of a message of the gate's own.
    pub(in crate::decide) fn permits(
        self,
        caller: Arc<Caller>,
        server: Arc<Server>,
        message: Message,
        circumstances: &Circumstances,
    ) -> Permit {
        let (subject, verdict) = (Subject::Server, Arc::new(self));
        let invocation = circumstances.invocation;
        Permit { caller, server, subject, message, verdict, invocation, comparison: None }
    }
}

fn is_a_look(action: &Action) -> bool {
    match action {
        Action::Initialize { .. }
        | Action::EndSession
        | Action::Notify(Notification::Initialized)
        | Action::List(ListKind::Tools | ListKind::Resources | ListKind::Templates | ListKind::Prompts) => {
            true
        }
        Action::List(ListKind::Tasks)
        | Action::Notify(_)
        | Action::Discover
        | Action::Ping
        | Action::CallTool(_)
        | Action::ReadResource { .. }
        | Action::Subscribe { .. }
        | Action::Unsubscribe { .. }
        | Action::GetPrompt { .. }
        | Action::Complete(_)
        | Action::SetLevel
        | Action::Listen(_)
        | Action::Task { .. }
        | Action::Respond
        | Action::OpenStream => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_lists_and_does_nothing_else() {
        for kind in [ListKind::Tools, ListKind::Resources, ListKind::Templates, ListKind::Prompts] {
            assert!(is_a_look(&Action::List(kind)));
        }
        let read = Action::ReadResource { uri: "file:///secret".to_owned() };
        for other in
            [read, Action::List(ListKind::Tasks), Action::Respond, Action::OpenStream, Action::SetLevel]
        {
            assert!(!is_a_look(&other), "{other:?}");
        }
    }
}
