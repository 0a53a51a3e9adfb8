//! `Mcp-Param-*`: headers that mirror single arguments of a tool (2026-07-28 basic/transports, `x-mcp-header`).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::mirror::{self, PARAM};
use crate::inbound::Head;
use crate::refusal::Refusal;

/// The largest integer that every reader keeps exactly: 2^53 - 1.
const EXACT: f64 = 9_007_199_254_740_991.0;

/// How deep annotations are looked for.
const DEEP: usize = 16;

/// Checks the mirrored parameters of one modern call against the tool's input schema.
///
/// Where the schema is used more than once, keep a [`ParamHeaders`].
///
/// # Errors
/// [`Refusal::HeaderMismatch`]: a header is missing, there twice, not readable, or says something else than the
/// argument, or there is one although the argument is null or absent.
pub fn check_params(head: &Head, schema: &RawValue, arguments: Option<&RawValue>) -> Result<(), Refusal> {
    ParamHeaders::of(schema).check(head, arguments)
}

/// Which arguments of a tool are mirrored in which headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParamHeaders {
    mirrored: Vec<Mirrored>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirrored {
    header: String,
    path: Vec<String>,
}

impl ParamHeaders {
    /// Reads the annotations of an input schema. Invalid ones count as none: a conforming client sends no header for
    /// them, and a header that nobody asked for is nobody's mirror.
    #[must_use]
    pub fn of(schema: &RawValue) -> Self {
        let mut found = Self::default();
        found.collect(schema, &mut Vec::new());
        let mut counts: HashMap<String, usize> = HashMap::new();
        for one in &found.mirrored {
            *counts.entry(one.header.clone()).or_default() += 1;
        }
        found.mirrored.retain(|one| counts.get(&one.header) == Some(&1));
        found
    }

    /// Whether no argument is mirrored, so that there is nothing to check.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mirrored.is_empty()
    }

    /// Checks one call.
    ///
    /// # Errors
    /// As [`check_params`].
    pub fn check(&self, head: &Head, arguments: Option<&RawValue>) -> Result<(), Refusal> {
        self.mirrored.iter().try_for_each(|one| {
            let value = arguments.and_then(|arguments| member(arguments, &one.path));
            one.check(mirror::once(head, &one.header)?, value)
        })
    }

    /// The headers of a call with these arguments: names, and values before they are encoded. A value that none can
    /// mirror (an object, say) has no header.
    #[must_use]
    pub fn of_call(&self, arguments: Option<&RawValue>) -> Vec<(&str, String)> {
        let one = |mirrored: &'_ Mirrored| {
            let value = member(arguments?, &mirrored.path)?.get();
            match value.bytes().next()? {
                b'"' => serde_json::from_str(value).ok(),
                b't' | b'f' => Some(value.to_owned()),
                _ => integer(value).map(|integer| integer.to_string()),
            }
        };
        self.mirrored.iter().filter_map(|mirrored| Some((mirrored.header.as_str(), one(mirrored)?))).collect()
    }

    fn collect(&mut self, schema: &RawValue, path: &mut Vec<String>) {
        let Ok(node) = serde_json::from_str::<Node<'_>>(schema.get()) else { return };
        if let (Some(name), false) = (node.header, path.is_empty())
            && is_token(&name)
            && matches!(node.kind.as_deref(), Some("string" | "integer" | "boolean"))
        {
            self.mirrored.push(Mirrored {
                header: format!("{PARAM}{}", name.to_ascii_lowercase()),
                path: path.clone(),
            });
        }
        if path.len() >= DEEP {
            return;
        }
        for (key, property) in node.properties.unwrap_or_default() {
            path.push(key.into_owned());
            self.collect(property, path);
            path.pop();
        }
    }
}

/// What of a schema carries annotations: `properties` only, never through `items`, `oneOf`, `$ref` and the like.
#[derive(Debug, Deserialize)]
struct Node<'a> {
    #[serde(default, borrow, rename = "x-mcp-header", deserialize_with = "string_or_none")]
    header: Option<Cow<'a, str>>,
    #[serde(default, borrow, rename = "type", deserialize_with = "string_or_none")]
    kind: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    properties: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
}

fn string_or_none<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str::<String>(raw.get()).ok().map(Cow::Owned))
}

/// RFC 9110 section 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn member<'a>(object: &'a RawValue, path: &[String]) -> Option<&'a RawValue> {
    path.iter().try_fold(object, |object, key| {
        serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(object.get()).ok()?.remove(key.as_str())
    })
}

impl Mirrored {
    fn check(&self, said: Option<&str>, value: Option<&RawValue>) -> Result<(), Refusal> {
        let value = value.map(RawValue::get).filter(|text| *text != "null");
        match (said, value) {
            (None, None) => Ok(()),
            (Some(said), Some(value)) if agree(&mirror::plain(said)?, value) => Ok(()),
            (Some(_), Some(_)) => Err(self.mismatch("and the argument differ")),
            (None, Some(_)) => Err(self.mismatch("is missing")),
            (Some(_), None) => Err(self.mismatch("is there, and the argument is not")),
        }
    }

    fn mismatch(&self, what: &str) -> Refusal {
        Refusal::HeaderMismatch(format!("{} {what}", self.header))
    }
}

/// Whether the header says what the argument, as JSON, says.
fn agree(said: &str, value: &str) -> bool {
    match value.bytes().next() {
        Some(b'"') => serde_json::from_str::<String>(value).is_ok_and(|text| text == said),
        Some(b't' | b'f') => said == value,
        Some(b'-' | b'0'..=b'9') => same_integer(said, value),
        Some(_) | None => false,
    }
}

fn same_integer(said: &str, value: &str) -> bool {
    let decimal = said.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    decimal && matches!((integer(said), integer(value)), (Some(said), Some(value)) if said == value)
}

/// An integer within ±(2^53 - 1); `42.0` is one.
#[expect(clippy::cast_possible_truncation, reason = "the number is whole and below 2^53")]
fn integer(text: &str) -> Option<i64> {
    let number: f64 = serde_json::from_str(text).ok()?;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::{head, raw};

    const SCHEMA: &str = r#"{"type":"object","properties":{
        "region":{"type":"string","x-mcp-header":"Region"},
        "count":{"type":"integer","x-mcp-header":"Count"},
        "dry":{"type":"boolean","x-mcp-header":"Method"},
        "where":{"type":"object","properties":{"zone":{"type":"string","x-mcp-header":"Zone"}}},
        "free":{"type":"string"}}}"#;

    fn verdict(fields: &[(&str, &str)], arguments: &str) -> Result<(), Refusal> {
        check_params(&head("POST", fields), &raw(SCHEMA), Some(&raw(arguments)))
    }

    #[test]
    fn a_header_that_says_what_the_argument_says_is_taken() {
        for (field, arguments) in [
            (("mcp-param-region", "us west 1"), r#"{"region":"us west 1"}"#),
            (("mcp-param-region", " eu "), r#"{"region":"eu"}"#),
            (("mcp-param-region", ""), r#"{"region":""}"#),
            (("mcp-param-region", "=?base64?SGVsbG8sIOS4lueVjA==?="), r#"{"region":"Hello, 世界"}"#),
            (("mcp-param-region", "=?base64?IHBhZGRlZCA=?="), r#"{"region":" padded "}"#),
            (("mcp-param-region", "eu"), r#"{"regio\u006e":"e\u0075"}"#),
            (("mcp-param-count", "42"), r#"{"count":42}"#),
            (("mcp-param-count", "42"), r#"{"count":42.0}"#),
            (("mcp-param-count", "42.0"), r#"{"count":42}"#),
            (("mcp-param-count", "-1"), r#"{"count":-1}"#),
            (("mcp-param-method", "true"), r#"{"dry":true}"#),
            (("mcp-param-zone", "b"), r#"{"where":{"zone":"b"}}"#),
            (("mcp-param-unknown", "x"), r#"{"free":"y"}"#),
        ] {
            assert_eq!(verdict(&[field], arguments), Ok(()), "{field:?} {arguments}");
        }
        assert_eq!(verdict(&[], r#"{"region":null,"free":"x"}"#), Ok(()));
        assert_eq!(check_params(&head("POST", &[]), &raw(SCHEMA), None), Ok(()));
    }

    #[test]
    fn a_header_that_lies_is_missing_or_is_there_twice_is_refused() {
        let region = ("mcp-param-region", "us");
        for (fields, arguments) in [
            (&[region][..], r#"{"region":"eu"}"#),
            (&[region], r#"{"region":"US"}"#),
            (&[region], r#"{"region":null}"#),
            (&[region], "{}"),
            (&[region, region], r#"{"region":"us"}"#),
            (&[], r#"{"region":"eu"}"#),
            (&[], r#"{"region":""}"#),
            (&[("mcp-param-region", "=?base64?dXM?=")], r#"{"region":"us"}"#),
            (&[("mcp-param-region", "7")], r#"{"region":7.5}"#),
            (&[("mcp-param-count", "43")], r#"{"count":42}"#),
            (&[("mcp-param-count", "4.2e1")], r#"{"count":42}"#),
            (&[("mcp-param-count", "042")], r#"{"count":42}"#),
            (&[("mcp-param-count", "9007199254740993")], r#"{"count":9007199254740992}"#),
            (&[("mcp-param-method", "True")], r#"{"dry":true}"#),
            (&[("mcp-param-zone", "a")], r#"{"where":{"zone":"b"}}"#),
            (&[("mcp-param-region", "[]")], r#"{"region":[]}"#),
        ] {
            assert!(
                matches!(verdict(fields, arguments), Err(Refusal::HeaderMismatch(_))),
                "{fields:?} {arguments}"
            );
        }
    }

    #[test]
    fn the_headers_of_a_call_are_those_that_would_be_taken_for_it() {
        let headers = ParamHeaders::of(&raw(SCHEMA));
        let arguments =
            raw(r#"{"region":"us \"w\"","count":42.0,"dry":true,"where":{"zone":null},"free":"x"}"#);
        let of_call = headers.of_call(Some(&arguments));
        let expected =
            [("mcp-param-count", "42"), ("mcp-param-method", "true"), ("mcp-param-region", "us \"w\"")];
        assert_eq!(of_call, expected.map(|(name, value)| (name, value.to_owned())));
        let fields: Vec<_> = of_call.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(headers.check(&head("POST", &fields), Some(&arguments)), Ok(()));
        assert!(headers.of_call(None).is_empty());
    }

    #[test]
    fn an_invalid_annotation_asks_for_no_header() {
        for schema in [
            r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A B"}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":7}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
            r#"{"properties":{"a":{"items":{"type":"string","x-mcp-header":"A"}}}}"#,
            r#"{"oneOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#,
            r#"{"type":"string","x-mcp-header":"A"}"#,
            "true",
        ] {
            assert!(ParamHeaders::of(&raw(schema)).is_empty(), "{schema}");
        }
        assert_eq!(ParamHeaders::of(&raw(SCHEMA)).mirrored.len(), 4);
    }
}
