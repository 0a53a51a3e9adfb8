//! What a policy lets whom do, seen as a whole: who × what, and what a change of policy changes in it.
//!
//! # Why every cell is a question
//! A cell is what [`Decide::explain`] says to the question that the gate would ask, arguments aside. There is no second
//! reading of a policy here, so that what a reviewer sees is what a caller will get.
//!
//! # Why a role has stand-ins for attributes
//! A grant whose condition is `region: caller.region` holds for nobody without a region, and a role alone has none. A
//! role is therefore asked about as a caller who has every attribute that the policy names, each with the text
//! `{caller.NAME}`, which then stands in the constraint. What compares an attribute with a fixed value is seen with
//! named callers.

mod ask;
mod change;
pub mod csv;
mod expected;
pub mod git;
mod grid;
pub mod markdown;
mod offered;
pub mod page;
mod plain;
pub mod report;
pub mod table;
mod what;
mod who;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::{Server, Static};
use crate::decide::{Explanation, Outcome, Subject};
use crate::name::{Revision, TenantId};

pub use ask::{Bench, threads};
pub use change::{Change, Turn, changes};
pub use expected::{Expectation, Expected};
pub use offered::{Offered, Unlisted};
pub use what::{BadCatalogue, Found};

/// Somebody who may want something: a role of a tenant, or a caller with a name.
#[derive(Debug, Clone)]
pub struct Who {
    /// What reports call them: `acme/clerk`, or the name that the file gives.
    pub name: Arc<str>,
    /// The caller that policy is asked about.
    pub caller: Static,
}

/// Something that may be wanted of a server.
#[derive(Debug, Clone)]
pub struct What {
    /// The server.
    pub server: Arc<Server>,
    /// The tool, resource or prompt.
    pub subject: Subject,
    /// What is known of it beside what policy is told.
    pub offered: Offered,
}

/// Every question of a matrix: each who about each what whose server their tenant has an account at.
#[derive(Debug, Clone)]
pub struct Questions {
    who: Vec<Who>,
    what: Vec<What>,
    accounts: Vec<(TenantId, Arc<Server>)>,
}

/// What a policy says to all questions.
#[derive(Debug, Clone)]
pub struct Matrix {
    questions: Arc<Questions>,
    /// A row for each who; `None` where there is no account.
    rows: Vec<Vec<Option<Cell>>>,
    revision: Revision,
}

/// How a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Allowed, whatever the arguments.
    Allowed,
    /// Allowed with arguments that keep to the constraints.
    Constrained,
    /// The caller sees it and may not use it.
    Refused,
    /// For the caller it does not exist.
    Hidden,
    /// Policy could not decide, which refuses.
    Failed,
}

/// What policy says of one who and one what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Cell {
    /// How it stands.
    pub outcome: Standing,
    /// The rules that allow it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Arc<str>>,
    /// The reasons of the rules that deny it: code and message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<(Option<String>, String)>,
    /// What arguments are narrowed to: JSON Schemas by argument.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub constraints: Map<String, Value>,
    /// JSON Pointers that are masked in results.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<Arc<str>>,
    /// Why policy could not decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Why the gate does not list it although policy allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlisted: Option<Unlisted>,
}

/// One cell and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Who.
    pub who: &'a Who,
    /// What.
    pub what: &'a What,
    /// What policy says.
    pub cell: &'a Cell,
}

impl Questions {
    /// Whether nobody is asked about anything: then a review would show nothing, and prove nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.who.iter().any(|who| self.what.iter().any(|what| self.reach(who, what)))
    }

    /// How many who.
    #[must_use]
    pub fn callers(&self) -> usize {
        self.who.len()
    }

    /// How many what.
    #[must_use]
    pub fn things(&self) -> usize {
        self.what.len()
    }

    fn reach(&self, who: &Who, what: &What) -> bool {
        let same = |(tenant, server): &(TenantId, Arc<Server>)| {
            *tenant == who.caller.tenant && server.name == what.server.name
        };
        self.accounts.iter().any(same)
    }
}

impl Matrix {
    /// Every cell, who by who.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let rows = self.questions.who.iter().zip(&self.rows);
        rows.flat_map(|(who, row)| {
            let cells = self.questions.what.iter().zip(row);
            cells.filter_map(move |(what, cell)| Some(Entry { who, what, cell: cell.as_ref()? }))
        })
    }

    /// The policy that was asked, of several the one for most.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }
}

impl What {
    /// `tool`, `resource` or `prompt`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.subject {
            Subject::Tool(_) => "tool",
            Subject::Resource(_) => "resource",
            Subject::Prompt(_) => "prompt",
            Subject::Server => "server",
        }
    }

    /// Its name, or its URI.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.subject {
            Subject::Tool(tool) => tool.name.as_str(),
            Subject::Resource(name) | Subject::Prompt(name) => name,
            Subject::Server => "",
        }
    }

    /// A tool's operation; empty for all else.
    #[must_use]
    pub fn operation(&self) -> &str {
        match &self.subject {
            Subject::Tool(tool) => &tool.operation,
            Subject::Resource(_) | Subject::Prompt(_) | Subject::Server => "",
        }
    }

    /// Its name for a reader who sees tools, resources and prompts in one list.
    fn label(&self) -> String {
        match &self.subject {
            Subject::Tool(tool) => plain::text(tool.name.as_str()),
            Subject::Resource(name) | Subject::Prompt(name) => {
                format!("{} {}", self.kind(), plain::text(name))
            }
            Subject::Server => String::new(),
        }
    }

    fn key(&self) -> (&str, u8, &str) {
        let order = match &self.subject {
            Subject::Tool(_) => 0,
            Subject::Resource(_) => 1,
            Subject::Prompt(_) => 2,
            Subject::Server => 3,
        };
        (self.server.name.as_str(), order, self.name())
    }
}

impl Standing {
    /// Whether some call is allowed.
    #[must_use]
    pub fn allows(self) -> bool {
        match self {
            Self::Allowed | Self::Constrained => true,
            Self::Refused | Self::Hidden | Self::Failed => false,
        }
    }

    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Constrained => "constrained",
            Self::Refused => "refused",
            Self::Hidden => "hidden",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Explanation> for Cell {
    fn from(said: Explanation) -> Self {
        let outcome = match said.outcome {
            Outcome::Allowed if said.constraints.is_empty() => Standing::Allowed,
            Outcome::Allowed => Standing::Constrained,
            Outcome::Denied => Standing::Refused,
            Outcome::Hidden => Standing::Hidden,
            Outcome::Failed => Standing::Failed,
        };
        let (mut rules, mut redact) = (said.rules, said.redact);
        rules.sort();
        redact.sort();
        // What a refused call would be narrowed to is nobody's concern.
        let held = outcome.allows();
        Self {
            outcome,
            rules: if held { rules } else { Vec::new() },
            deny: said.deny,
            constraints: if held { said.constraints } else { Map::new() },
            redact: if held { redact } else { Vec::new() },
            failure: said.failure,
            unlisted: None,
        }
    }
}

impl Cell {
    /// What is not there at all.
    fn nothing() -> Self {
        Self {
            outcome: Standing::Hidden,
            rules: Vec::new(),
            deny: Vec::new(),
            constraints: Map::new(),
            redact: Vec::new(),
            failure: None,
            unlisted: None,
        }
    }

    /// The same of what the gate does not list.
    fn but(self, unlisted: Unlisted) -> Self {
        let outcome = if unlisted.refuses() { Standing::Hidden } else { self.outcome };
        Self { outcome, unlisted: Some(unlisted), ..self }
    }

    /// Whether policy allows it, listed or not.
    fn is_granted(&self) -> bool {
        self.outcome.allows() || self.unlisted.is_some()
    }

    /// What there is to say beside how it stands, in words; empty where there is nothing.
    fn remark(&self) -> String {
        let constraints = self.constraints.iter().map(|(name, schema)| plain::constraint(name, schema));
        let mut parts: Vec<String> = constraints.collect();
        if !self.redact.is_empty() {
            let masks: Vec<String> = self.redact.iter().map(|pointer| plain::text(pointer)).collect();
            parts.push(format!("masks {}", masks.join(", ")));
        }
        parts.extend(self.deny.iter().map(|(code, message)| match code {
            Some(code) => format!("{}: {}", plain::text(code), plain::text(message)),
            None => plain::text(message),
        }));
        parts.extend(self.failure.iter().map(|why| plain::text(why)));
        parts.extend(self.unlisted.map(|why| why.to_string()));
        parts.join("; ")
    }
}

impl Serialize for Entry<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a> {
            who: &'a str,
            tenant: &'a TenantId,
            server: &'a str,
            kind: &'a str,
            name: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            operation: &'a str,
            #[serde(flatten)]
            cell: &'a Cell,
        }
        let flat = Flat {
            who: &self.who.name,
            tenant: &self.who.caller.tenant,
            server: self.what.server.name.as_str(),
            kind: self.what.kind(),
            name: self.what.name(),
            operation: self.what.operation(),
            cell: self.cell,
        };
        flat.serialize(serializer)
    }
}

impl Serialize for Matrix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a> {
            policy: &'a Revision,
            cells: Vec<Entry<'a>>,
        }
        Flat { policy: &self.revision, cells: self.entries().collect() }.serialize(serializer)
    }
}
