//! A matrix as one HTML page that needs nothing else: no network, no server.
//!
//! # Why the page forbids itself almost everything
//! It shows names that servers chose. They are data in it, written by the script as text only; and its
//! Content-Security-Policy lets nothing run but the one script and the one style whose hashes it names.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::review::{Cell, Matrix, plain};

const SCRIPT: &str = include_str!("page/page.js");
const STYLE: &str = include_str!("page/page.css");
const BODY: &str = include_str!("page/page.html");

/// What the script reads.
#[derive(Serialize)]
struct Data<'a> {
    policy: &'a str,
    who: Vec<Column<'a>>,
    what: Vec<Row<'a>>,
    /// Each cell that there is, once.
    kinds: Vec<Shown<'a>>,
    /// By what, then by who: the cell's number, or -1.
    cells: Vec<Vec<i64>>,
}

#[derive(Serialize)]
struct Column<'a> {
    name: String,
    tenant: &'a str,
}

#[derive(Serialize)]
struct Row<'a> {
    server: &'a str,
    kind: &'a str,
    name: String,
    operation: &'a str,
}

#[derive(Serialize)]
struct Shown<'a> {
    outcome: &'a str,
    remark: String,
    rules: String,
}

/// The page.
#[must_use]
pub fn page(matrix: &Matrix) -> String {
    let data = serde_json::to_string(&data(matrix)).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    let parts = [("@POLICY@", policy.as_str()), ("@STYLE@", STYLE), ("@SCRIPT@", SCRIPT)];
    let page = parts.into_iter().fold(BODY.to_owned(), |page, (place, text)| page.replace(place, text));
    // The data goes in last: nothing in it is ever taken for a place.
    page.replace("@DATA@", &in_script(&data))
}

/// JSON inside a script element: nothing in it can end the element or begin a comment.
fn in_script(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => text.push_str("\\u003c"),
            '>' => text.push_str("\\u003e"),
            '&' => text.push_str("\\u0026"),
            c => text.push(c),
        }
    }
    text
}

fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())))
}

fn data(matrix: &Matrix) -> Data<'_> {
    let mut numbers: HashMap<&Cell, i64> = HashMap::new();
    let mut kinds = Vec::new();
    let questions = &matrix.questions;
    let mut row = |index: usize| -> Vec<i64> {
        let cells = matrix.rows.iter().map(|row| row.get(index).and_then(Option::as_ref));
        let mut number = |cell| {
            *numbers.entry(cell).or_insert_with(|| {
                kinds.push(shown(cell));
                i64::try_from(kinds.len()).unwrap_or(i64::MAX) - 1
            })
        };
        cells.map(|cell| cell.map_or(-1, &mut number)).collect()
    };
    let cells = (0..questions.what.len()).map(&mut row).collect();
    let column = |who: &'_ crate::review::Who| plain::text(&who.name);
    Data {
        policy: matrix.revision.as_str(),
        who: questions
            .who
            .iter()
            .map(|who| Column { name: column(who), tenant: who.caller.tenant.as_str() })
            .collect(),
        what: questions
            .what
            .iter()
            .map(|what| Row {
                server: what.server.name.as_str(),
                kind: what.kind(),
                name: plain::text(what.name()),
                operation: what.operation(),
            })
            .collect(),
        kinds,
        cells,
    }
}

fn shown(cell: &Cell) -> Shown<'_> {
    Shown {
        outcome: cell.outcome.as_str(),
        remark: cell.remark(),
        rules: plain::text(&cell.rules.join(", ")),
    }
}
