//! Traces of calls by the MCP conventions of OpenTelemetry, and the logs of the gate.
//!
//! # Why sampling comes first
//! Even a span that is never exported costs microseconds in `tracing`. Whether a call is sampled is therefore decided from
//! the parent's flag or by chance before anything is made; what is not sampled is a number that is passed on.

use std::time::Duration;

use opentelemetry::trace::{Status as SpanStatus, TraceContextExt};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::decode::{Message, RequestId};
use crate::name::Invocation;
use crate::record::{About, Outcome, Status};

mod parent;
mod start;

pub use parent::Parent;
pub use start::{Guard, TelemetryError, init};

/// Spans with this target, and no others, go to the collector.
pub(crate) const TARGET: &str = "portcullis::trace";

/// Decides which calls are traced.
#[derive(Debug, Clone, Copy)]
pub struct Sampler {
    exports: Exports,
    ratio: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exports {
    Somewhere,
    Nowhere,
}

impl Sampler {
    /// A sampler by configuration; without an endpoint nothing is sampled.
    #[must_use]
    pub fn new(telemetry: &crate::config::Telemetry) -> Self {
        let exports = if telemetry.otlp.is_some() { Exports::Somewhere } else { Exports::Nowhere };
        Self { exports, ratio: telemetry.sample }
    }

    /// Begins the trace of a call; what has no method (a GET, a DELETE, a response) has none.
    #[must_use]
    pub fn begin(&self, call: &Traced<'_>) -> CallTrace {
        if call.message.method.is_empty() {
            return CallTrace::default();
        }
        let parent = call.message.meta.traceparent.as_deref().and_then(Parent::parse);
        if self.samples(parent.as_ref(), call.invocation) {
            CallTrace::Sampled(Box::new(call.span(parent)))
        } else {
            CallTrace::Passed(parent)
        }
    }

    fn samples(&self, parent: Option<&Parent>, invocation: Invocation) -> bool {
        match (self.exports, parent) {
            (Exports::Nowhere, _) => false,
            (Exports::Somewhere, Some(parent)) => parent.is_sampled(),
            (Exports::Somewhere, None) => invocation.chance() < self.ratio,
        }
    }
}

/// What the span of a call says at its beginning.
#[derive(Debug, Clone, Copy)]
pub struct Traced<'a> {
    /// The message in flight.
    pub invocation: Invocation,
    /// What was asked.
    pub message: &'a Message,
    /// The protocol revision, as far as it is known.
    pub protocol: Option<&'static str>,
    /// The client's address.
    pub client: std::net::SocketAddr,
    /// Who asks.
    pub asker: Asker,
}

/// Who asks for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A caller, over the network.
    Caller,
    /// The gate itself, on a caller's behalf.
    Gate,
}

impl Asker {
    fn kind(self) -> &'static str {
        match self {
            Self::Caller => "server",
            Self::Gate => "internal",
        }
    }
}

impl Traced<'_> {
    fn span(&self, parent: Option<Parent>) -> Sampled {
        let method = self.message.method;
        let span = tracing::info_span!(
            target: TARGET,
            parent: None,
            "call",
            otel.name = method,
            otel.kind = self.asker.kind(),
        );
        if let Some(parent) = parent {
            let _ = span.set_parent(Context::new().with_remote_span_context(parent.context()));
        }
        if self.asker == Asker::Caller {
            span.set_attribute("client.address", self.client.ip().to_string());
            span.set_attribute("client.port", i64::from(self.client.port()));
        }
        span.set_attribute("portcullis.invocation", self.invocation.to_string());
        let mut sampled = Sampled { span, name: method.to_owned(), shared: Vec::new() };
        self.shared().into_iter().for_each(|attribute| sampled.shares(attribute));
        sampled
    }

    /// What the conventions want on both sides of a call.
    fn shared(&self) -> Vec<KeyValue> {
        let mut shared = vec![
            KeyValue::new("mcp.method.name", self.message.method),
            KeyValue::new("network.transport", "tcp"),
            KeyValue::new("network.protocol.name", "http"),
        ];
        shared.extend(self.protocol.map(|protocol| KeyValue::new("mcp.protocol.version", protocol)));
        let id = self.message.id.as_ref().map(RequestId::as_text);
        shared.extend(id.map(|id| KeyValue::new("jsonrpc.request.id", bounded(&id))));
        shared
    }
}

/// The trace of one call.
#[derive(Debug)]
pub enum CallTrace {
    /// It is sampled.
    Sampled(Box<Sampled>),
    /// It is not; the caller's own trace is passed on, unsampled.
    Passed(Option<Parent>),
}

impl Default for CallTrace {
    fn default() -> Self {
        Self::Passed(None)
    }
}

/// A sampled call.
#[derive(Debug)]
pub struct Sampled {
    span: Span,
    name: String,
    shared: Vec<KeyValue>,
}

impl CallTrace {
    /// What it is about is known now. Only a tool or prompt that policy has shown to be there may be named: spans have
    /// the names that somebody approved, and not those that callers make up.
    pub fn concerns(&mut self, about: About<'_>) {
        if let Self::Sampled(sampled) = self {
            sampled.concerns(about);
        }
    }

    /// The context for a message of the gate's own that belongs to this call.
    #[must_use]
    pub fn within(&self) -> Option<String> {
        match self {
            Self::Sampled(sampled) => written(&sampled.span),
            Self::Passed(_) => None,
        }
    }

    /// The part of the call that is spent with the server at `url`.
    #[must_use]
    pub fn upstream(&self, url: &http::Uri) -> UpstreamTrace {
        match self {
            Self::Sampled(sampled) => sampled.upstream(url),
            Self::Passed(parent) => {
                let traceparent =
                    parent.as_ref().map(|p| p.child(RandomIdGenerator::default().new_span_id()));
                UpstreamTrace { span: Span::none(), traceparent }
            }
        }
    }

    /// The call has ended.
    pub fn ended(self, outcome: &Outcome) {
        if let Self::Sampled(sampled) = self {
            tell(&sampled.span, outcome);
        }
    }

    /// The span of the call, to enter while its parts run; a disabled one where it is not sampled.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Sampled(sampled) => sampled.span.clone(),
            Self::Passed(_) => Span::none(),
        }
    }
}

impl Sampled {
    fn shares(&mut self, attribute: KeyValue) {
        self.span.set_attribute(attribute.key.clone(), attribute.value.clone());
        self.shared.push(attribute);
    }

    fn concerns(&mut self, about: About<'_>) {
        match about {
            About::Tool(name) => {
                self.shares(KeyValue::new("gen_ai.operation.name", "execute_tool"));
                self.shares(KeyValue::new("gen_ai.tool.name", name.to_owned()));
                self.named_after(name);
            }
            About::Prompt(name) => {
                self.shares(KeyValue::new("gen_ai.prompt.name", name.to_owned()));
                self.named_after(name);
            }
            About::Resource(uri) => self.shares(KeyValue::new("mcp.resource.uri", bounded(uri))),
            About::Task(_) | About::Nothing => {}
        }
    }

    fn named_after(&mut self, subject: &str) {
        self.name = format!("{} {subject}", self.name);
        // The span may have begun for the collector, which the field `otel.name` comes too late for.
        self.span.context().span().update_name(self.name.clone());
    }

    fn upstream(&self, url: &http::Uri) -> UpstreamTrace {
        let span = tracing::info_span!(
            target: TARGET,
            parent: &self.span,
            "upstream",
            otel.name = self.name.as_str(),
            otel.kind = "client",
        );
        for attribute in &self.shared {
            span.set_attribute(attribute.key.clone(), attribute.value.clone());
        }
        set(&span, "server.address", url.host().map(str::to_owned));
        set(&span, "server.port", url.port_u16().map(i64::from));
        let traceparent = written(&span);
        UpstreamTrace { span, traceparent }
    }
}

/// The span as a `traceparent`.
fn written(span: &Span) -> Option<String> {
    let context = span.context();
    Some(context.span().span_context()).filter(|context| context.is_valid()).map(parent::write)
}

/// The part of a call that is spent with the server.
#[derive(Debug)]
pub struct UpstreamTrace {
    span: Span,
    traceparent: Option<String>,
}

impl UpstreamTrace {
    /// What `_meta.traceparent` is to be towards the server; `None`: it stays as it is, which is absent.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// The server has answered, or will not.
    pub fn ended(self, outcome: &Outcome) {
        if !self.span.is_disabled() {
            tell(&self.span, outcome);
        }
    }
}

/// `error.type` is the upstream's code, `tool_error`, or why the gate gave up.
fn tell(span: &Span, outcome: &Outcome) {
    if let Some(code) = outcome.error {
        span.set_attribute("rpc.response.status_code", code.to_string());
    }
    let error = match outcome.status {
        Status::Ok => return,
        Status::ToolError => "tool_error".to_owned(),
        Status::Error | Status::Refused | Status::Cancelled | Status::Abandoned | Status::Unknown => {
            let code = outcome.error.map(|code| code.to_string());
            code.unwrap_or_else(|| outcome.reason.unwrap_or(outcome.status.as_str()).to_owned())
        }
    };
    span.set_attribute("error.type", error);
    span.set_status(SpanStatus::error(""));
}

fn set(span: &Span, key: &'static str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        span.set_attribute(key, value);
    }
}

/// So many characters of what a caller made up: nobody fills a collector with an id of megabytes.
const LONGEST: usize = 256;

fn bounded(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// How long a stop waits for the last spans.
const FLUSH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
