//! Tasks: a call that goes on after its answer is still the caller's own, and still under the policy that let it begin.

use portcullis_integration::agent::{Agent, Answer};
use portcullis_integration::fixture::Std;
use portcullis_integration::mcp::answer;
use portcullis_integration::reply::{Reply, Step, event};
use portcullis_integration::upstream::Exchange;
use serde_json::{Value, json};

use crate::Stream;

const TASKS: &str = "io.modelcontextprotocol/tasks";

fn done(task: &str) -> Value {
    let all = json!({"employees": [{"name": "Ada", "salary": 100}]});
    json!({"taskId": task, "status": "completed", "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttlMs": null,
        "result": {"content": [{"type": "text", "text": all.to_string()}], "structuredContent": all, "resultType": "complete"}})
}

fn with_id(e: &Exchange, mut result: Value) -> Reply {
    result["resultType"] = if e.rpc() == "tools/call" { json!("task") } else { json!("complete") };
    Reply::json(&json!({"jsonrpc": "2.0", "id": e.message()["id"], "result": result}))
}

/// A server whose every call becomes a task, and that tells every listener of two.
fn server() -> Std {
    let std = Std::start();
    std.upstream.answers(|e| match e.rpc().as_str() {
        "tools/call" => with_id(
            e,
            json!({"taskId": "task-1", "status": "working", "createdAt": "2026-01-01T00:00:00Z",
            "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttlMs": null}),
        ),
        "tasks/get" => with_id(e, done("task-1")),
        "subscriptions/listen" => {
            let id = json!({"io.modelcontextprotocol/subscriptionId": e.message()["id"]});
            let said = |method: &str, mut params: Value| {
                params["_meta"] = id.clone();
                event(
                    &json!({"jsonrpc": "2.0", "method": format!("notifications/{method}"), "params": params}),
                )
            };
            let asked = e.message()["params"]["notifications"].clone();
            let all = [
                said("subscriptions/acknowledged", json!({"notifications": asked})),
                said("tasks", done("task-2")),
                said("tasks", done("task-1")),
            ];
            Reply::stream(&all.concat(), &[Step::Hang])
        }
        _ => answer(e),
    });
    std
}

fn declaring(mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({"extensions": {TASKS: {}}});
    params
}

async fn asks(agent: &Agent, method: &str) -> Answer {
    agent.modern(method, declaring(json!({"taskId": "task-1"}))).await
}

async fn begun(std: &Std) -> Agent {
    let alice = std.alice_as(&["people"], "EMEA");
    let call = declaring(json!({"name": "employees", "arguments": {}}));
    assert_eq!(alice.modern("tools/call", call).await.result()["taskId"], "task-1");
    std.upstream.forget();
    alice
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_its_callers_own_whatever_id_another_knows() {
    let std = server();
    let alice = begun(&std).await;
    let mallory = std.agent(&std.token("a", "mallory", |_| {}));
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        for stranger in [&mallory, &std.carol()] {
            assert_eq!(asks(stranger, method).await.code(), Some(-32602), "{method}");
        }
    }
    assert!(std.upstream.exchanges().is_empty());
    assert_eq!(asks(&alice, "tasks/get").await.result()["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_declare_the_extension_is_told_which_one_it_takes() {
    let std = server();
    let alice = begun(&std).await;
    let answer = alice.modern("tasks/get", json!({"taskId": "task-1"})).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (400, Some(-32021)), "{answer:?}");
    let required = &answer.message()["error"]["data"]["requiredCapabilities"];
    assert_eq!(required, &json!({"extensions": {TASKS: {}}}));
    assert!(std.upstream.received("tasks/get").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_masks_of_a_call_is_masked_in_what_becomes_of_it() {
    let std = server();
    let alice = begun(&std).await;
    let got = asks(&alice, "tasks/get").await;
    let salary = &got.result()["result"]["structuredContent"]["employees"][0]["salary"];
    assert!(salary == "[redacted]" && !got.everything().contains("100"), "{got:?}");

    let wanted = declaring(json!({"notifications": {"taskIds": ["task-1", "task-2"]}}));
    let mut listening = Stream::open(alice.modern_request("subscriptions/listen", wanted)).await;
    let messages = listening.messages(2).await;
    let asked = std.upstream.received("subscriptions/listen").pop().expect("it listens").message();
    assert_eq!(asked["params"]["notifications"]["taskIds"], json!(["task-1"]));
    assert_eq!(messages[1]["params"]["taskId"], "task-1", "another's task was told of: {messages:?}");
    assert!(!listening.text.contains("100"), "{}", listening.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn core_tasks_of_others_are_on_no_list_and_what_policy_masks_stays_masked_in_their_results() {
    let std = Std::start();
    std.upstream.answers(|e| {
        let task = |id: &str| json!({"taskId": id, "status": "working", "createdAt": "2026-01-01T00:00:00Z", "ttl": null});
        let result = match e.rpc().as_str() {
            "tools/call" => json!({"task": task("task-1")}),
            "tasks/list" => json!({"tasks": [task("task-2"), task("task-1")]}),
            "tasks/result" => done("task-1")["result"].clone(),
            _ => return answer(e),
        };
        Reply::json(&json!({"jsonrpc": "2.0", "id": e.message()["id"], "result": result}))
    });
    let alice = std.alice_as(&["people"], "EMEA").initialized().await;
    let mallory = std.agent(&std.token("a", "mallory", |_| {})).initialized().await;
    let call = json!({"name": "employees", "arguments": {}, "task": {"ttl": 60000}});
    assert_eq!(alice.legacy("tools/call", call).await.result()["task"]["taskId"], "task-1");

    let listed = alice.legacy("tasks/list", json!({})).await.result()["tasks"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["taskId"], "task-1");
    assert_eq!(mallory.legacy("tasks/list", json!({})).await.result()["tasks"], json!([]));
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        assert_eq!(
            mallory.legacy(method, json!({"taskId": "task-1"})).await.code(),
            Some(-32602),
            "{method}"
        );
    }
    let result = alice.legacy("tasks/result", json!({"taskId": "task-1"})).await;
    let salary = &result.result()["structuredContent"]["employees"][0]["salary"];
    assert!(salary == "[redacted]" && !result.everything().contains("100"), "{result:?}");
}
