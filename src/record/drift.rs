//! The line that says that a tool is not what was pinned.

use serde::Serialize;

use crate::name::{ServerName, TenantId, ToolName};
use crate::record::line::body;

/// A tool that is not what was pinned, as a list showed it. Its texts are the server's, and not kept.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DriftLine<'a> {
    /// Whose account saw it.
    pub tenant: &'a TenantId,
    /// At which server.
    pub server: &'a ServerName,
    /// Which tool.
    pub tool: &'a ToolName,
    /// `changed` or `appeared`.
    pub change: &'a str,
    /// `enforce`: it is withheld; `warn`: it passes.
    pub mode: &'a str,
    /// SHA-256 of what is pinned, where that is one text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<&'a str>,
    /// SHA-256 of what the server says now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<&'a str>,
}

/// The body of a `drift` line.
pub(super) fn line(drift: &DriftLine<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Drifted<'a> {
        kind: &'static str,
        #[serde(flatten)]
        drift: &'a DriftLine<'a>,
    }
    body(&Drifted { kind: "drift", drift })
}
