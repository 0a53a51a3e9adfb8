//! One request of a legacy caller, as a modern server takes it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::value::RawValue;

use crate::bridge::modern::answer::Answering;
use crate::bridge::modern::session::Session;
use crate::bridge::modern::talks::Talk;
use crate::bridge::wire::{self, MODERN, Object};
use crate::bridge::{Bridge, Crossing};
use crate::decide::{Permit, Subject};
use crate::decode::Action;
use crate::decode::reply::Fields;
use crate::forward::{Reply, Request};
use crate::refusal::Refusal;

impl Bridge {
    /// Sends a request with what a modern server must be told of the caller, and the headers that mirror it.
    pub(in crate::bridge::modern) async fn call_modern(
        self: &Arc<Self>,
        crossing: Crossing,
        session: Session,
        talk: Arc<Talk>,
    ) -> Result<Reply, Refusal> {
        let errand = crossing.errand(self);
        let Crossing { endpoint, passage, request, limits } = crossing;
        let message = passage.permit.message();
        let asked = message.id.clone().ok_or(Refusal::Internal)?;
        let cancelled = talk.begin(asked.as_json());
        let asking = Asking {
            method: message.method,
            params: params(&request.body, &session, talk.level().as_deref())?,
            headers: head(&request.headers, &passage.permit)?,
        };
        let sent = asking.request(&request, asked.as_json(), &Round::default());
        let Reply { exchange, passage } = self.forward.send(&endpoint, passage, sent).await?;
        let (is_json, is_events) =
            (exchange.is_media("application/json"), exchange.is_media("text/event-stream"));
        if !(is_json || is_events) || matches!(exchange.status.as_u16(), 401 | 403 | 429 | 500..) {
            return Ok(Reply { exchange, passage });
        }
        let answering = Answering { asking, request, asked, talk, errand, limits };
        let exchange = answering.begin(exchange, is_events, cancelled).await?;
        Ok(Reply { exchange, passage })
    }
}

/// A request as it goes up, as often as the server has more questions.
pub(in crate::bridge::modern) struct Asking {
    pub(in crate::bridge::modern) method: &'static str,
    /// The members of `params`, without the end of the object.
    params: Vec<(String, String)>,
    headers: HeaderMap,
}

/// What a further round brings (2026-07-28 basic/patterns/mrtr), as JSON.
#[derive(Default)]
pub(in crate::bridge::modern) struct Round {
    pub(in crate::bridge::modern) responses: Option<String>,
    pub(in crate::bridge::modern) state: Option<Box<RawValue>>,
}

impl Asking {
    pub(in crate::bridge::modern) fn request(&self, like: &Request, id: &str, round: &Round) -> Request {
        let mut params =
            self.params.iter().fold(Object::default(), |object, (key, value)| object.with(key, value));
        if let Some(responses) = &round.responses {
            params = params.with("inputResponses", responses);
        }
        let params = params.with_some("requestState", round.state.as_deref());
        let body = wire::request(id, self.method, &params.end());
        Request { method: Method::POST, headers: self.headers.clone(), body, query: None, retry: like.retry }
    }
}

fn params(
    request: &Bytes,
    session: &Session,
    level: Option<&RawValue>,
) -> Result<Vec<(String, String)>, Refusal> {
    let fields = wire::params(request)?.map(Fields::read).transpose().map_err(|_| Refusal::Internal)?;
    let all = fields.iter().flat_map(Fields::iter).filter(|(key, _)| !matches!(*key, "_meta" | "task"));
    let mut params: Vec<_> = all.map(|(key, value)| (key.to_owned(), value.get().to_owned())).collect();
    let meta = fields.as_ref().and_then(|fields| fields.get("_meta"));
    let meta = meta.map(Fields::read).transpose().map_err(|_| Refusal::Internal)?;
    let kept = meta.iter().flat_map(Fields::iter).filter(|(key, _)| !key.starts_with(wire::RESERVED));
    let merged = kept.fold(session.meta(level), |object, (key, value)| object.with(key, value.get()));
    params.push(("_meta".to_owned(), merged.end()));
    Ok(params)
}

/// The head with what mirrors the body (2026-07-28 basic/transports/streamable-http).
fn head(headers: &HeaderMap, permit: &Permit) -> Result<HeaderMap, Refusal> {
    let message = permit.message();
    let mut headers = wire::bare(headers);
    headers.insert("mcp-protocol-version", MODERN);
    headers.insert("mcp-method", HeaderValue::from_static(message.method));
    let name = match &message.action {
        Action::CallTool(call) => Some(call.name.as_str()),
        Action::GetPrompt { name, .. } => Some(name.as_str()),
        Action::ReadResource { uri } => Some(uri.as_str()),
        _ => None,
    };
    if let Some(name) = name {
        headers.insert("mcp-name", wire::mirrored(name)?);
    }
    if let Subject::Tool(tool) = permit.subject() {
        for (name, value) in tool.mirrored.of_call(message.action.arguments()) {
            let name = HeaderName::try_from(name).map_err(|_| Refusal::Internal)?;
            headers.insert(name, wire::mirrored(&value)?);
        }
    }
    Ok(headers)
}
