//! What decides beside policy whether anybody is shown something: its pins, its schema, and the gate's own tool.
//!
//! # Why policy's answer is kept beside it
//! An approval of a tool says that it is what it claims to be, and nothing of who may use it. What policy allows is
//! therefore reviewed as allowed, although the gate hides it today.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::catalogue::{Catalogue, Listed, Pins, Stand, Thing};
use crate::config::{PinMode, Server};
use crate::decide::{Decide, Narrowed, Question, Sight, Subject};
use crate::name::TenantId;

/// What is known of something beside what policy is told.
#[derive(Debug, Clone, Default)]
pub struct Offered {
    /// A tool's `inputSchema`, where it is known.
    pub schema: Option<Arc<RawValue>>,
    /// Why nobody is shown it, whatever policy says.
    pub unlisted: Option<Unlisted>,
}

/// Why the gate does not list what policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unlisted {
    /// It is not what was pinned, in this way, and pins are enforced: its use is refused as well.
    NotPinned(&'static str),
    /// A tool of the gate's own has its name: what calls it comes to that.
    Own,
    /// No arguments fit both its schema and policy. The gate does not hold calls to schemas: one that keeps to policy
    /// passes.
    Unfit,
}

impl Unlisted {
    /// Whether its use is refused as well.
    #[must_use]
    pub fn refuses(self) -> bool {
        match self {
            Self::NotPinned(_) | Self::Own => true,
            Self::Unfit => false,
        }
    }
}

impl fmt::Display for Unlisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPinned(how) => {
                write!(f, "withheld until it is approved: it is not as it was pinned ({how})")
            }
            Self::Own => f.write_str("withheld: the gate's own tool has this name"),
            Self::Unfit => {
                f.write_str("not listed, though a call may pass: no arguments fit both its schema and policy")
            }
        }
    }
}

impl Serialize for Unlisted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Offered {
    /// A tool as its server lists it.
    pub(in crate::review) fn tool(listed: &Listed, mode: PinMode) -> Self {
        let drift = listed.drift.filter(|_| listed.is_withheld(mode));
        Self {
            schema: listed.input_schema.clone().map(Arc::from),
            unlisted: drift.map(|drift| Unlisted::NotPinned(drift.as_str())),
        }
    }

    /// Anything else, whose list `reader` has learned.
    pub(in crate::review) fn thing(
        (reader, tenant): (&Catalogue, &TenantId),
        server: &Server,
        pins: &Pins,
        (thing, name): (Thing, &str),
    ) -> Self {
        let how = match reader.stand(tenant, server, pins, thing, name) {
            Stand::Fits => None,
            Stand::Drifted(drift) => Some(drift.as_str()),
            Stand::Unseen => Some("unseen"),
        };
        let how = how.filter(|_| pins.mode(server) == PinMode::Enforce);
        Self { schema: None, unlisted: how.map(Unlisted::NotPinned) }
    }

    /// Why the gate does not list it to whom policy allows it.
    #[must_use]
    pub fn unlisted(&self, decide: &Decide, question: Question<'_>) -> Option<Unlisted> {
        if self.unlisted.is_some() {
            return self.unlisted;
        }
        let Subject::Tool(_) = question.subject else { return None };
        let Sight::Shown(verdict) = decide.may_see(question) else { return None };
        match verdict.narrow(self.schema.as_deref()) {
            Narrowed::AsIs | Narrowed::To(_) => None,
            Narrowed::Unusable => Some(Unlisted::Unfit),
        }
    }
}
