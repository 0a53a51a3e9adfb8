//! Arrays of messages: legal in a session of 2025-03-26, and nowhere else.

use portcullis_integration::agent::{Agent, Answer, rpc};
use portcullis_integration::fixture::Std;
use serde_json::{Value, json};

async fn session(mut agent: Agent, revision: &str) -> Agent {
    let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}});
    let opened = agent.send(agent.post().json(&rpc("initialize", params))).await;
    agent.session = Some(opened.headers["mcp-session-id"].to_str().expect("text").to_owned());
    agent
}

async fn sends(agent: &Agent) -> Answer {
    let call = |id: u32, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let batch = json!([
        call(1, "tools/call", json!({"name": "safe", "arguments": {"marker": "m"}})),
        call(2, "tools/call", json!({"name": "danger", "arguments": {}})),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        call(3, "tools/list", json!({})),
    ]);
    agent.send(agent.post().json(&batch)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_a_batch_is_judged_alone() {
    let std = Std::start();
    let alice = session(std.alice(), "2025-03-26").await;
    let answers = sends(&alice).await.messages();
    let of =
        |id: u32| answers.iter().find(|answer| answer["id"] == id).unwrap_or_else(|| panic!("{answers:?}"));
    assert_eq!(answers.len(), 3);
    assert_eq!(of(1)["result"]["content"][0]["text"], "safe m");
    assert_eq!(of(2)["error"]["code"], -32602);
    let tools = of(3)["result"]["tools"].as_array().expect("tools");
    assert!(tools.len() == 1 && tools[0]["name"] == "safe", "{tools:?}");
    assert_eq!(std.upstream.received("tools/call").len(), 1);
    assert_eq!(std.gate.recorded("intent", "safe").len(), 1);
    assert_eq!(std.gate.recorded("refused", "danger").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_in_a_session_of_another_revision_goes_nowhere() {
    let std = Std::start();
    for revision in ["2025-06-18", "2025-11-25"] {
        let alice = session(std.alice(), revision).await;
        std.upstream.forget();
        let answer = sends(&alice).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, Some(-32600)), "{revision}");
        assert!(std.upstream.exchanges().is_empty());
    }
}
