//! Method and params → what is asked for.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json;
use super::method::What;
use super::object::Scalar;
use super::params::Params;
use super::{Action, Filter, Reference, ToolCall};
use crate::name::ToolName;
use crate::refusal::Refusal;

impl Action {
    /// Whether it opens a stream that belongs to no call: the server's own stream, or subscriptions.
    #[must_use]
    pub fn is_standing(&self) -> bool {
        matches!(self, Self::OpenStream | Self::Listen(_))
    }

    /// Whether it belongs to something that goes on already: the answer to a question that a call of the caller's has led
    /// to, or word about such a call.
    #[must_use]
    pub fn is_word(&self) -> bool {
        matches!(self, Self::Respond | Self::Notify(_))
    }

    /// The exact arguments of a tool or a prompt, where it is given any.
    #[must_use]
    pub fn arguments(&self) -> Option<&RawValue> {
        match self {
            Self::CallTool(call) => call.arguments.as_deref(),
            Self::GetPrompt { arguments, .. } => arguments.as_deref(),
            Self::Initialize { .. }
            | Self::Discover
            | Self::Ping
            | Self::List(_)
            | Self::ReadResource { .. }
            | Self::Subscribe { .. }
            | Self::Unsubscribe { .. }
            | Self::Complete(_)
            | Self::SetLevel
            | Self::Listen(_)
            | Self::Task { .. }
            | Self::Notify(_)
            | Self::Respond
            | Self::OpenStream
            | Self::EndSession => None,
        }
    }
}

/// What the method asks for with these params.
pub(super) fn read(what: What, params: &Params<'_>) -> Result<Action, Refusal> {
    Ok(match what {
        What::Initialize => {
            Action::Initialize { version: text("protocolVersion", &params.protocol_version)? }
        }
        What::Discover => Action::Discover,
        What::Ping => Action::Ping,
        What::List(kind) => Action::List(kind),
        What::CallTool => Action::CallTool(tool_call(params)?),
        What::ReadResource => Action::ReadResource { uri: text("uri", &params.uri)? },
        What::Subscribe => Action::Subscribe { uri: text("uri", &params.uri)? },
        What::Unsubscribe => Action::Unsubscribe { uri: text("uri", &params.uri)? },
        What::GetPrompt => {
            Action::GetPrompt { name: text("name", &params.name)?, arguments: arguments(params)? }
        }
        What::Complete => Action::Complete(reference(params)?),
        What::SetLevel => Action::SetLevel,
        What::Listen => Action::Listen(Box::new(filter(params)?)),
        What::Task(verb) => Action::Task { verb, id: text("taskId", &params.task_id)? },
        What::Notify(notification) => Action::Notify(notification),
    })
}

/// What `Mcp-Name` mirrors (2026-07-28 basic/transports; tasks extension, routing headers).
pub(super) fn mirrored_name(action: &Action) -> Option<&str> {
    match action {
        Action::CallTool(call) => Some(call.name.as_str()),
        Action::ReadResource { uri } => Some(uri),
        Action::GetPrompt { name, .. } => Some(name),
        Action::Task { id, .. } => Some(id),
        Action::Initialize { .. }
        | Action::Discover
        | Action::Ping
        | Action::List(_)
        | Action::Subscribe { .. }
        | Action::Unsubscribe { .. }
        | Action::Complete(_)
        | Action::SetLevel
        | Action::Listen(_)
        | Action::Notify(_)
        | Action::Respond
        | Action::OpenStream
        | Action::EndSession => None,
    }
}

fn text(key: &'static str, value: &Scalar<'_>) -> Result<String, Refusal> {
    match value.text() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err(Refusal::BadParams(format!("`{key}` must be a string that is not empty"))),
    }
}

fn tool_call(params: &Params<'_>) -> Result<ToolCall, Refusal> {
    let name = params.name.text().ok_or_else(|| Refusal::BadParams("`name` must be a string".into()))?;
    let name = ToolName::parse(name)
        .map_err(|error| Refusal::BadParams(format!("`name` is not the name of a tool: {error}")))?;
    Ok(ToolCall { name, arguments: arguments(params)?, task: params.task })
}

fn arguments(params: &Params<'_>) -> Result<Option<Box<RawValue>>, Refusal> {
    match params.arguments {
        Some(raw) if !json::is_object(raw) => Err(Refusal::BadParams("`arguments` must be an object".into())),
        Some(raw) => Ok(Some(raw.to_owned())),
        None => Ok(None),
    }
}

/// Closed on purpose: `ref/prompt` with a `uri` is one thing to policy and may be another to the server.
#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum RawReference {
    #[serde(rename = "ref/prompt")]
    Prompt {
        name: String,
        #[serde(default, rename = "title")]
        _title: Option<String>,
    },
    #[serde(rename = "ref/resource")]
    Resource { uri: String },
}

fn reference(params: &Params<'_>) -> Result<Reference, Refusal> {
    let raw = params.reference.filter(|raw| json::is_object(raw)).map(RawValue::get).unwrap_or_default();
    match serde_json::from_str(raw) {
        Ok(RawReference::Prompt { name, .. }) => Ok(Reference::Prompt(name)),
        Ok(RawReference::Resource { uri }) => Ok(Reference::Resource(uri)),
        Err(_) => Err(Refusal::BadParams(
            "`ref` must be {type: ref/prompt, name} or {type: ref/resource, uri}".into(),
        )),
    }
}

/// Closed on purpose: what is asked for under a key that policy does not know, policy cannot judge.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawFilter {
    #[serde(default)]
    tools_list_changed: bool,
    #[serde(default)]
    prompts_list_changed: bool,
    #[serde(default)]
    resources_list_changed: bool,
    #[serde(default)]
    resource_subscriptions: Vec<String>,
    #[serde(default)]
    task_ids: Vec<String>,
}

fn filter(params: &Params<'_>) -> Result<Filter, Refusal> {
    let Some(raw) = params.notifications.filter(|raw| json::is_object(raw)) else {
        return Err(Refusal::BadParams("`notifications` must be an object".into()));
    };
    let filter: RawFilter = serde_json::from_str(raw.get()).map_err(|_| {
        Refusal::BadParams("`notifications` asks for something that is not known here".into())
    })?;
    Ok(Filter {
        tools: filter.tools_list_changed,
        prompts: filter.prompts_list_changed,
        resources: filter.resources_list_changed,
        uris: filter.resource_subscriptions,
        tasks: filter.task_ids,
    })
}
