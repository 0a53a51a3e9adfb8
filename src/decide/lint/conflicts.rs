//! Rules of one name that may give two values for the same question, which the engine answers with an error.

use crate::decide::bundle::Text;
use crate::decide::outline::{Body, Outline};
use crate::decide::problem::PolicyProblem;
use crate::decide::rego;

type Placed<'a> = (&'a Outline, &'a Body);

/// Every second definition that may hold beside a first.
pub(super) fn find(modules: &[Text]) -> Vec<PolicyProblem> {
    let outlines: Vec<Outline> = modules.iter().filter_map(|text| rego::outline(text).ok()).collect();
    let bodies = outlines.iter().flat_map(|outline| outline.bodies.iter().map(move |body| (outline, body)));
    let whole: Vec<Placed<'_>> = bodies
        .filter(|(_, body)| !body.otherwise && !body.partial && !body.function && body.value.is_some())
        .collect();
    let mut doubts = Vec::new();
    for (i, first) in whole.iter().enumerate() {
        let others = whole.iter().skip(i + 1);
        doubts.extend(others.filter_map(|second| conflict(first, second)));
    }
    doubts
}

fn conflict(first: &Placed<'_>, second: &Placed<'_>) -> Option<PolicyProblem> {
    let ((one, first), (other, second)) = (first, second);
    let same = one.package == other.package && first.rule == second.rule && first.at != second.at;
    if !same || first.value == second.value || exclusive(first, second) {
        return None;
    }
    let name = first.rule.join(".");
    let word = if implies(first, second) || implies(second, first) { "has" } else { "may have" };
    let what = format!(
        "`{name}` {word} two values for one question, which is an error and refuses: the other is at {}:{}",
        one.file, first.at.line
    );
    let fix = "chain them with `else`, or make one of them hold only where the other does not";
    Some(PolicyProblem::new(&other.file, second.at, what, fix))
}

/// Whether one body holds wherever the other does: it states nothing more.
fn implies(strong: &Body, weak: &Body) -> bool {
    let all = texts(strong);
    texts(weak).iter().all(|text| all.contains(text))
}

/// Whether both bodies can be seen never to hold together.
fn exclusive(first: &Body, second: &Body) -> bool {
    let (first, second) = (texts(first), texts(second));
    first.iter().any(|one| second.iter().any(|other| opposite(one, other) || opposite(other, one)))
}

fn opposite(one: &str, other: &str) -> bool {
    let negated = other.strip_prefix("not ").is_some_and(|inner| inner.trim() == one);
    let sides = |text: &str| text.split_once(" == ").map(|(left, right)| (left.to_owned(), right.to_owned()));
    let differ = match (sides(one), sides(other)) {
        (Some((left, right)), Some((same, value))) => {
            left == same && literal(&right) && literal(&value) && right != value
        }
        _ => false,
    };
    let unequal = other.split_once(" != ").is_some_and(|(left, right)| one == format!("{left} == {right}"));
    negated || differ || unequal
}

fn literal(text: &str) -> bool {
    text.starts_with('"') || text.parse::<f64>().is_ok() || matches!(text, "true" | "false" | "null")
}

fn texts(body: &Body) -> Vec<String> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    body.statements.iter().map(|statement| words(&statement.text)).collect()
}
