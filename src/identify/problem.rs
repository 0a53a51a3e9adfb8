//! Mistakes in the identity part of the configuration, for the operator.

use std::fmt;

/// One mistake: where it is, what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityProblem {
    /// The place in the configuration file, as a path of keys.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl IdentityProblem {
    pub(in crate::identify) fn new(
        path: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), what: what.into(), fix: fix.into() }
    }
}

impl fmt::Display for IdentityProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.path, self.what, self.fix)
    }
}

impl std::error::Error for IdentityProblem {}
