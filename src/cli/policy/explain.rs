//! `portcullis policy explain`: a caller and a call, or a message of the audit, and why it may or may not be.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::url::{self, attribute};
use super::super::{ConfigFile, Console, Exit, Failure};
use super::matrix::Stop;
use super::running::Running;
use crate::catalogue::Tool;
use crate::config::{Config, Policy, Server, Static};
use crate::decide::{Circumstances, Decide, Detail, Explanation, Known, Outcome, Question, Subject, Why};
use crate::identify::{Imagined, Proof, Scope};
use crate::name::{AgentId, BadName, ServerName, TenantId, ToolName, UrlId, UserId};
use crate::review::{Found, Offered, Unlisted, What};
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
    /// What the servers offer, as `portcullis catalogue pull` writes it: the tool is read there, and whether the gate lists it
    #[arg(long, value_name = "FILE", conflicts_with = "invocation")]
    catalogue: Option<PathBuf>,
    /// The caller comes by this scoped URL of the tenant, `su_…` as `url list` shows it: its roles, server, methods and tags
    #[arg(long, value_name = "ID", conflicts_with_all = ["invocation", "scope_methods", "scope_tags", "user", "agent", "roles"])]
    scope: Option<String>,
    /// The caller comes by a scoped URL that is narrowed to these methods, with commas
    #[arg(long, value_delimiter = ',', conflicts_with = "invocation")]
    scope_methods: Vec<String>,
    /// The caller comes by a scoped URL that is narrowed to these tags, with commas
    #[arg(long, value_delimiter = ',', conflicts_with = "invocation")]
    scope_tags: Vec<String>,
    /// Ask the candidate policy, and not the one that serves
    #[arg(long)]
    candidate: bool,
}

/// An explanation with its reasons.
#[derive(Serialize)]
struct Answered<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    why: &'a Why,
    /// Why the gate does not list it all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    unlisted: Option<Unlisted>,
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
        let answered = match &self.invocation {
            Some(invocation) => recorded(self, invocation, &config, console),
            None => imagined(self, &config, console),
        };
        answered.or_else(|stop| stop.tell(console))
    }

    /// The policy that is asked: what the running gate serves to the tenant; where none runs, what the directory says.
    fn policy(
        &self,
        tenant: Option<&TenantId>,
        config: &Config,
        console: &mut Console<'_>,
    ) -> Result<Decide, Stop> {
        let directory = self.asks(config)?;
        let running = match Running::ask(config, console) {
            Ok(running) => running,
            Err(Failure::Failed { what, .. }) => {
                console.note(format_args!("note: {what}"));
                None
            }
            Err(other) => return Err(other.into()),
        };
        let served = match (&running, self.candidate, tenant) {
            (Some(running), true, _) => running.candidate(config)?,
            (Some(running), false, Some(tenant)) => Some(running.deciding(tenant, config)?),
            (Some(_), false, None) | (None, _, _) => None,
        };
        if let Some(served) = served {
            console.note(format_args!("note: judged by what the running gate serves: {}", served.revision()));
            return Ok(served);
        }
        let why = match running {
            Some(_) => "the running gate has no such policy",
            None => "no gate that runs with this configuration was asked",
        };
        console.note(format_args!("note: judged by `{}`: {why}", directory.directory.display()));
        Ok(Decide::load(directory)?)
    }
}

/// Finds the message in the audit, and asks again.
fn recorded(
    asked: &Explain,
    invocation: &str,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<Exit, Stop> {
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
    let tenant = line.get("tenant").and_then(Value::as_str).and_then(|name| TenantId::parse(name).ok());
    let policy = asked.policy(tenant.as_ref(), config, console)?;
    let answer =
        Inquiry { policy: &policy, config, tools: &|_, _| None, now: console.env.now() }.ask(&line, &given);
    console.data(&answer.json(Detail::Whole), &answer.text(Detail::Whole));
    Ok(answer.outcome().map_or(Exit::Done, exit))
}

fn imagined(asked: &Explain, config: &Config, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let server = asked.server(config)?;
    let (who, scope) = asked.who_by(&server, console)?;
    let policy = asked.policy(Some(&who.tenant), config, console)?;
    let what = asked.what(&server, config)?;
    let arguments = asked.raw_arguments()?;
    let caller = match scope {
        Some(scope) => Imagined::new(&who, Proof::ScopedUrl).within(scope),
        None => Imagined::new(&who, Proof::ApiKey),
    };
    let question = Question {
        caller: caller.caller(),
        server: &server,
        method: "tools/call",
        subject: &what.subject,
        arguments: arguments.as_deref(),
        circumstances: &Circumstances::imagined(console.env.now()),
    };
    let explanation = policy.explain(&question);
    let why = policy.why(&question, &explanation, Known::Whole);
    let allowed = explanation.outcome == Outcome::Allowed;
    let unlisted = allowed.then(|| what.offered.unlisted(&policy, question)).flatten();
    let mut told = why.told(&explanation, Detail::Whole);
    if let Some(unlisted) = unlisted {
        let _ = write!(told, "\nbut         {unlisted}");
    }
    console.data(&Answered { explanation: &explanation, why: &why, unlisted }, &told);
    Ok(match unlisted.is_some_and(Unlisted::refuses) {
        true => Exit::Denied,
        false => exit(explanation.outcome),
    })
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

    /// The tool: as a catalogue has it, or else by its name.
    fn what(&self, server: &Arc<Server>, config: &Config) -> Result<What, Failure> {
        let tool = self.tool.as_deref().unwrap_or_default();
        let tool = ToolName::parse(tool).map_err(|why| no_name("tool", tool, &why))?;
        let Some(file) = &self.catalogue else {
            let subject = Subject::Tool(Arc::new(Tool::named(server, tool)));
            return Ok(What { server: Arc::clone(server), subject, offered: Offered::default() });
        };
        let found = Found::in_catalogue(file, config).map_err(|why| {
            let what = format!("{}: {why}", file.display());
            Failure::new(what, "make one with `portcullis catalogue pull`")
        })?;
        let is_meant = |what: &What| {
            what.kind() == "tool" && what.name() == tool.as_str() && what.server.name == server.name
        };
        found.what.into_iter().find(is_meant).ok_or_else(|| {
            let what = format!("{} has no tool `{tool}` of `{}`", file.display(), server.name);
            Failure::new(what, "make a new one with `portcullis catalogue pull`, or leave --catalogue out")
        })
    }

    /// Who asks, and by which scoped URL, where it is one.
    fn who_by(&self, server: &Server, console: &mut Console<'_>) -> Result<(Static, Option<Scope>), Failure> {
        if let Some(id) = &self.scope {
            return self.holder(id, server, console);
        }
        let who = self.who()?;
        if self.scope_methods.is_empty() && self.scope_tags.is_empty() {
            return Ok((who, None));
        }
        let texts = |texts: &[String]| texts.iter().map(|text| Arc::from(text.as_str())).collect();
        let id = UrlId::parse("su_imagined").map_err(|why| no_name("scoped URL", "su_imagined", &why))?;
        let (methods, tags) = (texts(&self.scope_methods), texts(&self.scope_tags));
        Ok((who, Some(Scope { id, server: server.name.clone(), methods, tags, expires_at: None })))
    }

    /// Whoever has a scoped URL, as it was made.
    fn holder(
        &self,
        id: &str,
        server: &Server,
        console: &mut Console<'_>,
    ) -> Result<(Static, Option<Scope>), Failure> {
        let tenant = self.tenant.clone().unwrap_or_default();
        let told = url::ask(console, &self.file, url::Request::List { tenant: tenant.clone() })?;
        let urls = told.get("urls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let record = urls.iter().find(|url| url.get("id").and_then(Value::as_str) == Some(id));
        let hint = format!("see `portcullis url list --tenant {tenant}`");
        let record = record.ok_or_else(|| {
            Failure::new(format!("tenant `{tenant}` has no scoped URL `{id}`"), hint.clone())
        })?;
        let text = |key: &str| record.get(key).and_then(Value::as_str).map(str::to_owned);
        let texts = |key: &str| -> Vec<Arc<str>> {
            let all = record.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            all.iter().filter_map(Value::as_str).map(Arc::from).collect()
        };
        let leads = text("server").unwrap_or_default();
        if leads != server.name.as_str() {
            let what = format!("scoped URL `{id}` leads to `{leads}`, and not to `{}`", server.name);
            return Err(Failure::new(what, format!("ask with --server {leads}")));
        }
        let made = record.get("attributes").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut who = Static { roles: texts("roles"), groups: texts("groups"), ..self.who()? };
        who.user = text("user").and_then(|user| UserId::parse(&user).ok());
        who.agent = text("agent").and_then(|agent| AgentId::parse(&agent).ok());
        who.attributes = made.into_iter().chain(self.attributes.iter().cloned()).collect();
        let id = UrlId::parse(id).map_err(|why| no_name("scoped URL", id, &why))?;
        let expires_at = text("expires_at").and_then(|time| time.parse().ok());
        let (methods, tags) = (texts("methods"), texts("tags"));
        Ok((who, Some(Scope { id, server: server.name.clone(), methods, tags, expires_at })))
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
