//! The policy engine's interpreter, which decides, and its virtual machine, which does not: the same rules, both answers.
//!
//! # Why a package outside the workspace
//! Cargo joins the features of all members of a workspace: the virtual machine would get into the gate that is tested. The feature
//! only adds code; the interpreter here is the gate's own (`tests/lock.rs` compares the versions).
//!
//! `PORTCULLIS_ENGINE_ROUNDS` says how many policies are made up (else some hundred), `PORTCULLIS_ENGINE_SEED` where they begin.

pub mod chance;
pub mod hoist;
pub mod known;
pub mod policy;
pub mod stock;

use std::sync::Arc;

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::program::Program;
use regorus::rvm::vm::RegoVM;
use regorus::{Engine, Value};

/// What an engine says; which words an error has does not matter.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A value, or undefined.
    Value(Value),
    /// It refuses to say.
    Error(String),
}

impl Said {
    /// Whether both come to the same.
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(one), Self::Value(other)) => one == other,
            (Self::Error(_), Self::Error(_)) => true,
            (Self::Value(_), Self::Error(_)) | (Self::Error(_), Self::Value(_)) => false,
        }
    }
}

/// Rules as both engines have them.
pub struct Both {
    engine: Engine,
    program: Arc<Program>,
    rules: Vec<String>,
}

impl Both {
    /// Compiles the modules for some rules; `Err` where the virtual machine's compiler refuses.
    pub fn compile(modules: &[(String, String)], rules: &[&str]) -> Result<Self, String> {
        let mut engine = Engine::new();
        engine.set_gather_prints(true);
        for (name, text) in modules {
            engine.add_policy(name.clone(), text.clone()).map_err(|e| e.to_string())?;
        }
        let first = rules[0].into();
        let compiled = engine.clone().compile_with_entrypoint(&first).map_err(|e| e.to_string())?;
        let program = Compiler::compile_from_policy(&compiled, rules).map_err(|e| e.to_string())?;
        Ok(Self { engine, program, rules: rules.iter().map(|rule| (*rule).to_owned()).collect() })
    }

    /// Puts data beside the rules.
    pub fn with(&self, data: &Value) -> Pair {
        let mut engine = self.engine.clone();
        engine.add_data(data.clone()).unwrap();
        let interpreter = Interpreter { engine, rules: self.rules.clone() };
        let mut machine = RegoVM::new();
        machine.set_strict_builtin_errors(true);
        machine.set_max_instructions(10_000_000);
        machine.load_program(self.program.clone());
        machine.set_data(data.clone()).unwrap();
        Pair { interpreter, machine, rules: self.rules.clone() }
    }
}

/// Both engines with rules and data.
pub struct Pair {
    interpreter: Interpreter,
    machine: RegoVM,
    rules: Vec<String>,
}

impl Pair {
    /// What the interpreter says, rule by rule.
    pub fn interpret(&mut self, input: &Value) -> Vec<Said> {
        self.interpreter.ask(input)
    }

    /// What the virtual machine says, rule by rule.
    pub fn run(&mut self, input: &Value) -> Vec<Said> {
        self.machine.set_input(input.clone());
        self.rules.iter().map(|rule| said(self.machine.execute_entry_point_by_name(rule))).collect()
    }

    /// The first rule of which they say something different, and what.
    pub fn differ(&mut self, input: &Value) -> Option<(String, Said, Said)> {
        let (one, other) = (self.interpret(input), self.run(input));
        let mut all = self.rules.iter().zip(one.into_iter().zip(other));
        all.find(|(_, (one, other))| !one.agrees(other))
            .map(|(rule, (one, other))| (rule.clone(), one, other))
    }
}

/// The interpreter alone, with modules and data.
pub struct Interpreter {
    engine: Engine,
    rules: Vec<String>,
}

impl Interpreter {
    /// Ready to be asked for some rules.
    pub fn new(modules: &[(String, String)], data: &Value, rules: &[&str]) -> Self {
        let mut engine = Engine::new();
        for (name, text) in modules {
            engine.add_policy(name.clone(), text.clone()).unwrap();
        }
        engine.add_data(data.clone()).unwrap();
        Self { engine, rules: rules.iter().map(|rule| (*rule).to_owned()).collect() }
    }

    /// What it says, rule by rule.
    pub fn ask(&mut self, input: &Value) -> Vec<Said> {
        self.engine.set_input(input.clone());
        self.rules.iter().map(|rule| said(self.engine.eval_rule(rule.clone()))).collect()
    }
}

fn said<E: std::fmt::Display>(answer: Result<Value, E>) -> Said {
    answer.map_or_else(|e| Said::Error(e.to_string()), Said::Value)
}
