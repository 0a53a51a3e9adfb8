//! Every way to be told no. `respond::table` says what the caller is told for each; the operator reads the log.

use std::sync::Arc;
use std::time::Duration;

use crate::name::{AgentId, ServerName, ToolName};

/// How a caller must authenticate (RFC 9470 section 3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Scopes that their token must have.
    pub scopes: Vec<Arc<str>>,
    /// Authentication contexts, one of which must be their token's `acr`.
    pub acr_values: Vec<Arc<str>>,
    /// How old their authentication may be, in seconds.
    pub max_age: Option<u64>,
}

/// A message that goes no further, and why. Text in it is for the caller: no credential, no upstream URL, no other
/// tenant's name, no Rego trace.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    // listen
    /// The Host header names nobody that this gate serves.
    #[error("the Host header is not one that this gate serves")]
    ForeignHost,
    /// The Origin header is not on the allow-list.
    #[error("the Origin is not allowed")]
    ForeignOrigin,
    /// No such path.
    #[error("there is nothing at this path")]
    NoSuchPath,
    /// A method other than those that the endpoint has.
    #[error("this endpoint does not take the HTTP method")]
    MethodNotAllowed {
        /// The `Allow` header.
        allow: &'static str,
    },
    /// The request line or a header field breaks HTTP, or could be read in two ways.
    #[error("bad HTTP request: {0}")]
    BadHttp(&'static str),
    /// The header section is over the limit.
    #[error("the request header is larger than {limit} bytes")]
    HeaderTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body is over the limit.
    #[error("the request body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body did not arrive in time, or broke off.
    #[error("the request body did not arrive in time")]
    BodyTimeout,
    /// Too many connections or streams, or the gate is about to stop.
    #[error("the gate cannot take this request now: {0}")]
    Overloaded(&'static str),

    // identify
    /// The scoped URL is unknown, expired or revoked: one answer for all three.
    #[error("no such endpoint")]
    UnknownUrl,
    /// No proof of identity came.
    #[error("authentication is required")]
    NotAuthenticated,
    /// A proof of identity came and failed.
    #[error("the credential is not valid: {0}")]
    BadCredential(&'static str),
    /// A token came that is bound to a key, and its sender did not prove to hold that key (RFC 9449).
    #[error("the DPoP proof is not valid: {0}")]
    BadDpopProof(&'static str),
    /// The proof has to carry a nonce of the gate's, and has none, or one that is too old (RFC 9449 section 9).
    #[error("the DPoP proof needs the nonce that comes with this answer")]
    UseDpopNonce {
        /// The `DPoP-Nonce` header.
        nonce: Arc<str>,
    },
    /// Proofs cannot be checked now.
    #[error("credentials cannot be checked now")]
    IdentityUnavailable,
    /// A larger scope would do.
    #[error("the token's scope is too small")]
    InsufficientScope {
        /// All scopes that the operation needs.
        scopes: Vec<Arc<str>>,
    },
    /// The caller would have to authenticate again, or better (RFC 9470).
    #[error("{message}")]
    StepUp {
        /// What is asked of them.
        challenge: Challenge,
        /// The reason in the policy's words.
        message: String,
    },

    // decode
    /// The media type is not JSON in UTF-8, or the body is encoded.
    #[error("unsupported media: {0}")]
    UnsupportedMedia(&'static str),
    /// Not JSON (-32700).
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// JSON, but not one valid message (-32600).
    #[error("not a valid message: {0}")]
    Invalid(String),
    /// `params` that no method has: not an object, or without the `_meta` that a modern request must carry. Answered
    /// with HTTP 400 in every era (-32602).
    #[error("invalid params: {0}")]
    MalformedParams(String),
    /// A valid message with params that its method does not take, answered with HTTP 200 (-32602).
    #[error("invalid params: {0}")]
    BadParams(String),
    /// Header and body disagree (-32020).
    #[error("header mismatch: {0}")]
    HeaderMismatch(String),
    /// A revision that the path does not speak (-32022).
    #[error("unsupported protocol version `{requested}`")]
    UnsupportedVersion {
        /// What the message asked for.
        requested: String,
    },
    /// The request does not declare a capability of its client that the method belongs to (-32021).
    #[error("the request does not declare the client's capability `{0}`")]
    MissingCapability(&'static str),
    /// A method that nobody here knows (-32601).
    #[error("method not found: {0}")]
    UnknownMethod(String),
    /// The session is not this caller's, has ended, or was never opened.
    #[error("no such session")]
    UnknownSession,
    /// A session is needed.
    #[error("a session is required: send `initialize` first")]
    SessionRequired,

    // decide
    /// Policy hides the tool, or nobody has it.
    #[error("Unknown tool: {0}")]
    UnknownTool(ToolName),
    /// The tool is not what was pinned. To the caller it does not exist: they are told as for [`Refusal::UnknownTool`].
    #[error("Unknown tool: {tool}")]
    NotPinned {
        /// The tool.
        tool: ToolName,
        /// How it differs, in one word of a closed list; for the audit.
        how: &'static str,
    },
    /// The prompt or resource is not what was pinned. To the caller it does not exist: they are told as for
    /// [`Refusal::NotFound`].
    #[error("{what} not found")]
    NotApproved {
        /// `prompt` or `resource`.
        what: &'static str,
        /// How it differs, in one word of a closed list; for the audit.
        how: &'static str,
    },
    /// Policy hides the resource, prompt or task, or nobody has it.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The caller sees it and may not use it.
    #[error("{message}")]
    Denied {
        /// The policy's own code for it, where it has one.
        code: Option<String>,
        /// The reason in the policy's words.
        message: String,
    },
    /// An argument is outside what policy allows this caller.
    #[error("argument `{argument}` is outside what you may use: {message}")]
    Constrained {
        /// The argument's name.
        argument: String,
        /// What its value must be.
        message: String,
    },
    /// Policy could not be evaluated: an error, a time-out, an undefined result.
    #[error("policy could not decide about this call")]
    PolicyFailed,

    /// A question is about somebody else.
    #[error("a question about another subject is not answered: ask with that subject's own credential")]
    OtherSubject,

    // govern
    /// A rate, the slots or a budget is used up.
    #[error("{0}")]
    TooMany(Exhausted),

    // credential
    /// The account must be authorised again. Where, whoever runs the gate knows: the caller hands the words on.
    #[error(
        "the account for `{server}` must be authorised again, by whoever runs the gate: `portcullis account connect`, or \
         `account set-secret` where it has a fixed secret"
    )]
    NeedsReauth {
        /// The server.
        server: ServerName,
    },
    /// There is no account of this tenant for the server.
    #[error("there is no account for `{0}`")]
    NoAccount(ServerName),
    /// The credential could not be had now.
    #[error("the credential for `{server}` could not be had now")]
    CredentialUnavailable {
        /// The server.
        server: ServerName,
    },

    // forward
    /// The server cannot be reached, or refused the connection.
    #[error("`{server}` cannot be reached")]
    Unreachable {
        /// The server.
        server: ServerName,
    },
    /// The server did not answer in time.
    #[error("`{server}` did not answer in time")]
    TimedOut {
        /// The server.
        server: ServerName,
    },
    /// The server's answer broke off, or is not what the protocol allows.
    #[error("`{server}` gave no usable answer: {what}")]
    BadAnswer {
        /// The server.
        server: ServerName,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The server itself asks for fewer calls.
    #[error("`{server}` asks for fewer calls")]
    UpstreamBusy {
        /// The server.
        server: ServerName,
        /// How long it asks us to wait, bounded by the gate.
        retry: Option<Duration>,
    },

    /// The client went away before it was answered; nobody reads this.
    #[error("the client went away")]
    ClientGone,

    // record
    /// The audit record could not be written: nothing was forwarded.
    #[error("the call could not be recorded, so it was not made")]
    NotRecorded,
    /// A defect of the gate.
    #[error("internal error")]
    Internal,
}

impl Refusal {
    /// Why, in one word of a closed list: in the audit and as a label of metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ForeignHost => "foreign_host",
            Self::ForeignOrigin => "foreign_origin",
            Self::NoSuchPath => "no_such_path",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::BadHttp(_) => "bad_http",
            Self::HeaderTooLarge { .. } => "header_too_large",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::Overloaded(_) => "overloaded",
            Self::UnknownUrl => "unknown_url",
            Self::NotAuthenticated => "not_authenticated",
            Self::BadCredential(_) => "bad_credential",
            Self::IdentityUnavailable => "identity_unavailable",
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::StepUp { .. } => "insufficient_user_authentication",
            Self::BadDpopProof(_) => "bad_dpop_proof",
            Self::UseDpopNonce { .. } => "use_dpop_nonce",
            Self::UnsupportedMedia(_) => "unsupported_media",
            Self::NotJson(_) => "not_json",
            Self::Invalid(_) => "invalid_message",
            Self::MalformedParams(_) => "malformed_params",
            Self::BadParams(_) => "bad_params",
            Self::HeaderMismatch(_) => "header_mismatch",
            Self::UnsupportedVersion { .. } => "unsupported_version",
            Self::MissingCapability(_) => "missing_capability",
            Self::UnknownMethod(_) => "unknown_method",
            Self::UnknownSession => "unknown_session",
            Self::SessionRequired => "session_required",
            Self::UnknownTool(_) => "unknown_tool",
            Self::NotPinned { .. } | Self::NotApproved { .. } => "not_pinned",
            Self::NotFound(_) => "not_found",
            Self::Denied { .. } => "denied",
            Self::Constrained { .. } => "constrained",
            Self::PolicyFailed => "policy_failed",
            Self::OtherSubject => "other_subject",
            Self::NeedsReauth { .. } => "needs_reauth",
            Self::NoAccount(_) => "no_account",
            Self::CredentialUnavailable { .. } => "credential_unavailable",
            Self::Unreachable { .. } => "unreachable",
            Self::TimedOut { .. } => "timed_out",
            Self::BadAnswer { .. } => "bad_answer",
            Self::UpstreamBusy { .. } => "upstream_busy",
            Self::ClientGone => "client_gone",
            Self::NotRecorded => "not_recorded",
            Self::Internal => "internal",
            Self::TooMany(exhausted) => exhausted.what.reason(),
        }
    }

    /// The same as the caller is told it: what is hidden from them is not told apart from what does not exist.
    #[must_use]
    pub fn told(&self) -> &'static str {
        match self {
            Self::NotPinned { .. } => "unknown_tool",
            Self::NotApproved { .. } => "not_found",
            other => other.reason(),
        }
    }
}

/// What is used up, and when there is more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} exhausted: {limit} per {window}; retry after {retry_ms} ms", window = .what.window(*.window), retry_ms = .retry.as_millis())]
pub struct Exhausted {
    /// Which limit.
    pub what: Limit,
    /// How many the limit allows per window.
    pub limit: u32,
    /// The window.
    pub window: Duration,
    /// How many are left now.
    pub remaining: u32,
    /// When a retry can succeed.
    pub retry: Duration,
}

/// The limits of `govern`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Limit {
    /// Requests of the whole tenant.
    #[error("the tenant's request rate is")]
    TenantRate,
    /// Requests of one user.
    #[error("the user's request rate is")]
    UserRate,
    /// Requests of one agent.
    #[error("the agent `{0}`'s request rate is")]
    AgentRate(AgentId),
    /// Calls of one tool.
    #[error("the call rate of tool `{0}` is")]
    ToolRate(ToolName),
    /// Concurrent calls on the tenant's account.
    #[error("the account's concurrency slots are")]
    Slots,
    /// The tenant's budget.
    #[error("the tenant's budget is")]
    Budget,
}

impl Limit {
    /// The window in words.
    fn window(&self, window: Duration) -> String {
        match self {
            Self::Budget => "calendar month (UTC)".to_owned(),
            Self::TenantRate | Self::UserRate | Self::AgentRate(_) | Self::ToolRate(_) | Self::Slots => {
                humantime::format_duration(window).to_string()
            }
        }
    }

    /// Which limit, in one word of a closed list.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TenantRate => "tenant_rate",
            Self::UserRate => "user_rate",
            Self::AgentRate(_) => "agent_rate",
            Self::ToolRate(_) => "tool_rate",
            Self::Slots => "slots",
            Self::Budget => "budget",
        }
    }
}
