//! The gate's answer to a server that asks a caller for what policy refuses (legacy: sampling, elicitation, roots).
//!
//! # Why an answer
//! A server that hears nothing waits, and with it the call of the caller. What a client says that does not do such a thing
//! is a JSON-RPC error, so the gate says one: in the session of the caller, as the caller's own answer would be sent.
//!
//! # Why beside the stream
//! An answer is a request to the server. The stream on which the server asked must not stand still for it, nor break where
//! it fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::decode::{Action, Era, Message};
use crate::gateway::Gateway;
use crate::gateway::call::{Call, Eyes, Way};
use crate::gateway::look::own_head;
use crate::record::metrics::Told;
use crate::refusal::Refusal;
use crate::respond::filter::Declined;
use crate::respond::table::Asked;

/// So many answers are under way for one stream at most. A server that asks for more at once waits in vain for the rest.
const MOST: usize = 16;
/// An answer may take so long.
const LONGEST: Duration = Duration::from_secs(10);

/// Says no to what a server asks on one stream.
pub(in crate::gateway) struct Declining {
    /// Where the answers go; `None` where a server may ask nothing.
    way: Option<Arc<Way>>,
    source: SocketAddr,
    places: Arc<Semaphore>,
}

impl Declining {
    /// For the stream that answers `message`.
    pub(in crate::gateway) fn of(way: &Way, message: &Message, source: SocketAddr) -> Self {
        // In the modern era servers ask nothing, and a session that is being opened has no id yet.
        let asks = message.era == Era::Legacy && !matches!(message.action, Action::Initialize { .. });
        let way = || Way {
            caller: Arc::clone(&way.caller),
            server: Arc::clone(&way.server),
            account: way.account.clone(),
            session: way.session.clone(),
            eyes: Eyes::Nobody,
        };
        Self { way: asks.then(|| Arc::new(way())), source, places: Arc::new(Semaphore::new(MOST)) }
    }

    /// Answers the server, beside the stream.
    pub(in crate::gateway) fn decline(&self, gateway: &Arc<Gateway>, declined: Declined) {
        let Some(way) = self.way.clone() else { return };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::warn!(server = %way.server.name, "The server asks too much at once: it is not answered");
            return gateway.shared.metrics.declined(declined.method, Told::Unsent);
        };
        let (gateway, source) = (Arc::clone(gateway), self.source);
        tokio::spawn(async move {
            gateway.decline(&way, &declined, source).await;
            drop(place);
        });
    }
}

impl Gateway {
    async fn decline(self: &Arc<Self>, way: &Way, declined: &Declined, source: SocketAddr) {
        let mut call = Call::sibling(way, source);
        call.declines = declined.method;
        let id = Some(declined.id.clone());
        let asked = Asked { id, era: Era::Legacy, tool_call: false, invocation: call.invocation };
        let body = self.error(&refusal(declined), &asked);
        let saying = self.say(own_head(way, None), way, body, &mut call);
        let said = tokio::time::timeout(LONGEST, saying).await;
        match said.unwrap_or_else(|_| Err(Refusal::TimedOut { server: way.server.name.clone() })) {
            Ok(_) => self.shared.metrics.declined(declined.method, Told::Sent),
            Err(failure) => {
                tracing::warn!(
                    server = %way.server.name, invocation = %call.invocation, %failure,
                    "The server could not be told that its request is refused"
                );
                self.shared.metrics.declined(declined.method, Told::Unsent);
                self.refuse(&failure, call, None);
            }
        }
    }
}

/// What the server is told: that policy refuses it, or that no client has such a method.
fn refusal(declined: &Declined) -> Refusal {
    match declined.method {
        Some(_) => Refusal::Denied {
            code: None,
            message: "policy does not let this server ask that of its client".to_owned(),
        },
        None => Refusal::UnknownMethod("the method is none of a client".to_owned()),
    }
}
