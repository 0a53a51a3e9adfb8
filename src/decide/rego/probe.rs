//! A body of a rule that does not hold → the first statement of it that fails, and the values of its parts.
//!
//! # Why by beginnings
//! The engine says that a rule is undefined, and no more. So the beginnings of its body are asked one after another, each
//! as a rule of its own beside the policy: the first that gives nothing ends in the statement that fails.

use regorus::{Engine, Value};

use crate::decide::bundle::Text;
use crate::decide::outline::{Body, Outline, Part, Statement, VALUE};
use crate::decide::problem::At;
use crate::decide::rego::{PATIENCE, located, step, timer};

/// The rule that is put beside the policy.
const PROBE: &str = "portcullis_probe";

/// How much of a value is shown.
const SHOWN: usize = 400;

/// Where a body stops.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Stop {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// The statement, as it is written.
    pub statement: String,
    /// The values of its parts: what is written, and its values in the turns that come to it.
    pub values: Vec<(String, String)>,
    /// What the engine says, where it could not evaluate it.
    pub trouble: Option<String>,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let statement = self.statement.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "{}:{}:{}: `{statement}` does not hold", self.file, self.line, self.column)?;
        match &self.trouble {
            Some(trouble) => write!(f, ": {trouble}"),
            None => Ok(()),
        }
    }
}

/// What is put into an engine to ask parts of its rules.
pub(in crate::decide) struct Probe<'a> {
    engine: &'a Engine,
    input: &'a Value,
}

impl<'a> Probe<'a> {
    /// Asks an engine, which stays as it is.
    pub(in crate::decide) fn new(engine: &'a Engine, input: &'a Value) -> Self {
        Self { engine, input }
    }

    /// Where a body stops; `None`: it holds, or the engine cannot be asked about a part of it alone.
    pub(in crate::decide) fn stop(&self, outline: &Outline, body: &Body) -> Option<Stop> {
        let mut held: Vec<&str> = Vec::new();
        for statement in &body.statements {
            held.push(&statement.text);
            // A statement that stands before what it needs cannot be asked yet.
            let asked = self.ask(outline, &held, &format!("{VALUE} := true"));
            match asked {
                Ok(found) if found.is_empty() => return Some(self.stopped(outline, &held, statement)),
                Ok(_) | Err(Trouble::Unready) => {}
                Err(Trouble::Failed(trouble)) => {
                    let stop = self.stopped(outline, &held, statement);
                    return Some(Stop { trouble: Some(trouble), ..stop });
                }
            }
        }
        None
    }

    /// The values of an expression in a package.
    pub(in crate::decide) fn values(&self, outline: &Outline, expression: &str) -> Option<Vec<Value>> {
        self.ask(outline, &[], &format!("{VALUE} := {expression}")).ok()
    }

    fn stopped(&self, outline: &Outline, held: &[&str], statement: &Statement) -> Stop {
        let before = held.split_last().map_or(&[][..], |(_, before)| before);
        let At { line, column } = statement.at;
        Stop {
            file: outline.file.clone(),
            line,
            column,
            statement: statement.text.clone(),
            values: statement.parts.iter().map(|part| self.value(outline, before, part)).collect(),
            trouble: None,
        }
    }

    fn value(&self, outline: &Outline, before: &[&str], part: &Part) -> (String, String) {
        let shown = match self.ask(outline, before, &part.binds) {
            Ok(found) if found.is_empty() => "undefined".to_owned(),
            Ok(found) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
            Err(Trouble::Unready) => "not known".to_owned(),
            Err(Trouble::Failed(trouble)) => trouble,
        };
        let text = part.text.split_whitespace().collect::<Vec<_>>().join(" ");
        (text, cut(&shown))
    }

    /// What [`VALUE`] comes to in each turn.
    fn ask(&self, outline: &Outline, held: &[&str], last: &str) -> Result<Vec<Value>, Trouble> {
        let package = outline.package.iter().enumerate();
        let package: String =
            package.map(|(i, name)| if i == 0 { name.clone() } else { format!("[{name:?}]") }).collect();
        let text = format!(
            "package {package}\n\n{}\n{PROBE} contains {VALUE} if {{\n{}\n{last}\n}}\n",
            outline.imports,
            held.join("\n"),
        );
        let probe = Text { file: format!("{PROBE}.rego"), text };
        let mut engine = self.engine.clone();
        engine.set_enable_coverage(false);
        engine.add_policy(probe.file.clone(), probe.text.clone()).map_err(|_| Trouble::Unready)?;
        engine.set_execution_timer_config(timer(PATIENCE));
        engine.set_input(self.input.clone());
        let path = outline.package.iter().fold("data".to_owned(), |path, part| step(&path, part));
        let answer = engine.eval_rule(step(&path, PROBE));
        drop(engine.take_prints());
        match answer {
            Ok(Value::Set(found)) => Ok(found.iter().cloned().collect()),
            Ok(_) => Ok(Vec::new()),
            Err(error) => Err(trouble(&format!("{error:#}"), &probe)),
        }
    }
}

enum Trouble {
    /// It cannot be asked by itself.
    Unready,
    /// The engine fails.
    Failed(String),
}

fn trouble(error: &str, probe: &Text) -> Trouble {
    let what = located(error, std::slice::from_ref(probe)).what;
    match ["unsafe", "undefined variable", "cyclic", "before definition"]
        .iter()
        .any(|word| what.contains(word))
    {
        true => Trouble::Unready,
        false => Trouble::Failed(what),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
