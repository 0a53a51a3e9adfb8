use std::sync::Arc;

use serde_json::json;
use serde_json::value::RawValue;

use crate::respond::redact::Redaction;

fn redacted(pointers: &[&str], result: &str) -> String {
    let pointers: Vec<Arc<str>> = pointers.iter().map(|pointer| Arc::from(*pointer)).collect();
    let result: Box<RawValue> = serde_json::from_str(result).unwrap();
    Redaction::of(&pointers).unwrap().result(&result).unwrap().get().to_owned()
}

#[test]
fn a_salary_is_masked_in_structured_content_and_in_the_text_beside_it() {
    let result = r#"{"content":[{"type":"text","text":"{\"employees\":[{\"name\":\"Ana\",\"salary\":1}]}"}],"structuredContent":{"employees":[{"name":"Ana","salary":1e2}]},"isError":false}"#;
    let masked = redacted(&["/employees/*/salary"], result);
    assert_eq!(
        masked,
        r#"{"content":[{"type":"text","text":"{\"employees\":[{\"name\":\"Ana\",\"salary\":\"[redacted]\"}]}"}],"structuredContent":{"employees":[{"name":"Ana","salary":"[redacted]"}]},"isError":false}"#
    );
}

#[test]
fn what_is_not_pointed_at_stays_byte_for_byte() {
    let result = r#"{"structuredContent":{"a":1.10, "b":123456789012345678901234567890},"isError":false}"#;
    assert_eq!(redacted(&["/c"], result), result);
}

#[test]
fn content_that_cannot_be_searched_is_withheld() {
    let masked = redacted(
        &["/salary"],
        r#"{"content":[{"type":"text","text":"Ana earns 1"},{"type":"image","data":"AAAA","mimeType":"image/png"},{"type":"resource","resource":{"uri":"a:b","blob":"AAAA"}}]}"#,
    );
    assert!(!masked.contains("earns") && !masked.contains("AAAA"), "{masked}");
    assert_eq!(masked.matches("withheld").count(), 3);
}

#[test]
fn an_object_with_a_key_twice_is_masked_whole() {
    let masked = redacted(&["/a/salary"], r#"{"structuredContent":{"a":{"salary":1,"salary":2}}}"#);
    assert_eq!(masked, r#"{"structuredContent":{"a":"[redacted]"}}"#);
}

#[test]
fn escaped_segments_and_whole_documents_are_reached() {
    assert_eq!(
        redacted(&["/a~1b"], r#"{"structuredContent":{"a/b":1}}"#),
        r#"{"structuredContent":{"a/b":"[redacted]"}}"#
    );
}

/// Every form in which a tool may give an employee away.
const EMPLOYEE: &str = r#"{"name":"Ana","salary":4711}"#;

fn hides(pointers: &[&str], result: &serde_json::Value) -> serde_json::Value {
    let masked = redacted(pointers, &result.to_string());
    assert!(!masked.contains("4711"), "{result}\nbecame {masked}");
    serde_json::from_str(&masked).unwrap()
}

#[test]
fn the_same_value_in_another_form_is_hidden_as_well() {
    let employee: serde_json::Value = serde_json::from_str(EMPLOYEE).unwrap();
    let text = |text: &str| json!({"type": "text", "text": text});
    let (listed, wrapped) = (json!({"employees": [employee]}), json!({"result": [employee]}));
    let many = ["/employees/*/salary"];
    for (pointers, content, structured) in [
        (&many, json!([text(&listed.to_string())]), listed.clone()),
        (&many, json!([text(EMPLOYEE)]), listed.clone()),
        (&many, json!([text(&format!(" {listed}\n"))]), json!({"result": listed.to_string()})),
        (&many, json!([text(&format!("\u{feff}{listed}"))]), listed.clone()),
        (
            &many,
            json!([text(&format!("{listed}\n{listed}"))]),
            json!({"result": format!("{listed}\n{listed}")}),
        ),
        (&many, json!([text("Ana earns 4711")]), json!({"result": "Ana earns 4711"})),
        (&many, json!([text("4711")]), listed.clone()),
        (&["/result/*/salary"], json!([text(EMPLOYEE)]), wrapped.clone()),
        (&["/*/*/salary"], json!([text(&wrapped.to_string())]), wrapped.clone()),
        (&["/name"], json!([]), json!({"name": {"salary": 4711}})),
        (&["/salary"], json!([text(EMPLOYEE)]), json!({"deep": {"employee": employee}})),
        (&[""], json!([text(EMPLOYEE)]), employee.clone()),
    ] {
        hides(pointers, &json!({"content": content, "structuredContent": structured}));
    }
    let whole = hides(
        &["/salary"],
        &json!({"content": [text(EMPLOYEE)], "structuredContent": {"e": employee}, "resultType": "complete"}),
    );
    assert_eq!((&whole["isError"], &whole["structuredContent"]), (&json!(true), &json!(null)));
    assert_eq!(whole["resultType"], "complete");
}

#[test]
fn text_that_cannot_be_read_in_one_way_is_withheld() {
    let deep = format!("{}{EMPLOYEE}{}", "[".repeat(5000), "]".repeat(5000));
    let twice = r#"{"salary":1,"salary":4711}"#;
    let within = serde_json::to_string(&json!({"note": EMPLOYEE})).unwrap();
    let comment = format!("{EMPLOYEE} // done");
    for text in [deep.as_str(), twice, &within, &comment, "[redacted] 4711"] {
        hides(&["/salary"], &json!({"content": [{"type": "text", "text": text}]}));
    }
    let kept = redacted(&["/salary"], r#"{"structuredContent":{"title":"[draft] note","n":"{"}}"#);
    assert_eq!(kept, r#"{"structuredContent":{"title":"[draft] note","n":"[redacted]"}}"#);
}

#[test]
fn whatever_is_not_known_does_not_pass() {
    let secret = json!({"salary": 4711});
    let result = hides(
        &["/salary"],
        &json!({
        "content": [
            {"type": "text", "text": "{}", "_meta": {"x": 4711}, "annotations": {"note": "4711"}},
            {"type": "audio", "data": "NDcxMQ==4711", "mimeType": "audio/wav"},
            {"type": "resource_link", "uri": "hr://ana/4711", "name": "4711", "description": "4711"},
            {"type": "resource", "resource": {"uri": "data:,4711", "blob": "4711", "mimeType": "image/png", "_meta": secret}},
            {"type": "resource", "resource": {"uri": "hr://ana", "text": secret.to_string(), "mimeType": "application/json"}},
            {"type": "news", "of": 4711}],
        "_meta": {"vendor": 4711, "io.modelcontextprotocol/related-task": {"taskId": "t"}},
        "toolResult": secret, "statusMessage": "4711", "isError": false}),
    );
    let kinds: Vec<_> = result["content"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
    assert_eq!(kinds, ["text", "text", "text", "resource", "resource", "text"]);
    assert_eq!(result["content"][4]["resource"]["mimeType"], "application/json");
    assert_eq!(result["_meta"], json!({"io.modelcontextprotocol/related-task": {"taskId": "t"}}));
    hides(
        &["/salary"],
        &json!({"contents": [{"uri": "a:b", "text": "4711"}, {"uri": "a:c", "blob": "4711"}]}),
    );
    hides(
        &["/salary"],
        &json!({"description": "4711", "messages": [
        {"role": "user", "content": {"type": "text", "text": EMPLOYEE}},
        {"role": "user", "content": [{"type": "text", "text": "4711"}]}]}),
    );
    hides(&["/salary"], &json!({"completion": {"values": ["4711"]}}));
    let task = json!({"taskId": "t", "status": "completed", "statusMessage": "4711", "result": {"structuredContent": secret},
        "error": {"code": -1, "message": "4711", "data": 4711}, "task": {"taskId": "t", "statusMessage": "4711"}});
    assert_eq!(hides(&["/salary"], &task)["result"]["structuredContent"]["salary"], "[redacted]");
}

#[test]
fn what_is_said_beside_a_result_keeps_only_what_the_protocol_needs() {
    let redaction = Redaction::of(&[Arc::from("/salary")]).unwrap();
    let raw = |value: &serde_json::Value| serde_json::value::to_raw_value(value).unwrap();
    let read = |raw: Option<Box<RawValue>>| -> serde_json::Value {
        serde_json::from_str(raw.unwrap().get()).unwrap()
    };
    let progress = raw(&json!({"progressToken": 1, "progress": 2, "total": 3, "message": "4711", "x": 4711}));
    let told = read(redaction.notification("notifications/progress", &progress));
    assert_eq!((&told["progress"], told.get("x")), (&json!(2), None));
    let log = raw(&json!({"level": "info", "logger": "l", "data": {"salary": 4711}}));
    assert!(read(redaction.notification("notifications/message", &log))["data"].is_string());
    let error =
        read(redaction.error(&raw(&json!({"code": -32602, "message": "4711", "data": {"of": 4711}}))));
    assert_eq!((&error["code"], error.get("data")), (&json!(-32602), None));
    let version = json!({"code": -32022, "message": "no", "data": {"supported": ["2026-07-28"]}});
    assert_eq!(read(redaction.error(&raw(&version))), version);
    let sampling = json!({"systemPrompt": "4711", "maxTokens": 9, "metadata": {"x": 4711},
        "messages": [{"role": "user", "content": {"type": "text", "text": EMPLOYEE}}]});
    let asks = json!({"inputRequests": {
        "one": {"method": "sampling/createMessage", "params": sampling},
        "two": {"method": "elicitation/create", "params": {"mode": "form", "message": "4711?", "requestedSchema": {"type": "object"}}}},
        "resultType": "input_required"});
    let asked = hides(&["/salary"], &asks);
    assert_eq!(asked["inputRequests"]["two"]["params"]["requestedSchema"], json!({"type": "object"}));
    let strange = json!({"inputRequests": {"one": {"method": "x/y", "params": {"a": 4711}}}, "resultType": "input_required"});
    assert_eq!(hides(&["/salary"], &strange)["resultType"], "complete");
}

#[test]
fn an_output_schema_admits_the_mask_and_what_it_admitted_before() {
    let employee = json!({"type": "object", "properties": {"name": {"type": "string"}, "salary": {"type": "integer"}}, "required": ["salary"]});
    for (pointer, schema, given) in [
        ("/salary", employee.clone(), json!({"name": "Ana", "salary": 1})),
        (
            "/employees/*/salary",
            json!({"type": "object", "properties": {"employees": {"type": "array", "items": {"$ref": "#/$defs/E"}}}, "$defs": {"E": employee}}),
            json!({"employees": [{"salary": 1}]}),
        ),
        (
            "/e/salary",
            json!({"properties": {"e": {"oneOf": [employee, {"type": "null"}]}}}),
            json!({"e": {"salary": 1}}),
        ),
        (
            "/e/*",
            json!({"properties": {"e": {"type": "array", "items": {"enum": [1, 2]}, "uniqueItems": true}}}),
            json!({"e": [1, 2]}),
        ),
        ("/a~1b", json!({"properties": {"a/b": {"type": "number"}}}), json!({"a/b": 1})),
        (
            "/m/*/salary",
            json!({"properties": {"m": {"additionalProperties": employee}}}),
            json!({"m": {"x": {"salary": 1}}}),
        ),
        (
            "/salary",
            json!({"allOf": [employee, {"properties": {"salary": {"maximum": 9}}}]}),
            json!({"salary": 1}),
        ),
        (
            "/next/salary",
            json!({"properties": {"next": {"$ref": "#"}, "salary": {"type": "integer"}}}),
            json!({"next": {"salary": 1}}),
        ),
    ] {
        let redaction = Redaction::of(&[Arc::from(pointer)]).unwrap();
        let raw = |value: &serde_json::Value| serde_json::value::to_raw_value(value).unwrap();
        let shown = redaction.output_schema(&raw(&schema)).unwrap();
        let shown = jsonschema::validator_for(&serde_json::from_str(shown.get()).unwrap()).unwrap();
        let masked = redaction.result(&raw(&json!({"structuredContent": given}))).unwrap();
        let masked: serde_json::Value = serde_json::from_str(masked.get()).unwrap();
        let masked = &masked["structuredContent"];
        assert!(masked.to_string().contains("[redacted]"), "{masked}");
        assert!(!jsonschema::is_valid(&schema, masked), "{masked} fits {schema} as it is");
        assert!(shown.is_valid(masked) && shown.is_valid(&given), "{pointer} {schema}");
    }
    let redaction = Redaction::of(&[Arc::from("/a/b")]).unwrap();
    let elsewhere = serde_json::value::to_raw_value(&json!({"$ref": "https://acme.example/s"})).unwrap();
    assert!(redaction.output_schema(&elsewhere).is_none());
}
