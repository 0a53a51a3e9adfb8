//! What is wrong with a policy: where, what, and what would be right.

use std::fmt;

/// One mistake in a policy directory. A load reports all that it finds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyProblem {
    /// The file, as the operator would open it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What is wrong.
    pub what: String,
    /// What would be right; empty where `what` says it all.
    pub fix: String,
}

/// A place in a file: line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::decide) struct At {
    /// The line.
    pub(in crate::decide) line: u32,
    /// The column.
    pub(in crate::decide) column: u32,
}

impl At {
    /// The first character of a file.
    pub(in crate::decide) const START: Self = Self { line: 1, column: 1 };
}

impl PolicyProblem {
    /// A problem at a place.
    pub(in crate::decide) fn new(
        file: &str,
        at: At,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { file: file.to_owned(), line: at.line, column: at.column, what: what.into(), fix: fix.into() }
    }
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.what)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, "; {}", self.fix) }
    }
}

/// The known word nearest to `word`, if one is near enough to have been meant.
pub(in crate::decide) fn nearest<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(word, other), other))
        .filter(|(distance, other)| *distance <= (other.len() / 3).max(1))
        .min()
        .map(|(_, other)| other)
}
