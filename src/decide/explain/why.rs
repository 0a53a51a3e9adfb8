//! Why a question ends as it does, in words: one sentence, what did not apply, and what would have to change.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use crate::decide::explain::grants::{Grants, Miss, joined};
use crate::decide::rego::Stop;
use crate::decide::{Decide, Explanation, Outcome, Phase, Question, Subject};

/// How many grants are told one by one.
const TOLD: usize = 20;

/// Why a question ends as it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// In one sentence.
    pub sentence: String,
    /// The grants of the caller's roles that do not cover it.
    pub grants: Vec<Miss>,
    /// Where the policy's own rules stop, where it is no matter of grants.
    pub stops: Vec<Stop>,
    /// What would have to change: any of these is enough.
    pub changes: Vec<String>,
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Everything, with the files and lines of the policy.
    Whole,
    /// What a tenant's administrator may see: no file, no expression.
    WithoutInternals,
}

/// What is known of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Everything.
    Whole,
    /// Everything but their attributes.
    WithoutAttributes,
}

impl Decide {
    /// Says why a question ends as `told` says. It asks the policy piece by piece, which takes some milliseconds.
    #[must_use]
    pub fn why(&self, question: &Question<'_>, told: &Explanation, known: Known) -> Why {
        // What a caller does not see is decided by the list's question.
        let (phase, arguments) = match told.outcome {
            Outcome::Hidden => (Phase::List, None),
            Outcome::Allowed | Outcome::Denied | Outcome::Failed => (Phase::Call, question.arguments),
        };
        let asked = Question { arguments, ..*question };
        let Ok(inspection) = self.rego().inspect(&asked, phase) else {
            let sentence = sentence(question, told, None, &[]);
            return Why { sentence, grants: Vec::new(), stops: Vec::new(), changes: Vec::new() };
        };
        let grants = Grants::ask(&inspection, &asked, &told.rules, known);
        let refused = told.outcome != Outcome::Allowed && told.deny.is_empty() && told.refusal.is_none();
        let stops = if refused && grants.is_none() { inspection.stops("allow") } else { Vec::new() };
        let sentence = sentence(question, told, grants.as_ref(), &stops);
        let changes = changes(question, told, grants.as_ref());
        let mut grants = grants.map(|grants| grants.misses).unwrap_or_default();
        grants.sort_by_key(|miss| std::cmp::Reverse(miss.held_conditions));
        Why { sentence, grants, stops, changes }
    }
}

impl Why {
    /// The whole in words: the sentence, then what it rests on, line by line.
    #[must_use]
    pub fn told(&self, explanation: &Explanation, detail: Detail) -> String {
        let mut text = self.sentence.clone();
        let mut row = |what: &str, value: &dyn std::fmt::Display| {
            let _ = write!(text, "\n{what:<12}{value}");
        };
        row(
            "decision",
            &match explanation.outcome {
                Outcome::Allowed => "allowed",
                Outcome::Denied => {
                    "denied: the caller sees the tool, and its call is refused with the reason"
                }
                Outcome::Hidden => "hidden: for this caller the tool does not exist",
                Outcome::Failed => "failed: policy could not decide, which refuses",
            },
        );
        explanation.rules.iter().for_each(|rule| row("rule", rule));
        for (code, message) in &explanation.deny {
            row("deny", &format_args!("{}: {message}", code.as_deref().unwrap_or("denied")));
        }
        explanation
            .constraints
            .iter()
            .for_each(|(name, schema)| row("constraint", &format_args!("{name}: {schema}")));
        explanation.redact.iter().for_each(|pointer| row("mask", pointer));
        explanation.refusal.iter().for_each(|text| row("refused", text));
        explanation.failure.iter().for_each(|text| row("failure", text));
        self.lines(detail).iter().for_each(|(what, line)| row(what, line));
        row("policy", &explanation.revision);
        text
    }

    /// Line by line, after the sentence.
    fn lines(&self, detail: Detail) -> Vec<(&'static str, String)> {
        let mut lines: Vec<(&'static str, String)> = Vec::new();
        for miss in self.grants.iter().take(TOLD) {
            let because = if miss.because.is_empty() { "it is not counted" } else { &miss.because };
            lines.push(("not by", format!("{}: {because}", miss.rule)));
        }
        if let Some(more) = self.grants.len().checked_sub(TOLD).filter(|more| *more > 0) {
            lines.push(("not by", format!("{more} more")));
        }
        if detail == Detail::Whole {
            for stop in &self.stops {
                lines.push(("not by", stop.to_string()));
                lines.extend(stop.values.iter().map(|(text, value)| ("", format!("  {text} = {value}"))));
            }
        }
        lines.extend(self.changes.iter().map(|change| ("change", change.clone())));
        lines
    }
}

fn sentence(question: &Question<'_>, told: &Explanation, grants: Option<&Grants>, stops: &[Stop]) -> String {
    let (who, what) = (who(question), what(question));
    let because = match told.outcome {
        Outcome::Allowed => return format!("{who} may {what}{}.", by(told)),
        Outcome::Failed => "policy could not decide, which refuses".to_owned(),
        Outcome::Denied | Outcome::Hidden => refused(question, told, grants, stops),
    };
    let open =
        grants.filter(|grants| told.deny.is_empty() && told.refusal.is_none() && grants.depends().is_some());
    match open {
        Some(_) => format!("it is not known whether {who} may {what}: {because}."),
        None => format!("{who} may not {what}: {because}."),
    }
}

fn who(question: &Question<'_>) -> String {
    let caller = question.caller;
    match (caller.user(), caller.agent()) {
        (Some(user), _) => user.to_string(),
        (None, Some(agent)) => agent.to_string(),
        (None, None) => match caller.roles() {
            [] => "whoever has no role".to_owned(),
            roles => format!("whoever is {}", roles.join(", ")),
        },
    }
}

fn what(question: &Question<'_>) -> String {
    let server = question.server;
    match question.subject {
        Subject::Tool(tool) => match tool.spoken(server) {
            Some(spoken) => format!("{spoken} (`{}` of `{}`)", tool.name, server.name),
            None => format!("use `{}` of `{}`", tool.name, server.name),
        },
        Subject::Resource(uri) => format!("read `{uri}` of `{}`", server.name),
        Subject::Prompt(name) => format!("get the prompt `{name}` of `{}`", server.name),
        Subject::Server => format!("use `{}`", server.name),
    }
}

/// By what it is allowed, and within which limits.
fn by(told: &Explanation) -> String {
    let rules = match told.rules.as_slice() {
        [] => String::new(),
        rules => format!(" by {}", rules.join(", ")),
    };
    let limits: Vec<String> = told.constraints.iter().map(|(name, schema)| limit(name, schema)).collect();
    match limits.is_empty() {
        true => rules,
        false => format!("{rules}, where {}", limits.join(" and ")),
    }
}

fn limit(name: &str, schema: &Value) -> String {
    let choice = schema.get("enum").and_then(Value::as_array);
    match (schema.get("const"), choice) {
        (Some(only), _) => format!("`{name}` is {only}"),
        (None, Some(choice)) => {
            format!(
                "`{name}` is one of {}",
                choice.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
            )
        }
        (None, None) => format!("`{name}` fits {schema}"),
    }
}

fn refused(question: &Question<'_>, told: &Explanation, grants: Option<&Grants>, stops: &[Stop]) -> String {
    if !told.deny.is_empty() {
        let reasons = told.deny.iter().map(|(code, message)| match code {
            Some(code) => format!("{message} ({code})"),
            None => message.clone(),
        });
        return reasons.collect::<Vec<_>>().join("; ");
    }
    if let Some(refusal) = &told.refusal {
        return refusal.clone();
    }
    match (grants, stops.first()) {
        (Some(grants), _) => grants.because(question),
        (None, Some(_)) => "no rule of the policy allows it".to_owned(),
        (None, None) => "the policy does not allow it".to_owned(),
    }
}

impl Grants {
    /// A grant that covers the question if the caller has what is not known of them.
    fn depends(&self) -> Option<&Miss> {
        self.misses.iter().find(|miss| miss.depends)
    }

    /// Why none of the caller's grants covers the question.
    fn because(&self, question: &Question<'_>) -> String {
        if let Some(miss) = self.depends() {
            return format!("{} covers it, if {}", miss.rule, miss.because);
        }
        let (tenant, server) = (question.caller.tenant(), &question.server.name);
        let roles: Vec<String> = self.known_roles.iter().map(|role| format!("`{role}`")).collect();
        if self.roles.is_empty() {
            return "they have no role".to_owned();
        }
        if roles.is_empty() {
            let given: Vec<String> = self.roles.iter().map(|role| format!("`{role}`")).collect();
            return format!("tenant `{tenant}` grants nothing to {}", joined(&given));
        }
        let (word, has) = if roles.len() == 1 { ("role", "has") } else { ("roles", "have") };
        let roles = format!("{word} {} {has}", joined(&roles));
        let here: Vec<&Miss> =
            self.misses.iter().filter(|miss| !matches!(miss.failed, Some("servers"))).collect();
        let Some(nearest) = here.iter().max_by_key(|miss| miss.held_conditions) else {
            return format!("{roles} no grant for server `{server}`");
        };
        match nearest.failed {
            Some(key @ ("tools" | "resources" | "prompts")) => {
                let mut names: Vec<String> =
                    here.iter().flat_map(|miss| miss.names.iter().cloned()).collect();
                names.dedup();
                let named = if names.is_empty() {
                    format!("say nothing of {key}")
                } else {
                    format!("name {}", joined(&names))
                };
                format!("{roles} no grant for it; the grants at `{server}` {named}")
            }
            Some(_) => {
                format!("{roles} no grant for it; the nearest is {}: {}", nearest.rule, nearest.because)
            }
            None => format!(
                "{roles} a grant for it, {}, and a scoped URL or the method stands in its way",
                nearest.rule
            ),
        }
    }
}

fn changes(question: &Question<'_>, told: &Explanation, grants: Option<&Grants>) -> Vec<String> {
    if told.outcome == Outcome::Allowed {
        return Vec::new();
    }
    let Some(grants) = grants else {
        return told.refusal.iter().map(|_| "give the argument as it must be".to_owned()).collect();
    };
    let mut changes = Vec::new();
    for rule in &grants.denying {
        let spared: Vec<&str> = rule
            .get("unless_roles")
            .and_then(Value::as_array)
            .map(|roles| roles.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        changes.push(match spared.is_empty() {
            true => format!(
                "the rule under `deny` of tenant `{}` would have to spare it: {rule}",
                question.caller.tenant()
            ),
            false => format!("the rule under `deny` spares whoever is {}", spared.join(" or ")),
        });
    }
    if told.refusal.is_some() {
        changes.push("give the argument as it must be".to_owned());
    }
    if told.rules.is_empty() {
        let mut others: Vec<&(String, String)> = grants.others.iter().collect();
        others.dedup_by_key(|(role, _)| role);
        let role = |(role, rule): &(String, String)| {
            format!("give them the role `{role}`, whose grant {rule} covers it")
        };
        changes.extend(others.iter().take(TOLD).map(|other| role(other)));
        let nearest = grants.misses.iter().filter(|miss| miss.failed.is_some());
        if let Some(miss) = nearest.max_by_key(|miss| miss.held_conditions) {
            changes.push(format!("in {}: {}", miss.rule, miss.change));
        }
    }
    changes
}
