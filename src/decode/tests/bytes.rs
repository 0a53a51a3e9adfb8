//! One document, one reading.

use super::*;
use crate::decode::Action;

/// A call of `safe` with these members in its params.
fn call(params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{params}}}}}"#)
}

fn tool(answer: Answer) -> (String, Option<String>) {
    match one(answer).action {
        Action::CallTool(call) => (call.name.as_str().into(), call.arguments.map(|raw| raw.get().into())),
        other => panic!("not a tool call: {other:?}"),
    }
}

#[test]
fn the_bytes_that_were_judged_are_the_bytes_that_are_kept() {
    let body = "  {\"jsonrpc\":\"2.0\" ,\"id\":1, \"method\":\"tools/call\",\"params\":{\"name\":\"safe\",\"arguments\":{ \"n\": 1e2 }}}\r\n";
    let message = one(legacy(body));
    assert_eq!(&message.bytes[..], body.as_bytes());
    let whole = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let kept = one(decode(&head("POST", &[JSON]), whole.clone(), None, DEPTH)).bytes;
    assert_eq!(kept.as_ptr(), whole.as_ptr(), "not a copy");
    assert_eq!(tool(legacy(body)).1.unwrap(), r#"{ "n": 1e2 }"#);
}

#[test]
fn a_key_twice_is_refused_at_every_level() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"safe"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe"},"params":{"name":"danger"}}"#,
        r#"{"jsonrpc":"2.0","id":"a","result":{"a":{"b":1,"b":2}}}"#,
    ] {
        invalid(legacy(body));
    }
    for params in [
        r#""name":"danger","name":"safe""#,
        r#""name":"safe","na\u006de":"danger""#,
        r#""\u006eame":"safe","na\u006de":"danger""#,
        r#""name":"safe","arguments":{},"arguments":{"a":1}"#,
        r#""name":"safe","arguments":{"a":1,"a":1}"#,
        r#""name":"safe","arguments":{"a":1,"\u0061":2}"#,
        r#""name":"safe","arguments":{"list":[1,{"deep":{"x":1,"x":2}}]}"#,
        r#""name":"safe","arguments":{"":1,"":2}"#,
        r#""name":"safe","_meta":{"progressToken":1,"progressToken":2}"#,
        r#""name":"safe","_meta":{"com.example/x":{"a":1,"a":2}}"#,
        r#""name":"safe","other":{"a":1,"a":2}"#,
        r#""name":"safe","task":{"ttl":1,"ttl":2}"#,
        r#""name":"safe","notifications":{"a":1,"a":2}"#,
        r#""name":{"a":1,"a":2}"#,
    ] {
        invalid(legacy(call(params)));
    }
}

#[test]
fn a_key_twice_is_found_among_many() {
    for count in [7, 8, 9, 10, 500] {
        let members: Vec<_> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
        let arguments = members.join(",");
        assert!(legacy(call(&format!(r#""name":"safe","arguments":{{{arguments}}}"#))).is_ok());
        for again in [0, count - 1] {
            invalid(legacy(call(&format!(r#""name":"safe","arguments":{{{arguments},"k{again}":1}}"#))));
        }
    }
}

#[test]
fn a_key_that_could_be_taken_for_one_of_the_protocol_is_refused() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe"},"paramſ":{"name":"danger"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call","params":{}}"#,
        r#"{"jsonrpc":"2.0","ID":1,"method":"tools/call","params":{"name":"safe"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","PARAMS":{"name":"danger"}}"#,
    ] {
        invalid(legacy(body));
    }
    for params in [
        r#""name":"safe","Name":"danger""#,
        r#""name":"safe","NAME":"danger""#,
        r#""name":"safe","argumentſ":{"a":1}"#,
        r#""name":"safe","\u0041rguments":{"a":1}"#,
        r#""name":"safe","input_responses":{}"#,
        r#""name":"safe","_Meta":{}"#,
        r#""name":"safe","_meta":{"progressToken":1,"progressToKen":2}"#,
        r#""name":"safe","_meta":{"io.modelcontextprotocol/ProtocolVersion":"2026-07-28"}"#,
        r#""name":"safe","_meta":{"TraceParent":"00"}"#,
        r#""name":"safe","_meta":{"io.modelcontextprotocol/clientCapabilities":{"Extensions":{}}}"#,
    ] {
        invalid(legacy(call(params)));
    }
}

#[test]
fn arguments_are_the_users_own_and_may_have_such_keys() {
    let arguments = r#"{"name":1,"Name":2,"NAME":3,"straſse":4,"strasse":5}"#;
    let (name, kept) = tool(legacy(call(&format!(r#""name":"safe","arguments":{arguments}"#))));
    assert_eq!((name.as_str(), kept.as_deref()), ("safe", Some(arguments)));
}

#[test]
fn a_key_that_changes_a_javascript_object_is_refused_everywhere() {
    invalid(legacy(call(r#""__proto__":{"name":"danger"},"name":"safe""#)));
    invalid(legacy(call(r#""name":"safe","arguments":{"__pr\u006fto__":{"region":"US"}}"#)));
}

#[test]
fn escapes_are_decoded_before_anything_is_judged() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools\u002fcall","params":{"n\u0061me":"\u0064\u0061\u006e\u0067\u0065\u0072"}}"#;
    let message = one(legacy(body));
    assert_eq!(message.method, "tools/call");
    assert_eq!(tool(legacy(body)).0, "danger");
}

#[test]
fn what_is_not_utf_8_json_is_not_json() {
    let plain = call(r#""name":"danger""#);
    let utf16: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    not_json(legacy(&utf16));
    not_json(legacy([b"\xff\xfe", &utf16[..]].concat()));
    not_json(legacy(format!("\u{feff}{plain}")));
    not_json(legacy(format!("{plain}\0")));
    not_json(legacy(format!("{plain}{plain}")));
    not_json(legacy(format!("{plain} x")));
    not_json(legacy(&plain.as_bytes()[..plain.len() - 1]));
    not_json(legacy(plain.replace("\"id\"", "/*x*/\"id\"")));
    not_json(legacy(plain.replace("danger", "d\tanger")));
    not_json(legacy(""));
    not_json(legacy("  "));
    not_json(legacy("{'jsonrpc':'2.0'}"));
    not_json(legacy([call(r#""name":"safe","arguments":{"a":""#).as_bytes(), b"\xff\"}}}"].concat()));
    not_json(legacy([b"\"".as_slice(), b"\xc0\xaf\""].concat()));
}

#[test]
fn a_body_that_a_framework_would_decode_first_is_not_read_at_all() {
    let body = Bytes::from(call(r#""name":"+AGQAYQBuAGcAZQBy-""#));
    for fields in [
        &[("content-type", "application/json; charset=utf-7")][..],
        &[("content-type", "application/json; charset=utf-16le")],
        &[JSON, ("content-encoding", "gzip")],
        &[JSON, ("content-type", "text/plain")],
        &[],
    ] {
        let refused = refusal(decode(&head("POST", fields), body.clone(), None, DEPTH));
        assert!(matches!(refused, Refusal::UnsupportedMedia(_)), "{fields:?}: {refused:?}");
    }
}

#[test]
fn values_that_readers_disagree_about_are_refused() {
    for value in [
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "1.",
        ".5",
        "+1",
        "0x10",
        "1e400",
        "-1e999",
        "'a'",
        "undefined",
    ] {
        not_json(legacy(call(&format!(r#""name":"safe","arguments":{{"n":{value}}}"#))));
    }
    for text in [r"\ud800", r"\udc00", r"\ud800\u0041", r"a\ud83d", r"\x41", r"\u12"] {
        not_json(legacy(call(&format!(r#""name":"safe","arguments":{{"s":"{text}"}}"#))));
        not_json(legacy(call(&format!(r#""name":"{text}""#))));
        not_json(legacy(call(&format!(r#""name":"safe","arguments":{{"{text}":1}}"#))));
    }
    assert!(legacy(call(r#""name":"safe","arguments":{"s":"\ud83d\ude00","n":1e308,"m":-0.0}"#)).is_ok());
}

#[test]
fn a_broken_document_is_not_json_even_if_a_key_is_there_twice_before_the_break() {
    not_json(legacy(r#"{"jsonrpc":"2.0","jsonrpc":"2.0""#));
    not_json(legacy(r#"{"unknown":1}}"#));
}

#[test]
fn depth_is_bounded_to_the_level() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        call(&format!(r#""name":"safe","arguments":{{"a":{open}{close}}}"#))
    };
    // The message, its params and the arguments are three levels.
    assert!(legacy(nested(DEPTH - 3)).is_ok());
    invalid(legacy(nested(DEPTH - 2)));
    invalid(legacy(nested(100_000)));
    invalid(legacy(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))));
    let deep = format!("{}{}", r#"{"a":"#.repeat(5000), "1") + &"}".repeat(5000);
    invalid(legacy(call(&format!(r#""name":"safe","x":{deep}"#))));
    invalid(legacy(call(&format!(r#""name":"safe","_meta":{{"x":{deep}}}"#))));
    invalid(legacy(format!(r#"{{"jsonrpc":"2.0","id":"a","result":{{"x":{deep}}}}}"#)));
    let body = Bytes::from(nested(100));
    assert!(decode(&head("POST", &[JSON]), body.clone(), None, 120).is_ok());
    invalid(decode(&head("POST", &[JSON]), body, None, 100));
}

#[test]
fn the_name_is_found_behind_any_amount_of_arguments() {
    let arguments = format!(r#""arguments":{{"a":"{}"}},"name":"danger""#, "x".repeat(900_000));
    assert_eq!(tool(legacy(call(&arguments))).0, "danger");
}

#[test]
fn every_change_of_one_byte_is_refused_or_read_as_it_will_be_by_others() {
    let body = call(r#""name":"safe","arguments":{"n":[1,true]}"#);
    for at in 0..body.len() {
        for byte in [0, b' ', b'"', b'\\', b'{', b'}', b',', b':', b'0', b'A', 0x7f, 0xff] {
            let mut changed = body.clone().into_bytes();
            changed[at] = byte;
            let Ok(Decoded::One(message)) = legacy(&changed) else { continue };
            let value: serde_json::Value = serde_json::from_slice(&message.bytes).unwrap();
            assert_eq!(value["method"], message.method);
            let Action::CallTool(call) = message.action else { panic!("another action") };
            assert_eq!(value["params"]["name"], call.name.as_str());
            let arguments = call.arguments.map(|raw| serde_json::from_str(raw.get()).unwrap());
            assert_eq!(value["params"].get("arguments").cloned(), arguments);
        }
    }
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    let body = call(r#""name":"safe","arguments":{"n":[1,true]}"#);
    for end in 0..body.len() {
        not_json(legacy(&body.as_bytes()[..end]));
    }
}
