//! Between the eras: a caller of one before a server of the other, as if the server spoke the caller's.
//!
//! # Where it stands
//! A message is decoded, judged, recorded and filtered in its caller's era, whatever its server speaks. Only the exchange
//! with the server is in the server's: what goes up is translated after everything else, and what comes back before
//! anything else reads it. So policy is the same on every path.
//!
//! # Never twice
//! Which era a server speaks is found out by `server/discover` and `initialize` alone (2026-07-28 basic/versioning). A call
//! is made in one era only.

mod eras;
mod legacy;
mod modern;
mod wire;

use std::pin::Pin;
use std::sync::Arc;

use crate::config::Eras;
use crate::decode::{Action, Era};
use crate::forward::{Endpoint, Errand, Forward, Passage, Reply, Request, Speaks};
use crate::record::metrics::Metrics;
use crate::refusal::Refusal;

/// How much is read of one answer.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of a document, in bytes.
    pub answer: usize,
    /// Of one event, in bytes.
    pub event: usize,
}

/// What lives as long as the gate: sessions with legacy servers, and calls that wait for their callers' answers.
pub struct Bridge {
    forward: Arc<Forward>,
    sessions: legacy::Sessions,
    held: legacy::Held,
    talks: modern::Talks,
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bridge")
    }
}

/// One permitted message on its way over the bridge.
struct Crossing {
    endpoint: Arc<Endpoint>,
    passage: Passage,
    request: Request,
    limits: Limits,
}

/// The way over the bridge: boxed, so that what most calls do not need does not make all of them larger.
type Crossed<'a> = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send + 'a>>;

impl Crossing {
    fn errand(&self, bridge: &Bridge) -> Errand {
        Errand::of(&self.passage, &bridge.forward, &self.endpoint)
    }
}

impl Bridge {
    /// A bridge that nothing has crossed yet.
    #[must_use]
    pub fn new(forward: Arc<Forward>, metrics: &Metrics) -> Arc<Self> {
        let bridged = metrics.bridged();
        Arc::new(Self {
            forward,
            sessions: legacy::Sessions::new(bridged.clone()),
            held: legacy::Held::new(bridged.clone()),
            talks: modern::Talks::new(bridged),
        })
    }

    /// Sends a permitted message in an era that its server speaks, and gives the answer in the message's own.
    ///
    /// # Errors
    /// As [`Forward::send`].
    pub async fn send(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        passage: Passage,
        request: Request,
        limits: Limits,
    ) -> Result<Reply, Refusal> {
        let era = passage.permit.message().era;
        let crossing = Crossing { endpoint: Arc::clone(endpoint), passage, request, limits };
        match self.speaks(&crossing, era) {
            Speaks::Yes => self.direct(crossing).await,
            Speaks::No => self.cross(crossing, era).await,
            Speaks::Unknown => {
                let first: Crossed<'_> = Box::pin(self.first(crossing, era));
                first.await
            }
        }
    }

    fn speaks(&self, crossing: &Crossing, era: Era) -> Speaks {
        let eras = crossing.passage.permit.server().eras;
        match (eras, era) {
            // The gate's own session with a caller: there is none at the server.
            (_, Era::Legacy) if modern::is_session(&crossing.request.headers) => Speaks::No,
            (Eras::Both, _) | (Eras::Legacy, Era::Legacy) | (Eras::Modern, Era::Modern) => Speaks::Yes,
            (Eras::Legacy, Era::Modern) | (Eras::Modern, Era::Legacy) => Speaks::No,
            (Eras::Auto, _) => crossing.endpoint.spoken.speaks(era),
        }
    }

    fn cross(self: &Arc<Self>, crossing: Crossing, era: Era) -> Crossed<'_> {
        match era {
            Era::Modern => Box::pin(self.to_legacy(crossing)),
            Era::Legacy => Box::pin(self.to_modern(crossing)),
        }
    }

    /// In the caller's era, which the server speaks. Where it turns out not to, it is asked again next time.
    async fn direct(&self, crossing: Crossing) -> Result<Reply, Refusal> {
        let Crossing { endpoint, passage, request, limits: _ } = crossing;
        let era = passage.permit.message().era;
        let tells =
            era == Era::Modern || matches!(passage.permit.message().action, Action::Initialize { .. });
        let reply = self.forward.send(&endpoint, passage, request).await?;
        if tells && matches!(reply.exchange.status.as_u16(), 400 | 404 | 405 | 406 | 415) {
            endpoint.spoken.note(era, Speaks::Unknown);
        }
        Ok(reply)
    }
}

/// Does something that nobody waits for. Where the gate has stopped already, nothing is done.
fn beside(what: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(what);
    }
}
