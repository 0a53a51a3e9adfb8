//! Two matrices → the cells that change, what is newly allowed first.
//!
//! # Why a changed constraint counts as newly allowed
//! Whether one schema takes less than another cannot be told in general. A constraint or a mask that is added takes
//! nothing but away; every other change of them may let a call pass that was refused before, so it is reviewed as one.
//!
//! # Why what is newly granted and not listed counts as newly allowed
//! It is withheld until it is approved, or a caller must know its name: neither is a review of who may use it. See
//! [`Unlisted`](crate::review::Unlisted).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::review::{Cell, Entry, Matrix, What, Who};

/// Which way a cell turns, in the order of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// It was refused and is allowed.
    Allowed,
    /// It was allowed and is, with a constraint or a mask that is gone or another.
    Widened,
    /// It was allowed and is refused.
    Refused,
    /// It was allowed and is, with one more constraint or mask.
    Narrowed,
    /// It is as it was, but is seen where it was hidden, or the other way round, or for another reason.
    Told,
}

/// One cell that changes.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which way.
    pub turn: Turn,
    /// Who.
    pub who: Who,
    /// What.
    pub what: What,
    /// What policy said.
    pub before: Cell,
    /// What it says.
    pub after: Cell,
}

impl Turn {
    /// Whether something may happen that could not: what a reviewer must have expected.
    #[must_use]
    pub fn is_newly_allowed(self) -> bool {
        match self {
            Self::Allowed | Self::Widened => true,
            Self::Refused | Self::Narrowed | Self::Told => false,
        }
    }

    fn of(before: &Cell, after: &Cell) -> Option<Self> {
        match (before.is_granted(), after.is_granted()) {
            (false, true) => Some(Self::Allowed),
            (true, false) => Some(Self::Refused),
            (true, true) => Self::within(before, after),
            (false, false) if before.outcome != after.outcome || before.deny != after.deny => {
                Some(Self::Told)
            }
            (false, false) => None,
        }
    }

    /// Of what policy allows before and after.
    fn within(before: &Cell, after: &Cell) -> Option<Self> {
        match (before.outcome.allows(), after.outcome.allows()) {
            (false, true) => Some(Self::Allowed),
            (_, _) if widens(before, after) => Some(Self::Widened),
            (true, false) => Some(Self::Refused),
            (_, _) if before.constraints != after.constraints || before.redact != after.redact => {
                Some(Self::Narrowed)
            }
            (_, _) if before.unlisted != after.unlisted => Some(Self::Told),
            (_, _) => None,
        }
    }
}

fn widens(before: &Cell, after: &Cell) -> bool {
    let kept = |(name, schema)| after.constraints.get(name) == Some(schema);
    let masked = |pointer| after.redact.contains(pointer);
    !before.constraints.iter().all(kept) || !before.redact.iter().all(masked)
}

/// The cells that differ between two matrices. What only one of them asks about does not exist for anybody in the other.
/// Rules that have another name and allow the same change nothing.
#[must_use]
pub fn changes(before: &Matrix, after: &Matrix) -> Vec<Change> {
    let mut cells: BTreeMap<_, (Option<Entry<'_>>, Option<Entry<'_>>)> = BTreeMap::new();
    for entry in before.entries() {
        cells.entry(key(&entry)).or_default().0 = Some(entry);
    }
    for entry in after.entries() {
        cells.entry(key(&entry)).or_default().1 = Some(entry);
    }
    let turned = |(before, after): (Option<Entry<'_>>, Option<Entry<'_>>)| {
        let Entry { who, what, .. } = after.or(before)?;
        let cell = |entry: Option<Entry<'_>>| entry.map_or_else(Cell::nothing, |entry| entry.cell.clone());
        let (before, after) = (cell(before), cell(after));
        let turn = Turn::of(&before, &after)?;
        Some(Change { turn, who: who.clone(), what: what.clone(), before, after })
    };
    let mut changes: Vec<Change> = cells.into_values().filter_map(turned).collect();
    // Stable: within a turn it stays who by who.
    changes.sort_by_key(|change| change.turn);
    changes
}

type Key<'a> = (&'a str, &'a str, u8, &'a str);

fn key<'a>(entry: &Entry<'a>) -> Key<'a> {
    let (server, kind, name) = entry.what.key();
    (&entry.who.name, server, kind, name)
}
