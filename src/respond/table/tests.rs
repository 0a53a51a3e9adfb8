use serde_json::{Value, json};

use super::*;
use crate::decode::request_id_for_test;
use crate::name::{ServerName, ToolName};
use crate::refusal::Challenge;
use crate::refusal::Limit;
use crate::respond::Body;

fn told(refusal: &Refusal, era: Era, tool_call: bool) -> (u16, Value, Vec<(String, String)>) {
    let asked = Asked { id: Some(request_id_for_test("7")), era, tool_call, invocation: Invocation::new() };
    let answer: Answer<()> = answer(refusal, &asked, None);
    let Body::Full(bytes) = answer.body else { panic!("no body") };
    let headers =
        answer.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let mut body: Value = serde_json::from_slice(&bytes).unwrap();
    body["invocation"] = json!(asked.invocation.to_string());
    (answer.status.as_u16(), body, headers.collect())
}

fn server() -> ServerName {
    ServerName::parse("erp").unwrap()
}

fn too_many() -> Refusal {
    Refusal::TooMany(Exhausted {
        what: Limit::TenantRate,
        limit: 60,
        window: Duration::from_secs(60),
        remaining: 0,
        retry: Duration::from_millis(1500),
    })
}

#[test]
fn each_refusal_has_the_status_and_the_code_that_the_table_of_answers_promises() {
    let unknown = Refusal::UnknownTool(ToolName::parse("x").unwrap());
    let version = Refusal::UnsupportedVersion { requested: "1900-01-01".into() };
    for (refusal, modern, legacy) in [
        (Refusal::UnknownUrl, (404, -31404), (404, -31404)),
        (Refusal::NotAuthenticated, (401, -31401), (401, -31401)),
        (Refusal::BadCredential("expired"), (401, -31401), (401, -31401)),
        (Refusal::BadDpopProof("old"), (401, -31401), (401, -31401)),
        (
            Refusal::StepUp { challenge: Challenge::default(), message: String::new() },
            (401, -31401),
            (401, -31401),
        ),
        (Refusal::InsufficientScope { scopes: vec![] }, (403, -31403), (403, -31403)),
        (Refusal::ForeignOrigin, (403, -31403), (403, -31403)),
        (Refusal::ForeignHost, (403, -31403), (403, -31403)),
        (Refusal::NotJson("x".into()), (400, -32700), (400, -32700)),
        (Refusal::UnsupportedMedia("x"), (415, -32600), (415, -32600)),
        (Refusal::Invalid("x".into()), (400, -32600), (400, -32600)),
        (Refusal::HeaderMismatch("x".into()), (400, -32020), (400, -32020)),
        (version, (400, -32022), (400, -32600)),
        (Refusal::MissingCapability("x"), (400, -32021), (400, -32021)),
        (Refusal::BodyTooLarge { limit: 1 }, (413, -32600), (413, -32600)),
        (Refusal::HeaderTooLarge { limit: 1 }, (431, -32600), (431, -32600)),
        (unknown, (200, -32602), (200, -32602)),
        (Refusal::UnknownMethod("x".into()), (404, -32601), (200, -32601)),
        (Refusal::Unreachable { server: server() }, (200, -31502), (200, -31502)),
        (Refusal::TimedOut { server: server() }, (200, -31504), (200, -31504)),
        (Refusal::NeedsReauth { server: server() }, (200, -31407), (200, -31407)),
        (Refusal::NotRecorded, (200, -31500), (200, -31500)),
    ] {
        for (era, expected) in [(Era::Modern, modern), (Era::Legacy, legacy)] {
            let (status, body, _) = told(&refusal, era, false);
            assert_eq!((status, body["error"]["code"].as_i64().unwrap()), expected, "{refusal:?} {era:?}");
        }
    }
}

#[test]
fn every_error_says_its_reason_whether_a_retry_helps_and_its_invocation() {
    let (_, body, _) = told(&Refusal::Unreachable { server: server() }, Era::Modern, true);
    assert_eq!(body["id"], 7);
    assert_eq!(body["error"]["data"]["reason"], "unreachable");
    assert_eq!(body["error"]["data"]["retryable"], true);
    assert_eq!(body["error"]["data"]["invocation"], body["invocation"]);
}

#[test]
fn a_stranger_is_told_no_id_back() {
    let (_, body, _) = told(&Refusal::NotAuthenticated, Era::Modern, true);
    assert!(body.get("id").is_none());
}

#[test]
fn a_refused_tool_call_is_a_result_that_the_model_reads() {
    let refusal = Refusal::Denied { code: Some("closed".into()), message: "the books are closed".into() };
    let (status, body, _) = told(&refusal, Era::Modern, true);
    assert_eq!(
        (status, &body["result"]["isError"], &body["result"]["resultType"]),
        (200, &json!(true), &json!("complete"))
    );
    let text = body["result"]["content"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("the books are closed") && text.contains(body["invocation"].as_str().unwrap()),
        "{text}"
    );
    assert_eq!(body["result"]["_meta"]["dev.portcullis/refusal"]["code"], "closed");
    // The same refusal of another method is an error, for its client to handle.
    let (_, body, _) = told(&refusal, Era::Modern, false);
    assert_eq!(body["error"]["code"], -31403);
    // A legacy client knows no `resultType`.
    let (_, body, _) = told(&refusal, Era::Legacy, true);
    assert!(body["result"].get("resultType").is_none());
}

#[test]
fn what_is_exhausted_is_told_with_when_to_come_back() {
    let (status, body, headers) = told(&too_many(), Era::Modern, true);
    assert_eq!((status, &body["result"]["isError"]), (200, &json!(true)));
    for (name, value) in [
        ("retry-after", "2"),
        ("ratelimit-limit", "60"),
        ("ratelimit-remaining", "0"),
        ("ratelimit-reset", "2"),
    ] {
        assert!(headers.contains(&(name.to_owned(), value.to_owned())), "{name}: {headers:?}");
    }
    assert_eq!(body["result"]["_meta"]["dev.portcullis/refusal"]["retry_after_ms"], 1500);
}

#[test]
fn own_codes_lie_outside_the_reserved_range() {
    for refusal in [
        Refusal::NotAuthenticated,
        Refusal::PolicyFailed,
        too_many(),
        Refusal::NotRecorded,
        Refusal::ClientGone,
    ] {
        assert!(!(-32768..=-32000).contains(&refusal.code(Era::Modern)), "{refusal:?}");
    }
}
