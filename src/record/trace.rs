//! Traces of calls by the MCP conventions of OpenTelemetry, and the logs of the gate.
//!
//! # Why sampling comes first
//! Even a span that is never exported costs microseconds in `tracing`. Whether a call is sampled is therefore decided from
//! the parent's flag or by chance before anything is made; what is not sampled is a number that is passed on.

use std::time::Duration;

use opentelemetry::trace::{Status as SpanStatus, TraceContextExt};
use opentelemetry::{Context, Value};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::decode::Message;
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

    /// Begins the trace of a call. `about`: a tool or prompt only where the catalogue or policy knows it.
    #[must_use]
    pub fn begin(&self, call: &Traced<'_>) -> CallTrace {
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
    /// What it is about.
    pub about: About<'a>,
    /// The protocol revision, as far as it is known.
    pub protocol: Option<&'static str>,
    /// The client's address.
    pub client: std::net::SocketAddr,
}

impl Traced<'_> {
    fn span(&self, parent: Option<Parent>) -> Sampled {
        let method = self.message.method;
        let name = self.name();
        let span = tracing::info_span!(
            target: TARGET,
            parent: None,
            "call",
            otel.name = name.as_str(),
            otel.kind = "server",
            mcp.method.name = method,
            network.transport = "tcp",
            network.protocol.name = "http",
        );
        if let Some(parent) = parent {
            let _ = span.set_parent(Context::new().with_remote_span_context(parent.context()));
        }
        span.set_attribute("client.address", self.client.ip().to_string());
        span.set_attribute("client.port", i64::from(self.client.port()));
        span.set_attribute("portcullis.invocation", self.invocation.to_string());
        set(&span, "mcp.protocol.version", self.protocol);
        set(&span, "jsonrpc.request.id", self.message.id.as_ref().map(|id| id.as_json().to_owned()));
        self.subject(&span);
        Sampled { span, name }
    }

    fn name(&self) -> String {
        match self.about {
            About::Tool(name) | About::Prompt(name) => format!("{} {name}", self.message.method),
            About::Resource(_) | About::Task(_) | About::Nothing => self.message.method.to_owned(),
        }
    }

    fn subject(&self, span: &Span) {
        match self.about {
            About::Tool(name) => {
                span.set_attribute("gen_ai.operation.name", "execute_tool");
                span.set_attribute("gen_ai.tool.name", name.to_owned());
            }
            About::Prompt(name) => span.set_attribute("gen_ai.prompt.name", name.to_owned()),
            About::Resource(uri) => span.set_attribute("mcp.resource.uri", uri.to_owned()),
            About::Task(_) | About::Nothing => {}
        }
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

/// A sampled call.
#[derive(Debug)]
pub struct Sampled {
    span: Span,
    name: String,
}

impl CallTrace {
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
    fn upstream(&self, url: &http::Uri) -> UpstreamTrace {
        let span = tracing::info_span!(
            target: TARGET,
            parent: &self.span,
            "upstream",
            otel.name = self.name.as_str(),
            otel.kind = "client",
        );
        set(&span, "server.address", url.host().map(str::to_owned));
        set(&span, "server.port", url.port_u16().map(i64::from));
        let context = span.context();
        let traceparent = Some(context.span().span_context()).filter(|c| c.is_valid()).map(parent::write);
        UpstreamTrace { span, traceparent }
    }
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

/// How long a stop waits for the last spans.
const FLUSH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
