//! Questions about calls: OpenID AuthZEN Authorization API 1.0 sections 5 to 7, and what the gate's own tool is given.
//!
//! # Why a question becomes a message
//! Policy is asked about messages. A question is read into the very [`Message`] that the call would be, so that it cannot
//! be judged by other rules than the call.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Action, ListKind, Message, Meta, ToolCall, Version, json, media};
use crate::inbound::{Form, Head};
use crate::name::ToolName;
use crate::refusal::Refusal;

/// So many questions may come at once.
pub const MOST: usize = 100;

/// What a request asks.
#[derive(Debug)]
pub struct Asked {
    /// The questions in their order, at least one.
    pub questions: Vec<Ask>,
    /// How they are answered.
    pub wanted: Wanted,
}

/// How questions are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// By one decision.
    One,
    /// By a list of decisions, until one ends it (section 7.1.2.1).
    Many(Semantic),
}

/// When a list of decisions ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Semantic {
    /// When every question is answered.
    #[default]
    ExecuteAll,
    /// With the first that is denied.
    DenyOnFirstDeny,
    /// With the first that is permitted.
    PermitOnFirstPermit,
}

/// One question: may this be done there?
#[derive(Debug, Clone)]
pub struct Ask {
    /// Of whom it is asked.
    pub subject: Who,
    /// The server, where the question names one.
    pub server: Option<String>,
    /// The kind of thing: `tool`, `resource`, `prompt`, `mcp_server`.
    pub kind: String,
    /// The thing: a tool's or prompt's name, a URI, a server's name.
    pub id: String,
    /// The method by which it would be used.
    pub method: String,
    /// The arguments, where they are known: checked at every level.
    pub arguments: Option<Box<RawValue>>,
    /// The revision that the call would speak, where the question says it.
    pub protocol: Option<String>,
}

/// Of whom a question is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Whoever asks.
    Asker,
    /// Whoever is named so; the caller is to be compared with it.
    Named {
        /// `user`, `agent`, `identity` or `caller`.
        kind: String,
        /// Their name.
        id: String,
    },
}

/// Reads the body of a question. Members that are not known are passed over, as the specification asks (section 10.1.1).
///
/// # Errors
/// The method or media type is wrong, the body is not one JSON object without duplicate keys, or what every question must
/// have is not there.
pub fn asked(head: &Head, form: Form, body: &Bytes, depth: usize) -> Result<Asked, Refusal> {
    if head.method != http::Method::POST {
        return Err(Refusal::MethodNotAllowed { allow: "POST" });
    }
    media::check(head)?;
    let text = json::text(body)?;
    json::read(text, json::Walk { left: json::bounded(depth) })?;
    let raw: Request<'_> = serde_json::from_str(text).map_err(|error| Refusal::Invalid(error.to_string()))?;
    let Request { subject, action, resource, context, evaluations, options } = raw;
    let defaults = Parts { subject, action, resource, context };
    match (form, evaluations) {
        (Form::Evaluations, Some(items)) if !items.is_empty() => {
            if items.len() > MOST {
                return Err(Refusal::Invalid(format!("more than {MOST} evaluations at once")));
            }
            let questions = items.into_iter().enumerate().map(|(index, item)| {
                item.or(&defaults)
                    .ask()
                    .map_err(|why| Refusal::Invalid(format!("evaluations[{index}]: {why}")))
            });
            let semantic = options.unwrap_or_default().evaluations_semantic.unwrap_or_default();
            Ok(Asked { questions: questions.collect::<Result<_, _>>()?, wanted: Wanted::Many(semantic) })
        }
        (Form::Evaluation | Form::Evaluations, _) => {
            let ask = defaults.ask().map_err(Refusal::Invalid)?;
            Ok(Asked { questions: vec![ask], wanted: Wanted::One })
        }
    }
}

/// Reads what the gate's own tool is given.
///
/// # Errors
/// [`Refusal::BadParams`] with what is wrong.
pub fn planned(arguments: Option<&RawValue>) -> Result<Vec<Ask>, Refusal> {
    let text = arguments.map_or("{}", RawValue::get);
    let plan: Plan<'_> = serde_json::from_str(text).map_err(|error| Refusal::BadParams(error.to_string()))?;
    if plan.calls.is_empty() || plan.calls.len() > MOST {
        return Err(Refusal::BadParams(format!("`calls` must name 1 to {MOST} calls")));
    }
    Ok(plan.calls.into_iter().map(Planned::ask).collect())
}

#[derive(Deserialize)]
struct Request<'a> {
    subject: Option<Subject>,
    action: Option<Verb>,
    #[serde(borrow)]
    resource: Option<Resource<'a>>,
    context: Option<Context>,
    #[serde(borrow)]
    evaluations: Option<Vec<Parts<'a>>>,
    options: Option<Options>,
}

#[derive(Deserialize, Default)]
struct Options {
    evaluations_semantic: Option<Semantic>,
}

/// The entities of a question (section 5).
#[derive(Deserialize)]
struct Parts<'a> {
    subject: Option<Subject>,
    action: Option<Verb>,
    #[serde(borrow)]
    resource: Option<Resource<'a>>,
    context: Option<Context>,
}

#[derive(Deserialize, Clone)]
struct Subject {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

#[derive(Deserialize, Clone)]
struct Verb {
    name: String,
}

#[derive(Deserialize, Clone)]
struct Resource<'a> {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    #[serde(borrow)]
    properties: Option<Properties<'a>>,
}

#[derive(Deserialize, Clone)]
struct Properties<'a> {
    server: Option<String>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// What is said of the circumstances; all but the revision is the asker's own affair.
#[derive(Deserialize, Clone)]
struct Context {
    protocol_version: Option<String>,
}

/// A call that an agent means to make.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Planned<'a> {
    tool: String,
    server: Option<String>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan<'a> {
    #[serde(borrow)]
    calls: Vec<Planned<'a>>,
}

impl<'a> Parts<'a> {
    /// What the item says, and what it leaves to the defaults (section 7.1.1).
    fn or(self, defaults: &Self) -> Self {
        Self {
            subject: self.subject.or_else(|| defaults.subject.clone()),
            action: self.action.or_else(|| defaults.action.clone()),
            resource: self.resource.or_else(|| defaults.resource.clone()),
            context: self.context.or_else(|| defaults.context.clone()),
        }
    }

    fn ask(self) -> Result<Ask, String> {
        let missing = |what: &str| format!("`{what}` is missing");
        let subject = self.subject.ok_or_else(|| missing("subject"))?;
        let action = self.action.ok_or_else(|| missing("action"))?;
        let resource = self.resource.ok_or_else(|| missing("resource"))?;
        let properties = resource.properties.unwrap_or(Properties { server: None, arguments: None });
        Ok(Ask {
            subject: Who::Named { kind: subject.kind, id: subject.id },
            server: properties.server,
            kind: resource.kind,
            id: resource.id,
            method: action.name,
            arguments: properties.arguments.map(ToOwned::to_owned),
            protocol: self.context.and_then(|context| context.protocol_version),
        })
    }
}

impl Planned<'_> {
    fn ask(self) -> Ask {
        Ask {
            subject: Who::Asker,
            server: self.server,
            kind: "tool".to_owned(),
            id: self.tool,
            method: "tools/call".to_owned(),
            arguments: self.arguments.map(ToOwned::to_owned),
            protocol: None,
        }
    }
}

impl Ask {
    /// The message that the call would be. `otherwise`: the revision that it speaks where the question says none.
    ///
    /// # Errors
    /// What a call would be told whose method, name or arguments are not such.
    pub fn message(&self, otherwise: Option<Version>) -> Result<Message, Refusal> {
        let version = match &self.protocol {
            Some(said) => Some(
                Version::parse(said)
                    .ok_or_else(|| Refusal::UnsupportedVersion { requested: said.clone() })?,
            ),
            None => otherwise,
        };
        let (method, action) = self.action()?;
        let era = version.map_or(super::Era::Legacy, Version::era);
        Ok(Message {
            era,
            version,
            id: None,
            method,
            action,
            meta: Meta::default(),
            state: None,
            bytes: Bytes::new(),
        })
    }

    fn action(&self) -> Result<(&'static str, Action), Refusal> {
        let uri = || self.named("uri");
        Ok(match (self.kind.as_str(), self.method.as_str()) {
            ("tool", "tools/call") => ("tools/call", Action::CallTool(self.tool_call()?)),
            ("resource", "resources/read") => ("resources/read", Action::ReadResource { uri: uri()? }),
            ("resource", "resources/subscribe") => ("resources/subscribe", Action::Subscribe { uri: uri()? }),
            ("resource", "resources/unsubscribe") => {
                ("resources/unsubscribe", Action::Unsubscribe { uri: uri()? })
            }
            ("prompt", "prompts/get") => {
                let (name, arguments) = (self.named("name")?, self.given()?);
                ("prompts/get", Action::GetPrompt { name, arguments })
            }
            ("mcp_server", "tools/list") => ("tools/list", Action::List(ListKind::Tools)),
            ("mcp_server", "resources/list") => ("resources/list", Action::List(ListKind::Resources)),
            ("mcp_server", "resources/templates/list") => {
                ("resources/templates/list", Action::List(ListKind::Templates))
            }
            ("mcp_server", "prompts/list") => ("prompts/list", Action::List(ListKind::Prompts)),
            (kind, method) => {
                let (method, kind) = (json::quoted(method), json::quoted(kind));
                return Err(Refusal::UnknownMethod(format!("{method} of a {kind}")));
            }
        })
    }

    fn tool_call(&self) -> Result<ToolCall, Refusal> {
        let name = ToolName::parse(&self.id)
            .map_err(|error| Refusal::BadParams(format!("`id` is not the name of a tool: {error}")))?;
        Ok(ToolCall { name, arguments: self.given()?, task: false })
    }

    fn named(&self, what: &str) -> Result<String, Refusal> {
        match self.id.is_empty() {
            true => Err(Refusal::BadParams(format!("`id`, the {what}, must not be empty"))),
            false => Ok(self.id.clone()),
        }
    }

    fn given(&self) -> Result<Option<Box<RawValue>>, Refusal> {
        match &self.arguments {
            Some(raw) if !json::is_object(raw) => {
                Err(Refusal::BadParams("`arguments` must be an object".to_owned()))
            }
            given => Ok(given.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
