//! A message of the audit → the same question anew: what was decided then, what would be now, and why.
//!
//! # What is never guessed
//! The audit keeps no arguments, groups or attributes. Where the policy reads what is not kept and nobody gives it, the
//! answer says so, and holds only for a caller without it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::catalogue::Tool;
use crate::config::{Config, Server, Static};
use crate::decide::{Circumstances, Decide, Detail, Explanation, Known, Outcome, Question, Subject, Why};
use crate::identify::{Imagined, Proof};
use crate::name::{AgentId, ServerName, TenantId, ToolName, UserId};
use crate::record::{RecordError, read};

/// What the gate knows of a tenant's tools at a server, where it has seen its whole list.
pub type Tools<'a> = dyn Fn(&TenantId, &ServerName) -> Option<Vec<Tool>> + 'a;

/// Whom a message is asked of anew.
pub struct Inquiry<'a> {
    /// The policy.
    pub policy: &'a Decide,
    /// The configuration, whose servers are meant.
    pub config: &'a Config,
    /// The tools that are known.
    pub tools: &'a Tools<'a>,
    /// When it is asked.
    pub now: jiff::Timestamp,
}

/// What the audit does not keep, as far as it is given.
#[derive(Debug, Default)]
pub struct Given {
    /// The caller's groups.
    pub groups: Vec<Arc<str>>,
    /// The caller's attributes.
    pub attributes: BTreeMap<String, Value>,
    /// The arguments.
    pub arguments: Option<Box<RawValue>>,
}

/// What came of it.
#[derive(Debug)]
pub struct Answer {
    then: String,
    /// What the policy reads and nobody knows.
    unknown: Vec<String>,
    now: Result<Box<(Explanation, Why)>, String>,
}

/// The line that says who asked for what: an `intent`, a `refused` or a `question` one.
///
/// # Errors
/// The audit cannot be read.
pub fn find(directory: &Path, invocation: &str) -> Result<Option<Value>, RecordError> {
    let mut found = None;
    read::lines(directory, |line| {
        if found.is_some() || !line.contains(invocation) {
            return;
        }
        let Ok(line) = serde_json::from_str::<Value>(line) else { return };
        let word = |key: &str| line.get(key).and_then(Value::as_str);
        if word("invocation") == Some(invocation)
            && matches!(word("kind"), Some("intent" | "refused" | "question"))
        {
            found = Some(line);
        }
    })?;
    Ok(found)
}

impl Inquiry<'_> {
    /// Asks a line of the audit anew.
    #[must_use]
    pub fn ask(&self, line: &Value, given: &Given) -> Answer {
        let now = self.anew(line, given).map(Box::new);
        let unknown = if now.is_ok() { self.unknown(line, given) } else { Vec::new() };
        Answer { then: self.then(line), unknown, now }
    }

    fn anew(&self, line: &Value, given: &Given) -> Result<(Explanation, Why), String> {
        let word = |key: &str| line.get(key).and_then(Value::as_str);
        let who =
            who(line, given).ok_or("it was refused before it was known who asked: policy was not asked")?;
        let server = word("server").and_then(|name| ServerName::parse(name).ok());
        let server = server.ok_or("it was refused before it was known which server was meant")?;
        let configured = self.config.servers.get(&server);
        let server = configured.ok_or_else(|| format!("the configuration has no server `{server}` now"))?;
        let subject = self.subject(line, server, &who.tenant)?;
        let proof = Proof::ALL.into_iter().find(|proof| Some(proof.as_str()) == word("authn"));
        let caller = Imagined::new(&who, proof.unwrap_or(Proof::ApiKey));
        let mut circumstances = Circumstances::imagined(self.now);
        if let Some(ip) = word("source_ip").and_then(|ip| ip.parse().ok()) {
            circumstances.source_ip = ip;
        }
        let question = Question {
            caller: caller.caller(),
            server,
            method: word("method").unwrap_or_default(),
            subject: &subject,
            arguments: given.arguments.as_deref(),
            circumstances: &circumstances,
        };
        let known = if given.attributes.is_empty() { Known::WithoutAttributes } else { Known::Whole };
        let explanation = self.policy.explain(&question);
        let why = self.policy.why(&question, &explanation, known);
        Ok((explanation, why))
    }

    fn subject(&self, line: &Value, server: &Arc<Server>, tenant: &TenantId) -> Result<Subject, String> {
        let word = |key: &str| line.get(key).and_then(Value::as_str);
        if let Some(name) = word("tool") {
            let name = ToolName::parse(name).map_err(|why| format!("`{name}` is no tool's name: {why}"))?;
            let known = (self.tools)(tenant, &server.name)
                .and_then(|tools| tools.into_iter().find(|tool| tool.name == name));
            return Ok(Subject::Tool(Arc::new(known.unwrap_or_else(|| Tool::named(server, name)))));
        }
        Ok(match (word("resource"), word("prompt")) {
            (Some(uri), _) => Subject::Resource(uri.into()),
            (None, Some(name)) => Subject::Prompt(name.into()),
            (None, None) => Subject::Server,
        })
    }

    /// What was decided, when, by which policy.
    fn then(&self, line: &Value) -> String {
        let word = |key: &str| line.get(key).and_then(Value::as_str);
        let rules = line.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let rules: Vec<&str> = rules.iter().filter_map(Value::as_str).collect();
        let by = if rules.is_empty() { String::new() } else { format!(" by {}", rules.join(", ")) };
        let decided = match word("kind") {
            Some("intent") => format!("allowed{by}"),
            Some("question") if line.get("decision") == Some(&json!(true)) => {
                format!("a question, answered that it would pass{by}")
            }
            _ => {
                let more = [word("code"), word("message"), word("argument")];
                let more: Vec<&str> = more.into_iter().flatten().collect();
                let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
                format!("refused: {}{more}", word("reason").unwrap_or("no reason"))
            }
        };
        let revision = match word("revision") {
            Some(revision) if revision == self.policy.revision().as_str() => {
                format!("the policy that serves now ({revision})")
            }
            Some(revision) => format!("policy {revision}, which is not the one now"),
            None => "policy was not asked".to_owned(),
        };
        format!("{}: {decided}; {revision}", word("time").unwrap_or_default())
    }

    fn believes_annotations(&self, line: &Value) -> bool {
        let name = line.get("server").and_then(Value::as_str).and_then(|name| ServerName::parse(name).ok());
        name.and_then(|name| self.config.servers.get(&name)).is_some_and(|server| server.trust_annotations)
    }

    fn unknown(&self, line: &Value, given: &Given) -> Vec<String> {
        let mut unknown = Vec::new();
        for part in self.policy.unrecorded() {
            let (known, how) = match part {
                "caller.groups" => (!given.groups.is_empty(), "; give them with --groups"),
                "caller.attributes" => (!given.attributes.is_empty(), "; give them with --attribute"),
                "scope" => (line.get("scope").is_none(), ""),
                "tool.annotations" => (!self.believes_annotations(line), ""),
                _ => (false, ""),
            };
            if !known {
                unknown.push(format!("{part}: the policy reads this, and the audit does not keep it{how}"));
            }
        }
        if line.get("args").is_some() && given.arguments.is_none() {
            unknown.push(
                "arguments: they are not kept, so the answer leaves them aside; give them with --arguments"
                    .to_owned(),
            );
        }
        unknown
    }
}

fn who(line: &Value, given: &Given) -> Option<Static> {
    let word = |key: &str| line.get(key).and_then(Value::as_str);
    let roles = line.get("roles").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Some(Static {
        tenant: TenantId::parse(word("tenant")?).ok()?,
        user: word("user").and_then(|user| UserId::parse(user).ok()),
        agent: word("agent").and_then(|agent| AgentId::parse(agent).ok()),
        roles: roles.iter().filter_map(Value::as_str).map(Arc::from).collect(),
        groups: given.groups.clone(),
        attributes: given.attributes.clone(),
    })
}

impl Answer {
    /// What policy says now, where it could be asked.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.now.as_ref().ok().map(|now| now.0.outcome)
    }

    /// In words.
    #[must_use]
    pub fn text(&self, detail: Detail) -> String {
        let told = match &self.now {
            Ok(now) => now.1.told(&now.0, detail),
            Err(why) => format!("{why}."),
        };
        let unknown: String = self.unknown.iter().map(|what| format!("\nunknown     {what}")).collect();
        format!("{told}\nthen        {}{unknown}", self.then)
    }

    /// For programs; the text is in it.
    #[must_use]
    pub fn json(&self, detail: Detail) -> Value {
        let (explanation, why) = match &self.now {
            Ok(now) => (Some(&now.0), Some(&now.1)),
            Err(_) => (None, None),
        };
        let sentence = match &self.now {
            Ok(now) => now.1.sentence.clone(),
            Err(why) => format!("{why}."),
        };
        let mut answer = json!({
            "sentence": sentence,
            "then": self.then,
            "unknown": self.unknown,
            "outcome": self.outcome(),
            "changes": why.map(|why| &why.changes),
            "text": self.text(detail),
        });
        if let (Value::Object(members), Detail::Whole) = (&mut answer, detail) {
            members.insert("explanation".to_owned(), json!(explanation));
            members.insert("why".to_owned(), json!(why));
        }
        answer
    }
}
