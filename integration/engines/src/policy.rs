//! Small policies, made up out of what the gate's loader accepts, and made smaller where the engines differ on them.

use std::fmt::Write as _;

use regorus::Value;
use serde_json::json;

use crate::chance::Chance;
use crate::stock::value;
use crate::{Both, Said};

const PLAIN: [&str; 7] = ["1", "2", "\"a\"", "\"b\"", "true", "false", "null"];
const READ: [&str; 7] =
    ["input.a", "input.b", "input.c.d", "input.l[0]", "data.k.a", "data.o.x.y", "input.o[input.a]"];
const MANY: [&str; 6] = ["input.l", "data.l", "data.k", "input.o", "[1, 2, \"a\"]", "{\"a\", \"b\"}"];

/// The same, and always there.
const THERE: [&str; 4] = ["input.a", "input.b", "input.c.d", "data.k.a"];

/// What may be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All that the gate's loader accepts.
    All,
    /// Without the forms where the virtual machine is known to differ: no value that may be undefined where one is taken, no
    /// loop before an `else`, no dots in a head, no loop over what may be no collection.
    Defined,
}

/// Rules of one package.
#[derive(Debug, Clone)]
pub struct Policy(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    /// A line before it: a default.
    default: Option<String>,
    clauses: Vec<Clause>,
    is_function: bool,
}

#[derive(Debug, Clone)]
struct Clause {
    head: String,
    body: Vec<String>,
}

/// How two answers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// Two values.
    Values,
    /// The machine has a value where the interpreter has an error.
    InterpreterFails,
    /// The interpreter has a value where the machine has an error.
    MachineFails,
}

impl Policy {
    /// A policy of some rules, each of which may use those before it.
    pub fn make(chance: &mut Chance, reach: Reach) -> Self {
        let mut policy = Self(Vec::new());
        for at in 0..2 + chance.below(3) {
            let rule =
                Maker { chance, reach, before: &policy.0, loops: true, variables: Vec::new(), fresh: 0 }
                    .rule(at);
            policy.0.push(rule);
        }
        policy
    }

    fn asked(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|rule| !rule.is_function).map(|rule| rule.name.as_str())
    }

    /// Its text, with a rule that reads each.
    pub fn text(&self) -> String {
        let mut text = "package t\n".to_owned();
        for rule in &self.0 {
            text.push('\n');
            rule.default.iter().for_each(|line| writeln!(text, "{line}").unwrap());
            for clause in &rule.clauses {
                if clause.head.starts_with("else") {
                    text = text.trim_end().to_owned() + " ";
                }
                text += &clause.text();
            }
        }
        text.push('\n');
        self.asked().for_each(|name| writeln!(text, "asked_{name} := {name}").unwrap());
        text
    }

    /// How the engines differ, if they do; `Err` where either does not take it.
    pub fn differs(&self, input: &Value) -> Result<Option<(How, Said, Said)>, String> {
        let rules: Vec<_> = self.asked().map(|name| format!("data.t.asked_{name}")).collect();
        let rules: Vec<_> = rules.iter().map(String::as_str).collect();
        if rules.is_empty() {
            return Ok(None);
        }
        let both = Both::compile(&[("t.rego".to_owned(), self.text())], &rules)?;
        Ok(both.with(&data()).differ(input).map(|(_, one, other)| {
            let how = match (&one, &other) {
                (Said::Error(_), _) => How::InterpreterFails,
                (_, Said::Error(_)) => How::MachineFails,
                (Said::Value(_), Said::Value(_)) => How::Values,
            };
            (how, one, other)
        }))
    }

    /// The least of it on which the engines differ in the same way.
    pub fn least(self, input: &Value, how: How) -> Self {
        let mut least = self;
        while let Some(smaller) = least.smaller().into_iter().find(|policy| policy.still(input, how)) {
            least = smaller;
        }
        least
    }

    fn still(&self, input: &Value, how: How) -> bool {
        self.differs(input).ok().flatten().is_some_and(|(now, ..)| now == how)
    }

    /// It without one rule, one clause, one line.
    fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for (r, rule) in self.0.iter().enumerate() {
            all.push(self.but(|rules| drop(rules.remove(r))));
            if rule.default.is_some() {
                all.push(self.but(|rules| rules[r].default = None));
            }
            for (c, clause) in rule.clauses.iter().enumerate() {
                let goes = rule.clauses.len() > 1 && (c > 0 || !rule.clauses[1].head.starts_with("else"));
                if goes {
                    all.push(self.but(|rules| drop(rules[r].clauses.remove(c))));
                }
                for line in 0..clause.body.len() {
                    all.push(self.but(|rules| drop(rules[r].clauses[c].body.remove(line))));
                }
            }
        }
        all
    }

    fn but(&self, change: impl FnOnce(&mut Vec<Rule>)) -> Self {
        let mut rules = self.0.clone();
        change(&mut rules);
        Self(rules)
    }
}

impl Clause {
    fn text(&self) -> String {
        match self.body.is_empty() {
            true => format!("{}\n", self.head),
            false => format!("{} if {{\n\t{}\n}}\n", self.head, self.body.join("\n\t")),
        }
    }
}

/// The data beside every made-up policy.
pub fn data() -> Value {
    value(&json!({ "k": { "a": 1, "b": 2 }, "l": [1, 2, "a", null], "o": { "x": { "y": true } } }))
}

/// An input; each part may be missing.
pub fn input(chance: &mut Chance, reach: Reach) -> Value {
    let there = reach == Reach::Defined;
    let plain = [json!(1), json!(2), json!("a"), json!("b"), json!(true), json!(false), json!(null)];
    let mut input = json!({});
    for key in ["a", "b"] {
        if there || !chance.once_in(4) {
            input[key] = chance.one(&plain).clone();
        }
    }
    if there || chance.once_in(2) {
        input["c"] = json!({ "d": chance.one(&plain) });
    }
    if there || !chance.once_in(4) {
        input["l"] = json!(chance.some(&plain));
    }
    if there || !chance.once_in(4) {
        input["o"] = json!({ "a": chance.one(&plain), "b": chance.one(&plain) });
    }
    value(&input)
}

/// Makes one rule.
struct Maker<'a> {
    chance: &'a mut Chance,
    reach: Reach,
    before: &'a [Rule],
    /// Whether the body may loop.
    loops: bool,
    variables: Vec<String>,
    fresh: usize,
}

impl Maker<'_> {
    fn rule(mut self, at: usize) -> Rule {
        let name = format!("r{at}");
        let (mut default, mut is_function) = (None, false);
        let clauses = match self.chance.below(8) {
            0 => self.chain(&name),
            1 => {
                default = Some(format!("default {name} := {}", self.chance.one(&PLAIN)));
                self.chain(&name)
            }
            2 => self.several(|maker| format!("{name} contains {}", maker.simple())),
            3 => self.several(|maker| format!("{name}[{}] := {}", maker.simple(), maker.value())),
            4 | 5 => {
                is_function = true;
                self.variables.push("p".to_owned());
                self.chain(&format!("{name}(p)"))
            }
            6 if self.reach == Reach::All => {
                let step = *self.chance.one(&["a", "b.c", "a.b"]);
                self.several(|_| format!("{name}.{step}"))
            }
            _ => vec![Clause { body: self.body(), head: name.clone() }],
        };
        Rule { name, default, clauses, is_function }
    }

    fn chain(&mut self, name: &str) -> Vec<Clause> {
        let outer = self.variables.clone();
        let mut clauses = Vec::new();
        let count = 1 + self.chance.below(3);
        for at in 0..count {
            self.variables.clone_from(&outer);
            self.loops = self.reach == Reach::All || at + 1 == count;
            let body = self.body();
            let head = if at == 0 { name } else { "else" };
            clauses.push(Clause { head: format!("{head} := {}", self.value()), body });
        }
        clauses
    }

    fn several(&mut self, head: impl Fn(&mut Self) -> String) -> Vec<Clause> {
        let one = |maker: &mut Self| {
            maker.variables.clear();
            let body = maker.body();
            Clause { head: head(maker), body }
        };
        (0..1 + self.chance.below(2)).map(|_| one(self)).collect()
    }

    fn body(&mut self) -> Vec<String> {
        (0..1 + self.chance.below(3)).map(|_| self.line()).collect()
    }

    fn line(&mut self) -> String {
        match self.chance.below(11) {
            0 | 1 if !self.loops => format!("{} == {}", self.simple(), self.simple()),
            0 => {
                let many = self.many();
                format!("some {} in {many}", self.variable())
            }
            1 => {
                let many = self.many();
                format!("some {}, {} in {many}", self.variable(), self.variable())
            }
            2 | 3 => {
                let value = self.value();
                format!("{} := {value}", self.variable())
            }
            4 => format!("not {} == {}", self.value(), self.simple()),
            5 => format!("not {}", self.reference()),
            6 => self.reference(),
            7 => format!("{} in {}", self.simple(), self.many()),
            8 => format!("every e in {} {{ e != {} }}", self.many(), self.simple()),
            9 => format!("{} != {}", self.value(), self.simple()),
            _ => format!("{} == {}", self.value(), self.simple()),
        }
    }

    fn variable(&mut self) -> String {
        self.fresh += 1;
        let name = format!("x{}", self.fresh);
        self.variables.push(name.clone());
        name
    }

    fn simple(&mut self) -> String {
        match self.variables.is_empty() || self.chance.once_in(3) {
            true if self.chance.once_in(2) => self.read(),
            true => (*self.chance.one(&PLAIN)).to_owned(),
            false => self.chance.one(&self.variables).clone(),
        }
    }

    fn read(&mut self) -> String {
        let of: &[&str] = match self.reach {
            Reach::All => &READ,
            Reach::Defined => &THERE,
        };
        (*self.chance.one(of)).to_owned()
    }

    fn reference(&mut self) -> String {
        let Some(rule) = self.earlier() else { return self.read() };
        match (rule.is_function, self.chance.below(3)) {
            (true, _) => format!("{}({})", rule.name, self.simple()),
            (false, 0) => rule.name,
            (false, 1) => format!("{}[{}]", rule.name, self.simple()),
            (false, _) => format!("{}.a", rule.name),
        }
    }

    fn earlier(&mut self) -> Option<Rule> {
        (!self.before.is_empty()).then(|| self.chance.one(self.before).clone())
    }

    fn many(&mut self) -> String {
        let serves = |rule: &&Rule| !rule.is_function && self.reach == Reach::All;
        let rules: Vec<_> = self.before.iter().filter(serves).collect();
        match rules.is_empty() || self.chance.once_in(2) {
            true => (*self.chance.one(&MANY)).to_owned(),
            false => self.chance.one(&rules).name.clone(),
        }
    }

    fn value(&mut self) -> String {
        let all = self.reach == Reach::All;
        match self.chance.below(9) {
            2 | 3 if all => self.reference(),
            4 => format!("{{v | some v in {}; v != {}}}", self.many(), self.simple()),
            5 => format!("[v | some v in {}]", self.many()),
            6 => format!("{{k: v | some k, v in {}; not v == {}}}", self.many(), self.simple()),
            7 if all => format!("[v | v := {}]", self.reference()),
            0..4 => self.simple(),
            _ => format!("object.get(data.k, {}, {})", self.simple(), self.simple()),
        }
    }
}
