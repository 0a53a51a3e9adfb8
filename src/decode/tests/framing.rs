//! JSON-RPC framing: what is a request, a notification, a response, a batch.

use super::*;
use crate::decode::{Action, Filter, ListKind, Notification, Reference, TaskVerb};

const BATCHES: Option<Version> = Some(Version::V2025_03_26);

/// A body in a 2025-03-26 session.
fn batch(body: &str) -> Answer {
    let head = head("POST", &[JSON, ("mcp-session-id", "s")]);
    decode(&head, Bytes::copy_from_slice(body.as_bytes()), BATCHES, DEPTH)
}

fn request(method: &str, params: &str) -> Answer {
    legacy(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#))
}

fn bad_params(answer: Answer) {
    let refusal = refusal(answer);
    assert!(matches!(refusal, Refusal::BadParams(_)), "{refusal:?}");
}

#[test]
fn the_envelope_is_closed() {
    for body in [
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","extra":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"method":"tools/call","params":{"name":"danger"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"},"method":"tools/call","params":{"name":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":["tools/call"]}"#,
        r#"{"jsonrpc":"2.0","id":1,"params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        "{}",
        "null",
        "\"tools/call\"",
        "7",
    ] {
        invalid(legacy(body));
    }
}

#[test]
fn an_id_is_a_string_or_an_integer() {
    for id in ["1", "-7", "0", "9007199254740993", "18446744073709551615", "\"\"", "\"a-1\"", "\"\\u0061\""] {
        let message = one(legacy(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)));
        assert_eq!(message.id.unwrap().as_json(), id.replace("\\u0061", "a"));
    }
    for id in ["null", "true", "{}", "[1]", "1.0", "1.5", "1e3", "1E0", "-0", "18446744073709551616"] {
        invalid(legacy(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"x"}}}}"#
        )));
    }
    not_json(legacy(r#"{"jsonrpc":"2.0","id":"\ud800","method":"ping"}"#));
}

#[test]
fn a_refusal_carries_the_id_where_there_is_one() {
    let id = |body: &str| legacy(body).unwrap_err().id.map(|id| id.as_json().to_owned());
    assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"method":"admin/reset"}"#).as_deref(), Some("7"));
    assert_eq!(id(r#"{"jsonrpc":"2.0","id":"x","method":"ping","extra":1}"#).as_deref(), Some("\"x\""));
    let twice = r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{},"params":{}}"#;
    assert_eq!(id(twice).as_deref(), Some("7"));
    assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"id":8,"method":"ping"}"#), None);
    assert_eq!(id(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#), None);
    assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"method":"ping""#), None);
}

#[test]
fn what_needs_an_answer_has_an_id_and_a_notification_has_none() {
    invalid(legacy(r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"danger"}}"#));
    invalid(legacy(r#"{"jsonrpc":"2.0","method":"ping"}"#));
    invalid(legacy(r#"{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"}"#));
    let message = one(legacy(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#));
    assert!(matches!(message.action, Action::Notify(Notification::Initialized)));
    assert_eq!((message.id, message.method), (None, "notifications/initialized"));
}

#[test]
fn an_unknown_method_is_no_action() {
    for method in ["admin/reset", "Tools/Call", "tools/call/", "", "server/discover", "rpc.discover"] {
        assert!(matches!(refusal(request(method, "")), Refusal::UnknownMethod(_)), "{method}");
    }
    invalid(legacy(r#"{"jsonrpc":"2.0","method":"notifications/x/exec","params":{"cmd":"id"}}"#));
    invalid(legacy(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#));
}

#[test]
fn params_are_an_object_or_absent() {
    for params in ["[\"danger\",{}]", "null", "\"x\"", "1"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        assert!(matches!(refusal(legacy(body)), Refusal::MalformedParams(_)), "{params}");
    }
    let refused = refusal(request("tools/list", r#""_meta":[]"#));
    assert!(matches!(refused, Refusal::MalformedParams(_)));
    assert!(legacy(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).is_ok());
}

#[test]
fn params_that_the_method_does_not_take_are_refused() {
    for (method, params) in [
        ("tools/call", ""),
        ("tools/call", r#""name":7"#),
        ("tools/call", r#""name":"""#),
        ("tools/call", r#""name":"a\u0000b""#),
        ("tools/call", r#""name":"a\nb""#),
        ("tools/call", r#""name":"a","arguments":[]"#),
        ("tools/call", r#""name":"a","arguments":null"#),
        ("resources/read", r#""name":"a""#),
        ("resources/subscribe", r#""uri":null"#),
        ("prompts/get", r#""uri":"a""#),
        ("prompts/get", r#""name":"a","arguments":"x""#),
        ("completion/complete", ""),
        ("completion/complete", r#""ref":{"type":"ref/tool","name":"a"}"#),
        ("completion/complete", r#""ref":{"type":"ref/prompt","name":"a","uri":"b"}"#),
        ("completion/complete", r#""ref":{"type":"ref/prompt","Name":"a"}"#),
        ("completion/complete", r#""ref":["ref/prompt","a"]"#),
        ("tasks/get", r#""task_id_of":"a""#),
        ("tasks/result", r#""taskId":7"#),
    ] {
        bad_params(request(method, params));
    }
    bad_params(with(&[], r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":7}}"#));
}

#[test]
fn every_legacy_method_is_read() {
    let action = |method: &str, params: &str| one(request(method, params)).action;
    assert!(matches!(action("ping", ""), Action::Ping));
    assert!(matches!(action("tools/list", r#""cursor":"""#), Action::List(ListKind::Tools)));
    assert!(matches!(action("resources/templates/list", ""), Action::List(ListKind::Templates)));
    assert!(matches!(action("tasks/list", ""), Action::List(ListKind::Tasks)));
    assert!(
        matches!(action("resources/read", r#""uri":"file:///a""#), Action::ReadResource { uri } if uri == "file:///a")
    );
    assert!(matches!(action("resources/subscribe", r#""uri":"u""#), Action::Subscribe { .. }));
    assert!(matches!(action("resources/unsubscribe", r#""uri":"u""#), Action::Unsubscribe { .. }));
    assert!(matches!(
        action("prompts/get", r#""name":"hello","arguments":{"a":"b"}"#),
        Action::GetPrompt { name, arguments: Some(raw) } if name == "hello" && raw.get() == r#"{"a":"b"}"#
    ));
    assert!(matches!(
        action("completion/complete", r#""ref":{"type":"ref/prompt","name":"root"},"argument":{"name":"a","value":""}"#),
        Action::Complete(Reference::Prompt(name)) if name == "root"
    ));
    assert!(matches!(
        action("completion/complete", r#""ref":{"uri":"file:///{x}","type":"ref/resource"}"#),
        Action::Complete(Reference::Resource(uri)) if uri == "file:///{x}"
    ));
    assert!(matches!(action("logging/setLevel", r#""level":"debug""#), Action::SetLevel));
    assert!(matches!(
        action("tasks/result", r#""taskId":"t""#),
        Action::Task { verb: TaskVerb::Result, id } if id == "t"
    ));
    assert!(matches!(
        action("tools/call", r#""name":"safe","task":{"ttl":1}"#),
        Action::CallTool(call) if call.task && call.arguments.is_none()
    ));
}

#[test]
fn a_filter_that_asks_for_something_unknown_is_refused() {
    let listen = |filter: &str| {
        let meta = era::META;
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{{"notifications":{filter},{meta}}}}}"#
        );
        with(&[era::VERSION, ("mcp-method", "subscriptions/listen")], &body)
    };
    let action =
        one(listen(r#"{"toolsListChanged":true,"resourceSubscriptions":["file:///a"],"taskIds":["t"]}"#))
            .action;
    let Action::Listen(filter) = action else { panic!("not a subscription") };
    let Filter { tools: true, prompts: false, resources: false, uris, tasks } = *filter else {
        panic!("{filter:?}")
    };
    assert_eq!((uris, tasks), (vec!["file:///a".to_owned()], vec!["t".to_owned()]));
    for filter in [
        "[]",
        "null",
        r#"{"resource_subscriptions":["file:///secret"]}"#,
        r#"{"promptSubscriptions":[]}"#,
        r#"{"resourceSubscriptions":"file:///secret"}"#,
    ] {
        bad_params(listen(filter));
    }
    invalid(listen(r#"{"resourceSubscriptions":[],"resourceSubscriptions":["file:///secret"]}"#));
}

#[test]
fn a_response_of_a_client_is_read_with_its_id() {
    for body in [
        r#"{"jsonrpc":"2.0","id":"srv-77","result":{"action":"accept","content":{"ok":true}}}"#,
        r#"{"jsonrpc":"2.0","id":"srv-77","error":{"code":-1,"message":"no"}}"#,
    ] {
        let message = one(legacy(body));
        assert!(matches!(message.action, Action::Respond));
        assert_eq!((message.id.unwrap().as_json(), message.method), ("\"srv-77\"", ""));
    }
    for body in [
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":-1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":[]}"#,
    ] {
        invalid(legacy(body));
    }
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    invalid(with(&[("mcp-protocol-version", "2026-07-28")], body));
}

#[test]
fn an_array_is_a_batch_in_a_session_of_2025_03_26_only() {
    let body = r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"danger"}}]"#;
    invalid(legacy(body));
    invalid(legacy(format!("\n\t {body}")));
    invalid(with(&[], body));
    invalid(with(&[("mcp-protocol-version", "2025-03-26")], body));
    invalid(with(&[era::VERSION, ("mcp-method", "tools/call"), ("mcp-name", "danger")], body));
    not_json(legacy("[1,"));
    assert!(matches!(batch(body), Ok(Decoded::Batch(messages)) if messages.len() == 1));
}

#[test]
fn each_message_of_a_batch_is_judged_alone_and_keeps_its_own_bytes() {
    let (call, note) = (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
    );
    let Ok(Decoded::Batch(messages)) = batch(&format!("[ {call} ,{note}]")) else { panic!("not a batch") };
    assert_eq!((&messages[0].bytes[..], &messages[1].bytes[..]), (call.as_bytes(), note.as_bytes()));
    let initialize =
        r#"{"jsonrpc":"2.0","id":2,"method":"initialize","params":{"protocolVersion":"2025-03-26"}}"#;
    for bad in ["", "1", "[]", initialize, call, r#"{"jsonrpc":"2.0","id":2,"method":"ping","x":1}"#] {
        let body = if bad.is_empty() { "[]".to_owned() } else { format!("[{call},{bad}]") };
        invalid(batch(&body));
    }
    let refused = batch(&format!(r#"[{call},{{"jsonrpc":"2.0","id":2,"method":"x"}}]"#)).unwrap_err();
    assert!(matches!(refused.refusal, Refusal::UnknownMethod(_)) && refused.id.is_none());
    let many: Vec<_> =
        (0..101).map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)).collect();
    assert!(batch(&format!("[{}]", many[..100].join(","))).is_ok());
    invalid(batch(&format!("[{}]", many.join(","))));
}

#[test]
fn a_session_begins_once() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"sampling":{}},"clientInfo":{"name":"admin","version":"1"}}}"#;
    invalid(legacy(body));
    invalid(with(&[("mcp-session-id", "anything")], body));
    let message = one(with(&[], body));
    assert!(matches!(message.action, Action::Initialize { version } if version == "2025-11-25"));
    assert_eq!(message.meta.client_name.as_deref(), Some("admin"));
    assert_eq!(message.meta.client_version.as_deref(), Some("1"));
}

#[test]
fn get_and_delete_are_the_servers_stream_and_the_end_of_the_session() {
    let bare = |method: &str, fields: &[_], body: &'static str| {
        decode(&head(method, fields), Bytes::from_static(body.as_bytes()), LEGACY, DEPTH)
    };
    assert!(matches!(one(bare("GET", &[], "")).action, Action::OpenStream));
    assert!(matches!(one(bare("DELETE", &[], "")).action, Action::EndSession));
    assert!(matches!(refusal(bare("GET", &[], "{}")), Refusal::BadHttp(_)));
    assert_eq!(refusal(bare("GET", &[era::VERSION], "")), Refusal::MethodNotAllowed { allow: "POST" });
    invalid(bare("GET", &[("mcp-protocol-version", "2025-06-18")], ""));
    for method in ["PUT", "PATCH", "HEAD", "OPTIONS", "get"] {
        assert!(matches!(refusal(bare(method, &[], "")), Refusal::MethodNotAllowed { .. }), "{method}");
    }
}
