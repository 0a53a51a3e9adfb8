//! What the record says of the gate's administration: who changed what, and who was not let.

use serde::Serialize;

use crate::record::line::body;

/// A request that would change something, and what came of it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ChangeLine<'a> {
    /// Who asked.
    pub by: &'a str,
    /// Their role, where they have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// The path, which names what it was about. No secret is ever in a path.
    pub path: &'a str,
    /// The tenant whose thing it is, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<&'a str>,
    /// What was made, by its public name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<&'a str>,
    /// The HTTP status of the answer: 2xx, and it was done.
    pub status: u16,
}

/// The body of an `admin` line.
pub(super) fn line(change: &ChangeLine<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        kind: &'static str,
        #[serde(flatten)]
        change: &'a ChangeLine<'a>,
    }
    body(&Line { kind: "admin", change })
}
