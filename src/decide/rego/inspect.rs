//! A question → an engine that has its input, to be asked about parts of the policy: for explanations, never for calls.

use regorus::{Engine, Value};

use crate::decide::check::AUTHZ;
use crate::decide::outline::{Body, Outline};
use crate::decide::rego::{Failure, Probe, Rego, Stop, input, outline};
use crate::decide::{Phase, Question};

/// How far from a rule to the rules that it names.
const DEPTH: usize = 4;

/// An engine with one question.
pub(in crate::decide) struct Inspection {
    engine: Engine,
    input: Value,
    outlines: Vec<Outline>,
    /// The package that answers, with nothing imported.
    plain: Outline,
}

impl Rego {
    /// Opens the policy for one question.
    pub(in crate::decide) fn inspect(
        &self,
        question: &Question<'_>,
        phase: Phase,
    ) -> Result<Inspection, Failure> {
        let input = input::of(question, phase)?;
        let engine = self.knowing().map_err(Failure::Failed)?;
        let outlines = self.modules.iter().filter_map(|text| outline(text).ok()).collect();
        let package = AUTHZ.map(str::to_owned).to_vec();
        let plain = Outline { file: String::new(), package, imports: String::new(), bodies: Vec::new() };
        Ok(Inspection { engine, input, outlines, plain })
    }
}

impl Inspection {
    /// Whether the package that answers has rules of all these names.
    pub(in crate::decide) fn has(&self, names: &[&str]) -> bool {
        let bodies = || self.bodies().map(|(_, body)| body);
        names.iter().all(|name| bodies().any(|body| body.rule == [*name]))
    }

    /// What an expression comes to in the package that answers.
    pub(in crate::decide) fn value(&self, expression: &str) -> Option<serde_json::Value> {
        let values = Probe::new(&self.engine, &self.input).values(&self.plain, expression)?;
        serde_json::to_value(values.first()?).ok()
    }

    /// Where the bodies of a rule stop, in their order, and those of the rules on which they stop.
    pub(in crate::decide) fn stops(&self, rule: &str) -> Vec<Stop> {
        let mut stops = Vec::new();
        let mut seen = vec![rule.to_owned()];
        self.follow(rule, DEPTH, &mut seen, &mut stops);
        stops
    }

    fn follow(&self, rule: &str, depth: usize, seen: &mut Vec<String>, into: &mut Vec<Stop>) {
        let probe = Probe::new(&self.engine, &self.input);
        for (outline, body) in self.bodies().filter(|(_, body)| body.rule == [rule] && !body.function) {
            let Some(stop) = probe.stop(outline, body) else { continue };
            let undefined = stop.values.iter().filter(|(_, value)| value == "undefined" || value == "false");
            let named: Vec<String> = undefined.map(|(text, _)| text.clone()).collect();
            into.push(stop);
            for name in named {
                if depth > 1 && !seen.contains(&name) {
                    seen.push(name.clone());
                    self.follow(&name, depth - 1, seen, into);
                }
            }
        }
    }

    fn bodies(&self) -> impl Iterator<Item = (&Outline, &Body)> {
        let asked = self.outlines.iter().filter(|outline| outline.package == AUTHZ);
        asked.flat_map(|outline| outline.bodies.iter().map(move |body| (outline, body)))
    }
}
