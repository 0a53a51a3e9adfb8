//! What a policy reads: every module's syntax tree → the paths of `input`, the functions and the rules that it names.
//!
//! # Why from the tree
//! A misspelt path of `input` is merely undefined in Rego, so that a deny rule that reads one never fires. And a
//! decision depends on nothing but the paths that are read, which is what makes it worth keeping. Where a path cannot
//! be told before it runs (`input[x]`, a whole object handed to a function), everything below it counts as read.

mod heads;
pub(in crate::decide) mod tree;

use serde_json::Value;

use crate::decide::paths::tree::{bindings, chain, innermost, list, names, place, single, spelt, text};
use crate::decide::problem::At;

/// One module, as far as the loader cares.
#[derive(Debug)]
pub(in crate::decide) struct Module {
    /// The file.
    pub(in crate::decide) file: String,
    /// The package's path, without `data`.
    pub(in crate::decide) package: Vec<String>,
    /// What its imports bring: the name, and the path that it stands for.
    pub(in crate::decide) imports: Vec<(String, Vec<Step>, At)>,
    /// Its rules.
    pub(in crate::decide) rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug)]
pub(in crate::decide) struct Rule {
    /// Its name within the package; more than one step for `a.b := …` and `a["b"] := …`.
    pub(in crate::decide) name: Vec<String>,
    /// Whether a part of its name is only known when it runs, as in `a[x] := …`.
    pub(in crate::decide) partial: bool,
    /// What it makes.
    pub(in crate::decide) makes: Makes,
    /// Whether it is what holds where no other rule of its name does.
    pub(in crate::decide) default: bool,
    /// Where it stands.
    pub(in crate::decide) at: At,
    /// The references in it.
    pub(in crate::decide) references: Vec<Reference>,
    /// The calls in it.
    pub(in crate::decide) calls: Vec<Call>,
    /// Where its head may be undefined in one turn of a loop and not in another.
    pub(in crate::decide) unsure: Option<At>,
    /// Names that stand for a path of `input` throughout the rule: `c := input.caller`.
    pub(in crate::decide) aliases: Vec<(String, Vec<Step>)>,
}

/// What a rule makes, as far as its text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decide) enum Makes {
    /// A function of so many arguments.
    Function(usize),
    /// `… contains x`.
    Set,
    /// `x if …`: true.
    True,
    /// A literal boolean.
    Boolean,
    /// A literal number.
    Number,
    /// A literal text.
    Text,
    /// A literal null.
    Null,
    /// A literal or computed object.
    Object,
    /// A literal or computed array.
    Array,
    /// A literal or computed set.
    SetValue,
    /// Whatever an expression gives.
    Unknown,
}

/// A reference: `input.caller.roles[_]`.
#[derive(Debug)]
pub(in crate::decide) struct Reference {
    /// Its steps; the first is a name.
    pub(in crate::decide) steps: Vec<Step>,
    /// Whether it only says what `with` puts in its place.
    pub(in crate::decide) replaced: bool,
}

/// One step of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::decide) enum Step {
    /// A name, and where it stands.
    Name(String, At),
    /// Anything else: a variable, a number, `_`.
    Any,
}

/// A call of a function.
#[derive(Debug)]
pub(in crate::decide) struct Call {
    /// Its name, as written.
    pub(in crate::decide) name: Vec<Step>,
    /// How many arguments it is given.
    pub(in crate::decide) arguments: usize,
    /// The arguments that are literal numbers.
    pub(in crate::decide) numbers: Vec<Option<f64>>,
    /// Where it stands.
    pub(in crate::decide) at: At,
}

impl Module {
    /// Reads one module's tree.
    pub(in crate::decide) fn read(file: &str, text: &str, ast: &Value) -> Self {
        let package = ast.pointer("/package/refr").map(names).unwrap_or_default();
        let imports = list(ast.get("imports")).filter_map(|ast| import(ast, text)).collect();
        let rules = list(ast.get("rules")).filter_map(Rule::read).collect();
        Self { file: file.to_owned(), package, imports, rules }
    }

    /// The path that a reference stands for, once imports are resolved; its first name is `input` or `data` where it
    /// leads out of the rule.
    pub(in crate::decide) fn resolve(&self, steps: &[Step]) -> Vec<Step> {
        let Some(Step::Name(first, _)) = steps.first() else { return steps.to_vec() };
        match self.imports.iter().find(|(name, ..)| name == first) {
            Some((_, path, _)) => path.iter().chain(steps.iter().skip(1)).cloned().collect(),
            None => steps.to_vec(),
        }
    }
}

impl Rule {
    fn read(ast: &Value) -> Option<Self> {
        let (kind, body) = ast.as_object()?.iter().next()?;
        let (refr, makes) = match kind.as_str() {
            "Default" => default_rule(body)?,
            _ => specified_rule(body)?,
        };
        let steps = chain(refr)?;
        let name: Vec<String> = steps.iter().map_while(Step::name).map(str::to_owned).collect();
        let partial = name.len() < steps.len();
        let at = place(refr);
        let unsure = heads::unsure(body);
        let (references, calls, aliases) = Default::default();
        let default = kind == "Default";
        let mut rule = Self { name, partial, makes, default, at, references, calls, unsure, aliases };
        rule.indices(refr);
        rule.walk(body, Some("refr"));
        rule.keep_plain_aliases(body);
        Some(rule)
    }

    /// Walks everything but what defines the rule's own name.
    fn walk(&mut self, node: &Value, skip: Option<&str>) {
        match node {
            Value::Object(members) => {
                for (key, child) in members {
                    if skip != Some(key.as_str()) {
                        self.node(key, child);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.walk(item, None)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn node(&mut self, kind: &str, body: &Value) {
        match kind {
            "head" => self.head(body),
            "Call" => self.call(body),
            "Var" | "RefDot" | "RefBrack" => self.reference(kind, body),
            "with_mods" => self.with(body),
            "AssignExpr" => self.assignment(body),
            _ => self.walk(body, None),
        }
    }

    fn head(&mut self, head: &Value) {
        if let Some(body) = head.as_object().and_then(|head| head.values().next()) {
            self.walk(body, Some("refr"));
        }
    }

    fn reference(&mut self, kind: &str, body: &Value) {
        let node = serde_json::json!({ kind: body });
        self.indices(&node);
        match chain(&node) {
            Some(steps) => self.references.push(Reference { steps, replaced: false }),
            None => {
                if let Some(inner) = innermost(&node) {
                    self.walk(inner, None);
                }
            }
        }
    }

    /// The expressions between the brackets of a reference are read on their own.
    fn indices(&mut self, node: &Value) {
        let mut node = node;
        while let Some((kind, body)) = single(node) {
            match (kind, body.get("refr")) {
                ("RefBrack", Some(inner)) => {
                    if let Some(index) = body.get("index") {
                        self.walk(index, None);
                    }
                    node = inner;
                }
                ("RefDot", Some(inner)) => node = inner,
                _ => break,
            }
        }
    }

    fn call(&mut self, body: &Value) {
        let arguments: Vec<&Value> = list(body.get("params")).collect();
        let name = body.get("fcn").and_then(chain).unwrap_or_default();
        let at = name.first().and_then(Step::at).unwrap_or(At::START);
        let got = dotted(&name) == "object.get" && self.object_get(&arguments);
        let numbers = arguments.iter().map(|a| a.pointer("/Number/value").and_then(Value::as_f64)).collect();
        self.calls.push(Call { name, arguments: arguments.len(), numbers, at });
        for argument in arguments.iter().skip(usize::from(got)) {
            self.walk(argument, None);
        }
    }

    /// `object.get(input.caller, "user", …)` reads one member, and not the whole.
    fn object_get(&mut self, arguments: &[&Value]) -> bool {
        let (Some(object), Some(key)) = (arguments.first(), arguments.get(1)) else { return false };
        let Some(mut steps) = chain(object) else { return false };
        let keys: Vec<&Value> = match key.pointer("/Array/items") {
            Some(items) => list(Some(items)).collect(),
            None => vec![key],
        };
        steps.extend(keys.iter().map(|key| text(key).map_or(Step::Any, |name| Step::Name(name, place(key)))));
        self.indices(object);
        self.references.push(Reference { steps, replaced: false });
        true
    }

    fn with(&mut self, modifiers: &Value) {
        for modifier in list(Some(modifiers)) {
            if let Some(steps) = modifier.get("refr").and_then(chain) {
                self.references.push(Reference { steps, replaced: true });
            }
            if let Some(value) = modifier.get("as") {
                self.walk(value, None);
            }
        }
    }

    fn assignment(&mut self, body: &Value) {
        let name = body.pointer("/lhs/Var/value").and_then(Value::as_str);
        if let (Some(name), Some("ColEq")) = (name, body.get("op").and_then(Value::as_str))
            && let Some(steps) = body.get("rhs").and_then(chain)
        {
            self.aliases.push((name.to_owned(), steps));
        }
        self.walk(body, None);
    }

    /// A name that means two things in one rule is no alias.
    fn keep_plain_aliases(&mut self, body: &Value) {
        let mut bound = Vec::new();
        bindings(body, &mut bound);
        self.aliases.retain(|(name, _)| bound.iter().filter(|other| *other == name).count() == 1);
    }
}

impl Step {
    /// Where the name stands.
    pub(in crate::decide) fn at(&self) -> Option<At> {
        match self {
            Self::Name(_, at) => Some(*at),
            Self::Any => None,
        }
    }

    /// The name, if it is one.
    pub(in crate::decide) fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name, _) => Some(name),
            Self::Any => None,
        }
    }
}

/// The names of a reference, up to the first step that is only known when it runs.
pub(in crate::decide) fn dotted(steps: &[Step]) -> String {
    steps.iter().map_while(Step::name).collect::<Vec<_>>().join(".")
}

fn default_rule(body: &Value) -> Option<(&Value, Makes)> {
    let arguments = list(body.get("args")).count();
    let makes = if arguments > 0 { Makes::Function(arguments) } else { made(body.get("value")) };
    Some((body.get("refr")?, makes))
}

fn specified_rule(body: &Value) -> Option<(&Value, Makes)> {
    let (kind, head) = single(body.get("head")?)?;
    let refr = head.get("refr")?;
    let makes = match kind {
        "Set" => Makes::Set,
        "Func" => Makes::Function(list(head.get("args")).count()),
        _ if head.get("assign").is_none_or(Value::is_null) => Makes::True,
        _ => made(head.pointer("/assign/value")),
    };
    Some((refr, makes))
}

fn made(value: Option<&Value>) -> Makes {
    match value.and_then(single).map(|(kind, _)| kind) {
        Some("Bool" | "BoolExpr" | "Membership") => Makes::Boolean,
        Some("Number" | "ArithExpr") => Makes::Number,
        Some("String" | "RawString") => Makes::Text,
        Some("Null") => Makes::Null,
        Some("Object" | "ObjectCompr") => Makes::Object,
        Some("Array" | "ArrayCompr") => Makes::Array,
        Some("Set" | "SetCompr") => Makes::SetValue,
        _ => Makes::Unknown,
    }
}

fn import(ast: &Value, text: &str) -> Option<(String, Vec<Step>, At)> {
    let refr = ast.get("refr")?;
    let steps = chain(refr)?;
    let last = steps.last().and_then(Step::name)?.to_owned();
    let name = ast.get("as").and_then(|span| spelt(span, text)).unwrap_or(last);
    Some((name, steps, place(refr)))
}
