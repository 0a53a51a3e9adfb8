//! Both engines on made-up policies.

use std::collections::BTreeMap;

use portcullis_engines::chance::{Chance, rounds};
use portcullis_engines::known::{Answer, KNOWN};
use portcullis_engines::policy::{self, How, Policy, Reach};
use portcullis_engines::{Both, Said};
use regorus::Value;

/// Questions for each policy.
const QUESTIONS: usize = 4;

/// What came of many policies.
#[derive(Default)]
struct Tally {
    asked: usize,
    refused: usize,
    forms: BTreeMap<&'static str, usize>,
    others: Vec<String>,
}

impl Tally {
    fn of(reach: Reach, policies: u64) -> Self {
        let mut tally = Self::default();
        for round in 0..policies {
            let mut chance = Chance::of(round);
            let policy = Policy::make(&mut chance, reach);
            let inputs: Vec<_> = (0..QUESTIONS).map(|_| policy::input(&mut chance, reach)).collect();
            inputs.iter().take_while(|input| tally.ask(round, &policy, input)).count();
        }
        tally
    }

    /// Asks one question; whether the policy is worth another.
    fn ask(&mut self, round: u64, policy: &Policy, input: &Value) -> bool {
        let Ok(difference) = policy.differs(input) else {
            self.refused += 1;
            return false;
        };
        self.asked += 1;
        if let Some((how, ..)) = &difference {
            self.differs(round, &policy.clone().least(input, *how), input);
        }
        difference.is_none()
    }

    fn differs(&mut self, round: u64, least: &Policy, input: &Value) {
        let (how, one, other) = least.differs(input).unwrap().unwrap();
        match form(how, &one, &least.text()) {
            Some(form) => *self.forms.entry(form).or_default() += 1,
            None => self.others.push(format!(
                "round {round}\n{}{input}\n  interpreter {one:?}\n  machine     {other:?}",
                least.text()
            )),
        }
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: {} questions, {} policies that the machine's compiler refuses",
            self.asked, self.refused
        );
        self.forms.iter().for_each(|(form, count)| println!("{count:>6} {form}"));
        println!("{:>6} other", self.others.len());
    }
}

/// The known form that a policy has, as far as its text tells.
fn form(how: How, interpreter: &Said, text: &str) -> Option<&'static str> {
    match (how, interpreter) {
        (How::InterpreterFails, Said::Error(e))
            if e.contains("multiple outputs") || e.contains("conflicts with") =>
        {
            Some("two values for one rule")
        }
        (How::InterpreterFails, Said::Error(e)) if e.contains("expects array/set/object") => {
            Some("a loop over what is no collection")
        }
        (How::InterpreterFails | How::MachineFails, _) => None,
        (How::Values, _) if text.lines().any(has_dots) => Some("dots in a head"),
        (How::Values, _) if text.contains("} else") => {
            Some("an `else` after a body whose loop finds nothing")
        }
        (How::Values, _) => Some("what is undefined"),
    }
}

fn has_dots(line: &str) -> bool {
    line.starts_with('r') && line.split([' ', '(', '[']).next().is_some_and(|name| name.contains('.'))
}

#[test]
fn both_engines_answer_alike_outside_the_known_forms() {
    let tally = Tally::of(Reach::Defined, rounds(300));
    tally.print("without the known forms");
    assert!(tally.others.is_empty(), "{}", tally.others.join("\n\n"));
    let conflicts = tally.forms.keys().all(|form| *form == "two values for one rule");
    assert!(conflicts, "{:?}", tally.forms);
}

#[test]
fn every_difference_has_a_known_form() {
    let tally = Tally::of(Reach::All, rounds(120));
    tally.print("all that the loader accepts");
    assert!(tally.others.is_empty(), "{}", tally.others.join("\n\n"));
}

#[test]
fn the_interpreter_is_right_in_every_known_form_and_the_machine_is_not() {
    for known in KNOWN {
        let text = format!("package t\n\n{}\n", known.rules);
        let both = Both::compile(&[("t.rego".to_owned(), text)], &["data.t.r"]).unwrap();
        let mut pair = both.with(&Value::new_object());
        let input = Value::from_json_str(known.input).unwrap();
        assert_eq!(
            plain(&pair.interpret(&input)[0]),
            wanted(known.interpreter),
            "interpreter: {}",
            known.form
        );
        let machine = plain(&pair.run(&input)[0]);
        assert_eq!(machine, wanted(known.machine), "the virtual machine has changed: {}", known.form);
    }
}

/// An answer as JSON, so that a set is a list.
fn plain(said: &Said) -> Option<String> {
    match said {
        Said::Value(Value::Undefined) => Some("undefined".to_owned()),
        Said::Value(value) => Some(value.to_string()),
        Said::Error(_) => None,
    }
}

fn wanted(answer: Answer) -> Option<String> {
    match answer {
        Answer::Json(text) => Some(text.to_owned()),
        Answer::Undefined => Some("undefined".to_owned()),
        Answer::Error => None,
    }
}
