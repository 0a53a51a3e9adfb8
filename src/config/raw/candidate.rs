//! How the file names a policy that is tried beside the one that serves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::leaf::FilePath;

/// A policy that is tried beside the one that serves: a directory, or a directory and for whom it decides.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawCandidate {
    /// A directory: it is compared, and decides for nobody.
    Directory(FilePath),
    /// A directory, and for whom it decides.
    Staged(RawStaged),
}

/// A candidate's directory, and for whom it decides.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawStaged {
    /// The directory.
    pub(crate) directory: FilePath,
    /// For whom it decides. Without it, for nobody; `portcullis policy canary` says otherwise for one revision.
    #[serde(default)]
    pub(crate) canary: Option<RawCanary>,
}

/// The tenants for whom the candidate decides, whatever its revision.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawCanary {
    /// Those that are named.
    #[schemars(length(min = 1))]
    pub(crate) tenants: Option<Vec<String>>,
    /// And so many of a hundred others, by a stable hash of their names.
    #[schemars(range(max = 100))]
    pub(crate) percent: u8,
}
