mod cache;
mod challenge;
mod consistency;
mod explain;
mod judge;
mod lint;
mod load;
mod narrow;
mod rollout;
mod stock;
mod trial;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::catalogue::{Class, Tool};
use crate::config::{Policy, Server, Timeouts, UpstreamTls};
use crate::decide::{Circumstances, Decide, Denied, Permit, Phase, PolicyProblem, Question, Sight, Subject};
use crate::decode::{Action, Era, Message, Meta, ToolCall};
use crate::identify::{Caller, caller_for_test};
use crate::name::{Invocation, ServerName, ToolName};
use crate::refusal::Refusal;

/// A policy directory and what it is asked.
struct Given {
    directory: tempfile::TempDir,
    timeout: Duration,
}

impl Given {
    fn new(files: &[(&str, &str)]) -> Self {
        // A busy machine may need longer than a gate in use should wait; a test of the limit sets its own.
        let given = Self { directory: tempfile::tempdir().unwrap(), timeout: Duration::from_secs(5) };
        files.iter().for_each(|(path, text)| given.write(path, text));
        given
    }

    /// One module of package `mcp.authz`.
    fn rego(text: &str) -> Self {
        Self::new(&[("authz.rego", &format!("package mcp.authz\n\n{text}\n"))])
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn load(&self) -> Result<Decide, Vec<PolicyProblem>> {
        let directory = self.path().to_owned();
        Decide::load(&Policy { directory, timeout: self.timeout, cache: 1000 })
    }

    fn decide(&self) -> Decide {
        self.load().unwrap_or_else(|problems| panic!("{}", lines(&problems)))
    }

    /// The problems, without the directory's own path.
    fn problems(&self) -> String {
        let text = lines(&self.load().expect_err("it loads"));
        text.replace(&format!("{}/", self.path().display()), "")
    }
}

fn lines(problems: &[PolicyProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn server() -> Arc<Server> {
    let second = Duration::from_secs(1);
    Arc::new(Server {
        name: ServerName::parse("netsuite").unwrap(),
        url: "http://127.0.0.1:1/mcp".parse().unwrap(),
        tags: vec!["erp".into()],
        trust_annotations: false,
        tools: vec![],
        tls: UpstreamTls::default(),
        timeouts: Timeouts { connect: second, read: second, total: second, stream_idle: second },
        http2: false,
        eras: crate::config::Eras::Auto,
        vouch_roles: false,
        pins: crate::config::PinMode::Off,
    })
}

fn alice() -> Caller {
    caller_for_test("acme", "alice", &["regional-manager"]).with_attribute("region", Value::from("EMEA"))
}

fn tool(name: &str) -> Subject {
    Subject::Tool(Arc::new(Tool {
        name: ToolName::parse(name).unwrap(),
        operation: "list".into(),
        class: Class::Read,
        tags: vec!["invoices".into()],
        annotations: None,
        pinned: true,
        mirrored: Arc::default(),
    }))
}

fn circumstances() -> Circumstances {
    Circumstances {
        invocation: Invocation::new(),
        time: "2026-07-28T10:00:00Z".parse().unwrap(),
        source_ip: "10.0.0.7".parse().unwrap(),
        protocol: Some("2026-07-28"),
        client: Some(("inspector".into(), None)),
        workflow: None,
        rate_remaining: None,
        cost_this_month: None,
    }
}

fn message(method: &'static str, action: Action) -> Message {
    let (era, version, id, meta) = (Era::Modern, None, None, Meta::default());
    Message { era, version, id, method, action, meta, state: None, bytes: Bytes::new() }
}

fn call(decide: &Decide, caller: Caller, name: &str, arguments: &str) -> Result<Permit, Box<Denied>> {
    let arguments = Some(RawValue::from_string(arguments.to_owned()).unwrap());
    let call = ToolCall { name: ToolName::parse(name).unwrap(), arguments, task: false };
    let message = message("tools/call", Action::CallTool(call));
    decide.permit(Arc::new(caller), server(), tool(name), message, &circumstances())
}

fn ask(
    decide: &Decide,
    method: &'static str,
    subject: Subject,
    action: Action,
) -> Result<Permit, Box<Denied>> {
    decide.permit(Arc::new(alice()), server(), subject, message(method, action), &circumstances())
}

fn refusal(result: Result<Permit, Box<Denied>>) -> Refusal {
    result.expect_err("it is permitted").refusal
}

fn sees(decide: &Decide, caller: &Caller, name: &str) -> bool {
    matches!(sight(decide, caller, name), Sight::Shown(_))
}

fn sight(decide: &Decide, caller: &Caller, name: &str) -> Sight {
    let (subject, server, circumstances) = (tool(name), server(), circumstances());
    decide.may_see(Question {
        caller,
        server: &server,
        method: "tools/list",
        subject: &subject,
        arguments: None,
        circumstances: &circumstances,
    })
}
