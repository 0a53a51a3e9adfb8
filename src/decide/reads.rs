//! What a decision depends on: the paths of `input` that the modules read, checked against the contract.

use crate::decide::contract::{Field, INPUT, Reads, Shape};
use crate::decide::paths::{Module, Rule, Step};
use crate::decide::problem::{At, PolicyProblem, nearest};

/// Functions whose result is another one at every call.
const PASSING: [&str; 4] = ["time.now_ns", "rand.intn", "uuid.rfc4122", "opa.runtime"];

/// Everything in `input` that a policy reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::decide) struct ReadSet {
    /// The values, sorted, each once.
    pub(in crate::decide) values: Vec<Reads>,
    /// Whether an answer is good for this one message only: the policy reads time, chance or usage.
    pub(in crate::decide) passing: bool,
    /// Whether it calls a function of time or chance.
    pub(in crate::decide) calls_passing: bool,
}

impl ReadSet {
    /// What the modules read.
    pub(in crate::decide) fn of(modules: &[Module]) -> Self {
        let mut values = Vec::new();
        for module in modules {
            for path in paths(module) {
                if let Ok(place) = follow(&path) {
                    place.fields(&mut values);
                }
            }
        }
        values.sort();
        values.dedup();
        let all = values.contains(&Reads::Field(Field::Attributes));
        values.retain(|read| !(all && matches!(read, Reads::Attribute(_))));
        let moment = values.iter().any(|read| matches!(read, Reads::Field(field) if field.passes()));
        let calls_passing = modules.iter().any(calls_passing);
        Self { values, passing: moment || calls_passing, calls_passing }
    }

    /// Whether a value of the contract is read.
    pub(in crate::decide) fn has(&self, field: Field) -> bool {
        self.values.contains(&Reads::Field(field))
    }
}

/// Whether a rule calls a function whose result is another one at every call.
pub(in crate::decide) fn calls_passing(module: &Module) -> bool {
    // A function may also be named without a call, as what `with` puts in another's place.
    let called = module.rules.iter().flat_map(|rule| rule.calls.iter().map(|call| &call.name));
    let named = module.rules.iter().flat_map(|rule| rule.references.iter().map(|r| &r.steps));
    called.chain(named).any(|steps| {
        let name = crate::decide::paths::dotted(steps);
        PASSING.contains(&name.as_str())
    })
}

/// Every path of `input` that a module reads, imports included.
fn paths(module: &Module) -> Vec<Vec<Step>> {
    let references = module.rules.iter().flat_map(|rule| rule.references.iter());
    let read = references.filter(|reference| !reference.replaced).map(|reference| &reference.steps);
    read.map(|steps| module.resolve(steps)).filter(|steps| is_input(steps)).collect()
}

/// The problems of a module's paths of `input`.
pub(in crate::decide) fn check(module: &Module) -> Vec<PolicyProblem> {
    let mut problems = Vec::new();
    for (name, path, at) in &module.imports {
        if name == "input" || name == "data" {
            let fix = "give the import another name with `as`";
            problems.push(PolicyProblem::new(&module.file, *at, format!("an import hides `{name}`"), fix));
        }
        problems.extend(missing(module, path));
    }
    for rule in &module.rules {
        for reference in &rule.references {
            problems.extend(missing(module, &expand(module, rule, &reference.steps)));
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

/// The path that a reference in a rule stands for, once the rule's own names for it are resolved as well.
pub(in crate::decide) fn expand(module: &Module, rule: &Rule, steps: &[Step]) -> Vec<Step> {
    let first = steps.first().and_then(Step::name);
    match rule.aliases.iter().find(|(name, _)| Some(name.as_str()) == first) {
        Some((_, path)) => {
            let whole: Vec<Step> = path.iter().chain(steps.iter().skip(1)).cloned().collect();
            module.resolve(&whole)
        }
        None => module.resolve(steps),
    }
}

fn is_input(steps: &[Step]) -> bool {
    steps.first().and_then(Step::name) == Some("input")
}

fn missing(module: &Module, steps: &[Step]) -> Option<PolicyProblem> {
    if !is_input(steps) {
        return None;
    }
    follow(steps).err().map(|gap| gap.problem(&module.file))
}

/// Where a path leads.
enum Place {
    Shape(Shape),
    Attribute(String),
}

impl Place {
    fn fields(self, into: &mut Vec<Reads>) {
        match self {
            Self::Shape(shape) => shape.fields(into),
            Self::Attribute(name) => into.push(Reads::Attribute(name)),
        }
    }
}

/// A path that `input` does not have.
struct Gap {
    at: At,
    path: String,
    name: String,
    parent: String,
    shape: Shape,
}

/// Follows a path through the contract. What is only known when it runs stands for all below it.
fn follow(steps: &[Step]) -> Result<Place, Gap> {
    let mut shape = INPUT;
    let mut path = String::from("input");
    for step in steps.iter().skip(1) {
        shape = match (shape, step) {
            (Shape::Object(members), Step::Name(name, at)) => {
                match members.iter().find(|(member, _)| member == name) {
                    Some((_, inner)) => *inner,
                    None => return Err(Gap::new(*at, &path, name, shape)),
                }
            }
            (Shape::List(field), Step::Any) => Shape::Value(field),
            (Shape::List(_) | Shape::Value(_), Step::Name(name, at)) => {
                return Err(Gap::new(*at, &path, name, shape));
            }
            (Shape::Attributes, Step::Name(name, _)) => return Ok(Place::Attribute(name.clone())),
            (Shape::Object(_) | Shape::Value(_) | Shape::Attributes | Shape::Open(_), _) => break,
        };
        path.push('.');
        path.push_str(step.name().unwrap_or("_"));
    }
    Ok(Place::Shape(shape))
}

impl Gap {
    fn new(at: At, parent: &str, name: &str, shape: Shape) -> Self {
        let path = format!("{parent}.{name}");
        Self { at, path, name: name.to_owned(), parent: parent.to_owned(), shape }
    }

    fn problem(&self, file: &str) -> PolicyProblem {
        let what = format!("`{}` is not in the input that the gate gives", self.path);
        PolicyProblem::new(file, self.at, what, self.fix())
    }

    fn fix(&self) -> String {
        let Shape::Object(members) = self.shape else {
            return match self.shape {
                Shape::List(_) => format!("`{}` is a list: write `some x in {0}`", self.parent),
                _ => format!("`{}` is one value and has no members", self.parent),
            };
        };
        let beside = members.iter().map(|(name, _)| *name);
        if let Some(name) = nearest(&self.name, beside.clone()) {
            return format!("the nearest is `{}.{name}`", self.parent);
        }
        let mut all = Vec::new();
        INPUT.paths("input", &mut all);
        let same = all.iter().find(|path| path.rsplit('.').next() == Some(self.name.as_str()));
        match same.map(String::as_str).or_else(|| nearest(&self.path, all.iter().map(String::as_str))) {
            Some(path) => format!("the nearest is `{path}`"),
            None => format!("`{}` has {}", self.parent, beside.collect::<Vec<_>>().join(", ")),
        }
    }
}
