//! Case files: who asks for what, and what policy must say. For people who do not write Rego.
//!
//! # Why beside the policies, and not data
//! `*_cases.yaml` stands where the policy that it speaks of stands, and goes through review with it. The gate does not
//! serve it: nothing of it is in `data`. Cases are judged by the [`Decide`] that serves, with the engine that serves.

mod read;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::config::{Server, Static};
use crate::decide::bundle::Text;
use crate::decide::{
    Circumstances, Decide, Explanation, Known, Outcome, PolicyProblem, Question, Subject, Tested,
};
use crate::identify::{Imagined, Proof};
use crate::name::ServerName;

/// The servers that the configuration knows.
pub type Servers = BTreeMap<ServerName, Arc<Server>>;

/// One case.
#[derive(Debug)]
pub(in crate::decide) struct Case {
    file: String,
    line: u32,
    name: String,
    caller: Static,
    proof: Proof,
    server: Arc<Server>,
    subject: Subject,
    arguments: Option<Box<RawValue>>,
    expected: Expected,
}

/// What policy must say.
#[derive(Debug)]
struct Expected {
    outcome: Outcome,
    rule: Option<String>,
    code: Option<String>,
    constraints: Option<Map<String, Value>>,
}

/// Whether a file holds cases, by its name.
pub(in crate::decide) fn is_case_file(name: &str) -> bool {
    name.ends_with("_cases.yaml") || name.ends_with("_cases.yml")
}

/// Reads case files; servers that they do not describe themselves are the configuration's.
pub(in crate::decide) fn read(texts: &[Text], servers: &Servers) -> Result<Vec<Case>, Vec<PolicyProblem>> {
    let (mut cases, mut problems) = (Vec::new(), Vec::new());
    for text in texts {
        match read::file(text, servers) {
            Ok(found) => cases.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(cases) } else { Err(problems) }
}

impl Case {
    /// Its name.
    pub(in crate::decide) fn name(&self) -> &str {
        &self.name
    }

    /// Asks, and holds the answer to what is expected.
    pub(in crate::decide) fn run(&self, decide: &Decide, now: jiff::Timestamp) -> Tested {
        let caller = Imagined::new(&self.caller, self.proof);
        let began = Instant::now();
        let circumstances = Circumstances::imagined(now);
        let question = Question {
            caller: caller.caller(),
            server: &self.server,
            method: self.subject.used_by().unwrap_or_default(),
            subject: &self.subject,
            arguments: self.arguments.as_deref(),
            circumstances: &circumstances,
        };
        let explanation = decide.explain(&question);
        let took = began.elapsed();
        let mut tested = self.tested(&explanation, took);
        if tested.problem.is_some() {
            let why = decide.why(&question, &explanation, Known::Whole);
            tested.details.insert(0, why.sentence);
            tested.stops = why.stops;
        }
        tested
    }

    fn tested(&self, told: &Explanation, took: Duration) -> Tested {
        let wrong = self.expected.differences(told);
        let problem = (!wrong.is_empty()).then(|| PolicyProblem {
            file: self.file.clone(),
            line: self.line,
            column: 1,
            what: wrong.join("; "),
            fix: String::new(),
        });
        Tested {
            file: self.file.clone(),
            line: self.line,
            name: self.name.clone(),
            took,
            details: if problem.is_some() { details(told) } else { Vec::new() },
            problem,
            stops: Vec::new(),
            prints: Vec::new(),
        }
    }
}

impl Expected {
    fn differences(&self, told: &Explanation) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.outcome != told.outcome {
            wrong.push(format!("expected {}, and it is {}", word(self.outcome), word(told.outcome)));
        }
        if let Some(rule) =
            self.rule.as_deref().filter(|rule| !told.rules.iter().any(|other| **other == **rule))
        {
            let rules = told.rules.join(", ");
            let rules = if rules.is_empty() { "none" } else { &rules };
            wrong.push(format!("expected the rule `{rule}`; the rules are: {rules}"));
        }
        if let Some(code) = &self.code
            && !told.deny.iter().any(|(other, _)| other.as_ref() == Some(code))
        {
            wrong.push(format!("expected the code `{code}`, which no rule of `deny` gives"));
        }
        if let Some(constraints) = self.constraints.as_ref().filter(|expected| **expected != told.constraints)
        {
            let (expected, is) =
                (Value::Object(constraints.clone()), Value::Object(told.constraints.clone()));
            wrong.push(format!("expected the constraints {expected}, and they are {is}"));
        }
        wrong
    }
}

/// What was said, for whoever looks into a case that fails.
fn details(told: &Explanation) -> Vec<String> {
    let mut details: Vec<String> = told.rules.iter().map(|rule| format!("rule {rule}")).collect();
    details.extend(
        told.deny
            .iter()
            .map(|(code, message)| format!("deny {}: {message}", code.as_deref().unwrap_or("denied"))),
    );
    details.extend(told.constraints.iter().map(|(name, schema)| format!("constraint {name}: {schema}")));
    details.extend(told.refusal.iter().map(|why| format!("refused: {why}")));
    details.extend(told.failure.iter().map(|why| format!("failure: {why}")));
    details
}

/// An outcome as case files write it.
fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allowed => "allow",
        Outcome::Denied => "refuse",
        Outcome::Hidden => "hidden",
        Outcome::Failed => "a failure of policy",
    }
}
