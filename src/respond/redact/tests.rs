use std::sync::Arc;

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
    let result = r#"{"structuredContent":{"a":1.10, "b":123456789012345678901234567890},"x":1}"#;
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
