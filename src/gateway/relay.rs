//! A stream of events from the server to the caller, judged one by one, holding no more than one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::decode::sse::{Event, EventTooLarge, Events, message};
use crate::decode::{Era, Version, reply};
use crate::forward::{Exchange, Passage, Reply, Wait};
use crate::gateway::Gateway;
use crate::gateway::call::{Call, Way};
use crate::gateway::changed;
use crate::gateway::decline::Declining;
use crate::gateway::open::Open;
use crate::gateway::reply::{must_answer, outcome};
use crate::gateway::resume::Resumable;
use crate::gateway::sight::Sight;
use crate::govern::Slot;
use crate::name::{ServerName, TenantId};
use crate::record::metrics::{Held, Lasting};
use crate::record::{MacStream, Outcome, Status};
use crate::refusal::Refusal;
use crate::respond::filter::{Ending, Filter, Passed};
use crate::respond::redact::Redaction;
use crate::respond::table::Asked;

/// Events on their way down. Whoever holds it pulls; nothing is read from the server that nobody has asked for.
pub struct Relay {
    gateway: Arc<Gateway>,
    exchange: Option<Exchange>,
    events: Events,
    filter: Filter,
    sight: Sight,
    resumable: Option<Resumable>,
    declining: Declining,
    asked: Asked,
    ready: VecDeque<Bytes>,
    /// What has arrived behind the event that was taken last.
    behind: Option<Box<Event>>,
    idle: Duration,
    standing: bool,
    /// Whether the first word on the stream, which is the server's, has come.
    begun: bool,
    ending: Option<Ending>,
    opened: Option<Version>,
    open: Option<Open>,
    mac: Option<MacStream>,
    bytes: u64,
    _slot: Slot,
    _stream: Held,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Relay {
    pub(in crate::gateway) fn new(
        gateway: Arc<Gateway>,
        reply: Reply,
        redaction: Option<Redaction>,
        way: &Way,
        call: &mut Call,
    ) -> Self {
        let Reply { mut exchange, passage: Passage { permit, slot, lease } } = reply;
        let idle = permit.server().timeouts.stream_idle;
        exchange.stream(idle);
        let standing = permit.message().action.is_standing();
        let mac = Some(gateway.shared.record.macs().begin());
        let declining = Declining::of(way, permit.message(), call.source);
        let filter = Filter::new(permit, lease, redaction).resuming(call.resumed.take());
        Self {
            events: Events::new(gateway.config.listen.limits.event_bytes),
            exchange: Some(exchange),
            sight: gateway.sight(way, call),
            resumable: Resumable::of(way, filter.asked(), filter.redact()),
            declining,
            filter,
            asked: call.asked(),
            ready: VecDeque::new(),
            behind: None,
            idle,
            standing,
            begun: standing && call.era == Era::Legacy,
            ending: None,
            opened: None,
            open: call.open.take(),
            mac,
            bytes: 0,
            _stream: gateway.shared.metrics.begin(Lasting::Stream),
            _slot: slot,
            gateway,
        }
    }

    /// Whether the stream belongs to no call, and so may end whenever the gate stops.
    #[must_use]
    pub fn is_standing(&self) -> bool {
        self.standing
    }

    /// The tenant and the server whose account a stream stands on that belongs to no call.
    #[must_use]
    pub fn stands_on(&self) -> Option<(TenantId, ServerName)> {
        let account = || (self.sight.caller.tenant().clone(), self.sight.server.name.clone());
        self.standing.then(account)
    }

    /// What the gate itself says when another generation of it serves, on a stream that belongs to no call. A subscription
    /// begins with the server's acknowledgement (2026-07-28 basic/patterns/subscriptions).
    #[must_use]
    pub fn changed(&self) -> Option<Bytes> {
        if self.begun { changed::lists(self.filter.permit().message()) } else { None }
    }

    /// The next event for the caller; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            match self.arrived() {
                Ok(Some(event)) => {
                    let Ok(event) = self.sealed(event) else { return self.break_off(&Refusal::Internal) };
                    if let Some(bytes) = self.pass(&event) {
                        return Some(bytes);
                    }
                }
                Ok(None) => match self.read().await {
                    Ok(true) => {}
                    Ok(false) => return self.end().await,
                    Err(refusal) => return self.break_off(&refusal),
                },
                Err(_) => return self.break_off(&self.bad("one of its events is too large")),
            }
        }
    }

    /// The JSON messages of the whole stream, for a batch that is answered by one document.
    pub(in crate::gateway) async fn collect(mut self) -> Vec<Bytes> {
        let mut events = Events::new(usize::MAX);
        let mut messages = Vec::new();
        while let Some(bytes) = self.next().await {
            events.push(&bytes);
            while let Ok(Some(event)) = events.next_event() {
                messages.extend(event.data.filter(|data| !data.is_empty()));
            }
        }
        messages
    }

    /// Reads on until the answer to `initialize` has come; what was read stays to be relayed.
    pub(in crate::gateway) async fn until_opened(&mut self) -> Option<Version> {
        let mut read = VecDeque::new();
        while self.ending.is_none() {
            match self.next().await {
                Some(event) => read.push_back(event),
                None => break,
            }
        }
        self.ready = read;
        self.opened
    }

    /// The client is gone. In the modern era that cancels the call; in the legacy era it does not, and the answer is
    /// read to its end.
    pub async fn client_gone(mut self: Box<Self>) {
        if !must_answer(self.asked.era) && !self.standing {
            while self.next().await.is_some() {}
        }
    }

    /// The next event that has arrived. Of those in a row that tell of the same list the last stands for all: a server
    /// may say a thousand times a second that its list has changed.
    fn arrived(&mut self) -> Result<Option<Event>, EventTooLarge> {
        let first = match self.behind.take() {
            Some(event) => Some(*event),
            None => self.events.next_event()?,
        };
        let Some(mut event) = first else { return Ok(None) };
        if !tells_of_a_list(&event) {
            return Ok(Some(event));
        }
        // One that is too large is met again when its turn comes.
        while let Ok(Some(next)) = self.events.next_event() {
            if (&next.kind, &next.data) != (&event.kind, &event.data) {
                self.behind = Some(Box::new(next));
                break;
            }
            event = next;
        }
        Ok(Some(event))
    }

    async fn read(&mut self) -> Result<bool, Refusal> {
        let wait = if self.standing { Wait::Standing(self.idle) } else { Wait::Events(self.idle) };
        let Some(exchange) = &mut self.exchange else { return Ok(false) };
        let Some(chunk) = exchange.chunk(wait).await? else { return Ok(false) };
        self.bytes += chunk.len() as u64;
        self.events.push(&chunk);
        Ok(true)
    }

    /// The event with its id sealed to the caller: legacy streams are resumed by it.
    fn sealed(&self, event: Event) -> Result<Event, Refusal> {
        let (Some(resumable), Some(id)) = (&self.resumable, event.id.as_ref().filter(|id| !id.is_empty()))
        else {
            return Ok(event);
        };
        let holder = (&self.sight.server.name, &*self.sight.caller);
        let sealed = resumable.seal(&self.gateway.sessions, holder, id)?;
        Ok(event.renamed(sealed))
    }

    fn pass(&mut self, event: &Event) -> Option<Bytes> {
        let Some(data) = event.data.as_ref().filter(|data| !data.is_empty()) else {
            return Some(event.passed());
        };
        if let Some(mac) = &mut self.mac {
            mac.update(data);
        }
        let judged = self.filter.message(data, &self.sight);
        if judged.ending.is_some() && self.ending.is_some() {
            return None; // the first answer counts
        }
        self.gateway.bind_task(&self.filter, &judged);
        if let Some(question) = judged.asks {
            self.gateway.shared.questions.ask(&self.sight.caller, &self.sight.server.name, question);
        }
        self.begun |= self.standing;
        self.opened = self.opened.or(judged.opened);
        self.ending = self.ending.or(judged.ending);
        match judged.passed {
            Passed::AsIs => Some(event.passed()),
            Passed::Changed(data) => Some(event.with_data(&data)),
            Passed::Dropped(what) => {
                tracing::info!(server = %self.sight.server.name, what, "Message of the server dropped");
                judged.ending?;
                let refusal = self.bad(what);
                self.ending = Some(Ending::Error(refusal.code(self.asked.era)));
                let asked = Asked { id: self.filter.asked().id.clone(), ..self.asked.clone() };
                Some(message(&self.gateway.error(&refusal, &asked)))
            }
            Passed::Declined(declined) => {
                tracing::info!(server = %self.sight.server.name, what = declined.why, "Message of the server dropped");
                self.declining.decline(&self.gateway, declined);
                None
            }
        }
    }

    async fn end(&mut self) -> Option<Bytes> {
        if let Some(exchange) = self.exchange.take() {
            exchange.finish().await;
        }
        if self.ending.is_none() && self.asked.id.is_some() && must_answer(self.asked.era) {
            return self.break_off(&self.bad("its stream ended without an answer"));
        }
        self.close();
        None
    }

    /// Ends the stream early. A caller that waits for an answer gets the reason; nothing is made up for it.
    fn break_off(&mut self, refusal: &Refusal) -> Option<Bytes> {
        self.exchange = None;
        let waits = self.ending.is_none() && self.asked.id.is_some();
        self.close();
        if !waits {
            return None;
        }
        self.ending = Some(Ending::Error(refusal.code(self.asked.era)));
        Some(message(&self.gateway.error(refusal, &self.asked)))
    }

    fn bad(&self, what: &'static str) -> Refusal {
        Refusal::BadAnswer { server: self.sight.server.name.clone(), what }
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let ended = match self.ending {
            Some(ending) => outcome(ending),
            None if self.standing || self.asked.id.is_none() => Outcome::bare(Status::Ok),
            None => Outcome::bare(Status::Unknown),
        };
        open.close(Outcome { result: self.mac.take().map(MacStream::finish), bytes: self.bytes, ..ended });
    }
}

impl Drop for Relay {
    /// A relay that is dropped before its end was cancelled by its client.
    fn drop(&mut self) {
        if self.ending.is_some() || self.standing {
            return self.close();
        }
        if let Some(open) = self.open.take() {
            open.close(Outcome { bytes: self.bytes, ..Outcome::bare(Status::Cancelled) });
        }
    }
}

/// Whether an event says that a list of the server has changed, and nothing else.
fn tells_of_a_list(event: &Event) -> bool {
    let Some(data) = &event.data else { return false };
    // Most events are something else, and are not read twice.
    if data.len() > 256 || memchr::memmem::find(data, b"list_changed").is_none() {
        return false;
    }
    matches!(reply::read(data), Ok(reply::Reply::Notification { method, .. }) if method.ends_with("/list_changed"))
}
