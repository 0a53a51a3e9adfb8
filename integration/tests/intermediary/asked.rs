//! What a modern server asks of a client in the course of a call (basic/patterns/mrtr).

use portcullis_integration::agent::{Agent, Answer};
use portcullis_integration::fixture::{ROLES, Std};
use portcullis_integration::gate::House;
use portcullis_integration::mcp::answer;
use portcullis_integration::reply::Reply;
use portcullis_integration::wait;
use serde_json::{Value, json};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

fn elicitation(house: &House) {
    let rule = "package mcp.authz\n\nallow if input.method == \"elicitation/create\"\n";
    house.write("policies/elicitation.rego", rule);
}

fn asks(method: &str) -> Value {
    json!({"resultType": "input_required", "requestState": "one", "inputRequests": {"k": {"method": method, "params": {}}}})
}

async fn offering(alice: &Agent, marker: &str) -> Answer {
    let offers =
        json!({"elicitation": {"form": {}}, "sampling": {}, "roots": {}, "experimental": {"dev.x/y": {}}});
    let params = json!({"name": "safe", "arguments": {"marker": marker}, "_meta": {CAPABILITIES: offers}});
    alice.modern("tools/call", params).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_not_offered_to_ask_what_policy_does_not_let_it_ask() {
    for (open, left) in [(false, vec!["experimental"]), (true, vec!["elicitation", "experimental"])] {
        let std = Std::prepared(
            |_| {},
            |house| {
                if open {
                    elicitation(house)
                }
            },
        );
        assert_eq!(offering(&std.alice(), "m").await.code(), None);
        let seen = std.upstream.received("tools/call").pop().expect("the call").message();
        let offered = seen["params"]["_meta"][CAPABILITIES].as_object().expect("capabilities").clone();
        assert_eq!(offered.keys().collect::<Vec<_>>(), left);
        assert_eq!(seen["params"]["arguments"]["marker"], "m");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_all_the_same_is_not_heard() {
    let std = Std::prepared(|_| {}, elicitation);
    for (method, heard) in
        [("sampling/createMessage", false), ("roots/list", false), ("elicitation/create", true)]
    {
        for streamed in [false, true] {
            std.upstream.answers(move |e| {
                if !matches!(e.rpc().as_str(), "tools/call" | "prompts/get" | "resources/read") {
                    return answer(e);
                }
                let message = json!({"jsonrpc": "2.0", "id": e.message()["id"], "result": asks(method)});
                if streamed { Reply::messages(&[message]) } else { Reply::json(&message) }
            });
            for (rpc, params) in [
                ("tools/call", json!({"name": "safe", "arguments": {}})),
                ("prompts/get", json!({"name": "hello"})),
                ("resources/read", json!({"uri": "file:///pub/a"})),
            ] {
                let answer = std.alice().modern(rpc, params).await;
                let code = if heard { None } else { Some(-31502) };
                assert_eq!(answer.code(), code, "{rpc} {method}: {answer:?}");
                assert_eq!(answer.everything().contains(method), heard, "{rpc} {method}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_changes_between_two_rounds_refuses_the_second() {
    let std = Std::prepared(|_| {}, elicitation);
    std.upstream.answers_calls(|e| {
        Reply::json(&json!({"jsonrpc": "2.0", "id": e.message()["id"], "result": asks("elicitation/create")}))
    });
    let alice = std.alice();
    let state = offering(&alice, "m").await.result()["requestState"].clone();
    std.gate.house().tenant("a", &ROLES.replace("[safe]", "[nothing]"));
    wait::until("the grant's end", async || alice.sees().await.is_empty().then_some(())).await;
    std.upstream.forget();
    let params = json!({"name": "safe", "arguments": {"marker": "m"}, "requestState": state,
        "inputResponses": {"k": {"action": "accept", "content": {}}}});
    assert_eq!(alice.modern("tools/call", params).await.code(), Some(-32602));
    assert!(std.upstream.received("tools/call").is_empty());
}
