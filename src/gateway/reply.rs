//! What a server's answer becomes: nothing, a document, or a stream of events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::bridge::Limits;
use crate::decide::Permit;
use crate::decode::{Action, Era, Version};
use crate::forward::{Endpoint, Passage, Reply, Request};
use crate::gateway::Gateway;
use crate::gateway::call::{Call, Way};
use crate::gateway::relay::Relay;
use crate::gateway::sight::Sight;
use crate::gateway::tasks::Bound;
use crate::record::{Outcome, Status};
use crate::refusal::Refusal;
use crate::respond::filter::{Declined, Ending, Filter, Judged, Passed};
use crate::respond::redact::Redaction;
use crate::respond::{Answer, Body, table};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// A server that asks for patience is believed up to here.
const MOST_PATIENCE: Duration = Duration::from_secs(300);

/// What kind of answer it is.
enum Kind {
    Nothing,
    Document,
    Events,
}

impl Gateway {
    /// Sends a permitted message and makes the caller's answer of the server's.
    pub(in crate::gateway) async fn send(
        self: &Arc<Self>,
        way: &Way,
        request: Request,
        mut passage: Passage,
        call: &mut Call,
    ) -> Result<Answer<Relay>, Refusal> {
        let redaction = self.redaction(way, &passage.permit)?;
        let endpoint = self.endpoint(way)?;
        let paid = self.shared.pay(&mut passage.slot);
        let again = passage.lease.is_renewable().then(|| request.clone());
        let sent = async {
            let reply = self.shared.bridge.send(endpoint, passage, request, self.crossing()).await?;
            self.with_another_credential(endpoint, reply, again).await
        };
        let reply = match sent.await {
            Ok(reply) => reply,
            Err(refusal) => return Err(self.shared.unpaid(paid, refusal)),
        };
        let kind = kind(&reply, way)?;
        let session = reply.exchange.header(SESSION).cloned();
        let status = reply.exchange.status;
        match kind {
            Kind::Nothing => {
                reply.exchange.body(self.config.listen.limits.answer_bytes).await?;
                close(call, Outcome::bare(Status::Ok));
                Ok(Answer::empty(if status == StatusCode::OK {
                    StatusCode::OK
                } else {
                    StatusCode::ACCEPTED
                }))
            }
            Kind::Document => self.document(way, reply, redaction, session, call).await,
            Kind::Events => self.events(way, reply, redaction, session, call).await,
        }
    }

    /// A server says 401 before it executes anything, so that the request may be sent once more, with another token. The
    /// permit is that of the same message.
    async fn with_another_credential(
        &self,
        endpoint: &Arc<Endpoint>,
        reply: Reply,
        again: Option<Request>,
    ) -> Result<Reply, Refusal> {
        let Some(request) = again.filter(|_| reply.exchange.status == StatusCode::UNAUTHORIZED) else {
            return Ok(reply);
        };
        let Some(lease) = reply.passage.lease.renewed().await? else { return Ok(reply) };
        let Passage { permit, slot, lease: _ } = reply.passage;
        let passage = Passage { permit, slot, lease };
        self.shared.bridge.send(endpoint, passage, request, self.crossing()).await
    }

    fn crossing(&self) -> Limits {
        let limits = &self.config.listen.limits;
        Limits { answer: limits.answer_bytes, event: limits.event_bytes }
    }

    async fn document(
        self: &Arc<Self>,
        way: &Way,
        reply: Reply,
        redaction: Option<Redaction>,
        session: Option<HeaderValue>,
        call: &mut Call,
    ) -> Result<Answer<Relay>, Refusal> {
        let Reply { exchange, passage: Passage { permit, slot: _slot, lease } } = reply;
        let status = exchange.status;
        let body = exchange.body(self.config.listen.limits.answer_bytes).await?;
        let filter = Filter::new(permit, lease, redaction);
        let judged = filter.message(&body, &self.sight(way, call));
        let bad = |what| Refusal::BadAnswer { server: way.server.name.clone(), what };
        let passed = match &judged.passed {
            Passed::AsIs => body.clone(),
            Passed::Changed(changed) => changed.clone(),
            Passed::Dropped(what) | Passed::Declined(Declined { why: what, .. }) => return Err(bad(what)),
        };
        let Some(ending) = judged.ending else { return Err(bad("it is no response")) };
        self.bind_task(&filter, &judged);
        let result = Some(self.shared.record.macs().of(&body));
        close(call, Outcome { result, bytes: body.len() as u64, ..outcome(ending) });
        let answer = Answer::json(status, passed);
        self.with_session(answer, way, session, judged.opened)
    }

    async fn events(
        self: &Arc<Self>,
        way: &Way,
        reply: Reply,
        redaction: Option<Redaction>,
        session: Option<HeaderValue>,
        call: &mut Call,
    ) -> Result<Answer<Relay>, Refusal> {
        let opening = matches!(reply.passage.permit.message().action, Action::Initialize { .. });
        let status = reply.exchange.status;
        let mut relay = Relay::new(Arc::clone(self), reply, redaction, way, call);
        // The session's id goes into the header and is sealed with the revision that only the body tells.
        let opened = if opening { relay.until_opened().await } else { None };
        let answer = Answer { status, headers: Vec::new(), body: Body::Events(Box::new(relay)) };
        self.with_session(answer, way, session, opened)
    }

    fn with_session(
        &self,
        answer: Answer<Relay>,
        way: &Way,
        session: Option<HeaderValue>,
        opened: Option<Version>,
    ) -> Result<Answer<Relay>, Refusal> {
        let (Some(session), Some(version)) = (session, opened) else { return Ok(answer) };
        let bad = || Refusal::BadAnswer {
            server: way.server.name.clone(),
            what: "its session id is not visible ASCII",
        };
        let upstream = session.to_str().map_err(|_| bad())?;
        let sealed = self.sessions.seal(upstream, version, &way.server.name, &way.caller)?;
        let value = HeaderValue::try_from(sealed).map_err(|_| Refusal::Internal)?;
        Ok(answer.with(SESSION, value))
    }

    pub(in crate::gateway) fn sight(&self, way: &Way, call: &Call) -> Sight {
        Sight {
            rollout: Arc::clone(&self.rollout),
            shared: Arc::clone(&self.shared),
            caller: Arc::clone(&way.caller),
            server: Arc::clone(&way.server),
            pins: Arc::clone(&self.pins),
            pages: Arc::clone(&self.pages),
            states: Arc::clone(&self.states),
            eyes: way.eyes,
            own: self.config.ask_first.clone(),
            circumstances: self.circumstances(way.caller.tenant(), call),
        }
    }

    /// What is masked in the answer: what policy says of the call, or said of the call that the task was made by.
    fn redaction(&self, way: &Way, permit: &Permit) -> Result<Option<Redaction>, Refusal> {
        let Action::Task { id, .. } = &permit.message().action else {
            return Ok(Redaction::of(&permit.verdict().redact));
        };
        let tenant = way.caller.tenant();
        let bound = self.shared.tasks.of(tenant, &way.server.name, id, &way.caller.principal());
        bound.map(|bound| Redaction::of(&bound.redact)).ok_or(Refusal::NotFound("task"))
    }

    /// Binds a task to the caller whose call became it.
    pub(in crate::gateway) fn bind_task(&self, filter: &Filter, judged: &Judged) {
        let (Some(task), permit) = (&judged.task, filter.permit()) else { return };
        let bound = Bound { principal: permit.caller().principal(), redact: filter.redact().to_vec() };
        self.shared.tasks.bind(permit.caller().tenant(), &permit.server().name, task, bound);
    }

    /// The JSON of a refusal, for a message that is already being answered.
    pub(in crate::gateway) fn error(&self, refusal: &Refusal, asked: &table::Asked) -> Bytes {
        match table::answer::<Relay>(refusal, asked, None).body {
            Body::Full(bytes) => bytes,
            Body::Empty | Body::Events(_) => Bytes::new(),
        }
    }
}

/// Closes the call, if it is still open.
fn close(call: &mut Call, outcome: Outcome) {
    if let Some(open) = call.open.take() {
        open.close(outcome);
    }
}

/// The outcome of a call that the server answered.
pub(in crate::gateway) fn outcome(ending: Ending) -> Outcome {
    match ending {
        Ending::Ok => Outcome::bare(Status::Ok),
        Ending::ToolError => Outcome::bare(Status::ToolError),
        Ending::Error(code) => Outcome { error: Some(code), ..Outcome::bare(Status::Error) },
    }
}

/// What kind of answer it is, by status and media type; what is no answer of MCP is refused.
fn kind(reply: &Reply, way: &Way) -> Result<Kind, Refusal> {
    let server = || way.server.name.clone();
    let exchange = &reply.exchange;
    match exchange.status.as_u16() {
        401 => return Err(rejected(reply, way)),
        403 => {
            return Err(Refusal::BadAnswer { server: server(), what: "it refuses the account's credential" });
        }
        405 => return Err(Refusal::MethodNotAllowed { allow: "POST" }),
        429 => return Err(Refusal::UpstreamBusy { server: server(), retry: patience(reply) }),
        500.. => {
            return Err(Refusal::BadAnswer { server: server(), what: "it answered with a server error" });
        }
        _ => {}
    }
    if exchange.is_encoded() {
        return Err(Refusal::BadAnswer {
            server: server(),
            what: "it is encoded although `identity` was asked for",
        });
    }
    let message = reply.passage.permit.message();
    let answers = message.id.is_some() && !matches!(message.action, Action::Respond);
    let success = exchange.status.is_success();
    if success && exchange.is_media("text/event-stream") {
        return Ok(Kind::Events);
    }
    if answers && exchange.is_media("application/json") {
        return Ok(Kind::Document);
    }
    match success {
        false if exchange.status == StatusCode::NOT_FOUND && way.session.is_some() => {
            Err(Refusal::UnknownSession)
        }
        true if !answers => Ok(Kind::Nothing),
        true | false => {
            Err(Refusal::BadAnswer { server: server(), what: "it is neither JSON nor an event stream" })
        }
    }
}

/// The server did not take the credential: a token may have been revoked early, anything else needs a person.
fn rejected(reply: &Reply, way: &Way) -> Refusal {
    reply.passage.lease.rejected();
    let server = way.server.name.clone();
    match reply.passage.lease.until() {
        Some(_) => Refusal::CredentialUnavailable { server },
        None => Refusal::NeedsReauth { server },
    }
}

fn patience(reply: &Reply) -> Option<Duration> {
    let seconds = reply.exchange.header(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MOST_PATIENCE))
}

/// Whether a stream that ends without the answer is broken: in the legacy era the client may come back for it.
pub(in crate::gateway) fn must_answer(era: Era) -> bool {
    era == Era::Modern
}
