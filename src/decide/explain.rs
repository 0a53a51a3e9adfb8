//! A question → what policy says of it, in full: for the operator, never for a caller.

mod grants;
mod why;

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::decide::allowance::Purse;
use crate::decide::{Decide, Phase, Question, Verdict};
use crate::name::Revision;

pub use grants::Miss;
pub use why::{Detail, Known, Why};

/// What policy says of a question.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The outcome.
    pub outcome: Outcome,
    /// The rules that allow it.
    pub rules: Vec<Arc<str>>,
    /// The reasons of the rules that deny it: code and message.
    pub deny: Vec<(Option<String>, String)>,
    /// What arguments are narrowed to: JSON Schemas by argument.
    pub constraints: Map<String, Value>,
    /// JSON Pointers that are masked in results.
    pub redact: Vec<Arc<str>>,
    /// What it costs.
    pub cost: f64,
    /// Extra fields for the audit.
    pub annotations: Map<String, Value>,
    /// Why the question's arguments are refused, where they are.
    pub refusal: Option<String>,
    /// Why policy could not decide, where it could not.
    pub failure: Option<String>,
    /// The policy.
    pub revision: Revision,
}

/// How a question ends; without arguments in it, arguments aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It may happen, within the constraints.
    Allowed,
    /// The caller sees it and may not use it.
    Denied,
    /// For the caller it does not exist.
    Hidden,
    /// Policy could not decide, which refuses.
    Failed,
}

impl Decide {
    /// Explains one question as a call.
    #[must_use]
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let verdicts = self
            .verdict(question, Phase::Call, Purse::Open)
            .and_then(|call| Ok((call, self.listed(question, Purse::Open)?)));
        match verdicts {
            Ok((call, list)) => {
                let hidden = question.subject.used_by().is_some() && !list.allow;
                let given = question.arguments.filter(|_| call.allow && !hidden);
                let held = given.map_or(Ok(()), |given| call.constraints.hold(Some(given)));
                let outcome = match (call.allow && held.is_ok(), hidden) {
                    (_, true) => Outcome::Hidden,
                    (true, false) => Outcome::Allowed,
                    (false, false) => Outcome::Denied,
                };
                let refusal = held.err().map(|refusal| refusal.to_string());
                Explanation { refusal, ..Explanation::of(&call, outcome) }
            }
            Err(failure) => Explanation {
                outcome: Outcome::Failed,
                rules: Vec::new(),
                deny: Vec::new(),
                constraints: Map::new(),
                redact: Vec::new(),
                cost: 0.0,
                annotations: Map::new(),
                refusal: None,
                failure: Some(failure.to_string()),
                revision: self.revision().clone(),
            },
        }
    }
}

impl Explanation {
    fn of(verdict: &Verdict, outcome: Outcome) -> Self {
        let constraints = verdict.constraints.schemas();
        Self {
            outcome,
            rules: verdict.rules.clone(),
            deny: verdict.deny.clone(),
            constraints: constraints.map(|(name, schema)| (name.to_owned(), schema.clone())).collect(),
            redact: verdict.redact.clone(),
            cost: verdict.cost,
            annotations: verdict.annotations.clone(),
            refusal: None,
            failure: None,
            revision: verdict.revision.clone(),
        }
    }
}
