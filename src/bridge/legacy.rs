//! A modern caller before a legacy server (2024-11-05 … 2025-11-25).
//!
//! A call goes up in a session that the gate opens for its caller and keeps: one for each account, caller and set of the
//! caller's capabilities, which a legacy server is told once. What the server asks in the middle of a call goes to the
//! caller as `input_required` while the call stands still; see [`held`].

mod answer;
mod call;
mod discover;
mod held;
mod listen;
mod session;

pub(in crate::bridge) use held::Held;
pub(in crate::bridge) use session::Sessions;

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use serde_json::value::RawValue;

use crate::bridge::{Bridge, Crossing, wire};
use crate::decode::reply::Fields;
use crate::decode::{Action, RequestId};
use crate::forward::{Exchange, Passage, Reply, Request, Retry};
use crate::refusal::Refusal;

impl Bridge {
    /// Brings a modern message to a legacy server.
    pub(in crate::bridge) async fn to_legacy(self: &Arc<Self>, crossing: Crossing) -> Result<Reply, Refusal> {
        // As it was given to `gateway`, which had sealed it for the caller and has opened it again.
        let state = wire::part(&crossing.request.body, &["params", "requestState"]).and_then(wire::text);
        match &crossing.passage.permit.message().action {
            Action::Discover => self.discover(crossing).await,
            Action::Listen(filter) => {
                let filter = filter.clone();
                self.listen(crossing, *filter).await
            }
            // No notification of a client is known to the modern era over HTTP.
            Action::Notify(_) => Ok(accepted(crossing)),
            _ => match state {
                Some(state) => self.go_on(crossing, &state).await,
                None => self.call(crossing).await,
            },
        }
    }
}

fn accepted(crossing: Crossing) -> Reply {
    let exchange = Exchange::whole(&crossing.endpoint, StatusCode::ACCEPTED, None);
    Reply { exchange, passage: crossing.passage }
}

/// What a modern request says of its caller in `_meta`.
#[derive(Debug, Default)]
struct Said<'a> {
    capabilities: Option<&'a RawValue>,
    client: Option<&'a RawValue>,
    level: Option<&'a RawValue>,
}

impl<'a> Said<'a> {
    fn of(request: &'a [u8]) -> Result<Self, Refusal> {
        let Some(params) = wire::params(request)? else { return Ok(Self::default()) };
        let params = Fields::read(params).map_err(|_| Refusal::Internal)?;
        let Some(meta) = params.get("_meta") else { return Ok(Self::default()) };
        let meta = Fields::read(meta).map_err(|_| Refusal::Internal)?;
        let get = |key: &str| meta.get(&format!("{}{key}", wire::RESERVED));
        Ok(Self {
            capabilities: get("clientCapabilities"),
            client: get("clientInfo"),
            level: get("logLevel"),
        })
    }

    /// Whether the caller can be asked with this method of a server.
    fn can(&self, method: &str) -> bool {
        let has = |capability: &str| {
            let fields = self.capabilities.and_then(|all| Fields::read(all).ok());
            fields.is_some_and(|fields| fields.get(capability).is_some())
        };
        match method {
            "elicitation/create" => has("elicitation"),
            "sampling/createMessage" => has("sampling"),
            "roots/list" => has("roots"),
            _ => false,
        }
    }
}

/// A POST to the server, in its era.
fn post(headers: HeaderMap, body: bytes::Bytes, retry: Retry) -> Request {
    Request { method: Method::POST, headers, body, query: None, retry }
}

/// The id that the caller waits for, as JSON.
fn id_of(passage: &Passage) -> Result<RequestId, Refusal> {
    passage.permit.message().id.clone().ok_or(Refusal::Internal)
}
