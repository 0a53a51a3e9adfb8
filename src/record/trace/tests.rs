use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::config::Telemetry;
use crate::decode::{Action, Era, Meta};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn telemetry(sample: f64) -> Telemetry {
    Telemetry { otlp: Some("http://127.0.0.1:4318".to_owned()), sample, json_logs: false }
}

fn message(traceparent: Option<&str>) -> Message {
    Message {
        era: Era::Modern,
        version: None,
        id: None,
        method: "tools/call",
        action: Action::Ping,
        meta: Meta { traceparent: traceparent.map(Into::into), ..Meta::default() },
        state: None,
        bytes: Bytes::new(),
    }
}

fn traced(message: &Message) -> Traced<'_> {
    Traced {
        invocation: Invocation::new(),
        message,
        protocol: Some("2026-07-28"),
        client: ([10, 0, 0, 7], 4711).into(),
        asker: Asker::Caller,
    }
}

/// The trace of a call of `list_invoices`.
fn begun(sample: f64, message: &Message) -> CallTrace {
    let mut trace = Sampler::new(&telemetry(sample)).begin(&traced(message));
    trace.concerns(About::Tool("list_invoices"));
    trace
}

fn said(span: &SpanData, key: &str) -> Option<String> {
    span.attributes.iter().find(|a| a.key.as_str() == key).map(|a| a.value.to_string())
}

/// An exporter that keeps what it is given.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// Runs `call` and returns the spans that it made.
fn kept(call: impl FnOnce()) -> Vec<SpanData> {
    let exporter = Kept::default();
    let provider = start::provider().with_simple_exporter(exporter.clone()).build();
    let subscriber = tracing_subscriber::registry().with(start::layer(&provider));
    tracing::subscriber::with_default(subscriber, call);
    exporter.0.lock().unwrap().clone()
}

#[test]
fn a_sampled_call_has_a_server_span_and_a_client_span_in_the_callers_trace() {
    let message = message(Some(PARENT));
    let mut written = String::new();
    let spans = kept(|| {
        let trace = begun(0.0, &message);
        let upstream = trace.upstream(&"http://erp.internal:9101/mcp".parse().unwrap());
        written = upstream.traceparent().unwrap().to_owned();
        upstream.ended(&Outcome::bare(Status::ToolError));
        trace.ended(&Outcome { error: Some(-32602), ..Outcome::bare(Status::Error) });
    });
    let [client, server] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((server.name.as_ref(), &server.span_kind), ("tools/call list_invoices", &SpanKind::Server));
    assert_eq!(client.span_kind, SpanKind::Client);
    assert_eq!(server.parent_span_id.to_string(), "b7ad6b7169203331");
    assert_eq!(client.parent_span_id, server.span_context.span_id());
    let trace = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(written, format!("00-{trace}-{}-01", client.span_context.span_id()));
    for (span, key, value) in [
        (server, "mcp.method.name", "tools/call"),
        (server, "gen_ai.tool.name", "list_invoices"),
        (server, "gen_ai.operation.name", "execute_tool"),
        (server, "mcp.protocol.version", "2026-07-28"),
        (server, "client.address", "10.0.0.7"),
        (server, "error.type", "-32602"),
        (server, "rpc.response.status_code", "-32602"),
        (client, "error.type", "tool_error"),
        (client, "mcp.method.name", "tools/call"),
        (client, "gen_ai.tool.name", "list_invoices"),
        (client, "server.address", "erp.internal"),
    ] {
        assert_eq!(said(span, key).as_deref(), Some(value), "{key}");
    }
}

#[test]
fn a_refused_call_has_a_span_that_says_why_and_not_what_the_caller_made_up() {
    let message = message(Some(PARENT));
    let refused = Outcome { reason: Some("unknown_tool"), ..Outcome::bare(Status::Refused) };
    let spans = kept(|| Sampler::new(&telemetry(0.0)).begin(&traced(&message)).ended(&refused));
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(span.name.as_ref(), "tools/call");
    assert_eq!(said(span, "error.type").as_deref(), Some("unknown_tool"));
    assert_eq!(said(span, "gen_ai.tool.name"), None);
}

#[test]
fn what_the_gate_asks_on_its_own_is_inside_the_callers_call() {
    let message = message(Some(PARENT));
    let spans = kept(|| {
        let sampler = Sampler::new(&telemetry(0.0));
        let mut call = sampler.begin(&traced(&message));
        let own = super::tests::message(call.within().as_deref());
        sampler.begin(&Traced { asker: Asker::Gate, ..traced(&own) }).ended(&Outcome::bare(Status::Ok));
        call.concerns(About::Tool("list_invoices"));
        call.ended(&Outcome::bare(Status::Ok));
    });
    let [own, call] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&own.span_kind, own.parent_span_id), (&SpanKind::Internal, call.span_context.span_id()));
    assert_eq!(said(own, "client.address"), None);
    assert_eq!(
        call.name.as_ref(),
        "tools/call list_invoices",
        "also where its span was needed before its name"
    );
}

#[test]
fn a_get_and_a_delete_have_no_span_and_no_id_fills_a_collector() {
    let id = |text: &str| Some(crate::decode::request_id_for_test(text));
    let bare = Message { method: "", ..message(None) };
    let named = Message { id: id("\"seven\""), ..message(None) };
    let long = Message { id: id(&format!("\"{}\"", "x".repeat(100_000))), ..message(None) };
    let spans = kept(|| {
        for message in [&bare, &named, &long] {
            Sampler::new(&telemetry(1.0)).begin(&traced(message)).ended(&Outcome::bare(Status::Ok));
        }
    });
    let [named, long] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(said(named, "jsonrpc.request.id").as_deref(), Some("seven"), "without its quotes");
    assert_eq!(said(long, "jsonrpc.request.id").map(|id| id.len()), Some(LONGEST));
}

#[test]
fn a_call_that_is_not_sampled_makes_no_span_and_passes_its_trace_on_unsampled() {
    let unsampled = PARENT.replace("-01", "-00");
    let message = message(Some(&unsampled));
    let spans = kept(|| {
        let trace = Sampler::new(&telemetry(1.0)).begin(&traced(&message));
        assert!(matches!(trace, CallTrace::Passed(_)));
        let upstream = trace.upstream(&"http://erp/mcp".parse().unwrap());
        let written = upstream.traceparent().unwrap().to_owned();
        assert!(written.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && written.ends_with("-00"));
        assert_ne!(written, unsampled);
        trace.ended(&Outcome::bare(Status::Ok));
    });
    assert!(spans.is_empty());
}

#[test]
fn without_a_parent_the_ratio_decides_and_without_an_endpoint_nothing_is_sampled() {
    let message = message(None);
    let sampled = |telemetry: &Telemetry| {
        let sampler = Sampler::new(telemetry);
        (0..400).filter(|_| matches!(sampler.begin(&traced(&message)), CallTrace::Sampled(_))).count()
    };
    assert_eq!((sampled(&telemetry(0.0)), sampled(&telemetry(1.0))), (0, 400));
    assert!((40..160).contains(&sampled(&telemetry(0.25))));
    assert_eq!(sampled(&Telemetry { otlp: None, ..telemetry(1.0) }), 0);
    let trace = Sampler::new(&telemetry(0.0)).begin(&traced(&message));
    assert_eq!(trace.upstream(&"http://erp/mcp".parse().unwrap()).traceparent(), None);
}

#[test]
fn spans_reach_a_collector_over_http_before_the_gate_has_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut text = Vec::new();
        let mut part = [0; 4096];
        while !text.windows(13).any(|w| w == b"list_invoices") {
            let read = socket.read(&mut part).unwrap();
            assert!(read > 0, "the request ended early");
            text.extend_from_slice(&part[..read]);
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        told.send(String::from_utf8_lossy(&text).into_owned()).unwrap();
    });
    let guard = init(&Telemetry { otlp: Some(endpoint), sample: 1.0, json_logs: true }).unwrap();
    let message = message(None);
    begun(1.0, &message).ended(&Outcome::bare(Status::Ok));
    drop(guard);
    let request = heard.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(request.starts_with("POST /v1/traces HTTP/1.1"), "{request}");
}
