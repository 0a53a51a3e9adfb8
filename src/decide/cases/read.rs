//! A case file → cases, or every mistake in it with its line.

use std::collections::BTreeMap;
use std::sync::Arc;

use globset::Glob;
use serde_json::{Map, Value};

use crate::catalogue::Tool;
use crate::config::{Server, Static, ToolRule};
use crate::decide::bundle::Text;
use crate::decide::cases::{Case, Expected, Servers};
use crate::decide::problem::{At, PolicyProblem, nearest};
use crate::decide::yaml::{Document, below};
use crate::decide::{Outcome, Subject};
use crate::identify::Proof;
use crate::name::{AgentId, BadName, ServerName, TenantId, ToolName, UserId};

const CALLER: &[&str] = &["tenant", "user", "agent", "roles", "groups", "attributes", "authentication"];
const CALL: &[&str] = &["server", "tool", "resource", "prompt", "arguments", "operation", "tags"];
const CASE: &[&str] = &["name", "caller", "call", "expect", "rule", "code", "constraints"];

/// Reads one file.
pub(super) fn file(text: &Text, servers: &Servers) -> Result<Vec<Case>, Vec<PolicyProblem>> {
    let document = Document::yaml(&text.file, &text.text)?;
    let mut reader = Reader { file: &text.file, document: &document, problems: Vec::new() };
    let cases = reader.cases(servers);
    if reader.problems.is_empty() { Ok(cases) } else { Err(reader.problems) }
}

type Who = (Static, Proof);

struct Reader<'a> {
    file: &'a str,
    document: &'a Document,
    problems: Vec<PolicyProblem>,
}

impl<'a> Reader<'a> {
    fn cases(&mut self, configured: &Servers) -> Vec<Case> {
        let Some(top) = self.object("", &["servers", "callers", "cases"]) else { return Vec::new() };
        let mut servers = configured.clone();
        for name in self.names(top, "servers") {
            if let Some(server) = self.server(&below("/servers", &name), &name) {
                servers.insert(server.name.clone(), Arc::new(server));
            }
        }
        let mut callers = BTreeMap::new();
        for name in self.names(top, "callers") {
            if let Some(who) = self.caller(&below("/callers", &name)) {
                callers.insert(name, who);
            }
        }
        let Some(Value::Array(cases)) = top.get("cases") else {
            self.problem("/cases", "there is no list `cases`", "write `cases:` and a list of cases below it");
            return Vec::new();
        };
        (0..cases.len()).filter_map(|i| self.case(&format!("/cases/{i}"), &callers, &servers)).collect()
    }

    fn case(&mut self, at: &str, callers: &BTreeMap<String, Who>, servers: &Servers) -> Option<Case> {
        let case = self.object(at, CASE)?;
        let (caller, call) = (self.who(at, case, callers), self.call(&below(at, "call"), servers));
        let expected = self.expected(at, case);
        let ((caller, proof), (server, subject, arguments), expected) = (caller?, call?, expected?);
        let name = match self.text(at, "name", case) {
            Some(name) => name.to_owned(),
            None => {
                format!("{} of {}", about(&subject), caller.user.as_ref().map_or("someone", UserId::as_str))
            }
        };
        let line = self.document.at(at).line;
        Some(Case {
            file: self.file.to_owned(),
            line,
            name,
            caller,
            proof,
            server,
            subject,
            arguments,
            expected,
        })
    }

    fn who(&mut self, at: &str, case: &Map<String, Value>, callers: &BTreeMap<String, Who>) -> Option<Who> {
        let here = below(at, "caller");
        match case.get("caller") {
            Some(Value::String(name)) => {
                let known = callers.get(name).cloned();
                if known.is_none() {
                    let names: Vec<&str> = callers.keys().map(String::as_str).collect();
                    let fix = format!("`callers` of this file has: {}", listed(&names));
                    self.problem(&here, format!("there is no caller `{name}`"), fix);
                }
                known
            }
            _ => self.caller(&here),
        }
    }

    fn caller(&mut self, at: &str) -> Option<Who> {
        let caller = self.object(at, CALLER)?;
        let before = self.problems.len();
        let tenant = self.text(at, "tenant", caller).map(|name| (name, TenantId::parse(name)));
        if tenant.is_none() {
            self.problem(at, "a caller needs a `tenant`", "write `tenant: NAME`");
        }
        let user = self.text(at, "user", caller).map(|name| (name, UserId::parse(name)));
        let agent = self.text(at, "agent", caller).map(|name| (name, AgentId::parse(name)));
        let attributes = self.open(&below(at, "attributes"));
        let proof = self.proof(at, caller);
        let who = Static {
            tenant: self.named(at, "tenant", tenant)?,
            user: self.named(at, "user", user),
            agent: self.named(at, "agent", agent),
            roles: self.texts(at, "roles", caller),
            groups: self.texts(at, "groups", caller),
            attributes: attributes?.into_iter().collect(),
        };
        (self.problems.len() == before).then_some((who, proof?))
    }

    fn proof(&mut self, at: &str, caller: &'a Map<String, Value>) -> Option<Proof> {
        let Some(word) = self.text(at, "authentication", caller) else { return Some(Proof::ApiKey) };
        let found = Proof::ALL.into_iter().find(|proof| proof.as_str() == word);
        if found.is_none() {
            let fix = format!("write one of {}", Proof::ALL.map(Proof::as_str).join(", "));
            self.problem(&below(at, "authentication"), format!("there is no authentication `{word}`"), fix);
        }
        found
    }

    fn call(
        &mut self,
        at: &str,
        servers: &Servers,
    ) -> Option<(Arc<Server>, Subject, Option<Box<serde_json::value::RawValue>>)> {
        let call = self.object(at, CALL)?;
        let server = self.known_server(at, call, servers);
        let about =
            ["tool", "resource", "prompt"].map(|key| self.text(at, key, call).map(|text| (key, text)));
        let arguments = call.get("arguments").map(|_| self.open(&below(at, "arguments")));
        let arguments = match arguments {
            Some(given) => Some(serde_json::value::to_raw_value(&given?).ok()?),
            None => None,
        };
        let about: Vec<(&str, &str)> = about.into_iter().flatten().collect();
        let [(kind, name)] = about.as_slice() else {
            self.problem(at, "a call is about one thing", "give one of `tool`, `resource` and `prompt`");
            return None;
        };
        let server = server?;
        let subject = match *kind {
            "tool" => Subject::Tool(Arc::new(self.tool(at, call, &server, name)?)),
            "resource" => Subject::Resource(Arc::from(*name)),
            _ => Subject::Prompt(Arc::from(*name)),
        };
        Some((server, subject, arguments))
    }

    fn tool(
        &mut self,
        at: &str,
        call: &'a Map<String, Value>,
        server: &Arc<Server>,
        name: &str,
    ) -> Option<Tool> {
        let operation = self.text(at, "operation", call);
        let tags = call.get("tags").map(|_| self.texts(at, "tags", call));
        let name = self.named(at, "tool", Some((name, ToolName::parse(name))))?;
        Some(Tool::named(server, name).said(operation, tags))
    }

    fn known_server(
        &mut self,
        at: &str,
        call: &'a Map<String, Value>,
        servers: &Servers,
    ) -> Option<Arc<Server>> {
        let Some(name) = self.text(at, "server", call) else {
            self.problem(at, "a call needs a `server`", "write `server: NAME`");
            return None;
        };
        let known =
            servers.iter().find(|(other, _)| other.as_str() == name).map(|(_, server)| Arc::clone(server));
        if known.is_none() {
            let names: Vec<&str> = servers.keys().map(ServerName::as_str).collect();
            let fix = format!(
                "describe it under `servers` of this file, or give `--config`; known are: {}",
                listed(&names)
            );
            self.problem(&below(at, "server"), format!("there is no server `{name}`"), fix);
        }
        known
    }

    fn server(&mut self, at: &str, name: &str) -> Option<Server> {
        let server = self.object(at, &["tags", "tools"])?;
        let tags = self.texts(at, "tags", server);
        let count = server.get("tools").and_then(Value::as_array).map_or(0, Vec::len);
        let here = below(at, "tools");
        let tools = (0..count).filter_map(|i| self.tool_rule(&format!("{here}/{i}"))).collect();
        let name = self.named(at, "", Some((name, ServerName::parse(name))))?;
        Some(Server::imagined(name, tags, tools))
    }

    fn tool_rule(&mut self, at: &str) -> Option<ToolRule> {
        let rule = self.object(at, &["name", "operation", "tags"])?;
        let name = self.text(at, "name", rule).unwrap_or_default();
        let pattern = match Glob::new(name) {
            Ok(glob) if !name.is_empty() => glob.compile_matcher(),
            _ => {
                self.problem(at, "a tool needs a `name`", "write a name or a pattern, such as `list_*`");
                return None;
            }
        };
        let operation = self.text(at, "operation", rule).map(Arc::from);
        Some(ToolRule { pattern, operation, tags: self.texts(at, "tags", rule) })
    }

    fn expected(&mut self, at: &str, case: &'a Map<String, Value>) -> Option<Expected> {
        let outcome = match self.text(at, "expect", case) {
            Some("allow") => Outcome::Allowed,
            Some("refuse") => Outcome::Denied,
            Some("hidden") => Outcome::Hidden,
            Some(other) => {
                let here = below(at, "expect");
                self.problem(&here, format!("`{other}` cannot be expected"), "write allow, refuse or hidden");
                return None;
            }
            None => {
                self.problem(at, "a case needs `expect`", "write `expect:` and allow, refuse or hidden");
                return None;
            }
        };
        let constraints = match case.get("constraints") {
            Some(_) => Some(self.open(&below(at, "constraints"))?),
            None => None,
        };
        let rule = self.text(at, "rule", case).map(str::to_owned);
        Some(Expected { outcome, rule, code: self.text(at, "code", case).map(str::to_owned), constraints })
    }

    // --- values ---

    fn object(&mut self, at: &str, known: &[&str]) -> Option<&'a Map<String, Value>> {
        let Some(Value::Object(object)) = self.document.value.pointer(at) else {
            let name = at.rsplit('/').next().unwrap_or_default();
            let what =
                if name.is_empty() { "no mapping".to_owned() } else { format!("`{name}` is no mapping") };
            self.problem(at, what, format!("write a mapping of {}", listed(known)));
            return None;
        };
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            let fix = match nearest(name, known.iter().copied()) {
                Some(near) => format!("the nearest is `{near}`"),
                None => format!("known are {}", listed(known)),
            };
            self.problem(&below(at, name), format!("there is no key `{name}` here"), fix);
        }
        Some(object)
    }

    fn open(&mut self, at: &str) -> Option<Map<String, Value>> {
        match self.document.value.pointer(at) {
            None => Some(Map::new()),
            Some(Value::Object(object)) => Some(object.clone()),
            Some(_) => {
                self.problem(at, "no mapping", "write names and values");
                None
            }
        }
    }

    fn names(&mut self, top: &Map<String, Value>, key: &str) -> Vec<String> {
        match top.get(key) {
            None => Vec::new(),
            Some(Value::Object(object)) => object.keys().cloned().collect(),
            Some(_) => {
                self.problem(
                    &below("", key),
                    format!("`{key}` is no mapping"),
                    "write names, and what each is",
                );
                Vec::new()
            }
        }
    }

    fn text(&mut self, at: &str, key: &str, object: &'a Map<String, Value>) -> Option<&'a str> {
        match object.get(key) {
            None => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                self.problem(
                    &below(at, key),
                    format!("`{key}` is no text"),
                    "write a text, in quotes if need be",
                );
                None
            }
        }
    }

    fn texts(&mut self, at: &str, key: &str, object: &Map<String, Value>) -> Vec<Arc<str>> {
        let Some(value) = object.get(key) else { return Vec::new() };
        let texts: Option<Vec<Arc<str>>> = value
            .as_array()
            .and_then(|items| items.iter().map(|item| item.as_str().map(Arc::from)).collect());
        texts.unwrap_or_else(|| {
            self.problem(
                &below(at, key),
                format!("`{key}` is no list of texts"),
                "write a list, such as `[a, b]`",
            );
            Vec::new()
        })
    }

    fn named<T>(&mut self, at: &str, key: &str, parsed: Option<(&str, Result<T, BadName>)>) -> Option<T> {
        match parsed? {
            (_, Ok(name)) => Some(name),
            (text, Err(why)) => {
                let at = if key.is_empty() { at.to_owned() } else { below(at, key) };
                self.problem(&at, format!("`{text}` cannot be a name here: {why}"), "write another name");
                None
            }
        }
    }

    fn problem(&mut self, at: &str, what: impl Into<String>, fix: impl Into<String>) {
        let at: At = self.document.at(at);
        self.problems.push(PolicyProblem::new(self.file, at, what, fix));
    }
}

fn about(subject: &Subject) -> String {
    match subject {
        Subject::Tool(tool) => tool.name.to_string(),
        Subject::Resource(name) | Subject::Prompt(name) => name.to_string(),
        Subject::Server => "the server".to_owned(),
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
