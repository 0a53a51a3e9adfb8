//! One request of a modern caller, in a session with a legacy server.

use std::sync::Arc;

use bytes::Bytes;

use crate::bridge::legacy::answer::Answering;
use crate::bridge::legacy::session::Session;
use crate::bridge::legacy::{Said, id_of, post};
use crate::bridge::wire::{self, Object, RESERVED};
use crate::bridge::{Bridge, Crossing};
use crate::decode::reply::Fields;
use crate::forward::{Reply, Request};
use crate::refusal::Refusal;

/// What of a modern request's params a legacy server does not know.
const MODERN_PARAMS: [&str; 3] = ["_meta", "inputResponses", "requestState"];

impl Bridge {
    /// Sends a request, and once more in a new session where the server has forgotten the old one: then it has not acted.
    pub(in crate::bridge::legacy) async fn call(
        self: &Arc<Self>,
        crossing: Crossing,
    ) -> Result<Reply, Refusal> {
        let session = self.session(&crossing).await?;
        let (rest, reply, id) = self.once(crossing, &session).await?;
        if reply.exchange.status.as_u16() != 404 || !session.has_id() {
            return self.answering(rest, reply, session, id).await;
        }
        let Rest { endpoint, request, limits, errand: _ } = rest;
        let crossing = Crossing { endpoint, passage: reply.passage, request, limits };
        self.lost(&crossing, &session)?;
        let session = self.session(&crossing).await?;
        let (rest, reply, id) = self.once(crossing, &session).await?;
        self.answering(rest, reply, session, id).await
    }

    async fn once(&self, crossing: Crossing, session: &Session) -> Result<(Rest, Reply, u64), Refusal> {
        let Crossing { endpoint, passage, request, limits } = crossing;
        let errand = crate::forward::Errand::of(&passage, &self.forward, &endpoint);
        let id = session.next_id();
        let method = passage.permit.message().method;
        let body = translated(&request.body, &id.to_string(), method)?;
        let sent = post(session.head(&request.headers), body, request.retry);
        let reply = self.forward.send(&endpoint, passage, sent).await?;
        Ok((Rest { endpoint, request, limits, errand }, reply, id))
    }

    async fn answering(
        self: &Arc<Self>,
        rest: Rest,
        reply: Reply,
        session: Arc<Session>,
        upstream_id: u64,
    ) -> Result<Reply, Refusal> {
        let Reply { exchange, passage } = reply;
        let (is_json, is_events) =
            (exchange.is_media("application/json"), exchange.is_media("text/event-stream"));
        // Who may ask and how often is told by the status alone, in either era.
        if !(is_json || is_events) || matches!(exchange.status.as_u16(), 401 | 403 | 429 | 500..) {
            return Ok(Reply { exchange, passage });
        }
        let said = Said::of(&rest.request.body)?;
        let asks = ["elicitation/create", "sampling/createMessage", "roots/list"];
        let answering = Answering {
            asked: id_of(&passage)?,
            method: passage.permit.message().method,
            can: asks.into_iter().filter(|method| said.can(method)).collect(),
            wants_log: said.level.is_some(),
            principal: passage.permit.caller().principal(),
            bridge: Arc::clone(self),
            session,
            upstream_id,
            headers: rest.request.headers,
            errand: rest.errand,
            limits: rest.limits,
        };
        let exchange = answering.begin(exchange, is_events).await?;
        Ok(Reply { exchange, passage })
    }
}

/// What is left of a crossing when its passage is used.
pub(in crate::bridge::legacy) struct Rest {
    pub(in crate::bridge::legacy) endpoint: Arc<crate::forward::Endpoint>,
    pub(in crate::bridge::legacy) request: Request,
    pub(in crate::bridge::legacy) limits: crate::bridge::Limits,
    pub(in crate::bridge::legacy) errand: crate::forward::Errand,
}

/// The request without what only the modern era knows, and with the session's own id.
fn translated(request: &[u8], id: &str, method: &str) -> Result<Bytes, Refusal> {
    let Some(params) = wire::params(request)? else { return Ok(wire::request(id, method, "{}")) };
    let fields = Fields::read(params).map_err(|_| Refusal::Internal)?;
    let mut object = Object::default().with_all(&fields, &MODERN_PARAMS);
    if let Some(meta) = fields.get("_meta") {
        let meta = Fields::read(meta).map_err(|_| Refusal::Internal)?;
        let kept = meta.iter().filter(|(key, _)| !key.starts_with(RESERVED));
        let kept = kept.fold(Object::default(), |object, (key, value)| object.with(key, value.get()));
        if !kept.is_empty() {
            object = object.with("_meta", &kept.end());
        }
    }
    Ok(wire::request(id, method, &object.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_modern_era_adds_is_left_out_and_numbers_stay_as_they_were_written() {
        let modern = br#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"pay","arguments":{"sum":1.50,"z":{"_meta":1}},"inputResponses":{"k":{}},"requestState":"s","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":7,"traceparent":"00-x"}}}"#;
        let legacy = translated(modern, "12", "tools/call").unwrap();
        assert_eq!(
            std::str::from_utf8(&legacy).unwrap(),
            r#"{"jsonrpc":"2.0","id":12,"method":"tools/call","params":{"name":"pay","arguments":{"sum":1.50,"z":{"_meta":1}},"_meta":{"progressToken":7,"traceparent":"00-x"}}}"#
        );
        let bare = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        assert_eq!(
            std::str::from_utf8(&translated(bare, "3", "tools/list").unwrap()).unwrap(),
            r#"{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{}}"#
        );
    }
}
