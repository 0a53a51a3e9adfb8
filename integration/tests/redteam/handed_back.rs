//! Cases of what a caller is given and hands back: the state of a call in rounds, the id of an event.

use portcullis_integration::agent::{Agent, Answer};
use portcullis_integration::fixture::Std;
use portcullis_integration::mcp::answer;
use portcullis_integration::reply::Reply;
use reqwest::Method;
use serde_json::{Value, json};

const STATE: &str = "the server's \u{e9} state";

/// SD-17.
#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_call_comes_back_from_its_caller_for_that_call_and_from_nobody_else() {
    let rule = "package mcp.authz\n\nallow if input.method == \"elicitation/create\"\n";
    let std = Std::prepared(|_| {}, |house| drop(house.write("policies/elicitation.rego", rule)));
    std.upstream.answers_calls(|e| {
        let asks = json!({"resultType": "input_required", "requestState": STATE,
            "inputRequests": {"k": {"method": "elicitation/create", "params": {"mode": "form", "message": "?", "requestedSchema": {"type": "object", "properties": {}}}}}});
        Reply::json(&json!({"jsonrpc": "2.0", "id": e.message()["id"], "result": asks}))
    });
    let (alice, other) = (std.alice(), std.agent(&std.token("a", "mallory", |_| {})));
    let first = alice.calls("safe", json!({"marker": "one"})).await.result();
    let state = first["requestState"].as_str().expect("a state").to_owned();
    assert_eq!(first["inputRequests"]["k"]["method"], "elicitation/create");
    assert!(!state.contains("server"), "{state}");

    std.upstream.forget();
    for (who, arguments, state) in [
        (&other, json!({"marker": "one"}), json!(state)),
        (&alice, json!({"marker": "two"}), json!(state)),
        (&alice, json!({"marker": "one"}), json!(STATE)),
        (&alice, json!({"marker": "one"}), json!({})),
    ] {
        let refused = again(who, arguments, &state).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (200, Some(-32602)), "{refused:?}");
    }
    assert!(std.upstream.received("tools/call").is_empty());
    assert_eq!(again(&alice, json!({"marker": "one"}), &json!(state)).await.code(), None);
    let seen = std.upstream.received("tools/call").pop().expect("the second round").message();
    assert_eq!(seen["params"]["requestState"], STATE);
    assert_eq!(seen["params"]["inputResponses"]["k"]["action"], "accept");
}

async fn again(agent: &Agent, arguments: Value, state: &Value) -> Answer {
    let responses = json!({"k": {"action": "accept", "content": {}}});
    let params =
        json!({"name": "safe", "arguments": arguments, "inputResponses": responses, "requestState": state});
    agent.modern("tools/call", params).await
}

/// SD-28.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_resumed_by_the_caller_who_read_it_and_by_nobody_else() {
    let std = Std::start();
    std.upstream.answers(|e| match (e.method.as_str(), e.rpc().as_str()) {
        ("GET", _) => Reply::events("id: ev-8\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"resumed\"}}\n\n"),
        (_, "tools/call") => {
            let done = json!({"jsonrpc": "2.0", "id": e.message()["id"], "result": {"content": []}});
            Reply::events(&format!("id: ev-7\ndata: {done}\n\n"))
        }
        _ => answer(e),
    });
    let alice = std.alice().initialized().await;
    let other = std.agent(&std.token("a", "mallory", |_| {})).initialized().await;
    let called = alice.legacy("tools/call", json!({"name": "safe", "arguments": {}})).await;
    let text = String::from_utf8_lossy(&called.body).into_owned();
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned();
    assert!(called.code().is_none() && !text.contains("ev-7"), "{text}");

    let seen = || std.upstream.exchanges().into_iter().filter(|e| e.method == "GET").collect::<Vec<_>>();
    for (who, id) in [(&other, id.as_str()), (&alice, "ev-7"), (&alice, "")] {
        let refused = resume(who, id).await;
        assert_eq!(refused.status, 400, "{refused:?}");
    }
    assert!(seen().is_empty());
    let resumed = resume(&alice, &id).await;
    assert!(String::from_utf8_lossy(&resumed.body).contains("resumed"), "{resumed:?}");
    assert_eq!(seen()[0].header("last-event-id"), ["ev-7"]);
}

async fn resume(agent: &Agent, id: &str) -> Answer {
    let request = agent.request(Method::GET).header("MCP-Protocol-Version", "2025-11-25");
    agent.send(request.header("Last-Event-ID", id)).await
}
