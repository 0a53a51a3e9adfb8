//! What the gate knows of a server's tools: operation, class, tags, annotations, schema.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::name::ToolName;

/// A tool as policy sees it.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Its name at the server.
    pub name: ToolName,
    /// `list`, `get`, `create`, `update`, `delete`, or the vendor's own verb.
    pub operation: Arc<str>,
    /// What its operation amounts to.
    pub class: Class,
    /// Its tags.
    pub tags: Vec<Arc<str>>,
    /// The annotations as the server gave them, where the server is trusted for them.
    pub annotations: Option<Arc<RawValue>>,
    /// Whether it was pinned.
    pub pinned: bool,
}

/// What an operation amounts to: `list` and `get` read; `create`, `update` and `delete` write; all else is custom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Reads only.
    Read,
    /// Creates, updates or deletes.
    Write,
    /// Anything else, and whatever is not known.
    Custom,
}

impl Class {
    /// Its name in policy input.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Custom => "custom",
        }
    }
}
