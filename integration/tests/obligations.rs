//! What policy binds a permission to: arguments within limits at any depth, and results without what is masked.

use portcullis_integration::fixture::Std;
use portcullis_integration::mcp;
use portcullis_integration::reply::Reply;
use serde_json::{Value, json};

const ROLES: &str = r#"
roles:
  reader:
    - servers: [up]
      tools: [search, closed]
      when: {"/filter/zone": caller.region, "/items/*/account": [a1, a2]}
    - servers: [up]
      tools: [employees]
      resources: ["file:///pub/*"]
      prompts: [hello]
      redact: ["/employees/*/salary"]
"#;

fn search() -> Value {
    json!({"name": "search", "inputSchema": {"type": "object", "properties": {
        "filter": {"type": "object", "properties": {"zone": {"type": "string", "x-mcp-header": "Zone"}}},
        "items": {"type": "array", "items": {"type": "object", "properties": {"account": {"type": "string"}}}}}}})
}

/// A gate before a server whose answers to calls, reads and prompts are `said`, in this order, as events.
fn before(said: impl Fn(&Value) -> Vec<Value> + Send + Sync + 'static) -> Std {
    let std = Std::prepared(|_| {}, |house| drop(house.tenant("a", ROLES)));
    std.upstream.answers(move |exchange| {
        let message = exchange.message();
        match exchange.rpc().as_str() {
            "tools/list" => {
                let closed = json!({"name": "closed", "inputSchema": {"type": "object", "properties": {}, "additionalProperties": false}});
                let salary = json!({"type": "object", "properties": {"employees": {"items": {"properties": {"salary": {"type": "integer"}}}}}});
                let employees = json!({"name": "employees", "inputSchema": {"type": "object"}, "outputSchema": salary});
                let result = json!({"tools": [search(), closed, employees], "resultType": "complete"});
                Reply::json(&json!({"jsonrpc": "2.0", "id": message["id"], "result": result}))
            }
            "tools/call" | "resources/read" | "prompts/get" => Reply::messages(&said(&message)),
            _ => mcp::answer(exchange),
        }
    });
    std
}

fn result(message: &Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": message["id"], "result": result})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_within_an_argument_is_shown_and_held_within_its_limits() {
    let std = before(|message| vec![result(message, json!({"content": [], "resultType": "complete"}))]);
    let alice = std.alice_as(&["reader"], "EMEA");
    let listed = alice.modern("tools/list", json!({})).await.result();
    let names: Vec<_> = listed["tools"].as_array().expect("tools").iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["search", "employees"], "what no arguments fit is not shown");
    let schema = &listed["tools"][0]["inputSchema"];
    assert_eq!(
        schema["properties"]["filter"]["properties"]["zone"],
        json!({"type": "string", "const": "EMEA", "x-mcp-header": "Zone"})
    );
    assert_eq!(schema["properties"]["items"]["items"]["properties"]["account"]["enum"], json!(["a1", "a2"]));
    assert_eq!(schema["required"], json!(["filter", "items"]));

    let arguments = |zone: &str, account: &str| json!({"filter": {"zone": zone}, "items": [{"account": "a1"}, {"account": account}]});
    let zone = |zone: &str| std.alice_as(&["reader"], "EMEA").with("mcp-param-zone", zone);
    assert!(!zone("EMEA").calls("search", arguments("EMEA", "a2")).await.is_error_result());
    let strange = zone("EMEA").calls("search", arguments("EMEA", "a3")).await;
    assert!(strange.is_error_result() && strange.everything().contains("/items/1/account"), "{strange:?}");
    assert!(zone("US").calls("search", arguments("US", "a1")).await.is_error_result());
    assert_eq!(zone("EMEA").calls("search", arguments("US", "a1")).await.code(), Some(-32020));
    assert_eq!(zone("US").calls("search", arguments("EMEA", "a1")).await.code(), Some(-32020));
    let twin = json!({"filter": {"zone": "EMEA", "Zone": "US"}, "items": [{"account": "a1"}]});
    assert!(zone("EMEA").calls("search", twin).await.is_error_result());
    assert_eq!(std.upstream.received("tools/call").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_comes_on_the_stream_of_a_redacted_call_gives_the_value_away() {
    let std = before(|message| {
        let all = json!({"employees": [{"name": "Ana", "salary": 471_100}]});
        let notify =
            |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params});
        vec![
            notify(
                "notifications/progress",
                json!({"progressToken": "t", "progress": 1, "message": "Ana: 471100"}),
            ),
            notify("notifications/message", json!({"level": "info", "data": all})),
            result(
                message,
                json!({
                "content": [{"type": "text", "text": all.to_string()}, {"type": "text", "text": "Ana: 471100"},
                    {"type": "image", "data": "471100", "mimeType": "image/png"},
                    {"type": "resource", "resource": {"uri": "hr://ana", "blob": "471100"}}],
                "structuredContent": all, "_meta": {"rows": all}, "resultType": "complete"}),
            ),
        ]
    });
    let answer = std.alice().calls("employees", json!({})).await;
    assert!(!answer.everything().contains("471100"), "{answer:?}");
    let messages = answer.messages();
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert_eq!(messages[0]["params"]["progress"], 1);
    let employee = &answer.result()["structuredContent"]["employees"][0];
    assert_eq!(*employee, json!({"name": "Ana", "salary": "[redacted]"}));
    let listed = std.alice().modern("tools/list", json!({})).await.result();
    let employees =
        listed["tools"].as_array().expect("tools").iter().find(|tool| tool["name"] == "employees");
    assert!(employees.expect("it is shown")["outputSchema"].to_string().contains("[redacted]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_a_resource_and_a_prompt_are_redacted_like_a_call() {
    let std = before(|message| {
        let all = json!({"employees": [{"name": "Ana", "salary": 471_100}]}).to_string();
        let of = match message["method"].as_str() {
            Some("resources/read") => json!({"contents": [
                {"uri": "file:///pub/a", "text": all, "mimeType": "application/json"},
                {"uri": "file:///pub/b", "blob": "471100"}, {"uri": "file:///pub/c", "text": "471100"}]}),
            Some("prompts/get") => json!({"description": "471100", "messages": [
                {"role": "user", "content": {"type": "text", "text": all}}]}),
            _ => {
                return vec![json!({"jsonrpc": "2.0", "id": message["id"],
                "error": {"code": -32000, "message": "Ana: 471100", "data": all}})];
            }
        };
        vec![result(message, of)]
    });
    let alice = std.alice();
    let failed = alice.calls("employees", json!({})).await;
    assert_eq!(failed.code(), Some(-32000));
    let read = alice.modern("resources/read", json!({"uri": "file:///pub/a"})).await;
    assert!(read.result()["contents"][0]["text"].as_str().expect("text").contains("[redacted]"), "{read:?}");
    assert!(read.result()["contents"][1]["text"].as_str().expect("text").contains("withheld"), "{read:?}");
    let prompt = alice.modern("prompts/get", json!({"name": "hello"})).await;
    assert!(prompt.result()["messages"][0].to_string().contains("[redacted]"), "{prompt:?}");
    for answer in [failed, read, prompt] {
        assert!(!answer.everything().contains("471100"), "{answer:?}");
    }
}
