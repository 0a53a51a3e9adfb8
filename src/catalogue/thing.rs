//! The kinds of things that a server offers and that are pinned.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::decode::ListKind;

/// A kind of thing. In the order of a lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Thing {
    /// A tool.
    Tool,
    /// A prompt.
    Prompt,
    /// A resource.
    Resource,
    /// A resource template.
    Template,
}

/// Which kinds a lock speaks of. What it does not speak of is not compared.
pub type Things = BTreeSet<Thing>;

impl Thing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tool, Self::Prompt, Self::Resource, Self::Template];

    /// Its name in audit, metrics and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "template",
        }
    }

    /// Several of them: in the lock, in the configuration, and in what `catalogue pull` writes.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource => "resources",
            Self::Template => "templates",
        }
    }

    /// The kind of this plural.
    #[must_use]
    pub fn of_plural(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|thing| thing.plural() == text)
    }

    /// The member that tells one from another.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Tool | Self::Prompt => "name",
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
        }
    }

    /// The members that are pinned beside the key, in the order in which a lock shows them.
    #[must_use]
    pub fn members(self) -> &'static [&'static str] {
        match self {
            Self::Tool => &["title", "description", "inputSchema", "outputSchema", "annotations"],
            Self::Prompt => &["title", "description", "arguments"],
            Self::Resource | Self::Template => &["name", "title", "description", "mimeType", "annotations"],
        }
    }

    /// What a list is of; `None`: of nothing that is pinned.
    #[must_use]
    pub fn listed(kind: ListKind) -> Option<Self> {
        match kind {
            ListKind::Tools => Some(Self::Tool),
            ListKind::Prompts => Some(Self::Prompt),
            ListKind::Resources => Some(Self::Resource),
            ListKind::Templates => Some(Self::Template),
            ListKind::Tasks => None,
        }
    }
}
