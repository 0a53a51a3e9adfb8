//! How the file says what the servers' tools are pinned to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::leaf::FilePath;

/// What the servers' tools are pinned to.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawPins {
    /// The lock file that `portcullis catalogue pin` writes. It belongs in git.
    pub(crate) file: FilePath,
    /// What becomes of a tool that changed or appeared after it was pinned; a server may say otherwise.
    pub(crate) mode: RawPinMode,
}

impl Default for RawPins {
    fn default() -> Self {
        Self { file: FilePath("portcullis.lock".into()), mode: RawPinMode::Enforce }
    }
}

/// What becomes of a tool that changed or appeared after it was pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawPinMode {
    /// It is hidden and refused until it is approved.
    Enforce,
    /// It passes; you are told by log, metric and audit.
    Warn,
    /// Tools are not compared with pins at all.
    Off,
}
