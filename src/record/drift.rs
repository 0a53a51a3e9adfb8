//! The line that says that a tool, prompt or resource is not what was pinned.

use serde::Serialize;

use crate::name::{ServerName, TenantId};
use crate::record::line::body;

/// Something that is not what was pinned, as a list showed it. Its texts are the server's, and not kept.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DriftLine<'a> {
    /// Whose account saw it.
    pub tenant: &'a TenantId,
    /// At which server.
    pub server: &'a ServerName,
    /// What it is, `tool`, `prompt`, `resource` or `template`, and which.
    #[serde(flatten, serialize_with = "one")]
    pub thing: (&'static str, &'a str),
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

/// One member: `"tool": "pay"`.
fn one<S: serde::Serializer>((kind, name): &(&'static str, &str), to: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap;
    let mut map = to.serialize_map(Some(1))?;
    map.serialize_entry(kind, name)?;
    map.end()
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
