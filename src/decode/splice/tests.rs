use super::*;
use crate::decode::tests::raw;

const DOCUMENT: &str =
    " {\"id\" : 1e2 ,\"params\":{ \"n\\u0061me\": \"a\\/b\" , \"_meta\":{}},\"x\":[1,{\"params\":2}] } ";

fn changed(path: &[&str], value: &str) -> String {
    String::from_utf8(set(DOCUMENT.as_bytes(), path, &raw(value)).unwrap()).unwrap()
}

fn without(document: &str, path: &[&str]) -> Option<String> {
    remove(document.as_bytes(), path).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn one_value_changes_and_no_other_byte() {
    assert_eq!(changed(&["id"], "7"), DOCUMENT.replace("1e2", "7"));
    assert_eq!(changed(&["params", "name"], "\"c\""), DOCUMENT.replace("\"a\\/b\"", "\"c\""));
    assert_eq!(changed(&["x"], "[]"), DOCUMENT.replace("[1,{\"params\":2}]", "[]"));
}

#[test]
fn a_missing_member_is_made_with_the_objects_on_its_way() {
    assert_eq!(
        changed(&["params", "_meta", "traceparent"], "\"00\""),
        DOCUMENT.replace("\"_meta\":{}", "\"_meta\":{\"traceparent\":\"00\"}")
    );
    assert_eq!(
        changed(&["result", "a\"", "b"], "1"),
        DOCUMENT.replace("{\"id\"", "{\"result\":{\"a\\\"\":{\"b\":1}},\"id\"")
    );
    assert_eq!(set(b"{}", &["a"], &raw("1")).unwrap(), b"{\"a\":1}");
}

#[test]
fn a_member_goes_with_its_key_and_one_comma() {
    let document = "{\"a\":1, \"b\" : {\"c\":2} ,\"d\":3}";
    assert_eq!(without(document, &["a"]).unwrap(), "{\"b\" : {\"c\":2} ,\"d\":3}");
    assert_eq!(without(document, &["b"]).unwrap(), "{\"a\":1, \"d\":3}");
    assert_eq!(without(document, &["d"]).unwrap(), "{\"a\":1, \"b\" : {\"c\":2}}");
    assert_eq!(without(document, &["b", "c"]).unwrap(), "{\"a\":1, \"b\" : {} ,\"d\":3}");
    assert_eq!(without(document, &["e"]), None);
    assert_eq!(without(document, &["b", "e", "f"]), None);
}

#[test]
fn what_was_set_is_what_is_read_then() {
    let value = "{\"deep\":[1e400,\"\\ud83d\\ude00\"]}";
    for path in [&["id"][..], &["new"], &["params", "_meta", "k"], &["params", "a", "b", "c"]] {
        let document = changed(path, value);
        assert_eq!(get(document.as_bytes(), path).unwrap(), Some(value));
        let back = remove(document.as_bytes(), path).unwrap().unwrap();
        assert_eq!(get(&back, path).unwrap(), None);
        assert!(serde_json::from_slice::<&RawValue>(&back).is_ok());
    }
}

#[test]
fn a_document_that_could_be_read_in_two_ways_is_not_changed() {
    let twice = set(b"{\"a\":1,\"\\u0061\":2}", &["a"], &raw("3"));
    assert!(matches!(twice, Err(SpliceError::Unreadable(_))));
    assert!(matches!(set(b"{\"a\":1} x", &["a"], &raw("3")), Err(SpliceError::Unreadable(_))));
    assert_eq!(set(b"{\"a\":1}", &["a", "b"], &raw("3")), Err(SpliceError::NotAnObject("b".into())));
    assert_eq!(set(b"[]", &["a"], &raw("3")), Err(SpliceError::NotAnObject("a".into())));
    assert_eq!(set(b"{}", &[], &raw("3")), Err(SpliceError::NoPath));
}

#[test]
fn values_of_an_array_stay_as_they_were() {
    let (one, two) = (raw("{ \"name\":1e2 }"), raw("\"\\/\""));
    assert_eq!(array([&*one, &*two]).get(), "[{ \"name\":1e2 },\"\\/\"]");
    assert_eq!(array([]).get(), "[]");
    assert_eq!(string("a\"\n").get(), "\"a\\\"\\n\"");
}

#[test]
fn a_part_of_a_document_is_put_in_place_and_a_stranger_is_not() {
    let document = br#"{"a": 1, "b" : {"c":[1.0, 2]} }"#;
    let value: std::collections::BTreeMap<String, &RawValue> = serde_json::from_slice(document).unwrap();
    let changed = put(document, value["b"], "[]").unwrap();
    assert_eq!(changed, br#"{"a": 1, "b" : [] }"#);
    let stranger: Box<RawValue> = serde_json::from_str("1").unwrap();
    assert_eq!(put(document, &stranger, "2"), None);
}
