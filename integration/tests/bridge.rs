//! Between the eras: a caller of one before a server of the other gets what it would get of a server of its own.

use portcullis_integration::agent::{Agent, Answer, events, rpc};
use portcullis_integration::fixture::{KEY_BOB, Std};
use portcullis_integration::gate::{Gate, House, minimal};
use portcullis_integration::issuer::sha256_hex;
use portcullis_integration::mcp::{self, LEGACY, MODERN};
use portcullis_integration::reply::{Reply, Step, event};
use portcullis_integration::sdk::{Client, Mode, SdkServer, Server};
use portcullis_integration::upstream::{Exchange, Upstream};
use portcullis_integration::wait::until;
use serde_json::{Value, json};

const ROLES: &str = "roles:\n  reader:\n    - servers: [sample]\n      tools: [echo, safe, ask_name, trigger-elicitation-request]\n";
/// What no stock policy allows: the server may ask the user.
const ELICITATION: &str = "package mcp.authz\n\nallow if input.method == \"elicitation/create\"\n";

fn gate(server: &SdkServer) -> Gate {
    let mut config = minimal("sample", &server.url);
    config["identity"] = json!({"api_keys": [{"sha256": sha256_hex(KEY_BOB), "tenant": "a", "user": "bob", "roles": ["reader"]}]});
    let house = House::new(&config, &[("a", ROLES)]);
    house.write("policies/elicitation.rego", ELICITATION);
    house.open(1)
}

/// A server that speaks one era only, as its SDK would.
fn legacy_only(exchange: &Exchange) -> Reply {
    match exchange.header("mcp-protocol-version") == [MODERN] {
        true => Reply::new(
            400,
            &[("Content-Type", "application/json")],
            br#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}"#,
        ),
        false => mcp::answer(exchange),
    }
}

fn auto(upstream: Upstream) -> Std {
    Std::before(upstream, |config| config["servers"]["up"]["era"] = json!("auto"))
}

async fn asks_with(agent: &Agent, mut params: Value, method: &str) -> Answer {
    let meta = &mut params["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {"form": {}}});
    let name = params["name"].as_str().unwrap_or_default().to_owned();
    let post = agent.post().header("MCP-Protocol-Version", MODERN).header("Mcp-Method", method);
    let post = if name.is_empty() { post } else { post.header("Mcp-Name", name) };
    agent.send(post.json(&rpc(method, params))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_matrix_of_the_specification_has_no_cell_that_fails() {
    let cells = [
        (Client::TypeScript2, Mode::Modern),
        (Client::TypeScript2, Mode::Legacy),
        (Client::Python, Mode::Modern),
        (Client::Python, Mode::Legacy),
    ];
    for (kind, tool, said) in
        [(Server::Everything, "echo", "Echo: m"), (Server::TypeScript, "safe", "safe m")]
    {
        let server = SdkServer::start_with(kind, &[("MODERN_ONLY", "1")]);
        let gate = gate(&server);
        let arguments = if tool == "echo" { json!({"message": "m"}) } else { json!({"marker": "m"}) };
        let steps = json!([
            {"do": "list_tools"},
            {"do": "call_tool", "name": tool, "arguments": arguments},
            {"do": "call_tool", "name": "danger", "arguments": {}},
        ]);
        for (client, mode, seen) in
            Client::all_play(cells, &gate.server("sample"), Some(KEY_BOB), steps).await
        {
            let cell = format!("{client:?} {mode:?} before {kind:?}");
            let protocol = if mode == Mode::Legacy { LEGACY } else { MODERN };
            assert_eq!(seen.ok(0)["protocol"], protocol, "{cell}");
            assert!(seen.ok(1)["tools"].to_string().contains(tool), "{cell}: {}", seen.ok(1));
            assert_eq!(seen.ok(2)["content"][0]["text"], said, "{cell}");
            assert_eq!(seen.error(3)["code"], -32602, "{cell}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_legacy_server_asks_in_the_middle_of_a_call_is_asked_of_its_modern_caller() {
    let server = SdkServer::start(Server::Everything);
    let gate = gate(&server);
    let bob = Agent::new(&gate.server("sample"), Some(KEY_BOB));
    let call = json!({"name": "trigger-elicitation-request", "arguments": {}});
    let asked = asks_with(&bob, call.clone(), "tools/call").await.result();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let questions = asked["inputRequests"].as_object().expect("questions");
    let (key, question) = questions.iter().next().expect("one");
    assert_eq!(question["method"], "elicitation/create");
    let mut again = call.clone();
    again["requestState"] = asked["requestState"].clone();
    again["inputResponses"] = json!({key: {"action": "decline"}});
    let answer = asks_with(&bob, again.clone(), "tools/call").await.result();
    assert_eq!(answer["resultType"], "complete", "{answer}");
    assert!(answer.to_string().contains("decline"), "{answer}");
    // The call has ended: its state is good for nothing any more.
    let late = asks_with(&bob, again, "tools/call").await;
    assert_eq!(late.code(), Some(-32602), "{late:?}");
    assert!(late.everything().contains("begin the call anew"), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_an_answer_is_asked_again() {
    let server = SdkServer::start(Server::Everything);
    let gate = gate(&server);
    let bob = Agent::new(&gate.server("sample"), Some(KEY_BOB));
    let call = json!({"name": "trigger-elicitation-request", "arguments": {}});
    let asked = asks_with(&bob, call.clone(), "tools/call").await.result();
    let mut again = call.clone();
    again["requestState"] = asked["requestState"].clone();
    again["inputResponses"] = json!({});
    let asked = asks_with(&bob, again, "tools/call").await.result();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    assert!(asked["requestState"].is_string(), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_another_gate_holds_is_refused_in_words_that_help() {
    let server = SdkServer::start(Server::Everything);
    let first = gate(&server);
    let bob = Agent::new(&first.server("sample"), Some(KEY_BOB));
    let call = json!({"name": "trigger-elicitation-request", "arguments": {}});
    let asked = asks_with(&bob, call.clone(), "tools/call").await.result();
    let second = first.kill().open(1); // the same keys, another process
    let bob = Agent::new(&second.server("sample"), Some(KEY_BOB));
    let mut again = call;
    again["requestState"] = asked["requestState"].clone();
    again["inputResponses"] = json!({"question": {"action": "decline"}});
    let answer = asks_with(&bob, again, "tools/call").await;
    assert_eq!(answer.code(), Some(-32602), "{answer:?}");
    assert!(answer.everything().contains("another gate holds the call"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_modern_server_needs_to_know_is_asked_of_its_legacy_caller_on_the_open_stream() {
    let server = SdkServer::start_with(Server::TypeScript, &[("MODERN_ONLY", "1")]);
    let gate = gate(&server);
    let mut bob = Agent::new(&gate.server("sample"), Some(KEY_BOB));
    let params = json!({"protocolVersion": LEGACY, "capabilities": {"elicitation": {"form": {}}}, "clientInfo": {"name": "agent", "version": "1"}});
    let opened = bob.legacy("initialize", params).await;
    bob.session = Some(opened.headers["mcp-session-id"].to_str().expect("text").to_owned());
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "ask_name", "arguments": {}}});
    let post = bob.post().header("MCP-Protocol-Version", LEGACY).json(&call);
    let mut stream = post.send().await.expect("the gate answers");
    let mut text = String::new();
    let mut answered = false;
    while let Some(chunk) = stream.chunk().await.expect("a whole stream") {
        text.push_str(&String::from_utf8_lossy(&chunk));
        let asked = events(&text).into_iter().find(|message| message["method"] == "elicitation/create");
        if let (Some(asked), false) = (asked, answered) {
            let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"name": "Ada"}}});
            assert_eq!(bob.legacy_message(&answer).await.status, 202);
            answered = true;
        }
    }
    let last = events(&text).pop().expect("an answer");
    assert_eq!(last["id"], 7);
    assert_eq!(last["result"]["content"][0]["text"], "hello Ada", "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_made_in_one_era_only_and_its_server_is_asked_before() {
    let upstream = Upstream::start();
    upstream.answers(legacy_only);
    let std = auto(upstream);
    let alice = std.alice();
    for _ in 0..3 {
        assert_eq!(alice.calls("safe", json!({})).await.result()["resultType"], "complete");
    }
    let calls = std.upstream.received("tools/call");
    assert_eq!(calls.len(), 3, "{calls:?}");
    for call in &calls {
        assert_eq!(call.header("mcp-protocol-version"), [LEGACY]);
        assert!(
            call.header("mcp-method").is_empty()
                && !call.message().to_string().contains("clientCapabilities")
        );
    }
    assert_eq!(std.upstream.received("server/discover").len(), 1, "it is asked once");
    assert_eq!(std.upstream.received("initialize").len(), 1, "one session serves all calls");
    let ids: std::collections::HashSet<_> =
        calls.iter().map(|call| call.message()["id"].to_string()).collect();
    assert_eq!(ids.len(), 3, "two callers may use the same id, and a session must not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_has_forgotten_is_opened_again_and_the_call_made_once() {
    let upstream = Upstream::start();
    upstream.answers(legacy_only);
    let std = auto(upstream);
    let alice = std.alice();
    assert!(!alice.calls("safe", json!({})).await.is_error_result());
    let forgotten = std.upstream.received("tools/call")[0].header("mcp-session-id").join("");
    std.upstream.forget();
    let gone = forgotten.clone();
    std.upstream.answers(move |exchange| match exchange.header("mcp-session-id") == [gone.as_str()] {
        true => Reply::empty(404),
        false => legacy_only(exchange),
    });
    assert_eq!(alice.calls("safe", json!({})).await.result()["content"][0]["text"], "safe ");
    let sessions: Vec<_> = std
        .upstream
        .received("tools/call")
        .iter()
        .map(|call| call.header("mcp-session-id").join(""))
        .collect();
    assert_eq!(sessions.len(), 2);
    assert!(sessions[0] == forgotten && sessions[1] != forgotten, "{sessions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_caller_who_goes_away_cancels_at_a_legacy_server() {
    let upstream = Upstream::start();
    upstream.answers(|exchange| match exchange.rpc().as_str() {
        "tools/call" => {
            let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}});
            Reply::stream(&event(&progress), &[Step::Hang])
        }
        _ => legacy_only(exchange),
    });
    let std = auto(upstream);
    let request = std.alice().modern_request("tools/call", json!({"name": "safe", "arguments": {}}));
    let mut response = request.send().await.expect("the gate answers");
    assert!(response.chunk().await.expect("a stream").is_some());
    let id = std.upstream.received("tools/call")[0].message()["id"].clone();
    drop(response);
    let cancelled =
        until("the cancellation", async || std.upstream.received("notifications/cancelled").pop()).await;
    assert_eq!(cancelled.message()["params"]["requestId"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_modern_answer_must_have_is_added_to_a_legacy_one() {
    let upstream = Upstream::start();
    upstream.answers(legacy_only);
    let std = auto(upstream);
    let alice = std.alice();
    let discovered = alice.modern("server/discover", json!({})).await.result();
    assert_eq!(discovered["supportedVersions"], json!([MODERN, LEGACY]));
    assert_eq!(discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "upstream");
    let list = alice.modern("tools/list", json!({})).await.result();
    assert_eq!(
        (&list["resultType"], &list["ttlMs"], &list["cacheScope"]),
        (&json!("complete"), &json!(0), &json!("private"))
    );
    let unknown = alice.modern("resources/read", json!({"uri": "file:///pub/none"})).await;
    assert!(unknown.code().is_none(), "{unknown:?}");
    std.upstream.answers(|exchange| match exchange.rpc().as_str() {
        "resources/read" => {
            let id = &exchange.message()["id"];
            Reply::json(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32002, "message": "Resource not found"}}))
        }
        _ => legacy_only(exchange),
    });
    let unknown = alice.modern("resources/read", json!({"uri": "file:///pub/none"})).await;
    assert_eq!(unknown.code(), Some(-32602), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_caller_listens_to_a_legacy_server() {
    let upstream = Upstream::start();
    upstream.answers(|exchange| match exchange.method.as_str() {
        "GET" => {
            let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
            let updated = |uri: &str| json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}});
            let told = [event(&changed), event(&updated("file:///pub/a")), event(&updated("file:///pub/b"))].concat();
            Reply::events(&told)
        }
        _ => legacy_only(exchange),
    });
    let std = auto(upstream);
    let filter = json!({"notifications": {"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["file:///pub/a", "file:///secret"]}});
    let heard = std.alice().modern("subscriptions/listen", filter).await.messages();
    let methods: Vec<_> = heard.iter().map(|message| message["method"].as_str().unwrap_or("end")).collect();
    assert_eq!(
        methods,
        [
            "notifications/subscriptions/acknowledged",
            "notifications/tools/list_changed",
            "notifications/resources/updated",
            "end"
        ],
        "{heard:?}"
    );
    let honoured = json!({"toolsListChanged": true, "resourceSubscriptions": ["file:///pub/a"]});
    assert_eq!(heard[0]["params"]["notifications"], honoured);
    for message in &heard[..3] {
        assert_eq!(message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1, "{message}");
    }
    let subscribed = std.upstream.received("resources/subscribe");
    assert_eq!(subscribed.len(), 1, "what its caller may not see is not subscribed to");
    until("the session's end", async || std.upstream.exchanges().into_iter().find(|e| e.method == "DELETE"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_caller_hears_what_a_modern_server_tells_its_listeners() {
    let upstream = Upstream::start();
    let modern_only = |exchange: &Exchange| {
        match exchange.header("mcp-protocol-version") == [MODERN] {
        true => mcp::answer(exchange),
        false => Reply::new(
            400,
            &[("Content-Type", "application/json")],
            br#"{"jsonrpc":"2.0","error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2026-07-28"]}},"id":null}"#,
        ),
    }
    };
    upstream.answers(move |exchange| match exchange.rpc().as_str() {
        "subscriptions/listen" => {
            let meta = json!({"io.modelcontextprotocol/subscriptionId": exchange.message()["id"]});
            let told = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": meta}});
            Reply::events(&event(&told))
        }
        _ => modern_only(exchange),
    });
    let std = auto(upstream);
    let alice = std.alice().initialized().await;
    assert_eq!(alice.legacy("ping", json!({})).await.result(), json!({}));
    assert_eq!(
        alice.legacy("resources/subscribe", json!({"uri": "file:///pub/a"})).await.result(),
        json!({})
    );
    assert_eq!(alice.legacy("logging/setLevel", json!({"level": "info"})).await.result(), json!({}));
    let get = alice.request(reqwest::Method::GET).header("MCP-Protocol-Version", LEGACY);
    let heard = alice.send(get).await.messages();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0]["method"], "notifications/tools/list_changed");
    let listened = std.upstream.received("subscriptions/listen")[0].message();
    assert_eq!(listened["params"]["notifications"]["resourceSubscriptions"], json!(["file:///pub/a"]));
    let call = json!({"name": "safe", "arguments": {"region": "eu 世", "count": 7}});
    assert!(!alice.legacy("tools/call", call).await.is_error_result());
    let called = &std.upstream.received("tools/call")[0];
    assert_eq!(called.header("mcp-name"), ["safe"]);
    assert_eq!(called.header("mcp-param-region"), ["=?base64?ZXUg5LiW?="]);
    assert_eq!(called.header("mcp-param-count"), ["7"]);
    let meta = &called.message()["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], MODERN);
    assert_eq!(meta["io.modelcontextprotocol/logLevel"], "info");
    assert!(called.header("mcp-session-id").is_empty());
}
