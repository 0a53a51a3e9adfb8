//! The answer of a modern server, message by message, as a legacy caller reads it; what the server needs to know on the way
//! is asked on the caller's open stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::bridge::Limits;
use crate::bridge::modern::call::{Asking, Round};
use crate::bridge::modern::talks::Talk;
use crate::bridge::wire::{self, Object};
use crate::decode::reply::{Fields, Outcome, Reply as Told, read};
use crate::decode::sse::{Events, message};
use crate::decode::{RequestId, splice};
use crate::forward::{Body, Errand, Exchange, Request, Wait};
use crate::refusal::Refusal;

/// So often one call may be asked for more.
const MOST_ROUNDS: usize = 8;

/// All that is known of one call of a modern server for a legacy caller.
pub(in crate::bridge::modern) struct Answering {
    pub(in crate::bridge::modern) asking: Asking,
    /// What the caller's own request became; its kind is that of every round.
    pub(in crate::bridge::modern) request: Request,
    pub(in crate::bridge::modern) asked: RequestId,
    pub(in crate::bridge::modern) talk: Arc<Talk>,
    pub(in crate::bridge::modern) errand: Errand,
    pub(in crate::bridge::modern) limits: Limits,
}

/// From where the messages come.
enum Source {
    Document(Option<Bytes>),
    Events(Box<Exchange>, Events),
    Nothing,
}

/// Questions that the caller has been asked.
struct Questions {
    open: Vec<(String, bool, oneshot::Receiver<Bytes>)>,
    state: Option<Box<RawValue>>,
}

/// The answer while it arrives.
struct Streaming {
    answering: Answering,
    source: Source,
    /// The id of the round's request, as JSON.
    id: String,
    ready: VecDeque<Bytes>,
    questions: Option<Questions>,
    rounds: usize,
    cancelled: Option<oneshot::Receiver<()>>,
    ended: bool,
}

impl Answering {
    /// Reads the first message: an answer that comes alone is a document, and what comes before one makes a stream.
    pub(in crate::bridge::modern) async fn begin(
        self,
        exchange: Exchange,
        is_events: bool,
        cancelled: oneshot::Receiver<()>,
    ) -> Result<Exchange, Refusal> {
        let endpoint = Arc::clone(self.errand.endpoint());
        let source = self.source(exchange, is_events).await?;
        let id = self.asked.as_json().to_owned();
        let mut streaming = Streaming {
            answering: self,
            source,
            id,
            ready: VecDeque::new(),
            questions: None,
            rounds: 0,
            cancelled: Some(cancelled),
            ended: false,
        };
        let first = streaming.next(Wait::Answer).await?;
        if let (Some(document), true) = (&first, streaming.ended) {
            return Ok(Exchange::whole(&endpoint, StatusCode::OK, Some(document.clone())));
        }
        if let Some(first) = first {
            streaming.ready.push_front(first);
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Ok(Exchange::made(&endpoint, StatusCode::OK, headers, Box::new(streaming)))
    }

    async fn source(&self, exchange: Exchange, is_events: bool) -> Result<Source, Refusal> {
        if is_events {
            return Ok(Source::Events(Box::new(exchange), Events::new(self.limits.event)));
        }
        exchange.body(self.limits.answer).await.map(|body| Source::Document(Some(body)))
    }

    fn bad(&self, what: &'static str) -> Refusal {
        Refusal::BadAnswer { server: self.errand.endpoint().server.clone(), what }
    }
}

impl Streaming {
    /// The next message for the caller; the call has ended when it is the last.
    async fn next(&mut self, wait: Wait) -> Result<Option<Bytes>, Refusal> {
        let Some(mut cancelled) = self.cancelled.take() else { return Ok(None) };
        let next = tokio::select! {
            biased;
            () = was(&mut cancelled) => {
                // The connection is given up with its stream, which cancels in the modern era.
                self.source = Source::Nothing;
                return Ok(None);
            }
            next = self.read_on(wait) => next,
        };
        self.cancelled = Some(cancelled);
        next
    }

    async fn read_on(&mut self, wait: Wait) -> Result<Option<Bytes>, Refusal> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(Some(ready));
            }
            if self.ended {
                return Ok(None);
            }
            if let Some(questions) = self.questions.take()
                && let Some(refused) = self.next_round(questions).await?
            {
                return Ok(Some(refused));
            }
            let Some(data) = self.message(wait).await? else { return Ok(None) };
            match read(&data) {
                Ok(Told::Response { id, outcome })
                    if id.as_ref().is_none_or(|id| id.as_json() == self.id) =>
                {
                    if let Some(answer) = self.answered(&outcome)? {
                        return Ok(Some(answer));
                    }
                }
                Ok(Told::Notification { method, .. })
                    if matches!(&*method, "notifications/progress" | "notifications/message") =>
                {
                    return Ok(Some(data));
                }
                _ => {}
            }
        }
    }

    async fn message(&mut self, wait: Wait) -> Result<Option<Bytes>, Refusal> {
        loop {
            match &mut self.source {
                Source::Nothing => return Ok(None),
                Source::Document(document) => return Ok(document.take()),
                Source::Events(exchange, events) => {
                    let event = events
                        .next_event()
                        .map_err(|_| self.answering.bad("one of its events is too large"))?;
                    match event {
                        Some(event) => {
                            if let Some(data) = event.data.filter(|data| !data.is_empty()) {
                                return Ok(Some(data));
                            }
                        }
                        None => match exchange.chunk(wait).await? {
                            Some(chunk) => events.push(&chunk),
                            None => self.source = Source::Nothing,
                        },
                    }
                }
            }
        }
    }

    /// The end of the call, or the questions that come before it.
    fn answered(&mut self, outcome: &Outcome<'_>) -> Result<Option<Bytes>, Refusal> {
        let id = self.answering.asked.as_json().to_owned();
        let result = match outcome {
            Outcome::Error { raw, .. } => {
                self.ended = true;
                return Ok(Some(wire::response(&id, "error", raw.get())));
            }
            Outcome::Result(result) => result,
        };
        let fields = Fields::read(result).map_err(|_| self.answering.bad("its result has a key twice"))?;
        let kind = fields.text("resultType").map_err(|_| self.answering.bad("its result is of no kind"))?;
        match kind.as_deref() {
            None | Some("complete") => {
                self.ended = true;
                Ok(Some(wire::response(&id, "result", result.get())))
            }
            Some("input_required") => {
                self.ask(&fields)?;
                Ok(None)
            }
            // Nobody has declared what another kind needs.
            Some(_) => Err(self.answering.bad("its result is of a kind that was not asked for")),
        }
    }

    /// Puts the server's questions on the caller's stream.
    fn ask(&mut self, fields: &Fields<'_>) -> Result<(), Refusal> {
        self.rounds += 1;
        if self.rounds > MOST_ROUNDS {
            return Err(self.answering.bad("it asks again and again"));
        }
        self.source = Source::Nothing;
        let asked = fields.get("inputRequests").map(Fields::read).transpose();
        let asked = asked.map_err(|_| self.answering.bad("its questions cannot be read"))?;
        let mut open = Vec::new();
        for (key, request) in asked.iter().flat_map(Fields::iter) {
            let unreadable = || self.answering.bad("its questions cannot be read");
            let request = Fields::read(request).map_err(|_| unreadable())?;
            let method = request.text("method").ok().flatten().ok_or_else(unreadable)?;
            let id = splice::string(&format!("portcullis-{}", Uuid::now_v7()));
            let receiver = self.answering.talk.ask(id.get().to_owned());
            let receiver = receiver.ok_or(Refusal::Overloaded("too many questions wait for an answer"))?;
            let params = request.get("params").map_or_else(|| "{}".to_owned(), legacy_params);
            self.ready.push_back(wire::request(id.get(), &method, &params));
            open.push((key.to_owned(), method == "elicitation/create", receiver));
        }
        let state = fields.get("requestState").map(ToOwned::to_owned);
        self.questions = Some(Questions { open, state });
        Ok(())
    }

    /// Waits for the answers and asks the server again with them; what is returned ends the call without.
    async fn next_round(&mut self, questions: Questions) -> Result<Option<Bytes>, Refusal> {
        let mut responses = Object::default();
        for (key, is_elicitation, receiver) in questions.open {
            let answer = receiver.await.map_err(|_| self.answering.bad("its question was not answered"))?;
            match (read(&answer), is_elicitation) {
                (Ok(Told::Response { outcome: Outcome::Result(result), .. }), _) => {
                    responses = responses.with(&key, result.get());
                }
                // To a person's question "no" is an answer; to the others there is none.
                (_, true) => responses = responses.with(&key, r#"{"action":"decline"}"#),
                (_, false) => {
                    self.ended = true;
                    let error =
                        wire::error(-32603, "the server asked its client for something that it refused");
                    return Ok(Some(wire::response(self.answering.asked.as_json(), "error", &error)));
                }
            }
        }
        let responses = (!responses.is_empty()).then(|| responses.end());
        let round = Round { responses, state: questions.state };
        // A retry is a request of its own, with an id of its own (2026-07-28 basic/patterns/mrtr).
        let id = splice::string(&format!("portcullis-{}", Uuid::now_v7())).get().to_owned();
        let request = self.answering.asking.request(&self.answering.request, &id, &round);
        let exchange = self.answering.errand.send(request).await?;
        let is_events = exchange.is_media("text/event-stream");
        if !is_events && !exchange.is_media("application/json") {
            return Err(self.answering.bad("it is neither JSON nor an event stream"));
        }
        self.id = id;
        self.source = self.answering.source(exchange, is_events).await?;
        Ok(None)
    }
}

#[async_trait]
impl Body for Streaming {
    async fn chunk(&mut self, wait: Wait) -> Result<Option<Bytes>, Refusal> {
        Ok(self.next(wait).await?.map(|data| message(&data)))
    }

    fn stream(&mut self, idle: Duration) {
        if let Source::Events(exchange, _) = &mut self.source {
            exchange.stream(idle);
        }
    }
}

/// Resolves when the caller cancels; never, where nobody can any more.
async fn was(cancelled: &mut oneshot::Receiver<()>) {
    if cancelled.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Links have an id in the legacy era, by which a client may be told that the visit is over.
fn legacy_params(params: &RawValue) -> String {
    let Ok(fields) = Fields::read(params) else { return params.get().to_owned() };
    let is_link = fields.get("mode").is_some_and(|mode| mode.get() == "\"url\"");
    let object = Object::default().with_all(&fields, &[]);
    match is_link && fields.get("elicitationId").is_none() {
        true => object.with("elicitationId", splice::string(&Uuid::now_v7().to_string()).get()).end(),
        false => object.end(),
    }
}
