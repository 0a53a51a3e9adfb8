//! What a replay found: how many decisions stay, how many change, and what of them cannot be known.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::line::Line;
use crate::name::Revision;

/// So many examples are shown of each effect.
const EXAMPLES: usize = 10;

/// So many names are counted of each kind; the rest are counted as `others`.
const NAMES: usize = 1000;

/// What another policy means for one decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It was refused and would be allowed.
    Allowed,
    /// It was allowed and would be refused.
    Refused,
    /// It depends on its arguments, which are not kept.
    Arguments,
    /// It cannot be known.
    Unknown,
    /// It would be decided as it was.
    Same,
}

impl Effect {
    /// All of them, as a report tells them.
    pub const ALL: [Self; 5] = [Self::Allowed, Self::Refused, Self::Arguments, Self::Unknown, Self::Same];

    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "newly allowed",
            Self::Refused => "newly refused",
            Self::Arguments => "depends on arguments, which are not kept",
            Self::Unknown => "cannot be known",
            Self::Same => "the same",
        }
    }
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For a terminal.
    Text,
    /// For a pull request.
    Markdown,
}

/// One decision of an effect.
#[derive(Debug, Serialize)]
struct Example {
    effect: Effect,
    invocation: String,
    time: String,
    who: String,
    roles: Vec<String>,
    server: String,
    what: String,
    because: Vec<String>,
}

type Counts = BTreeMap<Effect, u64>;

/// What a replay found.
#[derive(Debug, Serialize)]
pub struct Report {
    revision: Revision,
    /// What is wrong with the chain; empty: it is whole.
    findings: Vec<String>,
    decisions: u64,
    /// Newly allowed, and expected by nobody.
    unexpected: u64,
    effects: Counts,
    tools: BTreeMap<String, Counts>,
    roles: BTreeMap<String, Counts>,
    /// Rules by which it is newly allowed, or by which it was allowed and no longer is.
    rules: BTreeMap<String, Counts>,
    /// Why it cannot be known.
    unknown: BTreeMap<String, u64>,
    /// Refused by something else than policy, by reason.
    not_policy: BTreeMap<String, u64>,
    examples: Vec<Example>,
}

impl Report {
    pub(super) fn new(revision: &Revision) -> Self {
        Self {
            revision: revision.clone(),
            findings: Vec::new(),
            decisions: 0,
            unexpected: 0,
            effects: Counts::new(),
            tools: BTreeMap::new(),
            roles: BTreeMap::new(),
            rules: BTreeMap::new(),
            unknown: BTreeMap::new(),
            not_policy: BTreeMap::new(),
            examples: Vec::new(),
        }
    }

    /// Notes what is wrong with the chain that was read.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<String>) -> Self {
        self.findings = findings;
        self
    }

    /// How many decisions have this effect.
    #[must_use]
    pub fn count(&self, effect: Effect) -> u64 {
        self.effects.get(&effect).copied().unwrap_or_default()
    }

    /// How many are newly allowed that nobody expects.
    #[must_use]
    pub fn unexpected_count(&self) -> u64 {
        self.unexpected
    }

    pub(super) fn unexpected(&mut self) {
        self.unexpected += 1;
    }

    pub(super) fn undecided(&mut self, reason: &str) {
        *bounded(&mut self.not_policy, reason) += 1;
    }

    pub(super) fn add(&mut self, line: &Line<'_>, effect: Effect, because: Vec<String>) {
        self.decisions += 1;
        let told = self.effects.entry(effect).or_default();
        *told += 1;
        let seen = *told;
        if effect == Effect::Same {
            return;
        }
        let (server, what) = line.what();
        *bounded(&mut self.tools, &format!("{server}/{what}")).entry(effect).or_default() += 1;
        for role in &line.roles {
            *bounded(&mut self.roles, role).entry(effect).or_default() += 1;
        }
        for one in &because {
            match effect {
                Effect::Unknown => *bounded(&mut self.unknown, one) += 1,
                Effect::Allowed | Effect::Refused | Effect::Arguments | Effect::Same => {
                    *bounded(&mut self.rules, one).entry(effect).or_default() += 1;
                }
            }
        }
        if seen <= EXAMPLES as u64 {
            self.examples.push(Example {
                effect,
                invocation: line.invocation.as_deref().unwrap_or_default().to_owned(),
                time: line.time.to_string(),
                who: line.who(),
                roles: line.roles.iter().map(ToString::to_string).collect(),
                server,
                what,
                because,
            });
        }
    }

    /// In words.
    #[must_use]
    pub fn told(&self, form: Form) -> String {
        let mut text = String::new();
        let (heading, item, mark) = match form {
            Form::Text => ("", "  ", ""),
            Form::Markdown => ("### ", "- ", "`"),
        };
        let _ = writeln!(
            text,
            "{heading}{} recorded decisions, judged by policy {mark}{}{mark}\n",
            self.decisions, self.revision
        );
        for finding in &self.findings {
            let _ = writeln!(text, "{item}THE CHAIN IS NOT WHOLE: {mark}{}{mark}", plain(finding));
        }
        for effect in Effect::ALL {
            let _ = writeln!(text, "{item}{:>8}  {}", self.count(effect), effect.as_str());
        }
        for (reason, count) in &self.not_policy {
            let _ = writeln!(
                text,
                "{item}{count:>8}  not counted: refused by something else than policy ({mark}{}{mark})",
                plain(reason)
            );
        }
        for (what, count) in &self.unknown {
            let _ =
                writeln!(text, "{item}{count:>8}  cannot be known for want of {mark}{}{mark}", plain(what));
        }
        for (title, counts) in [("By tool", &self.tools), ("By role", &self.roles), ("By rule", &self.rules)]
        {
            if !counts.is_empty() {
                let _ = writeln!(text, "\n{heading}{title}\n");
            }
            for (name, counts) in counts {
                let counts: Vec<String> =
                    counts.iter().map(|(effect, count)| format!("{count} {}", short(*effect))).collect();
                let _ = writeln!(text, "{item}{mark}{}{mark}: {}", plain(name), counts.join(", "));
            }
        }
        self.examples(&mut text, heading, item, mark);
        text.trim_end().to_owned()
    }

    fn examples(&self, text: &mut String, heading: &str, item: &str, mark: &str) {
        if self.examples.is_empty() {
            return;
        }
        let _ =
            writeln!(text, "\n{heading}Examples (`portcullis policy explain --invocation ID` tells more)\n");
        let mut examples: Vec<&Example> = self.examples.iter().collect();
        examples.sort_by_key(|example| example.effect);
        for one in examples {
            let because = match (one.effect, one.because.is_empty()) {
                (_, true) => String::new(),
                (Effect::Unknown, false) => format!(" (want of {})", one.because.join(", ")),
                (_, false) => format!(" (by {})", one.because.join(", ")),
            };
            let _ = writeln!(
                text,
                "{item}{}: {mark}{}{mark} by {mark}{}{mark}{}, {}",
                short(one.effect),
                plain(&format!("{}/{}", one.server, one.what)),
                plain(&one.who),
                plain(&because),
                one.invocation
            );
        }
    }
}

fn short(effect: Effect) -> &'static str {
    match effect {
        Effect::Allowed => "newly allowed",
        Effect::Refused => "newly refused",
        Effect::Arguments => "depends on arguments",
        Effect::Unknown => "unknown",
        Effect::Same => "the same",
    }
}

/// The counter of a name; callers choose some names, so that their number has an end.
fn bounded<'m, T: Default>(map: &'m mut BTreeMap<String, T>, name: &str) -> &'m mut T {
    let known = map.contains_key(name) || map.len() < NAMES;
    map.entry(if known { name.to_owned() } else { "others".to_owned() }).or_default()
}

/// A text of the audit on one line, in which nothing is markup or a terminal's command.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '`' | '|' | '<') { '?' } else { c }).collect()
}
