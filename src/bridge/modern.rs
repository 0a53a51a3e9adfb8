//! A legacy caller (2024-11-05 … 2025-11-25) before a modern server.
//!
//! The session is the gate's: all that it says of the caller is in its id, which `gateway` seals, so any gate can serve it.
//! What a session holds while it lasts (a level, subscriptions, questions on an open stream) is in memory; see [`talks`].

mod answer;
mod call;
mod initialize;
mod listen;
mod session;
mod talks;

pub(in crate::bridge) use session::is_session;
pub(in crate::bridge) use talks::Talks;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use crate::bridge::modern::session::Session;
use crate::bridge::{Bridge, Crossing, wire};
use crate::decode::{Action, Notification};
use crate::forward::{Exchange, Reply};
use crate::refusal::Refusal;

impl Bridge {
    /// Brings a legacy message to a modern server.
    pub(in crate::bridge) async fn to_modern(self: &Arc<Self>, crossing: Crossing) -> Result<Reply, Refusal> {
        let message = crossing.passage.permit.message();
        if matches!(message.action, Action::Initialize { .. }) {
            return self.initialize(crossing).await;
        }
        let session = Session::of(&crossing.request.headers);
        let caller = crossing.passage.permit.caller().principal();
        let talk = || self.talks.of(&session, &caller);
        match &message.action {
            Action::Ping => Ok(nothing(crossing)),
            Action::SetLevel => {
                let level = wire::part(&crossing.request.body, &["params", "level"]);
                talk()?.set_level(level.map(ToOwned::to_owned));
                Ok(nothing(crossing))
            }
            Action::Subscribe { uri } => {
                talk()?.subscribe(uri);
                Ok(nothing(crossing))
            }
            Action::Unsubscribe { uri } => {
                talk()?.unsubscribe(uri);
                Ok(nothing(crossing))
            }
            Action::Notify(Notification::Cancelled) => {
                if let Some(id) = wire::part(&crossing.request.body, &["params", "requestId"]) {
                    talk()?.cancel(id.get());
                }
                Ok(taken(crossing, StatusCode::ACCEPTED))
            }
            // A modern server is told with every call what these say.
            Action::Notify(_) => Ok(taken(crossing, StatusCode::ACCEPTED)),
            Action::Respond => {
                if let Some(id) = &message.id {
                    talk()?.answered(id.as_json(), &crossing.request.body);
                }
                Ok(taken(crossing, StatusCode::ACCEPTED))
            }
            Action::EndSession => {
                self.talks.end(&session, &caller);
                Ok(taken(crossing, StatusCode::OK))
            }
            Action::OpenStream => {
                let talk = talk()?;
                self.listen_for(crossing, session, talk).await
            }
            // Tasks of 2025-11-25 are not those of the extension: no server behind the bridge has declared any.
            Action::Task { .. } => Err(Refusal::UnknownMethod(message.method.to_owned())),
            Action::Initialize { .. }
            | Action::Discover
            | Action::List(_)
            | Action::CallTool(_)
            | Action::ReadResource { .. }
            | Action::GetPrompt { .. }
            | Action::Complete(_)
            | Action::Listen(_) => {
                let talk = talk()?;
                self.call_modern(crossing, session, talk).await
            }
        }
    }
}

/// An empty result.
fn nothing(crossing: Crossing) -> Reply {
    let id = crossing.passage.permit.message().id.as_ref();
    let document: Option<Bytes> = id.map(|id| wire::response(id.as_json(), "result", "{}"));
    let exchange = Exchange::whole(&crossing.endpoint, StatusCode::OK, document);
    Reply { exchange, passage: crossing.passage }
}

/// Taken, and there is nothing to say.
fn taken(crossing: Crossing, status: StatusCode) -> Reply {
    let exchange = Exchange::whole(&crossing.endpoint, status, None);
    Reply { exchange, passage: crossing.passage }
}
