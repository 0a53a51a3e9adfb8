//! Whether a call would pass: the judgement of the call itself, without the call.
//!
//! # Why no permit comes of it
//! A permit is used up by sending. What is answered here can be sent nowhere, so that a question can never become a call.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::decide::allowance::Purse;
use crate::decide::engine::No;
use crate::decide::rollout::takes_arguments;
use crate::decide::{Decide, Question, Verdict};
use crate::decode::Action;
use crate::refusal::Refusal;

/// A call that would pass.
#[derive(Debug)]
pub struct Would {
    /// What policy says of it.
    pub verdict: Arc<Verdict>,
    /// What arguments must be, where none were given to hold to it: JSON Schemas by argument.
    pub limits: Map<String, Value>,
}

/// A call that would be refused.
#[derive(Debug)]
pub struct WouldNot {
    /// What the caller would be told.
    pub refusal: Refusal,
    /// The rules that would have allowed it; for the audit.
    pub rules: Vec<Arc<str>>,
}

impl Decide {
    /// Judges what a call would be told. A question without arguments asks whether some call would pass, and is told what
    /// the arguments must be.
    ///
    /// # Errors
    /// The refusal of the call.
    pub fn would(&self, question: &Question<'_>, action: &Action) -> Result<Would, WouldNot> {
        match self.judge(question, takes_arguments(action), Purse::Open) {
            Ok(verdict) => Ok(Would { verdict, limits: Map::new() }),
            // Arguments are held last, so that nothing else stands against it.
            Err(No { refusal: Refusal::Constrained { .. }, verdict: Some(verdict) })
                if question.arguments.is_none() =>
            {
                let schemas = verdict.constraints.schemas();
                let limits = schemas.map(|(name, schema)| (name.to_owned(), schema.clone())).collect();
                Ok(Would { verdict, limits })
            }
            Err(No { refusal, verdict }) => {
                let rules = verdict.map(|verdict| verdict.rules.clone()).unwrap_or_default();
                Err(WouldNot { refusal, rules })
            }
        }
    }
}
