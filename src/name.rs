//! Names that cannot be mistaken for one another: parsed once, compared whole, never concatenated.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// Why a text is not a name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadName {
    /// Nothing was given.
    #[error("it is empty")]
    Empty,
    /// More than the name's limit in bytes.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// A character that this kind of name does not have.
    #[error("it has the character {0:?}, which such a name may not have")]
    Character(char),
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, max $max:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes `text` as a name of this kind.
            ///
            /// # Errors
            /// Empty, too long, or a character that the kind does not have.
            pub fn parse(text: &str) -> Result<Self, BadName> {
                if text.is_empty() {
                    return Err(BadName::Empty);
                }
                if text.len() > $max {
                    return Err(BadName::TooLong($max));
                }
                let allowed: fn(char) -> bool = $allowed;
                match text.chars().find(|c| !allowed(*c)) {
                    Some(c) => Err(BadName::Character(c)),
                    None => Ok(Self(text.into())),
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn printable(c: char) -> bool {
    !c.is_control()
}

fn slug(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// What shells, logs and tables take without quotes.
fn plain(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '`' | '\\')
}

name!(
    /// Who owns the data and pays. Never taken from a body or an unauthenticated header.
    TenantId, max 256, printable
);
name!(
    /// A person for whom a call is made, as the identity provider names them.
    UserId, max 512, printable
);
name!(
    /// The program that calls: an OAuth client, an API key's holder.
    AgentId, max 512, printable
);
name!(
    /// One upstream MCP server, as the configuration names it.
    ServerName, max 64, slug
);
name!(
    /// A tool as its server names it; compared exactly, case included.
    ToolName, max 1024, printable
);
name!(
    /// The public id of a scoped URL (`su_…`); not the secret in it.
    UrlId, max 64, slug
);
name!(
    /// The public id of an API key that was made while the gate runs (`ak_…`); not the key.
    KeyId, max 64, slug
);
name!(
    /// Which policy decided: a digest of every policy and data file, `git:<commit>`, or `bundle:<revision>@<digest>`.
    Revision, max 192, plain
);

impl Revision {
    /// The revision of a hexadecimal digest.
    pub(crate) fn from_digest(hex: &str) -> Self {
        Self(hex.into())
    }
}

/// One message in flight: in the audit, the trace, the token and the error that the agent sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Invocation(Uuid);

impl Invocation {
    /// A new one; version 7, so that they sort by time (RFC 9562 section 5.7).
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The same invocation, read back from a record.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// A number from 0 to below 1 that is the invocation's own: its random bits, so that sampling needs no other dice.
    #[must_use]
    pub fn chance(&self) -> f64 {
        let (_, low) = self.0.as_u64_pair();
        f64::from(u32::try_from(low & 0xffff_ffff).unwrap_or(0)) / 4_294_967_296.0
    }
}

impl Default for Invocation {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_name_is_a_slug_and_says_what_is_wrong() {
        assert_eq!(ServerName::parse("netsuite-eu.1").unwrap().as_str(), "netsuite-eu.1");
        assert_eq!(ServerName::parse("net suite"), Err(BadName::Character(' ')));
        assert_eq!(ServerName::parse(""), Err(BadName::Empty));
    }

    #[test]
    fn names_with_control_characters_are_refused() {
        assert_eq!(ToolName::parse("a\nb"), Err(BadName::Character('\n')));
        assert_eq!(TenantId::parse("a\u{1b}[31m"), Err(BadName::Character('\u{1b}')));
    }
}
