//! A call under way, in the three books that are kept of it: audit, metrics, traces. It is closed once, in all of them.

use std::sync::Arc;
use std::time::Instant;

use crate::record::metrics::{Held, Series};
use crate::record::trace::{CallTrace, UpstreamTrace};
use crate::record::{Entry, Outcome};

/// A call whose intent is on the record. Dropped without [`Open::close`] it is `abandoned` there.
pub(in crate::gateway) struct Open {
    pub entry: Entry,
    pub series: Arc<Series>,
    pub trace: CallTrace,
    pub upstream: Option<UpstreamTrace>,
    pub begun: Instant,
    /// When it was sent to the server.
    pub sent: Option<Instant>,
    pub _held: Held,
}

impl Open {
    /// The call goes to the server at `url` now; what `_meta.traceparent` is to be there, where it is to be anything.
    pub(in crate::gateway) fn send(&mut self, url: &http::Uri) -> Option<String> {
        let upstream = self.trace.upstream(url);
        let traceparent = upstream.traceparent().map(str::to_owned);
        self.upstream = Some(upstream);
        self.sent = Some(Instant::now());
        traceparent
    }

    /// The call has ended.
    pub(in crate::gateway) fn close(self, outcome: Outcome) {
        let now = Instant::now();
        self.series.ended(outcome.status, now - self.begun, self.sent.map(|sent| now - sent));
        if let Some(upstream) = self.upstream {
            upstream.ended(&outcome);
        }
        self.trace.ended(&outcome);
        self.entry.close(outcome);
    }
}
