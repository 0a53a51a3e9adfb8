//! Which revision is spoken, and headers that must say what the body says.

use super::*;
use crate::decode::Action;

pub(super) const VERSION: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
pub(super) const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
const OLD: (&str, &str) = ("mcp-protocol-version", "2025-11-25");
const METHOD: (&str, &str) = ("mcp-method", "tools/call");
const NAME: (&str, &str) = ("mcp-name", "safe");

fn body(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#)
}

/// A modern call of `safe`.
fn call() -> String {
    body("tools/call", &format!(r#""name":"safe","arguments":{{}},{META}"#))
}

#[test]
fn a_modern_call_whose_headers_say_the_same_is_taken() {
    let message = one(with(&[VERSION, METHOD, NAME], &call()));
    assert_eq!((message.era, message.version), (Era::Modern, Some(Version::V2026_07_28)));
    for name in ["=?base64?c2FmZQ==?=", "  safe\t"] {
        assert_eq!(era(with(&[VERSION, METHOD, ("mcp-name", name)], &call())), Era::Modern);
    }
    assert_eq!(era(with(&[VERSION, METHOD, NAME, ("mcp-session-id", "ignored")], &call())), Era::Modern);
}

#[test]
fn a_mirrored_header_that_lies_is_missing_or_is_there_twice_is_refused() {
    for fields in [
        &[VERSION, ("mcp-method", "tools/list"), NAME][..],
        &[VERSION, ("mcp-method", "TOOLS/CALL"), NAME],
        &[VERSION, ("mcp-method", ""), NAME],
        &[VERSION, NAME],
        &[VERSION, METHOD, METHOD, NAME],
        &[VERSION, METHOD],
        &[VERSION, METHOD, ("mcp-name", "danger")],
        &[VERSION, METHOD, ("mcp-name", "Safe")],
        &[VERSION, METHOD, ("mcp-name", "")],
        &[VERSION, METHOD, NAME, NAME],
        &[VERSION, METHOD, NAME, ("mcp-name", "danger")],
        &[VERSION, METHOD, ("mcp-name", "safe, danger")],
        &[VERSION, METHOD, ("mcp-name", "=?base64?c2FmZQ?=")],
        &[VERSION, METHOD, ("mcp-name", "=?BASE64?c2FmZQ==?=")],
        &[VERSION, METHOD, ("mcp-name", "=?base64?c2FmZQ==")],
        &[VERSION, METHOD, ("mcp-name", "säfe")],
        &[VERSION, METHOD, NAME, ("mcp-param-region", "us"), ("mcp-param-region", "eu")],
    ] {
        mismatch(with(fields, &call()));
    }
}

#[test]
fn names_outside_ascii_come_in_base64() {
    let call = body("prompts/get", &format!(r#""name":"Hello, 世界",{META}"#));
    let field = ("mcp-name", "=?base64?SGVsbG8sIOS4lueVjA==?=");
    assert_eq!(era(with(&[VERSION, ("mcp-method", "prompts/get"), field], &call)), Era::Modern);
    mismatch(with(&[VERSION, ("mcp-method", "prompts/get"), ("mcp-name", "Hello, 世界")], &call));
}

#[test]
fn what_the_name_header_mirrors_depends_on_the_method() {
    for (method, params, name) in [
        ("resources/read", r#""uri":"file:///secret","name":"file:///pub/a""#, "file:///secret"),
        ("prompts/get", r#""name":"hello""#, "hello"),
        ("tasks/get", r#""taskId":"t1""#, "t1"),
        ("tasks/update", r#""taskId":"t1","inputResponses":{}"#, "t1"),
        ("tasks/cancel", r#""taskId":"t1""#, "t1"),
    ] {
        let body = body(method, &format!("{params},{META}"));
        let method = ("mcp-method", method);
        assert_eq!(era(with(&[VERSION, method, ("mcp-name", name)], &body)), Era::Modern);
        mismatch(with(&[VERSION, method, ("mcp-name", "file:///pub/a")], &body));
        mismatch(with(&[VERSION, method], &body));
    }
    let list = body("tools/list", META);
    assert_eq!(era(with(&[VERSION, ("mcp-method", "tools/list")], &list)), Era::Modern);
    mismatch(with(&[VERSION, ("mcp-method", "tools/list"), NAME], &list));
}

#[test]
fn header_and_meta_must_say_the_same_revision() {
    let said = |version: &str| call().replace("2026-07-28", version);
    mismatch(with(&[VERSION, METHOD, NAME], &said("2025-11-25")));
    mismatch(with(&[OLD, METHOD, NAME], &call()));
    mismatch(with(&[METHOD, NAME], &call()));
    mismatch(with(&[OLD, VERSION, METHOD, NAME], &call()));
    mismatch(with(&[VERSION, VERSION, METHOD, NAME], &call()));
    mismatch(with(&[("mcp-protocol-version", "2025-11-25, 2026-07-28"), METHOD, NAME], &call()));
    mismatch(with(&[OLD, OLD], &body("ping", "")));
    let (fields, legacy_body) = ([OLD, ("mcp-session-id", "s"), METHOD, NAME], call());
    let head = head("POST", &[&[JSON][..], &fields].concat());
    mismatch(decode(&head, Bytes::from(legacy_body), LEGACY, DEPTH));
}

#[test]
fn a_revision_that_is_not_spoken_in_this_way_is_unsupported() {
    for version in ["1900-01-01", "2025-11-25", "2026-07-28 ", "2099-01-01"] {
        let call = call().replace("2026-07-28", version.trim());
        let answer = with(&[("mcp-protocol-version", version), METHOD, NAME], &call);
        if version.trim() == "2026-07-28" {
            assert_eq!(era(answer), Era::Modern);
        } else {
            let refused = answer.unwrap_err();
            assert_eq!(refused.refusal, Refusal::UnsupportedVersion { requested: version.into() });
            assert_eq!(refused.era, Era::Modern);
        }
    }
}

#[test]
fn a_modern_request_carries_its_meta() {
    let bare = r#""name":"safe""#;
    for params in [
        bare.to_owned(),
        format!(r#"{bare},"_meta":{{}}"#),
        format!(r#"{bare},"_meta":{{"io.modelcontextprotocol/clientCapabilities":{{}}}}"#),
        format!(r#"{bare},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#),
        format!(r#"{bare},{}"#, META.replace("{}", "[]")),
        format!(r#"{bare},{}"#, META.replace("{}", "null")),
        format!(r#"{bare},{}"#, META.replace("\"2026-07-28\"", "20260728")),
        format!(r#"{bare},"_meta":null"#),
    ] {
        let refused = with(&[VERSION, METHOD, NAME], &body("tools/call", &params)).unwrap_err();
        assert!(matches!(refused.refusal, Refusal::MalformedParams(_)), "{params}: {refused:?}");
        assert_eq!((refused.era, refused.id.unwrap().as_json()), (Era::Modern, "1"));
    }
}

#[test]
fn what_the_modern_revision_does_not_have_is_unknown_there() {
    for method in
        ["initialize", "ping", "logging/setLevel", "resources/subscribe", "tasks/list", "admin/reset"]
    {
        let refused = with(&[VERSION, ("mcp-method", method)], &body(method, META)).unwrap_err();
        assert!(matches!(refused.refusal, Refusal::UnknownMethod(_)), "{refused:?}");
        assert_eq!(refused.era, Era::Modern);
    }
    let discover = body("server/discover", META);
    assert!(matches!(
        one(with(&[VERSION, ("mcp-method", "server/discover")], &discover)).action,
        Action::Discover
    ));
}

#[test]
fn what_meta_says_of_the_client_is_kept() {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":1,
        "io.modelcontextprotocol/clientInfo":{"name":"c","version":"1","title":"x"},
        "io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"extensions":{"io.modelcontextprotocol/tasks":{}}},
        "traceparent":"00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"}"#;
    let list = body("tools/list", meta);
    let meta = one(with(&[VERSION, ("mcp-method", "tools/list")], &list)).meta;
    assert_eq!(
        (meta.client_name.as_deref(), meta.client_version.as_deref(), meta.tasks),
        (Some("c"), Some("1"), true)
    );
    assert!(meta.traceparent.is_some_and(|text| text.starts_with("00-0af7")));
    assert!(!one(with(&[VERSION, METHOD, NAME], &call())).meta.tasks);
}

#[test]
fn a_modern_client_may_cancel_and_notify_of_nothing_else() {
    let note =
        |method: &str| format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"requestId":1}}}}"#);
    assert_eq!(era(with(&[VERSION], &note("notifications/cancelled"))), Era::Modern);
    mismatch(with(&[VERSION, METHOD], &note("notifications/cancelled")));
    invalid(with(&[VERSION], &note("notifications/progress")));
}

#[test]
fn a_legacy_revision_must_be_known_and_be_that_of_the_session() {
    let ping = body("ping", "");
    invalid(with(&[("mcp-protocol-version", "1900-01-01")], &ping));
    invalid(with(&[("mcp-protocol-version", "")], &ping));
    let session = |fields: &[(&str, &str)], session| {
        let fields: Vec<_> = [JSON].iter().chain(fields).copied().collect();
        decode(&head("POST", &fields), Bytes::copy_from_slice(ping.as_bytes()), session, DEPTH)
    };
    invalid(session(&[("mcp-protocol-version", "2025-06-18")], LEGACY));
    assert_eq!(one(session(&[OLD], LEGACY)).version, LEGACY);
    assert_eq!(one(session(&[], LEGACY)).version, LEGACY);
    assert_eq!(one(session(&[OLD], None)).version, LEGACY);
    assert_eq!(one(session(&[], None)).version, None);
}

#[test]
fn tasks_are_known_only_where_the_revision_has_them() {
    let get = body("tasks/get", r#""taskId":"t""#);
    assert!(legacy(&get).is_ok());
    assert!(matches!(refusal(with(&[], &get)), Refusal::UnknownMethod(_)));
    assert!(matches!(
        refusal(with(&[("mcp-protocol-version", "2025-06-18")], &get)),
        Refusal::UnknownMethod(_)
    ));
}

#[test]
fn a_legacy_request_may_repeat_itself_in_headers_and_may_not_lie_there() {
    let call = body("tools/call", r#""name":"safe""#);
    assert_eq!(era(with(&[OLD, METHOD, NAME], &call)), Era::Legacy);
    assert_eq!(era(with(&[OLD], &call)), Era::Legacy);
    for field in [("mcp-name", "danger"), ("mcp-method", "tools/list")] {
        mismatch(with(&[OLD, field], &call));
        mismatch(with(&[field], &call));
    }
}
