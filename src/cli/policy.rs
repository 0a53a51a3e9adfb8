//! `portcullis policy`: test policies, and ask them.

mod test;

use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};

use super::url::attribute;
use super::{ConfigFile, Console, Exit, Failure};
use crate::catalogue::Tool;
use crate::config::{Config, Policy, Server, Static};
use crate::decide::{
    Circumstances, Decide, Detail, Explanation, Outcome, PolicyProblem, Question, Subject, Why,
};
use crate::identify::{Imagined, Proof};
use crate::name::{AgentId, BadName, Invocation, ServerName, TenantId, ToolName, UserId};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Run the tests and cases in a policy directory
    Test(test::Test),
    /// Ask whether a call would be allowed, and by which rules; exit 2 when denied
    Explain(Box<Explain>),
}

/// The call that is asked about.
#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// The tenant
    #[arg(long)]
    pub(super) tenant: String,
    /// The user
    #[arg(long)]
    pub(super) user: Option<String>,
    /// The agent
    #[arg(long)]
    pub(super) agent: Option<String>,
    /// The caller's roles, with commas
    #[arg(long, value_delimiter = ',')]
    pub(super) roles: Vec<String>,
    /// The caller's groups, with commas
    #[arg(long, value_delimiter = ',')]
    pub(super) groups: Vec<String>,
    /// An attribute of the caller: a name and a text or JSON; repeat for more
    #[arg(long = "attribute", alias = "attributes", value_name = "NAME=VALUE", value_parser = attribute)]
    pub(super) attributes: Vec<(String, Value)>,
    /// The server
    #[arg(long)]
    pub(super) server: String,
    /// The tool
    #[arg(long)]
    pub(super) tool: String,
    /// The arguments, a JSON object; without them the question is whether some call is allowed
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub(super) arguments: Option<JsonObject>,
}

/// An explanation with its reasons.
#[derive(Serialize)]
struct Answered<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    why: &'a Why,
}

/// A JSON object from the command line.
#[derive(Debug, Clone)]
pub(super) struct JsonObject(
    /// Its members.
    pub(super) Map<String, Value>,
);

impl PolicyCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Test(test) => test.run(console),
            Self::Explain(question) => {
                let config = console.config(&question.file.config)?;
                explain(&config, &question, console)
            }
        }
    }
}

/// A policy directory by itself.
pub(super) fn alone(directory: PathBuf) -> Policy {
    Policy { directory, timeout: Duration::from_millis(20), cache: 0 }
}

fn invalid(problems: &[PolicyProblem], console: &mut Console<'_>) -> Exit {
    for problem in problems {
        console.note(format_args!("error: {problem}"));
    }
    Exit::Invalid
}

/// Decides about the call; `Exit::Denied` where the answer is no.
fn explain(config: &Config, asked: &Explain, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let policy = match Decide::load(&config.policy) {
        Ok(policy) => policy,
        Err(problems) => return Ok(invalid(&problems, console)),
    };
    let server = asked.server(config)?;
    let tool = ToolName::parse(&asked.tool).map_err(|why| no_name("tool", &asked.tool, &why))?;
    let arguments = asked.arguments.as_ref().map(|given| serde_json::value::to_raw_value(&given.0));
    let arguments = arguments.transpose().map_err(|why| Failure::new(why.to_string(), "write JSON"))?;
    let caller = Imagined::new(&asked.who()?, Proof::ApiKey);
    let question = Question {
        caller: caller.caller(),
        server: &server,
        method: "tools/call",
        subject: &Subject::Tool(Arc::new(Tool::named(&server, tool))),
        arguments: arguments.as_deref(),
        circumstances: &Circumstances {
            invocation: Invocation::new(),
            time: console.env.now(),
            source_ip: IpAddr::from([127, 0, 0, 1]),
            protocol: Some("2026-07-28"),
            client: None,
            workflow: None,
            rate_remaining: None,
        },
    };
    let explanation = policy.explain(&question);
    let why = policy.why(&question, &explanation);
    console.data(&Answered { explanation: &explanation, why: &why }, &told(&explanation, &why, Detail::Whole));
    Ok(match explanation.outcome {
        Outcome::Allowed => Exit::Done,
        Outcome::Denied | Outcome::Hidden => Exit::Denied,
        Outcome::Failed => Exit::Failed,
    })
}

impl Explain {
    fn server(&self, config: &Config) -> Result<Arc<Server>, Failure> {
        let found = ServerName::parse(&self.server).ok().and_then(|name| config.servers.get(&name).cloned());
        found.ok_or_else(|| {
            let names: Vec<&str> = config.servers.keys().map(ServerName::as_str).collect();
            let hint = format!("configured are: {}", names.join(", "));
            Failure::new(format!("there is no server `{}`", self.server), hint)
        })
    }

    fn who(&self) -> Result<Static, Failure> {
        let (user, agent) = (self.user.as_deref(), self.agent.as_deref());
        Ok(Static {
            tenant: TenantId::parse(&self.tenant).map_err(|why| no_name("tenant", &self.tenant, &why))?,
            user: user
                .map(UserId::parse)
                .transpose()
                .map_err(|why| no_name("user", user.unwrap_or(""), &why))?,
            agent: agent
                .map(AgentId::parse)
                .transpose()
                .map_err(|why| no_name("agent", agent.unwrap_or(""), &why))?,
            roles: self.roles.iter().map(|role| Arc::from(role.as_str())).collect(),
            groups: self.groups.iter().map(|group| Arc::from(group.as_str())).collect(),
            attributes: self.attributes.iter().cloned().collect(),
        })
    }
}

fn no_name(what: &str, text: &str, why: &BadName) -> Failure {
    Failure::new(format!("`{text}` cannot be the name of a {what}: {why}"), format!("name a {what}"))
}

/// The question in words: one sentence, then what it rests on.
fn told(explanation: &Explanation, why: &Why, detail: Detail) -> String {
    let mut text = why.sentence.clone();
    let mut row = |what: &str, value: &dyn std::fmt::Display| {
        let _ = write!(text, "\n{what:<12}{value}");
    };
    row("decision", &match explanation.outcome {
        Outcome::Allowed => "allowed",
        Outcome::Denied => "denied: the caller sees the tool, and its call is refused with the reason",
        Outcome::Hidden => "hidden: for this caller the tool does not exist",
        Outcome::Failed => "failed: policy could not decide, which refuses",
    });
    explanation.rules.iter().for_each(|rule| row("rule", rule));
    for (code, message) in &explanation.deny {
        row("deny", &format_args!("{}: {message}", code.as_deref().unwrap_or("denied")));
    }
    explanation
        .constraints
        .iter()
        .for_each(|(name, schema)| row("constraint", &format_args!("{name}: {schema}")));
    explanation.redact.iter().for_each(|pointer| row("mask", pointer));
    explanation.refusal.iter().for_each(|why| row("refused", why));
    explanation.failure.iter().for_each(|why| row("failure", why));
    why.lines(detail).iter().for_each(|(what, line)| row(what, line));
    row("policy", &explanation.revision);
    text
}

fn object(text: &str) -> Result<JsonObject, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(JsonObject(object)),
        Ok(_) => Err("it is JSON, but not an object: write one such as `{\"status\": \"open\"}`".to_owned()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}
