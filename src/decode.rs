//! What is being asked: bytes → exactly one checked MCP message of a known era.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::name::ToolName;

/// Legacy (2024-11-05 … 2025-11-25, with a session) or modern (2026-07-28, stateless).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// An `initialize` handshake, and usually a session.
    Legacy,
    /// Metadata with every request.
    Modern,
}

/// A protocol revision that the gate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// A JSON-RPC id: a string or an integer, kept as its exact text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(pub(in crate::decode) Box<str>);

impl RequestId {
    /// The JSON text of the id, as it came.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// One checked message, and the very bytes that were judged.
#[derive(Debug)]
pub struct Message {
    /// The era.
    pub era: Era,
    /// The revision, where the message says it (legacy: by header, which may be absent).
    pub version: Option<Version>,
    /// The id; `None`: a notification (or a response, which carries the id of another's request).
    pub id: Option<RequestId>,
    /// The method; a response has none.
    pub method: &'static str,
    /// What it asks for.
    pub action: Action,
    /// What `_meta` says.
    pub meta: Meta,
    /// The exact bytes of this message.
    pub bytes: Bytes,
}

/// What of `params._meta` the gate reads.
#[derive(Debug, Default, Clone)]
pub struct Meta {
    /// The client's name as it says itself: not verified.
    pub client_name: Option<String>,
    /// The client's version, likewise.
    pub client_version: Option<String>,
    /// W3C trace context (SEP-414).
    pub traceparent: Option<String>,
    /// Whether the client declared the tasks extension.
    pub tasks: bool,
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
#[derive(Debug, Default)]
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
