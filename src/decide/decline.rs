//! The gate's own no to a server that asked a caller for what policy refuses: permitted by nobody's policy, and narrow by
//! its shape.
//!
//! # Why not a rule of the policy
//! Policy has spoken: it refused what the server asks. A server that hears nothing waits for ever, and with it the call of
//! the caller. The answer carries nothing of the caller's but that the gate refuses.

use std::sync::Arc;

use serde_json::Map;

use crate::config::Server;
use crate::decide::{Circumstances, Decide, Denied, Permit};
use crate::decode::{Action, Message, splice};
use crate::identify::Caller;

/// What the audit names as the rule that allowed it.
const RULE: &str = "portcullis.decline";

impl Decide {
    /// The permit of a refusal that is sent to a server in the place of the caller. `declines`: the server's method, for
    /// the audit.
    ///
    /// # Errors
    /// The message is no error that answers a request.
    pub fn decline(
        &self,
        caller: Arc<Caller>,
        server: Arc<Server>,
        message: Message,
        circumstances: &Circumstances,
        declines: Option<&'static str>,
    ) -> Result<Permit, Box<Denied>> {
        let declined = Map::from_iter([("declined".to_owned(), declines.into())]);
        match is_a_no(&message) {
            true => Ok(self.own_verdict(RULE, declined).permits(caller, server, message, circumstances)),
            false => Err(self.no_own_permit(caller, server, message, circumstances)),
        }
    }
}

fn is_a_no(message: &Message) -> bool {
    matches!(message.action, Action::Respond)
        && matches!(splice::get(&message.bytes, &["error"]), Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::decode::{Era, Meta};

    fn message(action: Action, bytes: &'static [u8]) -> Message {
        let bytes = Bytes::from_static(bytes);
        let (id, meta) = (None, Meta::default());
        Message { era: Era::Legacy, version: None, id, method: "", action, meta, state: None, bytes }
    }

    #[test]
    fn a_no_is_an_error_that_answers_and_nothing_else() {
        let error = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-31403,"message":"no"}}"#;
        assert!(is_a_no(&message(Action::Respond, error)));
        assert!(!is_a_no(&message(
            Action::Respond,
            br#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept"}}"#
        )));
        assert!(!is_a_no(&message(Action::OpenStream, error)));
        assert!(!is_a_no(&message(Action::Ping, error)));
    }
}
