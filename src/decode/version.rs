//! Which revision a message speaks: the header and `_meta` must say the same.

use super::mirror;
use super::{Era, Version};
use crate::inbound::Head;
use crate::refusal::Refusal;

/// The header that says the revision.
pub(super) const HEADER: &str = "mcp-protocol-version";

impl Version {
    /// Every revision that the gate knows, oldest first.
    pub const ALL: [Self; 5] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];

    /// The revision of that name; the names are opaque, and compared whole.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// The name that the specification gives it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The era it belongs to.
    #[must_use]
    pub const fn era(self) -> Era {
        match self {
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => Era::Legacy,
            Self::V2026_07_28 => Era::Modern,
        }
    }
}

/// What a message said about its revision, once header and body agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spoken {
    /// The era.
    pub(super) era: Era,
    /// The revision, where anything says it.
    pub(super) version: Option<Version>,
}

impl Spoken {
    /// The revision whose methods apply: 2025-03-26 where nothing says another (2025-11-25 basic/transports).
    pub(super) fn effective(self) -> Version {
        self.version.unwrap_or(Version::V2025_03_26)
    }
}

/// The era that the header alone suggests: enough for an answer to what could not be read.
pub(super) fn header_era(head: &Head) -> Era {
    let modern = |value: &http::HeaderValue| value.as_bytes() == Version::V2026_07_28.as_str().as_bytes();
    if head.headers.get_all(HEADER).iter().any(modern) { Era::Modern } else { Era::Legacy }
}

/// Header, `_meta` and session must agree; there is no picking.
pub(super) fn agree(head: &Head, meta: Option<&str>, session: Option<Version>) -> Result<Spoken, Refusal> {
    let header = mirror::once(head, HEADER)?;
    match (header, meta) {
        (header, Some(meta)) if header == Some(meta) => modern(meta),
        (Some(header), Some(meta)) => Err(Refusal::HeaderMismatch(format!(
            "MCP-Protocol-Version says {header:?}, and _meta says {meta:?}"
        ))),
        (None, Some(meta)) => Err(Refusal::HeaderMismatch(format!(
            "_meta says the protocol version {meta:?}, and there is no MCP-Protocol-Version header"
        ))),
        (Some(header), None) => by_header(header, session),
        (None, None) => Ok(Spoken { era: Era::Legacy, version: session }),
    }
}

/// Both say the same; only a modern revision is said in `_meta`.
fn modern(version: &str) -> Result<Spoken, Refusal> {
    match Version::parse(version) {
        Some(known) if known.era() == Era::Modern => Ok(Spoken { era: Era::Modern, version: Some(known) }),
        Some(_) | None => Err(Refusal::UnsupportedVersion { requested: version.to_owned() }),
    }
}

fn by_header(header: &str, session: Option<Version>) -> Result<Spoken, Refusal> {
    let Some(version) = Version::parse(header) else {
        return Err(Refusal::Invalid(format!(
            "MCP-Protocol-Version {header:?} is not a revision known here"
        )));
    };
    match session {
        Some(negotiated) if version.era() == Era::Legacy && negotiated != version => Err(Refusal::Invalid(
            format!("MCP-Protocol-Version says {header}, and the session negotiated {}", negotiated.as_str()),
        )),
        Some(_) | None => Ok(Spoken { era: version.era(), version: Some(version) }),
    }
}
