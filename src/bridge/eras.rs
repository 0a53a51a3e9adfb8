//! Which era a server speaks: asked once, by `server/discover` and `initialize` only (2026-07-28 basic/versioning).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

use crate::bridge::wire::{self, MODERN};
use crate::bridge::{Bridge, Crossing, Limits};
use crate::decode::reply::{Fields, Outcome, Reply as Said, read};
use crate::decode::{Action, Era};
use crate::forward::{Errand, Exchange, Reply, Request, Retry, Speaks};
use crate::refusal::Refusal;

/// A modern server says these of a modern request, and nobody else does (2026-07-28 basic/index, error codes).
const MODERN_ERRORS: [i64; 3] = [-32020, -32021, -32022];

const DISCOVER: &[u8] = br#"{"jsonrpc":"2.0","id":"portcullis-era","method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;

impl Bridge {
    /// The first message to a server of which it is not known whether it speaks the message's era.
    pub(in crate::bridge) async fn first(
        self: &Arc<Self>,
        crossing: Crossing,
        era: Era,
    ) -> Result<Reply, Refusal> {
        match (era, &crossing.passage.permit.message().action) {
            // What the gate would ask is what the caller asks.
            (Era::Modern, Action::Discover) | (Era::Legacy, Action::Initialize { .. }) => {
                self.asked_by_caller(crossing, era).await
            }
            // Legacy servers without sessions answer without `initialize`; what they do not answer is done nowhere.
            (Era::Legacy, _) => self.direct(crossing).await,
            (Era::Modern, _) => match self.discovers(&crossing).await? {
                Speaks::No if self.is_legacy(&crossing).await => self.to_legacy(crossing).await,
                Speaks::Yes | Speaks::No | Speaks::Unknown => self.direct(crossing).await,
            },
        }
    }

    async fn asked_by_caller(self: &Arc<Self>, crossing: Crossing, era: Era) -> Result<Reply, Refusal> {
        let Crossing { endpoint, passage, request, limits } = crossing;
        let reply = self.forward.send(&endpoint, passage, request.clone()).await?;
        let (reply, speaks) = judged(reply, era, limits, &endpoint).await?;
        let Reply { exchange, passage } = reply;
        endpoint.spoken.note(era, speaks);
        if speaks != Speaks::No {
            return Ok(Reply { exchange, passage });
        }
        let crossing = Crossing { endpoint: Arc::clone(&endpoint), passage, request, limits };
        let other = match era {
            Era::Modern => self.is_legacy(&crossing).await,
            Era::Legacy => self.discovers(&crossing).await? == Speaks::Yes,
        };
        if other {
            return self.cross(crossing, era).await;
        }
        // It speaks neither: what it said to the caller stands, and it is asked again next time.
        endpoint.spoken.note(era, Speaks::Unknown);
        Ok(Reply { exchange, passage: crossing.passage })
    }

    /// Whether the server answers `server/discover`.
    async fn discovers(&self, crossing: &Crossing) -> Result<Speaks, Refusal> {
        let spoken = &crossing.endpoint.spoken;
        if spoken.speaks(Era::Modern) != Speaks::Unknown {
            return Ok(spoken.speaks(Era::Modern));
        }
        let request = discover(&crossing.request.headers);
        let exchange = crossing.errand(self).send(request).await?;
        let (_, speaks) = verdict(exchange, Era::Modern, crossing.limits, &crossing.endpoint).await?;
        spoken.note(Era::Modern, speaks);
        Ok(speaks)
    }

    /// Whether the server lets a session be opened.
    async fn is_legacy(self: &Arc<Self>, crossing: &Crossing) -> bool {
        let opened = self.session(crossing).await.is_ok();
        if opened {
            crossing.endpoint.spoken.note(Era::Legacy, Speaks::Yes);
        } else {
            crossing.endpoint.spoken.note(Era::Modern, Speaks::Unknown);
        }
        opened
    }
}

/// The gate's own question, with what a request of the call has in its head: the signed statement, the trace.
fn discover(headers: &HeaderMap) -> Request {
    let mut headers = wire::bare(headers);
    headers.insert("mcp-protocol-version", MODERN);
    headers.insert("mcp-method", HeaderValue::from_static("server/discover"));
    let body = Bytes::from_static(DISCOVER);
    Request { method: Method::POST, headers, body, query: None, retry: Retry::Harmless }
}

async fn judged(
    reply: Reply,
    era: Era,
    limits: Limits,
    endpoint: &crate::forward::Endpoint,
) -> Result<(Reply, Speaks), Refusal> {
    let Reply { exchange, passage } = reply;
    let (exchange, speaks) = verdict(exchange, era, limits, endpoint).await?;
    Ok((Reply { exchange, passage }, speaks))
}

/// What an answer to `server/discover` or `initialize` tells, and the answer as it was.
async fn verdict(
    exchange: Exchange,
    era: Era,
    limits: Limits,
    endpoint: &crate::forward::Endpoint,
) -> Result<(Exchange, Speaks), Refusal> {
    let status = exchange.status.as_u16();
    // Who may ask, how often, and whether the server is well tells nothing of its era.
    if matches!(status, 401 | 403 | 429) || (status >= 500 && status != 501) {
        return Ok((exchange, Speaks::Unknown));
    }
    if era == Era::Legacy && exchange.status.is_success() && exchange.is_media("text/event-stream") {
        return Ok((exchange, Speaks::Yes));
    }
    let headers = exchange.headers().cloned().unwrap_or_default();
    let is_events = exchange.is_media("text/event-stream");
    let (status, body) = (exchange.status, exchange.body(limits.answer).await?);
    let messages = wire::messages(&body, is_events, limits.event);
    let speaks = messages.last().map_or(Speaks::No, |message| told(message, era, status.as_u16()));
    let body = if body.is_empty() { None } else { Some(body) };
    Ok((Exchange::as_read(endpoint, status, headers, body), speaks))
}

fn told(message: &[u8], era: Era, status: u16) -> Speaks {
    match (read(message), era) {
        (Ok(Said::Response { outcome: Outcome::Result(result), .. }), Era::Modern) => {
            let names = |fields: Fields<'_>| {
                let versions = fields.list("supportedVersions").ok()?;
                versions.iter().any(|version| version.get() == "\"2026-07-28\"").then_some(())
            };
            Fields::read(result).ok().and_then(names).map_or(Speaks::No, |()| Speaks::Yes)
        }
        (Ok(Said::Response { outcome: Outcome::Result(_), .. }), Era::Legacy) => Speaks::Yes,
        (Ok(Said::Response { outcome: Outcome::Error { code, .. }, .. }), Era::Modern) => {
            let modern = MODERN_ERRORS.contains(&code) || (code == -32601 && status == 404);
            if modern { Speaks::Yes } else { Speaks::No }
        }
        (_, _) => Speaks::No,
    }
}

impl Bridge {
    /// `server/discover` by the way of a permitted call.
    pub(in crate::bridge) async fn discovered(
        errand: &Errand,
        headers: &HeaderMap,
    ) -> Result<Exchange, Refusal> {
        errand.send(discover(headers)).await
    }
}
