//! How the file says what the servers' tools, prompts and resources are pinned to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::leaf::FilePath;

/// What the servers' tools, prompts and resources are pinned to.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawPins {
    /// The lock file that `portcullis catalogue pin` writes. It belongs in git.
    pub(crate) file: FilePath,
    /// What becomes of a tool, prompt or resource that changed or appeared after it was pinned; a server may say otherwise.
    pub(crate) mode: RawPinMode,
    /// What is pinned beside tools. Default: what the lock file pins, and `prompts` in one that is written anew. Leave `resources` out where there are many, or pin `templates`, which let their resources pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) also: Option<Vec<RawPinnable>>,
}

impl Default for RawPins {
    fn default() -> Self {
        Self { file: FilePath("portcullis.lock".into()), mode: RawPinMode::Enforce, also: None }
    }
}

/// What may be pinned beside tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawPinnable {
    /// Prompts.
    Prompts,
    /// Resources, each by its URI.
    Resources,
    /// Resource templates. A resource without a pin of its own passes where a pinned template makes its URI.
    Templates,
}

/// What becomes of a tool, prompt or resource that changed or appeared after it was pinned.
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
