//! Markdown as pull requests show it: a matrix, and the words for it.

use std::fmt::Write;

use crate::review::grid::{Grid, LEGEND};
use crate::review::{Matrix, plain};

/// The matrix as a table for each server.
#[must_use]
pub fn markdown(matrix: &Matrix) -> String {
    let grid = Grid::of(matrix);
    let mut text = String::from("# What the policy lets whom do\n");
    for section in &grid.sections {
        let served = |index: &usize| {
            section.rows.iter().any(|(_, cells)| cells.get(*index).is_some_and(|cell| !cell.is_empty()))
        };
        let shown: Vec<usize> = (0..grid.columns.len()).filter(served).collect();
        let _ = writeln!(text, "\n## {}\n", words(&section.server));
        let names = shown.iter().filter_map(|index| grid.columns.get(*index)).map(|name| code(name));
        row(&mut text, std::iter::once(String::new()).chain(names));
        row(&mut text, (0..=shown.len()).map(|_| "---".to_owned()));
        for (name, cells) in &section.rows {
            let cells = shown.iter().map(|index| cells.get(*index).cloned().unwrap_or_default());
            row(&mut text, std::iter::once(code(name)).chain(cells));
        }
    }
    text.push('\n');
    for (number, note) in grid.notes.iter().enumerate() {
        let _ = writeln!(text, "- [{}] {}", number + 1, code(note));
    }
    let _ = write!(text, "\n{LEGEND}\n\nPolicy `{}`", matrix.revision());
    text
}

/// A line of a table.
pub(in crate::review) fn row(text: &mut String, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// A name or a reason, in which nothing is markup.
pub(in crate::review) fn code(raw: &str) -> String {
    let text = plain::text(raw);
    if text.is_empty() {
        return text;
    }
    let tame =
        |c: char| c != '`' && c != '|' && c != '<' && c != '\\' && !(c == '@' && text.starts_with('@'));
    if text.chars().all(tame) && text.trim() == text {
        return format!("`{text}`");
    }
    format!("<code>{}</code>", words(&text))
}

/// Words in which nothing is markup: what could be is written as a reference to its character.
pub(in crate::review) fn words(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    for c in plain::text(raw).chars() {
        if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | ';' | ':' | '-' | '/' | '(' | ')' | '=') {
            let _ = write!(text, "&#{};", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}
