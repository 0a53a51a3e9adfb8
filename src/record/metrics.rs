//! Prometheus metrics for the operator of the gate.
//!
//! # Why no tenant names
//! `/metrics` is read by people and systems that serve all tenants; a tenant's own figures are in the audit. Every label
//! has a closed or configured set of values: a tool's name comes from the catalogue, never from a message.

mod bridged;
mod candidate;
mod spending;

use std::time::Duration;

use dashmap::DashMap;
use prometheus::{
    Counter, Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};
use std::sync::Arc;

pub use bridged::BridgedMetrics;
pub use candidate::{Asked, CandidateMetrics};
pub use spending::{Kept, SpendingMetrics};

use crate::decide::Tally;
use crate::name::{ServerName, ToolName};
use crate::record::{Record, Status};
use crate::refusal::Refusal;

/// More combinations of method, server and tool than this are counted as tool `other`.
const SERIES_MAX: usize = 10_000;

/// Upper bounds in seconds: from what the gate itself needs to what a slow vendor needs.
const BUCKETS: [f64; 16] =
    [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];

/// The gate's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: IntCounterVec,
    duration: HistogramVec,
    upstream: HistogramVec,
    refusals: IntCounterVec,
    questions: IntCounterVec,
    decisions: IntCounterVec,
    reloads: IntCounterVec,
    fetches: IntCounterVec,
    confirmed: IntGauge,
    pulls: IntCounterVec,
    changes: IntCounterVec,
    declined: IntCounterVec,
    bridged: BridgedMetrics,
    spending: SpendingMetrics,
    candidate: CandidateMetrics,
    held: [IntGauge; 3],
    audit_waiting: IntGauge,
    audit_lines: IntCounter,
    limits_shared: IntGauge,
    audit_up: IntGauge,
    series: DashMap<Key, Arc<Series>>,
}

type Key = (&'static str, ServerName, Option<ToolName>);

/// The handles of one method, server and tool: resolved once, then counted on without a look-up by text.
#[derive(Debug)]
pub struct Series {
    outcomes: [IntCounter; Status::ALL.len()],
    duration: Histogram,
    upstream: Histogram,
}

impl Series {
    /// A call ended: how, and how long it took in all and upstream (`None`: it did not come to that).
    pub fn ended(&self, status: Status, total: Duration, upstream: Option<Duration>) {
        if let Some(counter) = Status::ALL.iter().zip(&self.outcomes).find(|(s, _)| **s == status) {
            counter.1.inc();
        }
        self.duration.observe(total.as_secs_f64());
        if let Some(upstream) = upstream {
            self.upstream.observe(upstream.as_secs_f64());
        }
    }
}

/// What is counted while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// A message on its way.
    Call,
    /// An open event stream.
    Stream,
    /// An open connection of a client.
    Connection,
}

/// Counts something down again when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Held(IntGauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What became of a reload of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The new revision serves.
    Loaded,
    /// The new files are broken; the old revision serves.
    KeptOld,
}

impl Reload {
    fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::KeptOld => "kept_old",
        }
    }
}

/// What came of asking the policies' source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// Another revision, which serves now.
    New,
    /// What serves is the newest.
    Unchanged,
    /// Another revision, which is not signed as it should be, or is no policy.
    Refused,
    /// No answer.
    Failed,
}

/// Whether a server was told that what it asked for is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was.
    Sent,
    /// It could not be.
    Unsent,
}

impl Metrics {
    /// Metrics that start at nothing.
    ///
    /// # Errors
    /// Never in practice: a metric's name would have to be wrong.
    pub fn new() -> Result<Self, prometheus::Error> {
        let make = Maker(Registry::new());
        Ok(Self {
            calls: make.counters(
                "calls_total",
                "Calls that policy allowed",
                &["method", "server", "tool", "outcome"],
            )?,
            duration: make.histograms(
                "call_duration_seconds",
                "From the request to the answer",
                &["method", "server"],
            )?,
            upstream: make.histograms(
                "upstream_duration_seconds",
                "Spent with the server",
                &["method", "server"],
            )?,
            refusals: make.counters(
                "refusals_total",
                "Messages that went no further",
                &["method", "reason"],
            )?,
            questions: make.counters(
                "questions_total",
                "Questions whether a call would pass",
                &["method", "answer"],
            )?,
            decisions: make.counters("decisions_total", "Decisions of policy", &["how"])?,
            reloads: make.counters("policy_reloads_total", "Reloads of policy", &["outcome"])?,
            fetches: make.counters(
                "policy_fetches_total",
                "Times that the policies' source was asked",
                &["outcome"],
            )?,
            confirmed: make.gauge(
                "policy_confirmed_timestamp_seconds",
                "When the policies' source last said that what serves is its newest; 0: never, or there is no source",
            )?,
            pulls: make.counters(
                "catalogue_pulls_total",
                "Lists of tools that the gate asked for itself",
                &["outcome"],
            )?,
            changes: make.counters(
                "catalogue_changes_total",
                "Tools, prompts and resources that changed or appeared after they were pinned",
                &["server", "kind", "thing"],
            )?,
            declined: make.counters(
                "server_requests_declined_total",
                "Requests of servers that policy kept from callers, and whether the server was told so",
                &["method", "outcome"],
            )?,
            bridged: BridgedMetrics::new(&make)?,
            spending: SpendingMetrics::new(&make)?,
            candidate: CandidateMetrics::new(&make)?,
            held: [
                make.gauge("calls_in_flight", "Messages on their way")?,
                make.gauge("streams_open", "Open event streams")?,
                make.gauge("connections_open", "Open connections of clients")?,
            ],
            audit_waiting: make.gauge("audit_lines_waiting", "Audit lines that wait for the disk")?,
            audit_lines: make.counter("audit_lines_total", "Audit lines written")?,
            limits_shared: make
                .gauge("limits_shared", "1: rates and slots are counted with other gates; 0: on this gate alone")?,
            audit_up: make.gauge("audit_up", "1: calls can be recorded; 0: calls are refused")?,
            series: DashMap::new(),
            registry: make.0,
        })
    }

    /// The handles for a method, server and tool. `tool`: only one that the catalogue knows.
    #[must_use]
    pub fn series(&self, method: &'static str, server: &ServerName, tool: Option<&ToolName>) -> Arc<Series> {
        let key = (method, server.clone(), tool.cloned());
        if let Some(series) = self.series.get(&key) {
            return Arc::clone(&series);
        }
        if self.series.len() >= SERIES_MAX {
            return Arc::new(self.resolve(method, server, tool.map(|_| "other")));
        }
        let series = Arc::new(self.resolve(method, server, tool.map(ToolName::as_str)));
        self.series.insert(key, Arc::clone(&series));
        series
    }

    /// A message went no further. `method`: one that the gate knows.
    pub fn refused(&self, method: Option<&'static str>, refusal: &Refusal) {
        self.refusals.with_label_values(&[method.unwrap_or_default(), refusal.reason()]).inc();
    }

    /// Somebody asked whether a call would pass. `method`: one that the gate knows.
    pub fn asked(&self, method: Option<&'static str>, refusal: Option<&Refusal>) {
        let answer = refusal.map_or("passes", Refusal::reason);
        self.questions.with_label_values(&[method.unwrap_or_default(), answer]).inc();
    }

    /// Something begins that lasts until what is returned is dropped.
    pub fn begin(&self, what: Lasting) -> Held {
        let [calls, streams, connections] = &self.held;
        let gauge = match what {
            Lasting::Call => calls,
            Lasting::Stream => streams,
            Lasting::Connection => connections,
        };
        gauge.inc();
        Held(gauge.clone())
    }

    /// Policy was read anew.
    pub fn reloaded(&self, outcome: Reload) {
        self.reloads.with_label_values(&[outcome.as_str()]).inc();
    }

    /// What is counted of the bridge.
    #[must_use]
    pub fn bridged(&self) -> BridgedMetrics {
        self.bridged.clone()
    }

    /// Whether rates and slots are counted with other gates.
    pub fn limits_are_shared(&self, shared: bool) {
        self.limits_shared.set(i64::from(shared));
    }

    /// Those of what calls cost.
    #[must_use]
    pub fn spending(&self) -> &SpendingMetrics {
        &self.spending
    }

    /// Those of a policy that is tried.
    #[must_use]
    pub fn candidate(&self) -> &CandidateMetrics {
        &self.candidate
    }

    /// The policies' source was asked. `now`: in seconds since 1970.
    pub fn fetched(&self, outcome: Fetch, now: i64) {
        let (outcome, is_newest) = match outcome {
            Fetch::New => ("new", true),
            Fetch::Unchanged => ("unchanged", true),
            Fetch::Refused => ("refused", false),
            Fetch::Failed => ("failed", false),
        };
        self.fetches.with_label_values(&[outcome]).inc();
        if is_newest {
            self.confirmed.set(now);
        }
    }

    /// The gate asked a server for its tools, or tried to.
    pub fn pulled<T, E>(&self, outcome: &Result<T, E>) {
        let outcome = if outcome.is_ok() { "ok" } else { "failed" };
        self.pulls.with_label_values(&[outcome]).inc();
    }

    /// A request of a server did not reach its caller. `method`: one that a server may ask for.
    pub fn declined(&self, method: Option<&'static str>, told: Told) {
        let outcome = match told {
            Told::Sent => "told",
            Told::Unsent => "not_told",
        };
        self.declined.with_label_values(&[method.unwrap_or("other"), outcome]).inc();
    }

    /// Something is not what was pinned. `kind`: how it differs; `thing`: what it is; both of closed lists.
    pub fn catalogue_changed(&self, server: &ServerName, kind: &'static str, thing: &'static str) {
        self.changes.with_label_values(&[server.as_str(), kind, thing]).inc();
    }

    /// All of it in the text format that Prometheus reads.
    #[must_use]
    pub fn render(&self, record: &Record, tally: &Tally) -> String {
        for (how, times) in [("cached", tally.kept()), ("new", tally.new_ones())] {
            let decisions = self.decisions.with_label_values(&[how]);
            decisions.inc_by(times.saturating_sub(decisions.get()));
        }
        self.audit_waiting.set(i64::try_from(record.waiting()).unwrap_or(i64::MAX));
        self.audit_lines.inc_by(record.lines().saturating_sub(self.audit_lines.get()));
        self.audit_up.set(i64::from(record.health().is_ok()));
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "Metrics cannot be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn resolve(&self, method: &str, server: &ServerName, tool: Option<&str>) -> Series {
        let (server, tool) = (server.as_str(), tool.unwrap_or_default());
        Series {
            outcomes: Status::ALL.map(|s| self.calls.with_label_values(&[method, server, tool, s.as_str()])),
            duration: self.duration.with_label_values(&[method, server]),
            upstream: self.upstream.with_label_values(&[method, server]),
        }
    }
}

struct Maker(Registry);

impl Maker {
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        let made = IntCounterVec::new(options(name, help), labels)?;
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::from(options(name, help)).buckets(BUCKETS.to_vec());
        let made = HistogramVec::new(options, labels)?;
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let made = IntCounter::with_opts(options(name, help))?;
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn sum(&self, name: &str, help: &str) -> Result<Counter, prometheus::Error> {
        let made = Counter::with_opts(options(name, help))?;
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let made = IntGauge::with_opts(options(name, help))?;
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("portcullis")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Audit, Fsync};
    use crate::secret;

    fn rendered(metrics: &Metrics) -> String {
        let root = tempfile::tempdir().unwrap();
        let audit = Audit {
            directory: root.path().join("audit"),
            fsync: Fsync::Always,
            segment_bytes: 1 << 20,
            timeout: Duration::from_secs(5),
        };
        let record = Record::open_chain(&audit, root.path(), &secret::Key::new(vec![1])).unwrap();
        metrics.render(&record, &Tally::default())
    }

    #[test]
    fn what_happened_is_counted_by_method_server_tool_and_outcome() {
        let metrics = Metrics::new().unwrap();
        let (server, tool) = (ServerName::parse("erp").unwrap(), ToolName::parse("list_invoices").unwrap());
        let series = metrics.series("tools/call", &server, Some(&tool));
        series.ended(Status::Ok, Duration::from_millis(3), Some(Duration::from_millis(2)));
        metrics.series("tools/call", &server, Some(&tool)).ended(Status::ToolError, Duration::ZERO, None);
        metrics.refused(Some("tools/call"), &Refusal::NotAuthenticated);
        metrics.reloaded(Reload::KeptOld);
        metrics.fetched(Fetch::Unchanged, 1_700_000_000);
        metrics.fetched(Fetch::Refused, 1_800_000_000);
        metrics.pulled(&Err::<(), _>(()));
        let _call = metrics.begin(Lasting::Call);
        drop(metrics.begin(Lasting::Stream));
        let text = rendered(&metrics);
        for line in [
            r#"portcullis_calls_total{method="tools/call",outcome="ok",server="erp",tool="list_invoices"} 1"#,
            r#"portcullis_calls_total{method="tools/call",outcome="tool_error",server="erp",tool="list_invoices"} 1"#,
            r#"portcullis_call_duration_seconds_count{method="tools/call",server="erp"} 2"#,
            r#"portcullis_upstream_duration_seconds_count{method="tools/call",server="erp"} 1"#,
            r#"portcullis_refusals_total{method="tools/call",reason="not_authenticated"} 1"#,
            r#"portcullis_decisions_total{how="cached"} 0"#,
            r#"portcullis_policy_reloads_total{outcome="kept_old"} 1"#,
            r#"portcullis_policy_fetches_total{outcome="refused"} 1"#,
            "portcullis_policy_confirmed_timestamp_seconds 1700000000",
            r#"portcullis_catalogue_pulls_total{outcome="failed"} 1"#,
            "portcullis_calls_in_flight 1",
            "portcullis_streams_open 0",
            "portcullis_audit_up 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_number_of_series_is_bounded_whatever_servers_call_their_tools() {
        let metrics = Metrics::new().unwrap();
        let server = ServerName::parse("erp").unwrap();
        for number in 0..SERIES_MAX + 50 {
            let tool = ToolName::parse(&format!("t{number}")).unwrap();
            metrics.series("tools/call", &server, Some(&tool)).ended(Status::Ok, Duration::ZERO, None);
        }
        let text = rendered(&metrics);
        let count = text.lines().filter(|l| l.starts_with("portcullis_calls_total")).count();
        assert_eq!(count, (SERIES_MAX + 1) * Status::ALL.len());
        assert!(text.contains(r#"outcome="ok",server="erp",tool="other"} 50"#));
    }
}
