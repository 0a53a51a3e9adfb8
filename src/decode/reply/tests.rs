use super::*;
use crate::decode::tests::raw;

fn refused(text: &str) {
    assert!(read(text.as_bytes()).is_err(), "{text}");
}

#[test]
fn a_list_is_read_from_a_result_each_element_as_it_came() {
    let text = r#"{"jsonrpc":"2.0","id":"a","result":{"tools":[{"name":"safe","n":1e2},{"n\u0061me":"danger"}],"nextCursor":"c"}}"#;
    let Reply::Response { id: Some(id), outcome: Outcome::Result(raw) } = read(text.as_bytes()).unwrap()
    else {
        panic!("not a result");
    };
    assert_eq!(id.as_json(), "\"a\"");
    let result = Fields::read(raw).unwrap();
    let tools = result.list("tools").unwrap();
    assert_eq!(tools[0].get(), r#"{"name":"safe","n":1e2}"#);
    let names: Vec<_> =
        tools.iter().map(|tool| Fields::read(tool).unwrap().text("name").unwrap().unwrap()).collect();
    assert_eq!(names, ["safe", "danger"]);
    assert!(result.list("prompts").unwrap().is_empty());
    assert!(result.list("nextCursor").is_err());
}

#[test]
fn an_error_a_request_and_a_notification_are_told_apart() {
    let text = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"no","data":{}}}"#;
    assert!(matches!(
        read(text.as_bytes()).unwrap(),
        Reply::Response { id: None, outcome: Outcome::Error { code: -32602, .. } }
    ));
    let text = r#"{"jsonrpc":"2.0","id":3,"method":"roots/list"}"#;
    assert!(
        matches!(read(text.as_bytes()).unwrap(), Reply::Request { method, .. } if method == "roots/list")
    );
    let text = r#"{"jsonrpc":"2.0","method":"notifications/\u0070rogress","params":{}}"#;
    let reply = read(text.as_bytes()).unwrap();
    assert!(matches!(reply, Reply::Notification { method, .. } if method == "notifications/progress"));
}

#[test]
fn an_answer_is_matched_to_its_request_however_the_server_spells_the_id() {
    let id = |text: &str| RequestId::read(&raw(text)).unwrap();
    assert_eq!(id("\"\\u0061\\/é\""), id("\"a/\\u00e9\""));
    assert_ne!(id("1"), id("\"1\""));
    assert_eq!(id("9007199254740993").as_json(), "9007199254740993");
}

#[test]
fn what_could_be_read_in_two_ways_is_no_reply() {
    for text in [
        "",
        "{}",
        "[]",
        "\"x\"",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}} {}",
        "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
        r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"re\u0073ult":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"Result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":[]}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1.0,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":"x"}"#,
        r#"{"jsonrpc":"1.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","method":"x","params":[]}"#,
    ] {
        refused(text);
    }
    assert!(Fields::read(&raw(r#"{"tools":[],"tools":[1]}"#)).is_err());
    assert!(Fields::read(&raw(r#"{"tools":[],"Tool\u017f":[1]}"#)).unwrap().list("tools").is_err());
    assert!(Fields::read(&raw(r#"{"name":7}"#)).unwrap().text("name").is_err());
}

#[test]
fn members_that_the_gate_does_not_know_pass() {
    assert!(read(br#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete"},"x-vendor":1}"#).is_ok());
}

#[test]
fn a_payload_is_checked_at_every_level_where_that_is_asked_for() {
    assert!(strict(&raw(r#"{"a":[{"b":1}]}"#), 3).is_ok());
    assert!(strict(&raw(r#"{"a":[{"b":1}]}"#), 2).is_err());
    assert!(strict(&raw(r#"{"a":[{"b":1,"b":2}]}"#), 64).is_err());
}

#[test]
fn an_array_is_split_and_a_single_message_is_itself() {
    assert_eq!(split(b" [ {\"a\":1} ,2]").unwrap(), [&b"{\"a\":1}"[..], b"2"]);
    assert_eq!(split(b" {}").unwrap(), [b" {}"]);
    assert!(split(b"[]").is_err());
    assert!(split(b"[1] 2").is_err());
}
