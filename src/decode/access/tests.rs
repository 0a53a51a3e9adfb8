use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, Method};

use super::*;
use crate::inbound::{Door, Target};

fn head() -> Head {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let target = Target::Access(Form::Evaluations, Door::Gate);
    Head {
        method: Method::POST,
        target,
        headers,
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        certificate: None,
    }
}

fn many(text: &str) -> Result<Asked, Refusal> {
    asked(&head(), Form::Evaluations, &Bytes::from(text.to_owned()), 64)
}

const PARTS: &str = r#""subject":{"type":"user","id":"alice"},"action":{"name":"tools/call"},"resource":{"type":"tool","id":"safe"}"#;

#[test]
fn a_question_becomes_the_message_that_the_call_would_be() {
    let text = r#"{"subject":{"type":"user","id":"alice","properties":{"x":1}},"action":{"name":"tools/call"},
        "resource":{"type":"tool","id":"safe","properties":{"server":"up","arguments":{"n":1}}},"more":true}"#;
    let asked = asked(&head(), Form::Evaluation, &Bytes::from(text), 64).unwrap();
    assert_eq!(asked.wanted, Wanted::One);
    let message = asked.questions[0].message(Some(Version::V2026_07_28)).unwrap();
    let Action::CallTool(call) = message.action else { panic!("no call") };
    assert_eq!((call.name.as_str(), call.arguments.unwrap().get()), ("safe", r#"{"n":1}"#));
    assert_eq!((message.method, asked.questions[0].server.as_deref()), ("tools/call", Some("up")));
}

#[test]
fn items_take_what_they_leave_out_from_the_request() {
    let text = format!(
        r#"{{{PARTS},"evaluations":[{{}},{{"resource":{{"type":"prompt","id":"p"}},"action":{{"name":"prompts/get"}}}}],
        "options":{{"evaluations_semantic":"deny_on_first_deny","other":1}}}}"#
    );
    let asked = many(&text).unwrap();
    assert_eq!(asked.wanted, Wanted::Many(Semantic::DenyOnFirstDeny));
    let told: Vec<_> = asked.questions.iter().map(|ask| (ask.kind.as_str(), ask.method.as_str())).collect();
    assert_eq!(told, [("tool", "tools/call"), ("prompt", "prompts/get")]);
}

#[test]
fn without_evaluations_several_are_one() {
    for text in [format!("{{{PARTS}}}"), format!(r#"{{{PARTS},"evaluations":[]}}"#)] {
        assert_eq!(many(&text).unwrap().wanted, Wanted::One);
    }
}

#[test]
fn a_request_that_can_be_read_in_two_ways_or_lacks_something_is_refused() {
    let item = format!("{{{PARTS}}}");
    let too_many = format!(r#"{{"evaluations":[{}]}}"#, vec![item; MOST + 1].join(","));
    let twice = format!(r#"{{{PARTS},"subject":{{"type":"user","id":"bob"}}}}"#);
    let deep = format!(r#"{{{PARTS},"context":{}{}}}"#, "[".repeat(80), "]".repeat(80));
    let below = r#"{"subject":{"type":"user","id":"a"},"action":{"name":"tools/call"},"resource":{"type":"tool","id":"t","properties":{"arguments":{"a":1,"\u0061":2}}}}"#;
    let texts = [
        "[]",
        "{}",
        "7",
        "{\"subject\":",
        too_many.as_str(),
        twice.as_str(),
        deep.as_str(),
        below,
        r#"{"subject":{"type":"user","id":5},"action":{"name":"x"},"resource":{"type":"tool","id":"t"}}"#,
        r#"{"evaluations":[{"action":{"name":"x"}}]}"#,
        r#"{"evaluations":{},"options":{"evaluations_semantic":"guess"}}"#,
    ];
    for text in texts {
        assert!(matches!(many(text), Err(Refusal::Invalid(_) | Refusal::NotJson(_))), "{text}");
    }
    let unknown = format!(r#"{{{PARTS},"evaluations":[{{}}],"options":{{"evaluations_semantic":"guess"}}}}"#);
    assert!(matches!(many(&unknown), Err(Refusal::Invalid(_))));
}

#[test]
fn what_no_call_could_be_is_told_as_the_call_would_be() {
    let ask = |kind: &str, method: &str, id: &str| {
        let (kind, method, id) = (kind.to_owned(), method.to_owned(), id.to_owned());
        Ask { subject: Who::Asker, server: None, kind, id, method, arguments: None, protocol: None }
    };
    let told = |ask: Ask| ask.message(None).unwrap_err().reason();
    assert_eq!(told(ask("tool", "can_read", "t")), "unknown_method");
    assert_eq!(told(ask("resource", "tools/call", "t")), "unknown_method");
    assert_eq!(told(ask("tool", "tools/call", "")), "bad_params");
    assert_eq!(told(ask("prompt", "prompts/get", "")), "bad_params");
    let list = Ask { arguments: RawValue::from_string("[]".into()).ok(), ..ask("tool", "tools/call", "t") };
    assert_eq!(told(list), "bad_params");
    let old = Ask { protocol: Some("1999-01-01".into()), ..ask("tool", "tools/call", "t") };
    assert_eq!(told(old), "unsupported_version");
}

#[test]
fn a_plan_names_calls_and_nothing_else() {
    let plan = |text: &str| planned(RawValue::from_string(text.to_owned()).ok().as_deref());
    let calls = plan(r#"{"calls":[{"tool":"a","arguments":{}},{"tool":"b","server":"crm"}]}"#).unwrap();
    assert_eq!((calls[0].subject.clone(), calls[1].server.as_deref()), (Who::Asker, Some("crm")));
    for text in [
        "{}",
        r#"{"calls":[]}"#,
        r#"{"calls":[{"tool":"a","user":"bob"}]}"#,
        r#"{"calls":[{"tool":"a"}],"as":"bob"}"#,
    ] {
        assert!(matches!(plan(text), Err(Refusal::BadParams(_))), "{text}");
    }
}
