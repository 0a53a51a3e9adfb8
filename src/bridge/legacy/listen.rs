//! `subscriptions/listen` before a legacy server: its GET stream and resource subscriptions, in a session of their own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::bridge::legacy::session::{Session, done, end};
use crate::bridge::legacy::{id_of, post};
use crate::bridge::wire::{self, Object};
use crate::bridge::{Bridge, Crossing, beside};
use crate::decode::reply::{Fields, Reply as Told, read};
use crate::decode::sse::{Events, message};
use crate::decode::{Filter, splice};
use crate::forward::{Body, Errand, Exchange, Reply, Request, Retry, Wait};
use crate::refusal::Refusal;

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

impl Bridge {
    /// Listens for what of `filter` the server can tell of; the acknowledgement says what that is.
    pub(in crate::bridge::legacy) async fn listen(
        self: &Arc<Self>,
        crossing: Crossing,
        filter: Filter,
    ) -> Result<Reply, Refusal> {
        let session = self.opened(&crossing).await?;
        let (errand, id) = (crossing.errand(self), id_of(&crossing.passage)?);
        let Crossing { endpoint, passage, request, limits } = crossing;
        let mut headers = session.head(&request.headers);
        headers.remove(CONTENT_TYPE);
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let get =
            Request { method: Method::GET, headers, body: Bytes::new(), query: None, retry: Retry::Harmless };
        let Reply { exchange, passage } = self.forward.send(&endpoint, passage, get).await?;
        let streams = exchange.status.is_success() && exchange.is_media("text/event-stream");
        let honoured = match streams {
            true => honoured(&session, filter, &errand, &request.headers).await,
            // A server need not offer a stream of its own (2025-11-25 basic/transports): it will tell of nothing.
            false => Filter::default(),
        };
        let listening = Listening {
            acknowledged: Some(acknowledged(id.as_json(), &honoured)),
            exchange: streams.then_some(exchange),
            ended: false,
            id: id.as_json().to_owned(),
            events: Events::new(limits.event),
            headers: request.headers,
            honoured,
            session,
            errand,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        let exchange = Exchange::made(&endpoint, StatusCode::OK, headers, Box::new(listening));
        Ok(Reply { exchange, passage })
    }
}

/// What of a filter the server can tell of. Resources that it does not let be subscribed to are left out.
async fn honoured(session: &Session, filter: Filter, errand: &Errand, headers: &HeaderMap) -> Filter {
    let mut honoured = Filter {
        tools: filter.tools && session.offers("tools", Some("listChanged")),
        prompts: filter.prompts && session.offers("prompts", Some("listChanged")),
        resources: filter.resources && session.offers("resources", Some("listChanged")),
        uris: Vec::new(),
        tasks: Vec::new(),
    };
    if !session.offers("resources", Some("subscribe")) {
        return honoured;
    }
    for uri in filter.uris {
        let params = Object::default().with("uri", splice::string(&uri).get()).end();
        let body = wire::request(&session.next_id().to_string(), "resources/subscribe", &params);
        let sent = errand.send(post(session.head(headers), body, Retry::Unsent)).await;
        if let Ok(exchange) = sent
            && exchange.status.is_success()
            && done(exchange).await.is_ok()
        {
            honoured.uris.push(uri);
        }
    }
    honoured
}

/// The first message of every subscription (2026-07-28 basic/patterns/subscriptions).
fn acknowledged(id: &str, honoured: &Filter) -> Bytes {
    let mut notifications = Object::default();
    for (key, asked) in [
        ("toolsListChanged", honoured.tools),
        ("promptsListChanged", honoured.prompts),
        ("resourcesListChanged", honoured.resources),
    ] {
        if asked {
            notifications = notifications.with(key, "true");
        }
    }
    if !honoured.uris.is_empty() {
        let uris: Vec<_> = honoured.uris.iter().map(|uri| splice::string(uri)).collect();
        let uris = splice::array(uris.iter().map(AsRef::as_ref));
        notifications = notifications.with("resourceSubscriptions", uris.get());
    }
    let meta = Object::default().with(SUBSCRIPTION, id).end();
    let params = Object::default().with("_meta", &meta).with("notifications", &notifications.end()).end();
    wire::notification("notifications/subscriptions/acknowledged", &params)
}

/// A subscription while it lasts.
struct Listening {
    acknowledged: Option<Bytes>,
    exchange: Option<Exchange>,
    ended: bool,
    id: String,
    events: Events,
    headers: HeaderMap,
    honoured: Filter,
    session: Arc<Session>,
    errand: Errand,
}

impl Listening {
    /// A notification of the server, if it was asked for, with the subscription that it belongs to.
    fn told(&self, data: &[u8]) -> Option<Bytes> {
        let (method, params) = match read(data).ok()? {
            Told::Notification { method, params } => (method, params),
            Told::Request { id, method, .. } => {
                self.answer(id.as_json(), &method);
                return None;
            }
            Told::Response { .. } => return None,
        };
        let fields = params.map(Fields::read).transpose().ok()?;
        let wanted = match &*method {
            "notifications/tools/list_changed" => self.honoured.tools,
            "notifications/prompts/list_changed" => self.honoured.prompts,
            "notifications/resources/list_changed" => self.honoured.resources,
            "notifications/resources/updated" => {
                let uri = fields.as_ref().and_then(|fields| fields.text("uri").ok().flatten());
                uri.is_some_and(|uri| self.honoured.uris.iter().any(|asked| *asked == uri))
            }
            _ => false,
        };
        if !wanted {
            return None;
        }
        let meta = Object::default().with(SUBSCRIPTION, &self.id).end();
        let object = Object::default().with("_meta", &meta);
        let object = match &fields {
            Some(fields) => object.with_all(fields, &["_meta"]),
            None => object,
        };
        Some(wire::notification(&method, &object.end()))
    }

    /// Nobody is there to be asked: a modern caller listens, and says nothing.
    fn answer(&self, id: &str, method: &str) {
        let body = match method {
            "ping" => wire::response(id, "result", "{}"),
            _ => wire::response(id, "error", &wire::error(-32601, "the client does not take this request")),
        };
        let request = post(self.session.head(&self.headers), body, Retry::Unsent);
        let errand = self.errand.clone();
        beside(async move { drop(errand.send(request).await) });
    }

    /// The server's stream has ended, and with it the subscription.
    fn end(&mut self) -> Bytes {
        self.ended = true;
        let meta = Object::default().with(SUBSCRIPTION, &self.id).end();
        let result = Object::default().with("resultType", "\"complete\"").with("_meta", &meta).end();
        message(&wire::response(&self.id, "result", &result))
    }
}

#[async_trait]
impl Body for Listening {
    async fn chunk(&mut self, wait: Wait) -> Result<Option<Bytes>, Refusal> {
        if let Some(acknowledged) = self.acknowledged.take() {
            return Ok(Some(message(&acknowledged)));
        }
        while !self.ended {
            let event = self.events.next_event().map_err(|_| Refusal::BadAnswer {
                server: self.errand.endpoint().server.clone(),
                what: "one of its events is too large",
            })?;
            if let Some(event) = event {
                let data = event.data.filter(|data| !data.is_empty());
                if let Some(told) = data.and_then(|data| self.told(&data)) {
                    return Ok(Some(message(&told)));
                }
                continue;
            }
            let Some(exchange) = &mut self.exchange else { return Ok(Some(self.end())) };
            match exchange.chunk(wait).await? {
                Some(chunk) => self.events.push(&chunk),
                None => return Ok(Some(self.end())),
            }
        }
        Ok(None)
    }

    fn stream(&mut self, idle: Duration) {
        if let Some(exchange) = &mut self.exchange {
            exchange.stream(idle);
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let (session, errand) = (Arc::clone(&self.session), self.errand.clone());
        let headers = std::mem::take(&mut self.headers);
        beside(async move { end(&session, &errand, &headers).await });
    }
}
