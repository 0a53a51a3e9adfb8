//! What is being asked: bytes → exactly one checked MCP message of a known era.
//!
//! # Why
//! Servers disagree about what a body says: which of two duplicate keys counts, whether `Name` is `name`, what a BOM or
//! a charset means, whether an array is a batch. A gate that picks one reading is passed by a message that the server
//! reads in another way. So there is one canonical form, everything else is refused, and the server is sent the very
//! bytes that were judged. All JSON is read by `serde_json`: a second parser would be a second reading.

pub mod access;
mod action;
mod baggage;
mod envelope;
mod json;
mod keys;
mod media;
mod message;
mod method;
mod mirror;
mod object;
pub mod param_headers;
mod params;
pub mod reply;
pub mod splice;
pub mod sse;
mod version;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::Method;
use serde_json::value::RawValue;

pub use self::param_headers::{ParamHeaders, check_params};
pub(crate) use self::params::TASKS;
use crate::inbound::Head;
use crate::name::ToolName;
use crate::refusal::Refusal;

/// Reads one request: one message, or the batch that a 2025-03-26 session may send.
///
/// `session` is the revision that the legacy session negotiated, where one is known; `depth` is how many objects and
/// arrays may lie in one another, the message itself being the first (120 at most).
///
/// # Errors
/// Whatever is not exactly one canonical message, with the id (where it could be read) and the era that the answer
/// needs.
pub fn decode(
    head: &Head,
    body: Bytes,
    session: Option<Version>,
    depth: usize,
) -> Result<Decoded, Box<Rejected>> {
    if head.method == Method::POST {
        return message::post(head, &body, session, depth);
    }
    let bare = if head.method == Method::GET {
        message::bare(head, &body, session, Action::OpenStream)
    } else if head.method == Method::DELETE {
        message::bare(head, &body, session, Action::EndSession)
    } else {
        Err(Refusal::MethodNotAllowed { allow: "POST, GET, DELETE" })
    };
    let rejected = |refusal| Box::new(Rejected { refusal, id: None, era: version::header_era(head) });
    bare.map(Decoded::One).map_err(rejected)
}

/// What one request holds.
#[derive(Debug)]
pub enum Decoded {
    /// One message.
    One(Message),
    /// A batch (2025-03-26 only), never empty; each message was judged alone and keeps its own bytes.
    Batch(Vec<Message>),
}

/// A request that is refused before anyone asks whether it may happen.
#[derive(Debug)]
pub struct Rejected {
    /// Why.
    pub refusal: Refusal,
    /// The message's id, where there is exactly one and it is valid.
    pub id: Option<RequestId>,
    /// The era, which the HTTP status depends on.
    pub era: Era,
}

/// Legacy (2024-11-05 … 2025-11-25, with a session) or modern (2026-07-28, stateless).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// An `initialize` handshake, and usually a session.
    Legacy,
    /// Metadata with every request.
    Modern,
}

/// A protocol revision that the gate knows, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2024-11-05.
    V2024_11_05,
    /// 2025-03-26, the only one with batches.
    V2025_03_26,
    /// 2025-06-18.
    V2025_06_18,
    /// 2025-11-25.
    V2025_11_25,
    /// 2026-07-28.
    V2026_07_28,
}

/// A JSON-RPC id: a string or an integer of 64 bits. Two are equal when they mean the same, however they were escaped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(pub(in crate::decode) Box<str>);

impl RequestId {
    /// The JSON text of the id, in the one spelling that the gate gives it.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The id as plain text: a string without its quotes and escapes.
    #[must_use]
    pub fn as_text(&self) -> std::borrow::Cow<'_, str> {
        serde_json::from_str::<String>(&self.0).map_or(std::borrow::Cow::Borrowed(&*self.0), Into::into)
    }
}

/// One checked message, and the very bytes that were judged.
#[derive(Debug)]
pub struct Message {
    /// The era.
    pub era: Era,
    /// The revision, where the message says it, or else its session does (legacy: by header, which may be absent).
    pub version: Option<Version>,
    /// The id; `None`: a notification, a GET, a DELETE. With [`Action::Respond`] it is the id of the server's request.
    pub id: Option<RequestId>,
    /// The method; empty for a response, a GET and a DELETE.
    pub method: &'static str,
    /// What it asks for.
    pub action: Action,
    /// What `_meta` says.
    pub meta: Meta,
    /// `requestState`, with which a caller goes on with a call (2026-07-28 basic/patterns/mrtr).
    pub state: Option<Box<str>>,
    /// The exact bytes of this message: a slice of the body, not a copy.
    pub bytes: Bytes,
}

/// What of `params._meta` the gate reads.
#[derive(Debug, Default, Clone)]
pub struct Meta {
    /// The client's name as it says itself: not verified.
    pub client_name: Option<String>,
    /// The client's version, likewise.
    pub client_version: Option<Box<str>>,
    /// W3C trace context (SEP-414).
    pub traceparent: Option<Box<str>>,
    /// The workflow that the client says the message belongs to (`baggage`): not verified.
    pub workflow: Option<Box<str>>,
    /// Whether the client declared the tasks extension.
    pub tasks: bool,
    /// What the client lets a server ask of it in the course of a call (2026-07-28).
    pub offers: [Option<Asking>; 3],
}

/// What a server may ask of a client: of a legacy one by a request, of a modern one in the result of a call
/// (`inputRequests`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// The user's own words, or a visit to a page.
    Elicitation,
    /// An answer of the client's model.
    Sampling,
    /// Where the client's files are.
    Roots,
}

impl Asking {
    /// The capability by which a client offers it.
    #[must_use]
    pub const fn capability(self) -> &'static str {
        match self {
            Self::Elicitation => "elicitation",
            Self::Sampling => "sampling",
            Self::Roots => "roots",
        }
    }

    /// The method that asks for it.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Elicitation => "elicitation/create",
            Self::Sampling => "sampling/createMessage",
            Self::Roots => "roots/list",
        }
    }

    fn by_capability(name: &str) -> Option<Self> {
        [Self::Elicitation, Self::Sampling, Self::Roots]
            .into_iter()
            .find(|asking| asking.capability() == name)
    }
}

impl Meta {
    /// The client's name and version as it says itself; `None`: it has no name.
    #[must_use]
    pub fn client(&self) -> Option<(String, Option<String>)> {
        let name = self.client_name.clone()?;
        Some((name, self.client_version.as_deref().map(str::to_owned)))
    }
}

/// What one message asks for. Closed: a method that is not here is not an action.
#[derive(Debug)]
pub enum Action {
    /// `initialize`.
    Initialize {
        /// The revision asked for.
        version: String,
    },
    /// `server/discover`.
    Discover,
    /// `ping`.
    Ping,
    /// A list.
    List(ListKind),
    /// `tools/call`.
    CallTool(ToolCall),
    /// `resources/read`.
    ReadResource {
        /// The resource.
        uri: String,
    },
    /// `resources/subscribe`.
    Subscribe {
        /// The resource.
        uri: String,
    },
    /// `resources/unsubscribe`.
    Unsubscribe {
        /// The resource.
        uri: String,
    },
    /// `prompts/get`.
    GetPrompt {
        /// The prompt.
        name: String,
        /// Its arguments, where there are any.
        arguments: Option<Box<RawValue>>,
    },
    /// `completion/complete`.
    Complete(Reference),
    /// `logging/setLevel`.
    SetLevel,
    /// `subscriptions/listen`.
    Listen(Box<Filter>),
    /// `tasks/get`, `tasks/update`, `tasks/cancel`, `tasks/result`.
    Task {
        /// The verb behind the slash.
        verb: TaskVerb,
        /// The task.
        id: String,
    },
    /// A notification from the client.
    Notify(Notification),
    /// The client's answer to a request of the server (legacy).
    Respond,
    /// GET: the server's own stream (legacy).
    OpenStream,
    /// DELETE: the end of the session (legacy).
    EndSession,
}

/// The lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
    /// `prompts/list`.
    Prompts,
    /// `tasks/list` (2025-11-25).
    Tasks,
}

/// A call of a tool.
#[derive(Debug)]
pub struct ToolCall {
    /// The tool.
    pub name: ToolName,
    /// The arguments as they came: an object, free of duplicate keys at every level.
    pub arguments: Option<Box<RawValue>>,
    /// Whether the call is to run as a task (2025-11-25).
    pub task: bool,
}

/// What a completion is for.
#[derive(Debug)]
pub enum Reference {
    /// A prompt by name.
    Prompt(String),
    /// A resource template by URI.
    Resource(String),
}

/// The filter of `subscriptions/listen`.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `toolsListChanged`.
    pub tools: bool,
    /// `promptsListChanged`.
    pub prompts: bool,
    /// `resourcesListChanged`.
    pub resources: bool,
    /// `resourceSubscriptions`.
    pub uris: Vec<String>,
    /// `taskIds`.
    pub tasks: Vec<String>,
}

/// The verbs of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskVerb {
    /// `tasks/get`.
    Get,
    /// `tasks/result` (2025-11-25).
    Result,
    /// `tasks/update` (2026-07-28).
    Update,
    /// `tasks/cancel`.
    Cancel,
}

/// The notifications that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notification {
    /// `notifications/initialized`.
    Initialized,
    /// `notifications/cancelled`.
    Cancelled,
    /// `notifications/progress`.
    Progress,
    /// `notifications/roots/list_changed`.
    RootsListChanged,
    /// `notifications/tasks/status`.
    TaskStatus,
}

/// An id made up for a test of another room.
#[cfg(test)]
pub(crate) fn request_id_for_test(json: &str) -> RequestId {
    RequestId(json.into())
}
