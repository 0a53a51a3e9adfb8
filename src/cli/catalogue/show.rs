//! Differences for people and for programs: what was, what is, and what in it speaks to a model.

use std::fmt::Write;

use serde_json::{Value, json};
use similar::TextDiff;

use super::{Differs, findings, pretty};
use crate::catalogue::{Definition, Difference, Thing, escaped};

/// Lines of a schema that are shown around a change.
const AROUND: usize = 2;

/// The differences as JSON.
pub(super) fn values(differs: &[Differs]) -> Value {
    let server = |one: &Differs| {
        let tools: Vec<Value> = one.differences.iter().map(value).collect();
        (one.server.to_string(), json!(tools))
    };
    Value::Object(differs.iter().map(server).collect())
}

fn value(difference: &Difference) -> Value {
    let digest = |tool: Option<&Definition>| tool.map(|tool| tool.digest().to_string());
    let was = match difference {
        Difference::Changed { was, .. } | Difference::Gone(was) => Some(was),
        Difference::Appeared(_) => None,
    };
    let now = difference.now();
    let diff: Vec<String> = changes(was, now).into_iter().map(|(_, lines)| lines).collect();
    let mut value = json!({
        "kind": difference.thing(),
        "name": difference.name(),
        "change": difference.as_str(),
        "was": digest(was),
        "now": digest(now),
        "diff": diff.concat(),
        "findings": now.map(findings).unwrap_or_default(),
    });
    if let (Value::Object(members), Thing::Tool) = (&mut value, difference.thing()) {
        members.insert("tool".to_owned(), json!(difference.name()));
    }
    value
}

/// The differences as text. What cannot be seen is written as `\u` escapes.
pub(super) fn text(differs: &[Differs]) -> String {
    let mut out = String::new();
    for one in differs.iter().filter(|one| !one.differences.is_empty()) {
        let _ = writeln!(out, "{}", one.server);
        for difference in &one.differences {
            let kind = match difference.thing() {
                Thing::Tool => String::new(),
                thing @ (Thing::Prompt | Thing::Resource | Thing::Template) => format!("{} ", thing.as_str()),
            };
            let name = format!("{kind}{}", escaped(difference.name().as_str()));
            let _ = writeln!(out, "  {:<9} {name}", difference.as_str());
            let was = match difference {
                Difference::Changed { was, .. } => Some(was),
                Difference::Appeared(_) | Difference::Gone(_) => None,
            };
            if let Some(now) = difference.now() {
                tool(was, now, &mut out);
            }
        }
        out.push('\n');
    }
    out
}

fn tool(was: Option<&Definition>, now: &Definition, out: &mut String) {
    for (member, lines) in changes(was, Some(now)) {
        let _ = writeln!(out, "    {member}");
        for line in lines.lines() {
            let _ = writeln!(out, "      {line}");
        }
    }
    for finding in findings(now) {
        let _ = writeln!(out, "    ! {finding}");
    }
}

/// The members that differ, each with its lines.
fn changes(was: Option<&Definition>, now: Option<&Definition>) -> Vec<(&'static str, String)> {
    let text = |tool: Option<&Definition>, member: &str| {
        tool.and_then(|tool| tool.members.get(member)).map(pretty).map(|text| escaped_lines(&text))
    };
    let members = now.or(was).map(|one| one.thing.members()).unwrap_or_default();
    let differing = members.iter().copied().filter_map(|member| {
        let (was, now) = (text(was, member), text(now, member));
        (was != now).then(|| (member, lines(&was.unwrap_or_default(), &now.unwrap_or_default())))
    });
    differing.collect()
}

/// Line feeds stay, so that lines stay lines; everything else that cannot be seen is made visible.
fn escaped_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(escaped).collect();
    lines.join("\n")
}

fn lines(was: &str, now: &str) -> String {
    let ended = |text: &str| if text.is_empty() { String::new() } else { format!("{text}\n") };
    let (was, now) = (ended(was), ended(now));
    let diff = TextDiff::from_lines(&was, &now);
    let mut out = String::new();
    for (at, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        out.push_str(if at > 0 { "  …\n" } else { "" });
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let _ = write!(out, "{} {}", change.tag(), change.value());
        }
    }
    out
}
