//! `test_…` rules, one by one.

use std::time::{Duration, Instant};

use regorus::{Engine, Value};

use crate::decide::bundle::{Bundle, Text};
use crate::decide::paths::{Module, Rule};
use crate::decide::problem::PolicyProblem;
use crate::decide::rego::probe::{Probe, Stop};
use crate::decide::rego::{PATIENCE, Values, build, located, outline, step, timer};

/// A `test_…` rule or a case that was run.
#[derive(Debug, Clone)]
pub struct Tested {
    /// Its file.
    pub file: String,
    /// Its line, from 1.
    pub line: u32,
    /// Its name.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// Why it fails; `None`: it passes.
    pub problem: Option<PolicyProblem>,
    /// What was said instead, if it is a case and fails.
    pub details: Vec<String>,
    /// Where its bodies stop, if it fails.
    pub stops: Vec<Stop>,
    /// What it printed.
    pub prints: Vec<String>,
}

/// The lines of a serving module that tests came to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Covered {
    /// The file.
    pub file: String,
    /// Lines that some test came to.
    pub covered: Vec<u32>,
    /// Lines that none came to.
    pub missed: Vec<u32>,
}

/// Whether it is counted which lines are come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// It is not.
    Uncounted,
    /// It is.
    Counted,
}

/// Tests in an engine of their own.
pub(in crate::decide) struct Trial {
    engine: Engine,
    texts: Vec<Text>,
    serving: usize,
}

impl Trial {
    /// Readies the modules of a bundle, tests included.
    ///
    /// # Errors
    /// The modules do not make an engine.
    pub(in crate::decide) fn ready(
        bundle: &Bundle,
        values: &Values,
        coverage: Coverage,
    ) -> Result<Self, PolicyProblem> {
        let texts: Vec<Text> = bundle.modules.iter().chain(&bundle.tests).cloned().collect();
        let engine = build(texts.iter(), values.0.clone());
        let mut engine = engine.map_err(|error| located(&error, &texts))?;
        engine.set_enable_coverage(coverage == Coverage::Counted);
        Ok(Self { engine, texts, serving: bundle.modules.len() })
    }

    /// Runs every `test_…` rule whose name is wanted, as `opa test` does: it passes when it is exactly true.
    pub(in crate::decide) fn run(
        &mut self,
        modules: &[&Module],
        wanted: impl Fn(&str) -> bool,
    ) -> Vec<Tested> {
        let mut tested = Vec::new();
        for module in modules {
            let mut done: Vec<&str> = Vec::new();
            for (rule, name) in module.rules.iter().filter_map(|rule| Some((rule, test_name(rule)?))) {
                if !done.contains(&name) && wanted(name) {
                    done.push(name);
                    tested.push(self.one(module, rule, name));
                }
            }
        }
        tested
    }

    fn one(&mut self, module: &Module, rule: &Rule, name: &str) -> Tested {
        let path = module.package.iter().fold("data".to_owned(), |path, part| step(&path, part));
        self.engine.set_execution_timer_config(timer(PATIENCE));
        self.engine.set_input(Value::Undefined);
        let began = Instant::now();
        let result = self.engine.eval_rule(step(&path, name));
        let took = began.elapsed();
        let prints = self.engine.take_prints().unwrap_or_default();
        let failed = match result {
            Ok(Value::Bool(true)) => None,
            Ok(Value::Undefined | Value::Bool(false)) => Some(format!("test `{name}` fails")),
            Ok(other) => Some(format!("test `{name}` fails: it gives {other}, and not true")),
            Err(e) => Some(format!("test `{name}` fails: {}", located(&format!("{e:#}"), &self.texts))),
        };
        let problem = failed.map(|what| PolicyProblem::new(&module.file, rule.at, what, ""));
        let (file, line) = (module.file.clone(), rule.at.line);
        Tested {
            file,
            line,
            name: name.to_owned(),
            took,
            problem,
            details: Vec::new(),
            stops: Vec::new(),
            prints,
        }
    }

    /// Says of each test that failed where it stopped. It takes a while, so it is not for loads.
    pub(in crate::decide) fn explain(&self, tested: &mut [Tested]) {
        for test in tested.iter_mut().filter(|test| test.problem.is_some()) {
            let Some(text) = self.texts.iter().find(|text| text.file == test.file) else { continue };
            let Ok(outline) = outline(text) else { continue };
            let probe = Probe::new(&self.engine, &Value::Undefined);
            let bodies = outline.bodies.iter().filter(|body| body.rule == [test.name.as_str()]);
            test.stops = bodies.filter_map(|body| probe.stop(&outline, body)).collect();
        }
    }

    /// Which lines of the serving modules the tests came to. A module that none came to is in it with all its lines.
    pub(in crate::decide) fn covered(&self) -> Vec<Covered> {
        let report = self.engine.get_coverage_report().map(|report| report.files).unwrap_or_default();
        let serving = self.texts.iter().take(self.serving);
        serving
            .map(|text| match report.iter().find(|file| file.path == text.file) {
                Some(file) => Covered {
                    file: text.file.clone(),
                    covered: file.covered.iter().copied().collect(),
                    missed: file.not_covered.difference(&file.covered).copied().collect(),
                },
                None => Covered { file: text.file.clone(), covered: Vec::new(), missed: lines(text) },
            })
            .collect()
    }
}

fn lines(text: &Text) -> Vec<u32> {
    let mut lines: Vec<u32> = outline(text).map(|outline| outline.lines().collect()).unwrap_or_default();
    lines.sort_unstable();
    lines.dedup();
    lines
}

fn test_name(rule: &Rule) -> Option<&str> {
    match rule.name.as_slice() {
        [only] if only.starts_with("test_") => Some(only),
        _ => None,
    }
}
