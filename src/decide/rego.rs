//! The engine: modules and data as text → answers. regorus lives here and nowhere else.
//!
//! # Why the interpreter, and why so many engines
//! regorus has a faster virtual machine as well, and the gate is built without it. Its compiler refuses the stock policies as they
//! are written; said in words that it takes, it answers every fourth made-up question differently and allows what they
//! refuse: an `else` after a loop that finds nothing is lost, and a body goes on where `x := …` is undefined. No form of a policy
//! rules that out, for any path of `input` may be undefined. integration/engines compares both and holds these findings; when one of
//! them changes, its test fails, and this is to be decided again.
//!
//! An engine answers one question at a time; engines are built from text, each with values of its own, because reference
//! counts that threads share cost more than they save.
//!
//! # Why a rule of the gate's own
//! The gate wants some keys of `data.mcp.authz`, and rules that they share must run once. [`GATE`] names just the keys that
//! the policy defines, so that nothing else in the package costs anything. It stands in the same package, where a rule
//! is found by its name alone; a path through `data` is looked up module by module.

mod answer;
mod data;
mod index;
mod input;
mod inspect;
mod probe;
mod trial;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, LimitError, Value};

use crate::decide::bundle::{Bundle, Text};
use crate::decide::check::{Defined, Presence};
use crate::decide::outline::Outline;
use crate::decide::paths::Module;
use crate::decide::problem::{At, PolicyProblem};
use crate::decide::rego::data::Data;
use crate::decide::{Phase, Question, settled};

pub(in crate::decide) use answer::Answer;
pub(in crate::decide) use data::Values;
pub(in crate::decide) use inspect::Inspection;
pub(in crate::decide) use probe::Probe;
pub use probe::Stop;
pub(in crate::decide) use trial::Trial;
pub use trial::{Coverage, Covered, Tested};

/// The gate's own rule in `mcp.authz`.
pub(in crate::decide) const GATE: &str = "portcullis_answer";

/// What the gate evaluates.
const ANSWER: &str = "data.mcp.authz.portcullis_answer";

/// How long tests and the first evaluation may take: nobody waits for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// Steps of the interpreter between two looks at the clock.
const CHECK_INTERVAL: NonZeroU32 = NonZeroU32::new(64).unwrap();

/// Engines that are kept for the next question.
const IDLE: usize = 64;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(in crate::decide) enum Failure {
    /// The time limit.
    #[error("the policy took longer than {0:?}")]
    TimedOut(Duration),
    /// A comparison that could not be paid for.
    #[error("there is no time left to compare policies")]
    NotAsked,
    /// The engine says so.
    #[error("{0}")]
    Failed(String),
    /// A key of the contract of another type.
    #[error("`{key}` {what}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

/// A policy that is ready to answer.
pub(in crate::decide) struct Rego {
    modules: Vec<Text>,
    settled: BTreeSet<Vec<String>>,
    data: Data,
    timeout: Duration,
    idle: Mutex<Vec<Engine>>,
}

impl std::fmt::Debug for Rego {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rego").field("settled", &self.settled).finish_non_exhaustive()
    }
}

impl Rego {
    /// Readies the serving modules of a bundle, and has them answer once.
    pub(in crate::decide) fn ready(
        bundle: &Bundle,
        values: &Values,
        serving: &[Module],
        defined: &Defined,
        timeout: Duration,
    ) -> Result<Self, Vec<PolicyProblem>> {
        let settled = settled::packages(bundle, serving);
        let packages: BTreeMap<_, _> =
            serving.iter().map(|module| (module.file.clone(), module.package.clone())).collect();
        let data = Data::settle(bundle, values, &settled, serving)?;
        let open = |text: &&Text| packages.get(&text.file).is_none_or(|package| !settled.contains(package));
        let mut modules: Vec<Text> = bundle.modules.iter().filter(open).cloned().collect();
        modules.push(gate(defined));
        let rego = Self { modules, settled, data, timeout, idle: Mutex::default() };
        let engines = std::thread::available_parallelism().map_or(1, usize::from).min(IDLE);
        // Side by side, for somebody waits for the change to take effect.
        let warm: Vec<_> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..engines).map(|_| scope.spawn(|| rego.warm(&bundle.modules))).collect();
            let first = rego.warm(&bundle.modules);
            let broken = || Err(vec![broke_down(&bundle.modules)]);
            let others = others.into_iter().map(|other| other.join().unwrap_or_else(|_| broken()));
            std::iter::once(first).chain(others).collect()
        });
        for engine in warm {
            rego.put(engine?);
        }
        Ok(rego)
    }

    /// An engine that has answered once, so that the first caller does not wait for what it does only once.
    fn warm(&self, modules: &[Text]) -> Result<Engine, Vec<PolicyProblem>> {
        let mut engine = self.engine().map_err(|e| vec![located(&e, modules)])?;
        let mut problems = Vec::new();
        for input in input::minimal() {
            engine.set_execution_timer_config(timer(PATIENCE));
            engine.set_input(input);
            let answer = engine.eval_rule(ANSWER.to_owned()).map_err(|e| format!("{e:#}"));
            drop(engine.take_prints());
            if let Err(e) = answer.and_then(|value| Answer::read(&value).map_err(|e| e.to_string())) {
                problems.push(located(&e, modules));
            }
        }
        problems.sort();
        problems.dedup();
        if problems.is_empty() { Ok(engine) } else { Err(problems) }
    }

    /// Answers one question.
    pub(in crate::decide) fn ask(&self, question: &Question<'_>, phase: Phase) -> Result<Answer, Failure> {
        let input = input::of(question, phase)?;
        let mut engine = self.take()?;
        engine.set_execution_timer_config(timer(self.timeout));
        engine.set_input(input);
        // A defect of the engine must not take the thread's other calls with it.
        let value = catch_unwind(AssertUnwindSafe(|| engine.eval_rule(ANSWER.to_owned())))
            .map_err(|_| Failure::Failed("the policy engine broke down".to_owned()))?
            .map_err(|e| match e.downcast_ref::<LimitError>() {
                Some(_) => Failure::TimedOut(self.timeout),
                None => Failure::Failed(format!("{e:#}")),
            })?;
        // What a policy prints holds arguments, which the gate keeps nowhere.
        drop(engine.take_prints());
        let answer = Answer::read(&value);
        self.put(engine);
        answer
    }

    /// An engine that failed is not put back: whatever it was in the middle of goes with it.
    fn put(&self, mut engine: Engine) {
        engine.set_input(Value::Undefined);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(engine);
        }
    }

    fn take(&self) -> Result<Engine, Failure> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(engine) => Ok(engine),
            None => self.engine().map_err(Failure::Failed),
        }
    }

    /// How many packages were worked out beforehand.
    #[cfg(test)]
    pub(in crate::decide) fn settled(&self) -> usize {
        self.settled.len()
    }

    fn engine(&self) -> Result<Engine, String> {
        build(self.modules.iter(), self.data.copy())
    }

    /// An engine that can be asked about everything.
    fn knowing(&self) -> Result<Engine, String> {
        build(self.modules.iter(), self.data.whole())
    }
}

/// Parses modules; each file's mistakes are found, whatever the others hold.
pub(in crate::decide) fn parse(texts: &[Text], problems: &mut Vec<PolicyProblem>) -> Vec<Module> {
    let mut modules = Vec::new();
    for text in texts {
        match tree(text) {
            Ok(module) => modules.push(module),
            Err(e) => problems.push(located(&e, std::slice::from_ref(text))),
        }
    }
    modules
}

fn tree(text: &Text) -> Result<Module, String> {
    Ok(Module::read(&text.file, &text.text, &ast(text)?))
}

/// A module's rules, statement by statement.
pub(in crate::decide) fn outline(text: &Text) -> Result<Outline, String> {
    Ok(Outline::read(text, &ast(text)?))
}

/// A module's tree as the engine gives it.
pub(in crate::decide) fn ast(text: &Text) -> Result<serde_json::Value, String> {
    let mut engine = Engine::new();
    engine.add_policy(text.file.clone(), text.text.clone()).map_err(|e| format!("{e:#}"))?;
    let json = engine.get_ast_as_json().map_err(|e| format!("{e:#}"))?;
    let mut modules: serde_json::Value = serde_json::from_str(&json).map_err(|e| e.to_string())?;
    Ok(modules.pointer_mut("/0/ast").map(serde_json::Value::take).unwrap_or_default())
}

/// A path of `data`, one step longer.
fn step(path: &str, name: &str) -> String {
    match identifier(name) {
        true => format!("{path}.{name}"),
        false => format!("{path}[{name:?}]"),
    }
}

fn identifier(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(plain) && !text.starts_with(|c: char| c.is_ascii_digit())
}

fn build<'a>(texts: impl Iterator<Item = &'a Text>, data: Value) -> Result<Engine, String> {
    let mut engine = Engine::new();
    engine.set_gather_prints(true);
    for text in texts {
        engine.add_policy(text.file.clone(), text.text.clone()).map_err(|e| format!("{e:#}"))?;
    }
    engine.add_data(data).map_err(|e| format!("{e:#}"))?;
    Ok(engine)
}

/// Each key with a list of its value, which is empty where it is undefined. Were a key that always has a value undefined after
/// all, so were the answer, and that is a refusal.
fn gate(defined: &Defined) -> Text {
    let keys = defined.iter().map(|(key, presence)| match presence {
        Presence::Always => format!("[\"{key}\", [{key}]]"),
        Presence::Maybe => format!("[\"{key}\", [v | v := {key}]]"),
    });
    let keys: Vec<String> = keys.collect();
    Text {
        file: format!("{GATE}.rego"),
        text: format!("package mcp.authz\n\n{GATE} := [{}]\n", keys.join(", ")),
    }
}

/// What is said where the engine panics while a policy is loaded.
pub(in crate::decide) fn broke_down(texts: &[Text]) -> PolicyProblem {
    located("the policy engine broke down", texts)
}

fn timer(limit: Duration) -> ExecutionTimerConfig {
    ExecutionTimerConfig { limit, check_interval: CHECK_INTERVAL }
}

/// A mistake that the engine found: its messages are `--> FILE:LINE:COLUMN`, the line, and `error: WHAT`.
fn located(message: &str, texts: &[Text]) -> PolicyProblem {
    let what = message.rsplit("error: ").next().unwrap_or(message).trim();
    let place = message.rsplit("--> ").next().and_then(|rest| rest.lines().next()).unwrap_or_default();
    let mut parts = place.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|n| n.trim().parse().ok());
    let (column, line) = (number(), number());
    let file = parts.next().filter(|file| texts.iter().any(|text| text.file == *file));
    match (file, line, column) {
        (Some(file), Some(line), Some(column)) => PolicyProblem::new(file, At { line, column }, what, ""),
        _ => {
            let file = texts.first().map_or("", |text| text.file.as_str());
            PolicyProblem::new(file, At::START, what, "")
        }
    }
}
