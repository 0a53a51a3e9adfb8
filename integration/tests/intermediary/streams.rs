//! Streams of events: passed on as they come, resumed, and told by the gate what only the gate knows.

use portcullis_integration::agent::{Agent, Answer, events};
use portcullis_integration::fixture::{ROLES, Std};
use portcullis_integration::mcp::{LEGACY, answer};
use portcullis_integration::reply::{Reply, Step, event};
use reqwest::Method;
use serde_json::{Value, json};

use crate::Stream;

fn employees(id: &Value) -> Value {
    let all = json!({"employees": [{"name": "Ada", "salary": 100}]});
    json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": all.to_string()}], "structuredContent": all}})
}

/// A server that ends the stream of a call before the answer, and answers on the stream that a GET resumes.
fn polled() -> Std {
    let std = Std::start();
    std.upstream.answers(|e| match (e.method.as_str(), e.rpc().as_str()) {
        ("GET", _) => {
            Reply::events(&format!("{}{}", event(&employees(&json!(99))), event(&employees(&json!(1)))))
        }
        (_, "tools/call") => Reply::events(": hello\n\nid: ev-1\nretry: 700\ndata: \n\n"),
        _ => answer(e),
    });
    std
}

async fn resumed(agent: &Agent, id: &str) -> Answer {
    let request = agent.request(Method::GET).header("MCP-Protocol-Version", LEGACY);
    agent.send(request.header("Last-Event-ID", id)).await
}

fn id_of(text: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_retry_and_an_empty_first_event_pass_and_nobody_is_to_buffer_them() {
    let std = polled();
    let alice = std.alice_as(&["people"], "EMEA").initialized().await;
    let called = alice.legacy("tools/call", json!({"name": "employees", "arguments": {}})).await;
    let text = String::from_utf8_lossy(&called.body);
    assert!(
        text.contains(": hello\n") && text.contains("retry: 700\n") && text.contains("data: \n"),
        "{text}"
    );
    assert_eq!(called.headers["x-accel-buffering"], "no");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_call_is_masked_on_a_resumed_stream_as_on_its_own() {
    let std = polled();
    let alice = std.alice_as(&["people"], "EMEA").initialized().await;
    let called = alice.legacy("tools/call", json!({"name": "employees", "arguments": {}})).await;
    let id = id_of(&String::from_utf8_lossy(&called.body));
    let answer = resumed(&alice, &id).await;
    let messages = answer.messages();
    assert_eq!(messages.len(), 1, "the answer to another request passed: {messages:?}");
    let person = &messages[0]["result"]["structuredContent"]["employees"][0];
    assert_eq!((&person["name"], &person["salary"]), (&json!("Ada"), &json!("[redacted]")), "{answer:?}");
    assert!(!answer.everything().contains("100"), "{answer:?}");
    let seen = std.upstream.exchanges().into_iter().find(|e| e.method == "GET").expect("the resumption");
    assert_eq!(seen.header("last-event-id"), ["ev-1"]);

    let elsewhere = std.alice_as(&["people"], "EMEA").initialized().await;
    assert_eq!(resumed(&elsewhere, &id).await.status, 400, "another session of the same caller");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_resumed_brings_no_answers() {
    let std = polled();
    let alice = std.alice_as(&["people"], "EMEA").initialized().await;
    let standing = alice.send(alice.request(Method::GET).header("MCP-Protocol-Version", LEGACY)).await;
    assert_eq!(standing.messages(), [json!(null); 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_says_itself_that_lists_have_changed_when_its_policy_has() {
    let std = Std::start();
    std.upstream.answers(|e| match e.method.as_str() {
        "GET" => Reply::stream(":\n\n", &[Step::Hang]),
        _ => answer(e),
    });
    let alice = std.alice().initialized().await;
    let mut legacy = Stream::open(alice.request(Method::GET).header("MCP-Protocol-Version", LEGACY)).await;
    let wanted =
        json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["file:///pub/a"]}});
    let mut modern = Stream::open(std.alice().modern_request("subscriptions/listen", wanted)).await;
    assert_eq!(modern.messages(1).await[0]["method"], "notifications/subscriptions/acknowledged");

    std.gate.house().tenant("a", &ROLES.replace("[safe]", "[safe, danger]"));
    let told: Vec<_> = legacy.messages(3).await.iter().map(|m| m["method"].clone()).collect();
    assert_eq!(
        told,
        ["tools", "prompts", "resources"].map(|list| json!(format!("notifications/{list}/list_changed")))
    );
    let told = modern.messages(2).await.pop().expect("a message");
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    assert_eq!(std.alice().sees().await, ["safe", "danger"], "what was said was true when it was said");
    assert_eq!(events(&modern.text).len(), 2, "nothing that was not asked for: {}", modern.text);
}
