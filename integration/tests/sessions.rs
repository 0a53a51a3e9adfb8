//! Sessions of the legacy era in depth, with npm's own server: standing streams, what the server asks, the session's end.

use portcullis_integration::agent::{Agent, events};
use portcullis_integration::fixture::{KEY_BOB, Std};
use portcullis_integration::gate::{Gate, House, minimal};
use portcullis_integration::issuer::sha256_hex;
use portcullis_integration::mcp::{self, LEGACY};
use portcullis_integration::reply::Reply;
use portcullis_integration::sdk::{SdkServer, Server};
use portcullis_integration::wait::until;
use reqwest::{Method, Response};
use serde_json::{Value, json};

const KEY_EVE: &str = "pck_eve_of_a_000000000000000000000001";
const ROLES: &str = "roles:\n  reader:\n    - servers: [sample]\n      tools: [\"*\"]\n";
/// What no stock policy allows: the server may ask the user.
const ELICITATION: &str = "package mcp.authz\n\nallow if input.method == \"elicitation/create\"\n";

struct Everything {
    gate: Gate,
    server: SdkServer,
}

impl Everything {
    fn start() -> Self {
        Self::before(SdkServer::start(Server::Everything))
    }

    /// The Python server with its tool that asks, on an account with one place and a credential.
    fn asking() -> Self {
        Self::before(SdkServer::start_with(
            Server::Python,
            &[("ASKS", "1"), ("EXPECTED_CREDENTIAL", "Authorization: Bearer key-of-a")],
        ))
    }

    fn before(server: SdkServer) -> Self {
        let mut config = minimal("sample", &server.url);
        let key = |key: &str, user: &str| json!({"sha256": sha256_hex(key), "tenant": "a", "user": user, "roles": ["reader"]});
        config["identity"] = json!({"api_keys": [key(KEY_BOB, "bob"), key(KEY_EVE, "eve")]});
        config["accounts"][0]["credential"] = json!({"bearer": {"inline": "key-of-a"}});
        config["accounts"][0]["slots"] = json!(1);
        let house = House::new(&config, &[("a", ROLES)]);
        house.write("policies/elicitation.rego", ELICITATION);
        Self { gate: house.open(1), server }
    }

    /// An agent in a session, who can be asked for its model and for its user's words.
    async fn agent(&self, key: &str) -> Agent {
        let mut agent = Agent::new(&self.gate.server("sample"), Some(key));
        let params = json!({"protocolVersion": LEGACY, "clientInfo": {"name": "agent", "version": "1"},
            "capabilities": {"sampling": {}, "elicitation": {"form": {}}, "roots": {}}});
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

    /// The answer to the call, and what the tool says in it.
    async fn answer(&mut self) -> Value {
        let answer = self.until(|message| message["id"] == 7).await;
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        serde_json::from_str(text).unwrap_or_else(|_| json!(text))
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

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_what_policy_refuses_is_told_so_and_its_tool_goes_on() {
    let asking = Everything::asking();
    let bob = asking.agent(KEY_BOB).await;
    let mut call = Stream::calls(&bob, "ask", json!({"what": "sampling"})).await;
    let said = call.answer().await;
    assert_eq!((&said["code"], &said["data"]["reason"]), (&json!(-31403), &json!("denied")), "{said}");
    assert!(!call.text.contains("createMessage"), "the client was asked: {}", call.text);

    let told = asking.server.exchanges().into_iter().find(|e| e.message()["error"]["code"] == -31403);
    let told = told.expect("the server was told");
    let opened = asking.server.received("notifications/initialized").pop().expect("a session");
    for header in ["mcp-session-id", "mcp-protocol-version", "authorization"] {
        assert_eq!(told.header(header), opened.header(header), "{header}");
    }
    assert_eq!(told.header("txn-token").len(), 1, "it is vouched for");

    let audit = asking.gate.audit();
    let invocation = &said["data"]["invocation"];
    let intent = audit.iter().find(|line| line["kind"] == "intent" && line["invocation"] == *invocation);
    let intent = intent.expect("it is on the record");
    assert_eq!(intent["annotations"], json!({"declined": "sampling/createMessage"}), "{intent}");
    assert_eq!((&intent["tenant"], &intent["rules"]), (&json!("a"), &json!(["portcullis.decline"])));
    let metric = r#"server_requests_declined_total{method="sampling/createMessage",outcome="told"} 1"#;
    until("the metric", async || asking.gate.admin("/metrics").await.1.contains(metric).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_between_calls_is_told_no_as_well() {
    let asking = Everything::asking();
    let bob = asking.agent(KEY_BOB).await;
    let mut standing = Stream::open(&bob, Method::GET, None).await;
    let mut call = Stream::calls(&bob, "ask", json!({"what": "roots"})).await;
    let said = call.answer().await;
    assert_eq!(said["code"], -31403, "{said}");
    // What the server says next on its own stream is the first that the client sees there.
    drop(bob.legacy("tools/call", json!({"name": "announce", "arguments": {}})).await);
    standing.until(|message| message["method"] == "notifications/tools/list_changed").await;
    assert!(!standing.text.contains("roots/list"), "the client was asked: {}", standing.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_wait_for_the_place_of_the_call_that_asks() {
    let asking = Everything::asking();
    let bob = asking.agent(KEY_BOB).await;
    let mut call = Stream::calls(&bob, "ask", json!({"what": "elicitation"})).await;
    let asked = call.until(|message| message["method"] == "elicitation/create").await;
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}});
    assert_eq!(bob.legacy_message(&answer).await.status, 202);
    assert_eq!(call.answer().await["action"], "decline");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_told_no_costs_nobody_their_call() {
    let mut std = Std::start();
    let alice = std.alice().initialized().await;
    let asks =
        json!({"jsonrpc": "2.0", "id": "q", "method": "sampling/createMessage", "params": {"messages": []}});
    let unknown = json!({"jsonrpc": "2.0", "id": "r", "method": "admin/reset"});
    std.upstream.answers(move |exchange| match exchange.rpc().as_str() {
        "tools/call" => {
            let (asks, unknown) = (asks.clone(), unknown.clone());
            Reply::messages(&[asks, unknown, mcp::respond(&exchange.message(), exchange)])
        }
        _ if exchange.message()["id"] == "q" => Reply::empty(500),
        _ => mcp::answer(exchange),
    });
    let answer = alice.legacy("tools/call", json!({"name": "safe", "arguments": {}})).await;
    assert_eq!(answer.messages().len(), 1, "{answer:?}");
    assert!(!answer.is_error_result() && answer.code().is_none(), "{answer:?}");
    std.gate.logged(&["could not be told"]);
    for (id, code) in [("q", -31403), ("r", -32601)] {
        let is_no = |m: &Value| m["id"] == id && m["error"]["code"] == code;
        let told = || std.upstream.exchanges().iter().map(|e| e.message()).find(is_no);
        until("a no", async || told()).await;
    }
    let metric = r#"server_requests_declined_total{method="sampling/createMessage",outcome="not_told"} 1"#;
    until("the metric", async || std.gate.admin("/metrics").await.1.contains(metric).then_some(())).await;
}
