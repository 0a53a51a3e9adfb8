//! Traces of calls as a real OpenTelemetry collector gets them, in the trace of an agent on an official SDK; and metrics.

use portcullis_integration::agent::Agent;
use portcullis_integration::collector::{Collector, Span};
use portcullis_integration::fixture::{KEY_BOB, Std};
use portcullis_integration::gate::{Gate, House, minimal};
use portcullis_integration::issuer::sha256_hex;
use portcullis_integration::sdk::{Client, Mode, SdkServer, Server};
use serde_json::{Value, json};

const ROLES: &str = "
roles:
  reader:
    - {servers: [sample], tools: [safe], prompts: [hello]}
    - {servers: [sample], tools: [list_all_netsuite_invoices], when: {region: caller.region}}
";
/// What the agents' own span is called.
const AGENTS_SPAN: &str = "b7ad6b7169203331";
const CREDENTIAL: &str = "key-of-a-4711";
const ARGUMENT: &str = "argument-of-the-agent";

fn gate(server: &SdkServer, collector: &Collector) -> Gate {
    let mut config = minimal("sample", &server.url);
    config["identity"] = json!({"api_keys": [{"sha256": sha256_hex(KEY_BOB), "tenant": "a", "user": "bob", "roles": ["reader"], "attributes": {"region": "EMEA"}}]});
    config["accounts"][0]["credential"] = json!({"bearer": {"inline": CREDENTIAL}});
    config["telemetry"] = json!({"otlp": collector.url, "sample": 0.0});
    House::new(&config, &[("a", ROLES)]).open(1)
}

/// What the agent does; all of it in this trace of its own.
fn steps(trace: &str) -> Value {
    let meta = json!({"traceparent": format!("00-{trace}-{AGENTS_SPAN}-01")});
    json!([
        {"do": "call_tool", "name": "safe", "arguments": {"marker": ARGUMENT}, "meta": meta},
        {"do": "call_tool", "name": "danger", "arguments": {"marker": ARGUMENT}, "meta": meta},
        {"do": "call_tool", "name": "list_all_netsuite_invoices", "arguments": {"region": ARGUMENT}, "meta": meta},
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_one_trace_from_the_agent_through_the_gate_to_the_server() {
    let (server, mut collector) = (SdkServer::start(Server::Python), Collector::start());
    let mut gate = gate(&server, &collector);
    let agents = [
        (Client::Python, Mode::Modern, "0af7651916cd43dd8448eb211c80319c"),
        (Client::TypeScript2, Mode::Legacy, "1af7651916cd43dd8448eb211c80319c"),
    ];
    let url = gate.server("sample");
    let [one, two] =
        agents.map(|(client, mode, trace)| client.plays(mode, &url, Some(KEY_BOB), steps(trace)));
    let (one, two) = tokio::join!(one, two);
    for seen in [one, two] {
        assert_eq!(seen.ok(1)["content"][0]["text"], format!("safe {ARGUMENT}"));
    }
    the_last_span(&gate).await;
    gate.terminate();
    assert!(gate.ended(), "{}", gate.log());
    let spans = collector.until(is_the_last);
    for (_, mode, trace) in agents {
        let spans: Vec<_> = spans.iter().filter(|span| span.trace == trace).collect();
        let sent = allowed(&spans, if mode == Mode::Legacy { "2025-11-25" } else { "2026-07-28" });
        let received =
            server.received("tools/call").into_iter().map(|e| e.message()["params"]["_meta"].clone());
        let received: Vec<_> = received.filter(|meta| meta.to_string().contains(trace)).collect();
        assert_eq!(received.len(), 1, "{received:?}");
        assert_eq!(received[0]["traceparent"], format!("00-{trace}-{sent}-01"));
        refused(&spans);
    }
    assert!(spans.iter().all(|span| !span.name.is_empty()), "{spans:?}");
    for secret in [CREDENTIAL, KEY_BOB, ARGUMENT, "danger"] {
        assert!(!collector.output().contains(secret), "{secret}: {}", collector.output());
    }
}

/// Holds the spans of the allowed call against the conventions; the id of the one towards the server.
fn allowed(spans: &[&Span], protocol: &str) -> String {
    let of = |kind: &str| {
        let found = spans.iter().find(|span| span.name == "tools/call safe" && span.kind == kind);
        *found.unwrap_or_else(|| panic!("no {kind}: {spans:?}"))
    };
    let (inside, outside) = (of("SPAN_KIND_SERVER"), of("SPAN_KIND_CLIENT"));
    assert_eq!(inside.parent, AGENTS_SPAN);
    assert_eq!(outside.parent, inside.id);
    assert_eq!((inside.status.as_str(), outside.status.as_str()), ("STATUS_CODE_UNSET", "STATUS_CODE_UNSET"));
    for span in [inside, outside] {
        assert_eq!(span.said("mcp.method.name"), Some("tools/call"), "{span:?}");
        assert_eq!(span.said("gen_ai.tool.name"), Some("safe"), "{span:?}");
        assert_eq!(span.said("gen_ai.operation.name"), Some("execute_tool"), "{span:?}");
        assert_eq!(span.said("mcp.protocol.version"), Some(protocol), "{span:?}");
        assert_eq!(span.said("network.transport"), Some("tcp"), "{span:?}");
        assert!(span.said("jsonrpc.request.id").is_some_and(|id| !id.contains('"')), "{span:?}");
        assert_eq!(span.said("error.type"), None, "{span:?}");
    }
    assert_eq!(inside.said("client.address"), Some("127.0.0.1"));
    assert!(inside.said("portcullis.invocation").is_some());
    assert_eq!(outside.said("server.address"), Some("127.0.0.1"));
    outside.id.clone()
}

/// The refused calls are there with their reasons; only a tool that the caller sees is named.
fn refused(spans: &[&Span]) {
    let why = |reason: &str| {
        let found = spans.iter().find(|span| span.said("error.type") == Some(reason));
        *found.unwrap_or_else(|| panic!("no {reason}: {spans:?}"))
    };
    let (hidden, constrained) = (why("unknown_tool"), why("constrained"));
    for span in [hidden, constrained] {
        assert_eq!((span.parent.as_str(), span.status.as_str()), (AGENTS_SPAN, "STATUS_CODE_ERROR"));
        assert!(!spans.iter().any(|other| other.kind == "SPAN_KIND_CLIENT" && other.parent == span.id));
    }
    assert_eq!((hidden.name.as_str(), hidden.said("gen_ai.tool.name")), ("tools/call", None));
    assert_eq!(constrained.name, "tools/call list_all_netsuite_invoices");
}

/// One more call: when the collector has its span, it has printed those before it.
async fn the_last_span(gate: &Gate) {
    let parent = format!("00-ffffffffffffffffffffffffffffffff-{AGENTS_SPAN}-01");
    let params = json!({"name": "hello", "arguments": {"name": "Ada"}, "_meta": {"traceparent": parent}});
    let agent = Agent::new(&gate.server("sample"), Some(KEY_BOB));
    assert_eq!(agent.modern("prompts/get", params).await.status, 200);
}

fn is_the_last(span: &Span) -> bool {
    span.trace.starts_with("ffff") && span.kind == "SPAN_KIND_SERVER"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_costs_no_call_and_no_stop() {
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let std = Std::start_with(|config| {
        config["telemetry"] = json!({"otlp": format!("http://{closed}"), "sample": 1.0});
    });
    assert_eq!(std.alice().calls("safe", json!({})).await.status, 200);
    let mut gate = std.gate;
    gate.terminate();
    assert!(gate.ended(), "{}", gate.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_scraped_by_the_name_that_the_operator_gave_and_no_other() {
    let std = Std::start_with(|config| config["admin"]["hosts"] = json!(["gate.internal"]));
    let agent = Agent::new(&format!("{}/metrics", std.gate.admin_url), None);
    let scrape = async |host: &str| {
        let answer = agent.send(agent.request(reqwest::Method::GET).header("Host", host)).await;
        (answer.status.as_u16(), answer.everything().contains("portcullis_"))
    };
    assert_eq!(scrape("gate.internal:9901").await, (200, true));
    assert_eq!(scrape("evil.example:9901").await, (403, false));
}
