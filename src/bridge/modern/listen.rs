//! The GET stream of a legacy caller, fed by `subscriptions/listen`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::watch;
use uuid::Uuid;

use crate::bridge::modern::session::Session;
use crate::bridge::modern::talks::Talk;
use crate::bridge::wire::{self, MODERN, Object};
use crate::bridge::{Bridge, Crossing, Limits};
use crate::decode::reply::{Reply as Told, read};
use crate::decode::splice;
use crate::decode::sse::{Events, message};
use crate::forward::{Body, Errand, Exchange, Reply, Request, Retry, Wait};
use crate::refusal::Refusal;

impl Bridge {
    /// Opens a subscription to all lists and to what the session is subscribed to.
    pub(in crate::bridge::modern) async fn listen_for(
        self: &Arc<Self>,
        crossing: Crossing,
        session: Session,
        talk: Arc<Talk>,
    ) -> Result<Reply, Refusal> {
        let errand = crossing.errand(self);
        let Crossing { endpoint, passage, request, limits } = crossing;
        let mut resources = talk.resources();
        let asking = Asking { headers: head(&request.headers), session };
        let first = asking.request(&resources.borrow_and_update().clone());
        let Reply { exchange, passage } = self.forward.send(&endpoint, passage, first).await?;
        if !(exchange.status.is_success() && exchange.is_media("text/event-stream")) {
            // A server that lets nobody listen has no stream (2025-11-25 basic/transports).
            let none = matches!(exchange.status.as_u16(), 400 | 404) || exchange.status.is_success();
            let none = none.then(|| Exchange::whole(&endpoint, StatusCode::METHOD_NOT_ALLOWED, None));
            return Ok(Reply { exchange: none.unwrap_or(exchange), passage });
        }
        let events = Events::new(limits.event);
        let listening = Listening { asking, errand, exchange, events, resources, limits, _talk: talk };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        let exchange = Exchange::made(&endpoint, StatusCode::OK, headers, Box::new(listening));
        Ok(Reply { exchange, passage })
    }
}

/// A subscription as it goes up, as often as what it is for changes.
struct Asking {
    headers: HeaderMap,
    session: Session,
}

impl Asking {
    fn request(&self, resources: &BTreeSet<String>) -> Request {
        let mut notifications = Object::default()
            .with("toolsListChanged", "true")
            .with("promptsListChanged", "true")
            .with("resourcesListChanged", "true");
        if !resources.is_empty() {
            let uris: Vec<_> = resources.iter().map(|uri| splice::string(uri)).collect();
            let uris = splice::array(uris.iter().map(AsRef::as_ref));
            notifications = notifications.with("resourceSubscriptions", uris.get());
        }
        let params = Object::default()
            .with("notifications", &notifications.end())
            .with("_meta", &self.session.meta(None).end());
        let id = splice::string(&format!("portcullis-{}", Uuid::now_v7()));
        let body = wire::request(id.get(), "subscriptions/listen", &params.end());
        let headers = self.headers.clone();
        Request { method: Method::POST, headers, body, query: None, retry: Retry::Harmless }
    }
}

fn head(headers: &HeaderMap) -> HeaderMap {
    let mut headers = wire::bare(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert("mcp-protocol-version", MODERN);
    headers.insert("mcp-method", HeaderValue::from_static("subscriptions/listen"));
    headers
}

/// A stream while it lasts.
struct Listening {
    asking: Asking,
    errand: Errand,
    exchange: Exchange,
    events: Events,
    resources: watch::Receiver<BTreeSet<String>>,
    limits: Limits,
    /// What the session holds lives as long as its stream.
    _talk: Arc<Talk>,
}

impl Listening {
    /// Asks anew, for what the session is subscribed to by now. The old subscription ends when the new one stands.
    async fn anew(&mut self) -> Result<(), Refusal> {
        let request = self.asking.request(&self.resources.borrow_and_update().clone());
        let exchange = self.errand.send(request).await?;
        if exchange.status.is_success() && exchange.is_media("text/event-stream") {
            self.exchange = exchange;
            self.events = Events::new(self.limits.event);
        }
        Ok(())
    }

    fn bad(&self, what: &'static str) -> Refusal {
        Refusal::BadAnswer { server: self.errand.endpoint().server.clone(), what }
    }
}

#[async_trait]
impl Body for Listening {
    async fn chunk(&mut self, wait: Wait) -> Result<Option<Bytes>, Refusal> {
        loop {
            let event = self.events.next_event().map_err(|_| self.bad("one of its events is too large"))?;
            if let Some(event) = event {
                let data = event.data.filter(|data| !data.is_empty());
                match data.as_deref().map(told) {
                    Some(Word::Passes(told)) => return Ok(Some(message(&told))),
                    Some(Word::Ends) => return Ok(None),
                    Some(Word::Nothing) | None => continue,
                }
            }
            tokio::select! {
                biased;
                changed = self.resources.changed() => {
                    if changed.is_ok() {
                        self.anew().await?;
                    }
                }
                chunk = self.exchange.chunk(wait) => match chunk? {
                    Some(chunk) => self.events.push(&chunk),
                    None => return Ok(None),
                },
            }
        }
    }

    fn stream(&mut self, idle: Duration) {
        self.exchange.stream(idle);
    }
}

/// What a message on a subscription is to a legacy caller.
enum Word {
    Passes(Bytes),
    Ends,
    Nothing,
}

fn told(data: &[u8]) -> Word {
    match read(data) {
        Ok(Told::Response { .. }) => Word::Ends,
        Ok(Told::Notification { method, .. }) if method != "notifications/subscriptions/acknowledged" => {
            let plain = splice::remove(data, &["params", "_meta", "io.modelcontextprotocol/subscriptionId"]);
            let plain = plain.ok().flatten().unwrap_or_else(|| data.to_vec());
            Word::Passes(plain.into())
        }
        _ => Word::Nothing,
    }
}
