//! Calls of legacy servers that stand still while their modern caller answers a question.
//!
//! # Why here and nowhere else
//! A legacy server asks on the stream of the call, and the answer must come while that stream is open. So the call waits
//! on the gate that holds the stream: the state that the caller is given names it, and another gate can only say so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::bridge::legacy::answer::{Answering, Question};
use crate::bridge::legacy::id_of;
use crate::bridge::wire::{self, Object};
use crate::bridge::{Bridge, Crossing, beside};
use crate::decode::reply::Fields;
use crate::decode::splice;
use crate::decode::sse::Events;
use crate::forward::{Exchange, Reply};
use crate::record::metrics::{BridgedMetrics, Held as Counted};
use crate::refusal::Refusal;

/// So many calls wait at a time in all.
const MOST: usize = 1000;
/// So many of them are of one caller.
const MOST_OF_ONE: usize = 20;
/// So long a person may take to answer.
const LONGEST: Duration = Duration::from_secs(300);

/// The one question of a round: a legacy server asks one at a time.
const QUESTION: &str = "question";

/// A call that stands still.
pub(in crate::bridge::legacy) struct Waiting {
    pub(in crate::bridge::legacy) answering: Answering,
    pub(in crate::bridge::legacy) exchange: Exchange,
    pub(in crate::bridge::legacy) events: Events,
    pub(in crate::bridge::legacy) question: Question,
}

/// The calls that stand still on this gate.
pub(in crate::bridge) struct Held {
    /// Tells the states of this gate from those of others.
    gate: Uuid,
    waiting: Mutex<HashMap<Uuid, (Waiting, Counted)>>,
    metrics: BridgedMetrics,
}

impl Held {
    pub(in crate::bridge) fn new(metrics: BridgedMetrics) -> Self {
        Self { gate: Uuid::now_v7(), waiting: Mutex::default(), metrics }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, (Waiting, Counted)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for one more of this caller's.
    fn has_room(&self, principal: &[u8; 32]) -> bool {
        let waiting = self.waiting();
        let own = waiting.values().filter(|(held, _)| held.answering.principal == *principal).count();
        waiting.len() < MOST && own < MOST_OF_ONE
    }

    fn take(&self, id: Uuid) -> Option<Waiting> {
        self.waiting().remove(&id).map(|(waiting, _)| waiting)
    }
}

impl Bridge {
    /// Lets a call stand still; what is returned is the answer for now: `input_required`.
    pub(in crate::bridge::legacy) fn hold(self: &Arc<Self>, waiting: Waiting) -> Bytes {
        let asked = waiting.answering.asked.clone();
        if !self.held.has_room(&waiting.answering.principal) {
            tracing::warn!(server = %waiting.answering.errand.endpoint().server, "Too many calls wait for answers");
            // The stream ends with what is dropped here, and the server is told that the call is cancelled.
            let error =
                wire::error(-31429, "too many calls wait for an answer of yours: answer those, or try later");
            waiting.answering.cancel();
            return wire::response(asked.as_json(), "error", &error);
        }
        let id = Uuid::now_v7();
        let questions = Object::default().with(QUESTION, &waiting.question.request).end();
        let state = format!("held {} {id}", self.held.gate);
        let result = Object::default()
            .with("resultType", "\"input_required\"")
            .with("inputRequests", &questions)
            .with("requestState", splice::string(&state).get());
        let counted = self.held.metrics.held();
        self.held.waiting().insert(id, (waiting, counted));
        let bridge = Arc::clone(self);
        beside(async move {
            tokio::time::sleep(LONGEST).await;
            if let Some(late) = bridge.held.take(id) {
                late.answering.cancel();
            }
        });
        wire::response(asked.as_json(), "result", &result.end())
    }

    /// Goes on with a call that stands still, with the answer that the caller brings.
    pub(in crate::bridge::legacy) async fn go_on(
        self: &Arc<Self>,
        crossing: Crossing,
        state: &str,
    ) -> Result<Reply, Refusal> {
        let mut waiting = self.waiting_for(&crossing, state)?;
        waiting.answering.asked = id_of(&crossing.passage)?;
        waiting.answering.errand = crossing.errand(self);
        waiting.answering.headers = crossing.request.headers;
        let Waiting { answering, mut exchange, events, question } = waiting;
        let passage = crossing.passage;
        let given = wire::part(&crossing.request.body, &["params", "inputResponses"]);
        let given = given.and_then(|given| Fields::read(given).ok()?.get(QUESTION));
        let Some(given) = given else {
            // What is missing is asked for again (2026-07-28 basic/patterns/mrtr).
            let again = self.hold(Waiting { answering, exchange, events, question });
            let exchange = Exchange::whole(&crossing.endpoint, http::StatusCode::OK, Some(again));
            return Ok(Reply { exchange, passage });
        };
        answering.tell(wire::response(question.id.as_json(), "result", given.get())).await?;
        exchange.begin_anew(&crossing.endpoint);
        let exchange = answering.resume(exchange, events).await?;
        Ok(Reply { exchange, passage })
    }

    fn waiting_for(&self, crossing: &Crossing, state: &str) -> Result<Waiting, Refusal> {
        let gone =
            |what: &str| Refusal::BadParams(format!("{what}: begin the call anew, without `requestState`"));
        let mut parts = state.split(' ');
        let (Some("held"), Some(gate), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(gone("`requestState` is none of this server's"));
        };
        if Uuid::parse_str(gate) != Ok(self.held.gate) {
            return Err(gone("another gate holds the call that waits for this answer"));
        }
        let waiting = Uuid::parse_str(id).ok().and_then(|id| self.held.take(id));
        let own =
            waiting.filter(|held| held.answering.principal == crossing.passage.permit.caller().principal());
        own.ok_or_else(|| gone("the call that waited for this answer has ended"))
    }
}
