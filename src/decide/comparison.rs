//! How one message looks to two policies: what the other one would have said, and whether that differs.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::decide::Verdict;
use crate::name::Revision;
use crate::refusal::Refusal;

/// What a second policy made of a message. It is for the operator; the answer never depends on it.
#[derive(Debug)]
pub struct Comparison {
    /// Whose decision counts.
    pub decided_by: Seat,
    /// What came of asking the other.
    pub compared: Compared,
}

/// Which of two policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// The one that serves.
    Live,
    /// The one that is tried.
    Candidate,
}

/// What came of asking the policy whose decision does not count.
#[derive(Debug)]
pub enum Compared {
    /// It was not asked: it has had its time.
    LeftOut,
    /// It says the same.
    Same,
    /// It does not.
    Differs(Box<Difference>),
}

/// What the other policy says, where that differs.
#[derive(Debug)]
pub struct Difference {
    /// What would be different under the candidate.
    pub changes: Vec<Change>,
    /// What the policy says whose decision does not count.
    pub other: Opinion,
}

/// What would be different under the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// It would be allowed, and is not.
    NewlyAllowed,
    /// It would be refused, and is allowed.
    NewlyRefused,
    /// It is refused by both, but one of them hides it and the other gives the reason.
    Visibility,
    /// It is allowed by both, with other constraints on its arguments.
    Constraints,
    /// It is allowed by both, and other parts of its result are masked.
    Redaction,
    /// One of them could not decide.
    Failed,
}

impl Change {
    /// All of them, newly allowed first.
    pub const ALL: [Self; 6] = [
        Self::NewlyAllowed,
        Self::NewlyRefused,
        Self::Visibility,
        Self::Constraints,
        Self::Redaction,
        Self::Failed,
    ];

    /// Its name in the audit and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewlyAllowed => "newly_allowed",
            Self::NewlyRefused => "newly_refused",
            Self::Visibility => "visibility",
            Self::Constraints => "constraints",
            Self::Redaction => "redaction",
            Self::Failed => "failed",
        }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// A decision in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It may be.
    Allowed,
    /// The caller sees it and may not do this.
    Denied,
    /// For this caller it does not exist.
    Hidden,
    /// The policy could not decide, which refuses.
    Failed,
}

/// What a policy says of a message, without anything of its arguments.
#[derive(Debug, Serialize)]
pub struct Opinion {
    /// Which policy.
    pub revision: Revision,
    /// Its decision.
    pub decision: Word,
    /// The rules that allow it, or would but for a `deny`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Arc<str>>,
    /// The code of the rule that denies it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The argument that is outside what it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argument: Option<String>,
}

/// What one policy said: the verdict as far as there is one, and the refusal.
pub(in crate::decide) struct Side<'a> {
    pub verdict: Option<&'a Arc<Verdict>>,
    pub refusal: Option<&'a Refusal>,
}

impl Side<'_> {
    fn word(&self) -> Word {
        match self.refusal {
            None => Word::Allowed,
            Some(Refusal::UnknownTool(_) | Refusal::NotFound(_)) => Word::Hidden,
            Some(Refusal::PolicyFailed) => Word::Failed,
            Some(_) => Word::Denied,
        }
    }

    fn opinion(&self, revision: &Revision) -> Opinion {
        let (mut code, mut argument) = (None, None);
        match self.refusal {
            Some(Refusal::Denied { code: said, .. }) => code.clone_from(said),
            Some(Refusal::Constrained { argument: name, .. }) => argument = Some(name.clone()),
            _ => {}
        }
        let rules = self.verdict.map(|verdict| verdict.rules.clone()).unwrap_or_default();
        Opinion { revision: revision.clone(), decision: self.word(), rules, code, argument }
    }
}

/// Compares what two policies said. `seat`: of the one that decides; `revision`: of the other; `held`: whether there are
/// arguments for constraints to hold.
pub(in crate::decide) fn compare(
    seat: Seat,
    decided: &Side<'_>,
    other: &Side<'_>,
    revision: &Revision,
    held: bool,
) -> Compared {
    let (live, candidate) = match seat {
        Seat::Live => (decided, other),
        Seat::Candidate => (other, decided),
    };
    let mut changes = changes(live, candidate);
    changes.retain(|change| held || *change != Change::Constraints);
    if changes.is_empty() {
        return Compared::Same;
    }
    Compared::Differs(Box::new(Difference { changes, other: other.opinion(revision) }))
}

fn changes(live: &Side<'_>, candidate: &Side<'_>) -> Vec<Change> {
    match (live.word(), candidate.word()) {
        (Word::Allowed, Word::Allowed) => match (live.verdict, candidate.verdict) {
            (Some(live), Some(candidate)) => obligations(live, candidate),
            (Some(_) | None, _) => Vec::new(),
        },
        (Word::Failed, Word::Failed) => Vec::new(),
        (Word::Failed, _) | (_, Word::Failed) => vec![Change::Failed],
        (Word::Denied | Word::Hidden, Word::Allowed) => vec![Change::NewlyAllowed],
        (Word::Allowed, Word::Denied | Word::Hidden) => vec![Change::NewlyRefused],
        (Word::Denied, Word::Hidden) | (Word::Hidden, Word::Denied) => vec![Change::Visibility],
        (Word::Denied, Word::Denied) | (Word::Hidden, Word::Hidden) => Vec::new(),
    }
}

fn obligations(live: &Verdict, candidate: &Verdict) -> Vec<Change> {
    let mut changes = Vec::new();
    if !live.constraints.schemas().eq(candidate.constraints.schemas()) {
        changes.push(Change::Constraints);
    }
    if live.redact != candidate.redact {
        changes.push(Change::Redaction);
    }
    changes
}
