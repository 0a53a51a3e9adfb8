//! Sessions of the legacy era in depth, with npm's own server: standing streams, what the server asks, the session's end.

use portcullis_integration::agent::{Agent, events};
use portcullis_integration::fixture::{KEY_BOB, Std};
use portcullis_integration::gate::{Gate, House, minimal};
use portcullis_integration::issuer::sha256_hex;
use portcullis_integration::mcp::LEGACY;
use portcullis_integration::sdk::{SdkServer, Server};
use reqwest::{Method, Response};
use serde_json::{Value, json};

const KEY_EVE: &str = "pck_eve_of_a_000000000000000000000001";
const ROLES: &str = "roles:\n  reader:\n    - servers: [sample]\n      tools: [\"*\"]\n";
/// What no stock policy allows: the server may ask the user.
const ELICITATION: &str = "package mcp.authz\n\nallow if input.method == \"elicitation/create\"\n";

struct Everything {
    gate: Gate,
    _server: SdkServer,
}

impl Everything {
    fn start() -> Self {
        let server = SdkServer::start(Server::Everything);
        let mut config = minimal("sample", &server.url);
        let key = |key: &str, user: &str| json!({"sha256": sha256_hex(key), "tenant": "a", "user": user, "roles": ["reader"]});
        config["identity"] = json!({"api_keys": [key(KEY_BOB, "bob"), key(KEY_EVE, "eve")]});
        let house = House::new(&config, &[("a", ROLES)]);
        house.write("policies/elicitation.rego", ELICITATION);
        Self { gate: house.open(1), _server: server }
    }

    /// An agent in a session, who can be asked for its model and for its user's words.
    async fn agent(&self, key: &str) -> Agent {
        let mut agent = Agent::new(&self.gate.server("sample"), Some(key));
        let params = json!({"protocolVersion": LEGACY, "clientInfo": {"name": "agent", "version": "1"},
            "capabilities": {"sampling": {}, "elicitation": {"form": {}}}});
        let opened = agent.legacy("initialize", params).await;
        assert_eq!(opened.status, 200, "{opened:?}");
        agent.session = Some(opened.headers["mcp-session-id"].to_str().expect("text").to_owned());
        let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(agent.legacy_message(&note).await.status, 202);
        agent
    }
}

/// A stream of events as it comes in.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(agent: &Agent, method: Method, body: Option<Value>) -> Self {
        let request = agent.request(method).header("MCP-Protocol-Version", LEGACY);
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let response = request.send().await.expect("the gate answers");
        assert_eq!(response.status(), 200);
        Self { response, text: String::new() }
    }

    async fn calls(agent: &Agent, tool: &str, arguments: Value) -> Self {
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool, "arguments": arguments}});
        Self::open(agent, Method::POST, Some(call)).await
    }

    /// Reads until a message fits.
    async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(found) = events(&self.text).into_iter().find(|message| fits(message)) {
                return found;
            }
            let chunk = self.response.chunk().await.expect("a whole stream");
            let chunk = chunk.unwrap_or_else(|| panic!("the stream ended: {}", self.text));
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standing_stream_brings_what_the_server_says_between_calls() {
    let everything = Everything::start();
    let bob = everything.agent(KEY_BOB).await;
    let mut standing = Stream::open(&bob, Method::GET, None).await;
    let asked = json!({"name": "toggle-simulated-logging", "arguments": {}});
    assert!(!bob.legacy("tools/call", asked).await.is_error_result());
    let said = standing.until(|message| message["method"] == "notifications/message").await;
    assert!(said["params"]["level"].is_string(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_its_callers_own_and_ends_when_they_say_so() {
    let everything = Everything::start();
    let bob = everything.agent(KEY_BOB).await;
    let mut eve = Agent::new(&bob.url, Some(KEY_EVE));
    eve.session.clone_from(&bob.session);
    for method in [Method::GET, Method::DELETE] {
        let request = eve.request(method.clone()).header("MCP-Protocol-Version", LEGACY);
        assert_eq!(eve.send(request).await.status, 404, "{method} by eve");
    }
    assert_eq!(eve.legacy("tools/list", json!({})).await.status, 404);
    assert!(bob.legacy("tools/list", json!({})).await.code().is_none());
    let end = bob.request(Method::DELETE).header("MCP-Protocol-Version", LEGACY);
    assert!(bob.send(end).await.status.is_success());
    let after = bob.legacy("tools/list", json!({})).await;
    assert!(after.code().is_some() && matches!(after.status.as_u16(), 400 | 404), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_lets_a_server_ask_is_asked_and_answered() {
    let everything = Everything::start();
    let bob = everything.agent(KEY_BOB).await;
    let mut call = Stream::calls(&bob, "trigger-elicitation-request", json!({})).await;
    let asked = call.until(|message| message["method"] == "elicitation/create").await;
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}});
    assert_eq!(bob.legacy_message(&answer).await.status, 202);
    let result = call.until(|message| message["id"] == 7).await;
    assert!(result.to_string().contains("decline"), "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_does_not_let_a_server_ask_never_reaches_the_caller() {
    let mut everything = Everything::start();
    let bob = everything.agent(KEY_BOB).await;
    let call = tokio::spawn(async move {
        let arguments = json!({"prompt": "hi", "maxTokens": 5});
        let mut call = Stream::calls(&bob, "trigger-sampling-request", arguments).await;
        call.until(|message| message["method"] == "sampling/createMessage").await
    });
    everything.gate.logged(&["dropped", "policy refuses this request of the server"]);
    assert!(!call.is_finished(), "it was asked");
    call.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_what_was_never_asked_is_not_passed_on() {
    let std = Std::start();
    let alice = std.alice().initialized().await;
    std.upstream.forget();
    let answer = json!({"jsonrpc": "2.0", "id": 99, "result": {"action": "accept"}});
    assert!(alice.legacy_message(&answer).await.status.is_client_error());
    assert!(std.upstream.exchanges().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_reaches_the_server_in_its_own_session() {
    let std = Std::start();
    let alice = std.alice().initialized().await;
    let opened = std.upstream.received("notifications/initialized").pop().expect("a session");
    let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(alice.legacy_message(&note).await.status, 202);
    let cancelled = std.upstream.received("notifications/cancelled").pop().expect("it arrives");
    assert_eq!(cancelled.header("mcp-session-id"), opened.header("mcp-session-id"));
}
