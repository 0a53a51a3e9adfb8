//! What servers offer now against what is pinned.

use std::collections::BTreeMap;

use crate::catalogue::definition::{Definition, ItemName};
use crate::catalogue::lock::Pinned;
use crate::catalogue::thing::Thing;

/// One difference between a server and its pins.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// Nothing is pinned under the name.
    Appeared(Definition),
    /// Something else is pinned under the name.
    Changed {
        /// What is pinned.
        was: Definition,
        /// What the server says now.
        now: Definition,
    },
    /// It is pinned, and the server does not have it any more.
    Gone(Definition),
}

impl Difference {
    /// What it is.
    #[must_use]
    pub fn thing(&self) -> Thing {
        self.one().thing
    }

    /// Which.
    #[must_use]
    pub fn name(&self) -> &ItemName {
        &self.one().name
    }

    fn one(&self) -> &Definition {
        match self {
            Self::Appeared(one) | Self::Gone(one) | Self::Changed { now: one, .. } => one,
        }
    }

    /// Its name in output.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Appeared(_) => "appeared",
            Self::Changed { .. } => "changed",
            Self::Gone(_) => "gone",
        }
    }

    /// What the server says now, where it says something.
    #[must_use]
    pub fn now(&self) -> Option<&Definition> {
        match self {
            Self::Appeared(now) | Self::Changed { now, .. } => Some(now),
            Self::Gone(_) => None,
        }
    }
}

/// Every definition that a server's accounts were shown, once.
#[must_use]
pub fn distinct(tools: impl IntoIterator<Item = Definition>) -> Pinned {
    let mut seen = BTreeMap::new();
    for tool in tools {
        let texts: &mut Vec<Definition> = seen.entry((tool.thing, tool.name.clone())).or_default();
        if !texts.contains(&tool) {
            texts.push(tool);
        }
    }
    seen
}

/// The differences by kind and name. `whole`: every account was asked for the kind, so that what was not seen is gone.
#[must_use]
pub fn compare(pinned: &Pinned, seen: &Pinned, whole: &dyn Fn(Thing) -> bool) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, texts) in seen {
        let pins = pinned.get(name).map(Vec::as_slice).unwrap_or_default();
        for now in texts.iter().filter(|now| !pins.contains(now)) {
            // Of several pins, the one that no account is shown any more is the one that changed.
            let was = pins.iter().find(|pin| !texts.contains(pin)).or(pins.first());
            found.push(match was {
                Some(was) => Difference::Changed { was: was.clone(), now: now.clone() },
                None => Difference::Appeared(now.clone()),
            });
        }
    }
    let gone = pinned.iter().filter(|(key, _)| whole(key.0) && !seen.contains_key(*key));
    found.extend(gone.flat_map(|(_, pins)| pins.first()).cloned().map(Difference::Gone));
    found.sort_by(|one, other| (one.thing(), one.name()).cmp(&(other.thing(), other.name())));
    found
}
