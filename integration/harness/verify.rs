//! Signatures verified by the libraries of the other side.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Map, Value, json};

use crate::sdk::python;
use crate::upstream::Exchange;

/// Verifies what is signed; what the verifier says of it.
///
/// # Panics
/// Where the signature is not good.
pub fn verified(given: &Value) -> String {
    let (is_good, said) = verify(given);
    assert!(is_good, "the signature is not good: {said}\n{given:#}");
    said
}

/// Whether what is signed is good, and what the verifier says.
#[must_use]
pub fn verify(given: &Value) -> (bool, String) {
    let mut child = python("tools/verify_signature.py")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python starts");
    child.stdin.take().expect("piped").write_all(given.to_string().as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
}

/// A request as its verifier wants it.
#[must_use]
pub fn request(kind: &str, account: &Value, exchange: &Exchange) -> Value {
    let headers: Map<String, Value> =
        exchange.headers.iter().map(|(name, value)| (name.to_lowercase(), json!(value))).collect();
    let host = exchange.header("host").first().copied().unwrap_or_default().to_owned();
    json!({
        "kind": kind,
        "account": account,
        "method": exchange.method,
        "url": format!("http://{host}{}", exchange.path),
        "headers": headers,
        "body": String::from_utf8_lossy(&exchange.body),
    })
}
