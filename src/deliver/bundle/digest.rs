//! The digest of a file as a bundle's signature has it.
//!
//! # Why not of the bytes alone
//! OPA takes the digest of structured files (`data.json`, `.manifest`) over what they say: keys sorted, no white space,
//! numbers as they are written. So a bundle may be packed anew by a tool that formats JSON, and keeps its signature.
//! Numbers must not be read to be written again: the value is walked as text.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// How deep structured files may be nested.
const DEEPEST: usize = 100;

/// The digest of a file in bytes, by an algorithm as a signature names it.
pub(in crate::deliver::bundle) fn digest(
    path: &str,
    content: &[u8],
    algorithm: &str,
) -> Result<Vec<u8>, String> {
    let text = canonical(path, content)?;
    match algorithm {
        "SHA-256" => Ok(Sha256::digest(text).to_vec()),
        "SHA-384" => Ok(Sha384::digest(text).to_vec()),
        "SHA-512" => Ok(Sha512::digest(text).to_vec()),
        "" => Err(format!("its signature has no algorithm for `{path}`")),
        _ => Err(format!(
            "its signature has the digest of `{path}` by `{}`; SHA-256, SHA-384 and SHA-512 are taken",
            algorithm.escape_debug()
        )),
    }
}

fn canonical(path: &str, content: &[u8]) -> Result<Vec<u8>, String> {
    match path.rsplit('/').next() {
        Some("data.json" | ".manifest") => {
            let value: &RawValue =
                serde_json::from_slice(content).map_err(|error| format!("`{path}` is not JSON: {error}"))?;
            let mut text = Vec::with_capacity(content.len());
            walk(value, DEEPEST, &mut text).map_err(|why| format!("`{path}` cannot be read: {why}"))?;
            Ok(text)
        }
        // OPA turns YAML into JSON by rules of its own before it takes the digest.
        Some("data.yaml") => Err(format!(
            "`{path}` cannot be held to its signature; `opa build` writes `data.json`, which can"
        )),
        _ => Ok(content.to_vec()),
    }
}

fn walk(value: &RawValue, depth: usize, text: &mut Vec<u8>) -> Result<(), String> {
    let depth = depth.checked_sub(1).ok_or_else(|| format!("it is nested deeper than {DEEPEST}"))?;
    let raw = value.get().trim();
    match raw.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = read(raw)?;
            text.push(b'{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                separate(index, text);
                write(&name, text)?;
                text.push(b':');
                walk(value, depth, text)?;
            }
            text.push(b'}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = read(raw)?;
            text.push(b'[');
            for (index, value) in items.into_iter().enumerate() {
                separate(index, text);
                walk(value, depth, text)?;
            }
            text.push(b']');
        }
        Some(b'"') => write(&read::<String>(raw)?, text)?,
        _ => text.extend_from_slice(raw.as_bytes()),
    }
    Ok(())
}

fn read<'a, T: Deserialize<'a>>(raw: &'a str) -> Result<T, String> {
    serde_json::from_str(raw).map_err(|error| error.to_string())
}

fn separate(index: usize, text: &mut Vec<u8>) {
    if index > 0 {
        text.push(b',');
    }
}

/// As Go's encoder writes a text when it is told not to escape HTML: two line separators are escaped nevertheless.
fn write(value: &str, text: &mut Vec<u8>) -> Result<(), String> {
    let written = serde_json::to_string(value).map_err(|error| error.to_string())?;
    text.extend(written.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029").into_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(content: &str) -> String {
        String::from_utf8(canonical("a/data.json", content.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn structured_files_are_told_by_what_they_say_and_numbers_by_how_they_are_written() {
        assert_eq!(said(" { \"b\" : [ 1 , 2.50 ] ,\n \"a\" : {} } "), r#"{"a":{},"b":[1,2.50]}"#);
        assert_eq!(said("[1e3, -0, 123.45678911111111111111]"), "[1e3,-0,123.45678911111111111111]");
        assert_eq!(
            said(r#"["<a&b>", "\u00e9", "\u2028", "\u0001\n"]"#),
            "[\"<a&b>\",\"é\",\"\\u2028\",\"\\u0001\\n\"]"
        );
        assert_eq!(said("[null, true]"), "[null,true]");
    }

    #[test]
    fn other_files_are_told_byte_for_byte() {
        assert_eq!(canonical("schema.json", b" {} ").unwrap(), b" {} ");
        assert_eq!(canonical("a.rego", b"package a\r\n").unwrap(), b"package a\r\n");
    }

    #[test]
    fn what_cannot_be_held_to_a_signature_is_refused() {
        assert!(digest("data.yaml", b"a: 1", "SHA-256").is_err());
        assert!(digest("data.json", b"{} {}", "SHA-256").is_err());
        assert!(digest("data.json", "[".repeat(5000).as_bytes(), "SHA-256").is_err());
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert!(digest("data.json", deep.as_bytes(), "SHA-256").is_err());
        for weak in ["MD5", "SHA-1", "", "sha-256"] {
            assert!(digest("a.rego", b"", weak).is_err(), "{weak}");
        }
    }
}
