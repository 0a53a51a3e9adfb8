//! `portcullis policy explain`: a caller and a call, or a message of the audit, and why it may or may not be.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::url::attribute;
use super::super::{ConfigFile, Console, Exit, Failure};
use super::invalid;
use crate::catalogue::Tool;
use crate::config::{Config, Policy, Server, Static};
use crate::decide::{Circumstances, Decide, Detail, Explanation, Known, Outcome, Question, Subject, Why};
use crate::identify::{Imagined, Proof};
use crate::name::{AgentId, BadName, ServerName, TenantId, ToolName, UserId};
use crate::run::inquiry::{self, Given, Inquiry};

/// The call that is asked about.
#[derive(Debug, Args)]
pub(in crate::cli) struct Explain {
    #[command(flatten)]
    file: ConfigFile,
    /// The message that is asked about anew, as the audit and the answers of the gate name it
    #[arg(long, value_name = "ID")]
    invocation: Option<String>,
    /// The tenant
    #[arg(long, required_unless_present = "invocation", conflicts_with = "invocation")]
    tenant: Option<String>,
    /// The user
    #[arg(long, conflicts_with = "invocation")]
    user: Option<String>,
    /// The agent
    #[arg(long, conflicts_with = "invocation")]
    agent: Option<String>,
    /// The caller's roles, with commas
    #[arg(long, value_delimiter = ',', conflicts_with = "invocation")]
    roles: Vec<String>,
    /// The caller's groups, with commas
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// An attribute of the caller: a name and a text or JSON; repeat for more
    #[arg(long = "attribute", alias = "attributes", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, Value)>,
    /// The server
    #[arg(long, required_unless_present = "invocation", conflicts_with = "invocation")]
    server: Option<String>,
    /// The tool
    #[arg(long, required_unless_present = "invocation", conflicts_with = "invocation")]
    tool: Option<String>,
    /// The arguments, a JSON object; without them the question is whether some call is allowed
    #[arg(long, value_name = "JSON", value_parser = object)]
    arguments: Option<JsonObject>,
    /// Ask the candidate policy, and not the one of the configured directory
    #[arg(long)]
    candidate: bool,
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
struct JsonObject(
    /// Its members.
    Map<String, Value>,
);

impl Explain {
    /// Decides about the call; `Exit::Denied` where the answer is no.
    pub(in crate::cli) fn run(&self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let config = console.config(&self.file.config)?;
        let policy = match Decide::load(self.asks(&config)?) {
            Ok(policy) => policy,
            Err(problems) => return Ok(invalid(&problems, console)),
        };
        match &self.invocation {
            Some(invocation) => recorded(self, invocation, &config, &policy, console),
            None => imagined(self, &config, &policy, console),
        }
    }
}

/// Finds the message in the audit, and asks again.
fn recorded(
    asked: &Explain,
    invocation: &str,
    config: &Config,
    policy: &Decide,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let directory = &config.audit.directory;
    let line = inquiry::find(directory, invocation)
        .map_err(|error| Failure::new(error.to_string(), "run this as the user that the gate runs as"))?;
    let line = line.ok_or_else(|| {
        let what = format!("`{}` has no message `{invocation}`", directory.display());
        Failure::new(what, "see `portcullis audit show` for those that it has")
    })?;
    let given = Given {
        groups: asked.groups.iter().map(|group| Arc::from(group.as_str())).collect(),
        attributes: asked.attributes.iter().cloned().collect(),
        arguments: asked.raw_arguments()?,
    };
    let answer = Inquiry { policy, config, tools: &|_, _| None, now: console.env.now() }.ask(&line, &given);
    console.data(&answer.json(Detail::Whole), &answer.text(Detail::Whole));
    Ok(answer.outcome().map_or(Exit::Done, exit))
}

fn imagined(
    asked: &Explain,
    config: &Config,
    policy: &Decide,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let server = asked.server(config)?;
    let tool = asked.tool.as_deref().unwrap_or_default();
    let tool = ToolName::parse(tool).map_err(|why| no_name("tool", tool, &why))?;
    let arguments = asked.raw_arguments()?;
    let caller = Imagined::new(&asked.who()?, Proof::ApiKey);
    let question = Question {
        caller: caller.caller(),
        server: &server,
        method: "tools/call",
        subject: &Subject::Tool(Arc::new(Tool::named(&server, tool))),
        arguments: arguments.as_deref(),
        circumstances: &Circumstances::imagined(console.env.now()),
    };
    let explanation = policy.explain(&question);
    let why = policy.why(&question, &explanation, Known::Whole);
    console.data(&Answered { explanation: &explanation, why: &why }, &why.told(&explanation, Detail::Whole));
    Ok(exit(explanation.outcome))
}

fn exit(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Allowed => Exit::Done,
        Outcome::Denied | Outcome::Hidden => Exit::Denied,
        Outcome::Failed => Exit::Failed,
    }
}

impl Explain {
    fn asks<'a>(&self, config: &'a Config) -> Result<&'a Policy, Failure> {
        match (&config.candidate, self.candidate) {
            (_, false) => Ok(&config.policy),
            (Some(candidate), true) => Ok(&candidate.policy),
            (None, true) => Err(Failure::new(
                "the configuration has no candidate policy",
                "name one: `policies: {directory: DIR, candidate: DIR}`",
            )),
        }
    }

    fn raw_arguments(&self) -> Result<Option<Box<RawValue>>, Failure> {
        let arguments = self.arguments.as_ref().map(|given| serde_json::value::to_raw_value(&given.0));
        arguments.transpose().map_err(|why| Failure::new(why.to_string(), "write JSON"))
    }

    fn server(&self, config: &Config) -> Result<Arc<Server>, Failure> {
        let server = self.server.as_deref().unwrap_or_default();
        let found = ServerName::parse(server).ok().and_then(|name| config.servers.get(&name).cloned());
        found.ok_or_else(|| {
            let names: Vec<&str> = config.servers.keys().map(ServerName::as_str).collect();
            let hint = format!("configured are: {}", names.join(", "));
            Failure::new(format!("there is no server `{server}`"), hint)
        })
    }

    fn who(&self) -> Result<Static, Failure> {
        let tenant = self.tenant.as_deref().unwrap_or_default();
        let (user, agent) = (self.user.as_deref(), self.agent.as_deref());
        Ok(Static {
            tenant: TenantId::parse(tenant).map_err(|why| no_name("tenant", tenant, &why))?,
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

fn object(text: &str) -> Result<JsonObject, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(JsonObject(object)),
        Ok(_) => Err("it is JSON, but not an object: write one such as `{\"status\": \"open\"}`".to_owned()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}
