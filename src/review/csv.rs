//! A matrix as CSV (RFC 4180): one line for each cell.
//!
//! # Why some values begin with an apostrophe
//! Spreadsheets run what begins with `=`, `+`, `-` or `@`, and a server names its own tools. The apostrophe keeps a value
//! a text.

use crate::review::{Entry, Matrix};

const HEAD: [&str; 12] = [
    "tenant",
    "who",
    "server",
    "kind",
    "name",
    "operation",
    "outcome",
    "constraints",
    "redact",
    "rules",
    "reasons",
    "policy",
];

/// The matrix, with a line of names first.
#[must_use]
pub fn csv(matrix: &Matrix) -> String {
    let mut text = HEAD.join(",");
    text.push_str("\r\n");
    for entry in matrix.entries() {
        let values = values(&entry, matrix.revision().as_str());
        let fields: Vec<String> = values.iter().map(|value| field(value)).collect();
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
    text
}

fn values(Entry { who, what, cell }: &Entry<'_>, policy: &str) -> [String; 12] {
    let constraints = match cell.constraints.is_empty() {
        true => String::new(),
        false => serde_json::Value::Object(cell.constraints.clone()).to_string(),
    };
    let reasons = cell.deny.iter().map(|(code, message)| match code {
        Some(code) => format!("{code}: {message}"),
        None => message.clone(),
    });
    let reasons: Vec<String> =
        reasons.chain(cell.failure.clone()).chain(cell.unlisted.map(|why| why.to_string())).collect();
    [
        who.caller.tenant.to_string(),
        who.name.to_string(),
        what.server.name.to_string(),
        what.kind().to_owned(),
        what.name().to_owned(),
        what.operation().to_owned(),
        cell.outcome.to_string(),
        constraints,
        cell.redact.join(" "),
        cell.rules.join(" "),
        reasons.join("; "),
        policy.to_owned(),
    ]
}

fn field(value: &str) -> String {
    let tame = match value.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{value}"),
        false => value.to_owned(),
    };
    match tame.contains([',', '"', '\r', '\n', ';', '\'']) {
        true => format!("\"{}\"", tame.replace('"', "\"\"")),
        false => tame,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_formulas_stay_text() {
        assert_eq!(field("plain"), "plain");
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(field("=1+1"), "\"'=1+1\"");
    }
}
