//! A module's rules, body by body and statement by statement: what can be asked on its own to find out where a rule stops.

use serde_json::Value;

use crate::decide::bundle::Text;
use crate::decide::paths::tree::{chain, list, names, place, single, span, spelt};
use crate::decide::paths::{Makes, Module, Step};
use crate::decide::problem::At;

/// How deep the parts of a statement are looked at.
const DEPTH: usize = 3;

/// One module.
#[derive(Debug)]
pub(in crate::decide) struct Outline {
    /// Its file.
    pub(in crate::decide) file: String,
    /// Its package, without `data`.
    pub(in crate::decide) package: Vec<String>,
    /// Its imports as they must be written again.
    pub(in crate::decide) imports: String,
    /// The bodies of its rules, in their order.
    pub(in crate::decide) bodies: Vec<Body>,
}

/// One body of a rule; each `else` is one more.
#[derive(Debug)]
pub(in crate::decide) struct Body {
    /// The rule's name within its package.
    pub(in crate::decide) rule: Vec<String>,
    /// Where the rule stands.
    pub(in crate::decide) at: At,
    /// What the rule is where this body holds, as it is written; `None`: true, or one element of a set.
    pub(in crate::decide) value: Option<String>,
    /// Whether it counts only where the body before it does not hold.
    pub(in crate::decide) otherwise: bool,
    /// Whether a part of the rule's name is only known when it runs.
    pub(in crate::decide) partial: bool,
    /// Whether it takes arguments, so that it cannot be asked on its own.
    pub(in crate::decide) function: bool,
    /// What must hold, in order.
    pub(in crate::decide) statements: Vec<Statement>,
}

/// One statement of a body.
#[derive(Debug, Clone)]
pub(in crate::decide) struct Statement {
    /// As it is written.
    pub(in crate::decide) text: String,
    /// Where it stands.
    pub(in crate::decide) at: At,
    /// Its parts whose values say why it holds or does not; each can be bound to a name.
    pub(in crate::decide) parts: Vec<Part>,
}

/// A part of a statement: what is shown, and the statement that binds its value to [`VALUE`].
#[derive(Debug, Clone)]
pub(in crate::decide) struct Part {
    /// As it is written.
    pub(in crate::decide) text: String,
    /// The statement that binds it.
    pub(in crate::decide) binds: String,
}

/// The name that values are bound to.
pub(in crate::decide) const VALUE: &str = "portcullis_value";

impl Outline {
    /// Reads a module from its tree.
    pub(in crate::decide) fn read(text: &Text, ast: &Value) -> Self {
        let module = Module::read(&text.file, &text.text, ast);
        let package = ast.pointer("/package/refr").map(names).unwrap_or_default();
        let imports = module.imports.iter().map(|(name, path, _)| import(name, path)).collect();
        let rules = list(ast.get("rules")).zip(&module.rules);
        let bodies = rules.flat_map(|(ast, rule)| {
            let function = matches!(rule.makes, Makes::Function(_));
            let value = value(ast, &text.text);
            statements(ast, &text.text).into_iter().enumerate().map(move |(i, statements)| Body {
                rule: rule.name.clone(),
                at: rule.at,
                value: value.clone(),
                otherwise: i > 0,
                partial: rule.partial,
                function,
                statements,
            })
        });
        Self { file: text.file.clone(), package, imports, bodies: bodies.collect() }
    }

    /// The lines on which the engine would look at something: what coverage is counted against where nothing ran.
    pub(in crate::decide) fn lines(&self) -> impl Iterator<Item = u32> {
        self.bodies.iter().flat_map(|body| body.statements.iter().map(|statement| statement.at.line))
    }
}

fn import(name: &str, path: &[Step]) -> String {
    let mut names = path.iter().filter_map(Step::name);
    let first = names.next().unwrap_or_default();
    if first == "rego" || first == "future" {
        return String::new();
    }
    let path = names.fold(first.to_owned(), |path, name| format!("{path}[{name:?}]"));
    format!("import {path} as {name}\n")
}

/// What a rule of one value is, as it is written.
fn value(ast: &Value, source: &str) -> Option<String> {
    let Some(("Compr", head)) = ast.pointer("/Spec/head").and_then(single) else { return None };
    head.pointer("/assign/value").and_then(|value| written(value, source))
}

/// The statements of each body of a rule; a rule without a body states its value.
fn statements(ast: &Value, text: &str) -> Vec<Vec<Statement>> {
    let Some(("Spec", rule)) = single(ast) else { return Vec::new() };
    let bodies: Vec<&Value> = list(rule.get("bodies")).collect();
    if bodies.is_empty() {
        let value = rule.get("head").and_then(single).and_then(|(_, head)| head.pointer("/assign/value"));
        return value.and_then(|value| alone(value, text)).into_iter().map(|stated| vec![stated]).collect();
    }
    let of =
        |body: &Value| list(body.pointer("/query/stmts")).filter_map(|stmt| statement(stmt, text)).collect();
    bodies.into_iter().map(of).collect()
}

fn alone(value: &Value, source: &str) -> Option<Statement> {
    let text = written(value, source)?;
    let parts = Parts { source, with: "", found: Vec::new() }.of(value);
    Some(Statement { text, at: place(value), parts })
}

fn statement(stmt: &Value, source: &str) -> Option<Statement> {
    let at = stmt.get("span").map_or(At::START, span);
    let text = stmt.get("span").and_then(|span| whole(span, source))?;
    let with: String = list(stmt.get("with_mods"))
        .filter_map(|modifier| {
            let (target, value) = (modifier.get("refr")?, modifier.get("as")?);
            Some(format!(" with {} as {}", written(target, source)?, written(value, source)?))
        })
        .collect();
    let (kind, literal) = single(stmt.get("literal")?)?;
    let parts = Parts { source, with: &with, found: Vec::new() };
    let parts = match kind {
        "Expr" | "NotExpr" => literal.get("expr").map(|expr| parts.of(expr)),
        "SomeIn" => literal.get("collection").map(|collection| parts.whole(collection)),
        "Every" => parts.every(literal),
        _ => None,
    };
    Some(Statement { text: text.trim().to_owned(), at, parts: parts.unwrap_or_default() })
}

fn written(node: &Value, source: &str) -> Option<String> {
    single(node).and_then(|(_, body)| body.get("span")).and_then(|span| whole(span, source))
}

/// The text of a span. The engine's spans of texts leave out the quotes, and so do those of what begins or ends with one.
fn whole(span: &Value, source: &str) -> Option<String> {
    let text = spelt(span, source)?;
    let offset = |key| span.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let quote = |c: &char| matches!(c, '"' | '`');
    let before = source.get(..offset("start")?)?.chars().next_back().filter(quote);
    let after = source.get(offset("end")?..)?.chars().next().filter(quote);
    Some(before.into_iter().chain(text.chars()).chain(after).collect())
}

/// Gathers the parts of one statement.
struct Parts<'a> {
    source: &'a str,
    with: &'a str,
    found: Vec<Part>,
}

impl Parts<'_> {
    /// The parts of an expression: of a comparison both sides, of a call what it is given, and so on inwards.
    fn of(mut self, expr: &Value) -> Vec<Part> {
        match single(expr) {
            Some(("BoolExpr" | "Membership", _)) => self.inner(expr, DEPTH),
            Some(("AssignExpr", body)) => {
                if let Some(value) = body.get("rhs") {
                    self.add(value, DEPTH);
                }
            }
            _ => self.add(expr, DEPTH),
        }
        self.found
    }

    fn whole(mut self, expr: &Value) -> Vec<Part> {
        self.add(expr, 1);
        self.found
    }

    /// What is walked through, and the elements for which the body does not hold.
    fn every(mut self, literal: &Value) -> Option<Vec<Part>> {
        let spelt = |key| literal.get(key).and_then(|span| spelt(span, self.source));
        let key = spelt("key").map(|key| format!("{key}, ")).unwrap_or_default();
        let (value, query) = (spelt("value")?, literal.pointer("/query/span"));
        let query = query.and_then(|span| whole(span, self.source))?;
        let query = query.trim().trim_start_matches('{').trim_end_matches('}').trim().to_owned();
        let domain = written(literal.get("domain")?, self.source)?;
        let one = "portcullis_element";
        let failing = format!(
            "[{one} | some {one} in {domain}; not {one} in {{{value} | some {key}{value} in {domain}\n{query}\n}}]"
        );
        self.add(literal.get("domain")?, 1);
        let text = format!("{value} for which it does not hold");
        self.found.push(Part { text, binds: format!("{VALUE} := {failing}{}", self.with) });
        Some(self.found)
    }

    fn add(&mut self, expr: &Value, depth: usize) {
        let Some((kind, _)) = single(expr) else { return };
        if matches!(kind, "String" | "RawString" | "Number" | "Bool" | "Null") || self.found.len() >= 8 {
            return;
        }
        if let Some(text) = written(expr, self.source)
            && !constant(expr)
            && !self.found.iter().any(|part| part.text == text)
        {
            let binds = format!("{VALUE} := {text}{}", self.with);
            self.found.push(Part { text, binds });
        }
        if depth > 1 {
            self.inner(expr, depth - 1);
        }
    }

    fn inner(&mut self, expr: &Value, depth: usize) {
        let Some((kind, body)) = single(expr) else { return };
        match kind {
            "Call" => list(body.get("params")).for_each(|param| self.add(param, depth)),
            "BoolExpr" | "BinExpr" | "ArithExpr" => {
                ["lhs", "rhs"]
                    .iter()
                    .filter_map(|side| body.get(side))
                    .for_each(|side| self.add(side, depth));
            }
            "Membership" => {
                let sides = ["value", "collection"];
                sides.iter().filter_map(|side| body.get(side)).for_each(|side| self.add(side, depth));
            }
            "UnaryExpr" => {
                if let Some(inner) = body.get("expr") {
                    self.add(inner, depth);
                }
            }
            "RefDot" | "RefBrack" => self.leading(body, depth),
            _ => {}
        }
    }

    /// Of a path that is not there, the longest beginning is what helps: one step less.
    fn leading(&mut self, body: &Value, depth: usize) {
        if let Some(index) = body.get("index") {
            self.add(index, depth);
        }
        if let Some(parent) = body.get("refr").filter(|parent| {
            chain(parent)
                .is_some_and(|steps| steps.len() > 2 && steps.first().and_then(Step::name) != Some("data"))
        }) {
            self.add(parent, 1);
        }
    }
}

/// Whether an expression is written out whole, so that its value says nothing more.
fn constant(expr: &Value) -> bool {
    match single(expr) {
        Some(("String" | "RawString" | "Number" | "Bool" | "Null", _)) => true,
        Some(("Array" | "Set", body)) => list(body.get("items")).all(constant),
        Some(("Object", body)) => {
            list(body.get("fields")).all(|field| [1, 2].iter().all(|at| field.get(at).is_some_and(constant)))
        }
        _ => false,
    }
}
