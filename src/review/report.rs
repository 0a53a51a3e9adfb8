//! What changes, told: as text, as JSON, and as Markdown for a pull request.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::review::{Cell, Change, Expected, Questions, Turn, markdown, plain};

/// What a change of policy comes to.
#[derive(Debug)]
pub struct Report {
    before: String,
    after: String,
    asked: (usize, usize),
    changes: Vec<(Change, Review)>,
    unmet: Vec<String>,
}

/// Whether a change waits for a reviewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Review {
    /// It allows nothing that was not allowed.
    Needless,
    /// It is in the file of what is expected.
    Expected,
    /// Nobody expects it.
    Unexpected,
}

/// The groups of a report, what is newly allowed first: a title, and which turns are in it.
const GROUPS: [(&str, &[Turn]); 3] = [
    ("Newly allowed", &[Turn::Allowed, Turn::Widened]),
    ("Newly refused", &[Turn::Refused]),
    ("Otherwise changed", &[Turn::Narrowed, Turn::Told]),
];

impl Report {
    /// A report of what changes from `before` to `after`, which are the two sides' names.
    #[must_use]
    pub fn new(
        (before, after): (&str, &str),
        questions: &Questions,
        changes: Vec<Change>,
        expected: &Expected,
    ) -> Self {
        let review = |change: &Change| match (change.turn.is_newly_allowed(), expected.has(change)) {
            (false, _) => Review::Needless,
            (true, true) => Review::Expected,
            (true, false) => Review::Unexpected,
        };
        let changes: Vec<_> = changes.into_iter().map(|change| (review(&change), change)).collect();
        Self {
            before: before.to_owned(),
            after: after.to_owned(),
            asked: (questions.callers(), questions.things()),
            changes: changes.into_iter().map(|(review, change)| (change, review)).collect(),
            unmet: expected.unmet().map(str::to_owned).collect(),
        }
    }

    /// How many cells are newly allowed that nobody expects.
    #[must_use]
    pub fn unexpected(&self) -> usize {
        self.changes.iter().filter(|(_, review)| *review == Review::Unexpected).count()
    }

    /// What was expected and does not happen.
    #[must_use]
    pub fn unmet(&self) -> &[String] {
        &self.unmet
    }

    fn of(&self, turns: &[Turn]) -> Vec<&(Change, Review)> {
        self.changes.iter().filter(|(change, _)| turns.contains(&change.turn)).collect()
    }

    fn sum(&self) -> String {
        let counts =
            GROUPS.map(|(title, turns)| format!("{} {}", self.of(turns).len(), title.to_lowercase()));
        counts.join(", ")
    }

    /// For a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text =
            format!("{} → {}: {}", plain::text(&self.before), plain::text(&self.after), self.sum());
        for (title, turns) in GROUPS {
            let group = self.of(turns);
            if group.is_empty() {
                continue;
            }
            let _ = write!(text, "\n\n{title}");
            let width = |part: fn(&Change) -> String| {
                group.iter().map(|(change, _)| part(change).chars().count()).max().unwrap_or_default()
            };
            let (who, server, name) = (width(name_of), width(server_of), width(label_of));
            for (change, review) in group {
                let (a, b, c) = (name_of(change), server_of(change), label_of(change));
                let _ = write!(text, "\n  {a:<who$}  {b:<server$}  {c:<name$}  {}", turned(change));
                text.push_str(review.suffix());
            }
        }
        let (who, what) = self.asked;
        let _ = write!(text, "\n\nasked {who} callers about {what} tools, resources and prompts");
        text
    }

    /// For a pull request.
    #[must_use]
    pub fn markdown(&self) -> String {
        let (before, after) = (markdown::code(&self.before), markdown::code(&self.after));
        let mut text = format!("### Policy: {}\n\n{before} → {after}\n", self.sum());
        for (title, turns) in GROUPS {
            let group = self.of(turns);
            if group.is_empty() {
                continue;
            }
            let _ = writeln!(text, "\n#### {title}\n");
            let head = ["who", "server", "tool", "before", "after", ""];
            markdown::row(&mut text, head.into_iter().map(str::to_owned));
            markdown::row(&mut text, head.iter().map(|_| "---".to_owned()));
            for (change, review) in group {
                let names = [name_of(change), server_of(change), label_of(change)];
                let cells = [&change.before, &change.after].map(marked);
                let last = review.mark().to_owned();
                let names = names.iter().map(|name| markdown::code(name));
                markdown::row(&mut text, names.chain(cells).chain([last]));
            }
        }
        let (who, what) = self.asked;
        let _ = write!(text, "\nAsked {who} callers about {what} tools, resources and prompts.");
        for unmet in &self.unmet {
            let _ = write!(text, "\n\nExpected, and not so: {}", markdown::code(unmet));
        }
        text
    }

    /// For a program.
    #[must_use]
    pub fn json(&self) -> Value {
        let each = |(change, review): &(Change, Review)| {
            json!({
                "change": change.turn,
                "newly_allowed": change.turn.is_newly_allowed(),
                "expected": *review == Review::Expected,
                "who": &*change.who.name,
                "tenant": change.who.caller.tenant,
                "server": change.what.server.name,
                "kind": change.what.kind(),
                "name": change.what.name(),
                "before": change.before,
                "after": change.after,
            })
        };
        json!({
            "before": self.before,
            "after": self.after,
            "asked": {"callers": self.asked.0, "things": self.asked.1},
            "unexpected": self.unexpected(),
            "unmet": self.unmet,
            "changes": self.changes.iter().map(each).collect::<Vec<_>>(),
        })
    }
}

impl Review {
    fn suffix(self) -> &'static str {
        match self {
            Self::Needless => "",
            Self::Expected => "  (expected)",
            Self::Unexpected => "  NOT EXPECTED",
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Needless => "",
            Self::Expected => "expected",
            Self::Unexpected => "**not expected**",
        }
    }
}

/// As [`said`], for Markdown.
fn marked(cell: &Cell) -> String {
    let outcome = word(cell);
    let rules = cell.rules.iter().map(|rule| markdown::code(rule)).collect::<Vec<_>>().join(", ");
    let by = if rules.is_empty() { String::new() } else { format!(" by {rules}") };
    match cell.remark() {
        remark if remark.is_empty() => format!("{outcome}{by}"),
        remark => format!("{outcome}{by}: {}", markdown::code(&remark)),
    }
}

fn word(cell: &Cell) -> &'static str {
    match (cell.outcome.allows(), cell.unlisted) {
        (true, _) => "allowed",
        (false, Some(_)) => "allowed but hidden",
        (false, None) => cell.outcome.as_str(),
    }
}

fn name_of(change: &Change) -> String {
    plain::text(&change.who.name)
}

fn server_of(change: &Change) -> String {
    change.what.server.name.as_str().to_owned()
}

fn label_of(change: &Change) -> String {
    change.what.label()
}

fn turned(change: &Change) -> String {
    format!("{} → {}", said(&change.before), said(&change.after))
}

fn said(cell: &Cell) -> String {
    let rules = match cell.rules.is_empty() {
        true => String::new(),
        false => format!(" by {}", plain::text(&cell.rules.join(", "))),
    };
    let outcome = word(cell);
    match cell.remark() {
        remark if remark.is_empty() => format!("{outcome}{rules}"),
        remark => format!("{outcome}{rules} ({remark})"),
    }
}
