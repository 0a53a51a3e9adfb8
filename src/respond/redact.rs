//! Values that policy wants masked in results.
//!
//! # Why withhold
//! Where policy demands a redaction and the content cannot be searched (binary, text that is not JSON), passing it would
//! be a guess. It is withheld, and the place says so.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::decode::reply::Fields;
use crate::respond::raw::{Object, array, elements, quoted, text};

const MASK: &str = "\"[redacted]\"";
const WITHHELD: &str = "[withheld: policy demands a redaction that cannot be made here]";

/// A JSON Pointer (RFC 6901) whose segments may be `*`, any member or element.
#[derive(Debug, Clone)]
struct Pointer(Vec<String>);

/// What is to be masked.
#[derive(Debug, Clone)]
pub(crate) struct Redaction(Vec<Pointer>);

impl Redaction {
    /// Masks at `pointers`; `None` where there are none.
    pub(crate) fn of(pointers: &[Arc<str>]) -> Option<Self> {
        let parse = |pointer: &Arc<str>| {
            let segments = pointer.trim_start_matches('/').split('/');
            Pointer(segments.map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect())
        };
        (!pointers.is_empty()).then(|| Self(pointers.iter().map(parse).collect()))
    }

    /// The result of `tools/call`, `resources/read`, `prompts/get` or a task, masked.
    pub(crate) fn result(&self, result: &RawValue) -> Option<Box<RawValue>> {
        let members = Fields::read(result).ok()?;
        let mut object = Object::sized(result.get().len());
        for (key, value) in members.iter() {
            let masked = match key {
                "structuredContent" => self.value(value),
                "content" | "contents" => self.each(value, |item| self.item(item)),
                "messages" => self.each(value, |message| self.message(message)),
                // A finished task carries the result of its call.
                "result" => self.result(value),
                _ => None,
            };
            object.add(key, masked.as_deref().unwrap_or(value).get());
        }
        object.finish()
    }

    fn value(&self, value: &RawValue) -> Option<Box<RawValue>> {
        let pointers: Vec<&[String]> = self.0.iter().map(|pointer| pointer.0.as_slice()).collect();
        mask(value, &pointers)
    }

    fn each(
        &self,
        list: &RawValue,
        change: impl Fn(&RawValue) -> Option<Box<RawValue>>,
    ) -> Option<Box<RawValue>> {
        let Some(items) = elements(list) else { return quoted(WITHHELD) };
        let changed: Vec<Cow<'_, str>> = items
            .iter()
            .map(|item| {
                change(item).map_or(Cow::Borrowed(item.get()), |new| Cow::Owned(new.get().to_owned()))
            })
            .collect();
        RawValue::from_string(array(changed.iter().map(|text| &**text))).ok()
    }

    fn message(&self, message: &RawValue) -> Option<Box<RawValue>> {
        self.member(message, "content", |content| self.item(content))
    }

    /// One item of content: text that is JSON is masked, all else withheld; links carry no data.
    fn item(&self, item: &RawValue) -> Option<Box<RawValue>> {
        let members = Fields::read(item).ok()?;
        match members.text("type").ok().flatten().as_deref() {
            Some("resource_link") => None,
            Some("resource") => self.member(item, "resource", |resource| self.item(resource)),
            _ => {
                let mut object = Object::sized(item.get().len());
                for (key, value) in members.iter() {
                    let masked = match key {
                        "text" => Some(self.text(value)),
                        "data" | "blob" => quoted(WITHHELD),
                        _ => None,
                    };
                    object.add(key, masked.as_deref().unwrap_or(value).get());
                }
                object.finish()
            }
        }
    }

    fn text(&self, value: &RawValue) -> Box<RawValue> {
        let masked = || {
            let text = text(value)?;
            let inner: &RawValue = serde_json::from_str(&text).ok()?;
            // A bare number or word has no members to point at, but may be the very value.
            if !inner.get().starts_with(['{', '[']) {
                return None;
            }
            match self.value(inner) {
                Some(masked) => quoted(masked.get()),
                None => Some(value.to_owned()),
            }
        };
        masked().or_else(|| quoted(WITHHELD)).unwrap_or_default()
    }

    fn member(
        &self,
        object: &RawValue,
        name: &str,
        change: impl Fn(&RawValue) -> Option<Box<RawValue>>,
    ) -> Option<Box<RawValue>> {
        let members = Fields::read(object).ok()?;
        let mut changed = Object::sized(object.get().len());
        for (key, value) in members.iter() {
            let new = (key == name).then(|| change(value)).flatten();
            changed.add(key, new.as_deref().unwrap_or(value).get());
        }
        changed.finish()
    }
}

/// `value` with everything masked that a pointer leads to; `None` where none does.
fn mask(value: &RawValue, pointers: &[&[String]]) -> Option<Box<RawValue>> {
    if pointers.iter().any(|pointer| pointer.is_empty()) {
        return RawValue::from_string(MASK.to_owned()).ok();
    }
    if value.get().starts_with('{') {
        return mask_object(value, pointers);
    }
    if value.get().starts_with('[') {
        return mask_array(value, pointers);
    }
    None
}

fn mask_object(value: &RawValue, pointers: &[&[String]]) -> Option<Box<RawValue>> {
    let Ok(members) = Fields::read(value) else { return RawValue::from_string(MASK.to_owned()).ok() };
    let mut hit = false;
    let mut object = Object::sized(value.get().len());
    for (key, member) in members.iter() {
        let masked = mask(member, &below(pointers, key));
        hit |= masked.is_some();
        object.add(key, masked.as_deref().unwrap_or(member).get());
    }
    object.finish().filter(|_| hit)
}

fn mask_array(value: &RawValue, pointers: &[&[String]]) -> Option<Box<RawValue>> {
    let items = elements(value)?;
    let masked: Vec<_> = items
        .iter()
        .enumerate()
        .map(|(index, item)| mask(item, &below(pointers, &index.to_string())))
        .collect();
    if masked.iter().all(Option::is_none) {
        return None;
    }
    let texts = items.iter().zip(&masked).map(|(item, masked)| masked.as_deref().unwrap_or(item).get());
    RawValue::from_string(array(texts)).ok()
}

/// What is left of the pointers that lead through `key`.
fn below<'p>(pointers: &[&'p [String]], key: &str) -> Vec<&'p [String]> {
    let through = |pointer: &&'p [String]| match pointer.split_first() {
        Some((segment, rest)) if segment == "*" || segment == key => Some(rest),
        _ => None,
    };
    pointers.iter().filter_map(through).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
