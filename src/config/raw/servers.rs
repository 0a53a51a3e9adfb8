//! How the file says what is upstream, and with whose credential.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::leaf::{FilePath, HttpUrl, Operation, Pattern, Span, Tenant, Word};
use super::{RawCredential, RawPinMode};

/// One upstream MCP server.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawServer {
    /// Its URL.
    pub(crate) url: HttpUrl,
    /// Its tags.
    #[serde(default)]
    pub(crate) tags: Vec<Word>,
    /// What is believed of what it says about its tools.
    #[serde(default)]
    pub(crate) trust: RawTrust,
    /// Whether HTTP/2 is spoken where the server offers it.
    #[serde(default)]
    pub(crate) http2: bool,
    /// In which era it is spoken to. Callers of the other era are bridged.
    #[serde(default)]
    pub(crate) era: RawEras,
    /// What you say of its tools, in order; the first pattern that matches.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) tools: Option<Vec<RawTool>>,
    /// TLS towards it.
    #[serde(default)]
    pub(crate) tls: RawServerTls,
    /// Times towards it.
    #[serde(default)]
    pub(crate) timeouts: RawTimeouts,
    /// Whether the signed statement carries the caller's roles.
    #[serde(default)]
    pub(crate) vouch_roles: bool,
    /// What becomes of its tools that do not match their pins. Default: what `pins.mode` says.
    #[serde(default)]
    pub(crate) pins: Option<RawPinMode>,
}

/// In which era a server is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawEras {
    /// In the caller's, if the server speaks it: the gate asks it once.
    #[default]
    Auto,
    /// With sessions: 2024-11-05 to 2025-11-25.
    Legacy,
    /// Stateless: 2026-07-28.
    Modern,
    /// In the caller's own, whatever it is; nothing is asked or bridged.
    Both,
}

/// What is believed of what a server says about its tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawTrust {
    /// Nothing.
    #[default]
    Nothing,
    /// The tools' annotations.
    Annotations,
}

/// What you say of tools.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTool {
    /// A glob on the tool's name.
    pub(crate) name: Pattern,
    /// Its operation: list and get read; create, update and delete write; another verb is custom.
    #[serde(default)]
    pub(crate) operation: Option<Operation>,
    /// Its tags.
    #[serde(default)]
    pub(crate) tags: Vec<Word>,
}

/// TLS towards a server.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawServerTls {
    /// Authorities instead of the system's, in PEM.
    pub(crate) authorities: Option<FilePath>,
    /// The client certificate in PEM; it needs `key`.
    pub(crate) certificate: Option<FilePath>,
    /// The client certificate's key in PEM.
    pub(crate) key: Option<FilePath>,
}

/// Times towards a server.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTimeouts {
    /// TCP and TLS.
    pub(crate) connect: Span,
    /// Between two reads of an answer.
    pub(crate) read: Span,
    /// The whole call.
    pub(crate) total: Span,
    /// Silence on an event stream.
    pub(crate) stream_idle: Span,
}

impl Default for RawTimeouts {
    fn default() -> Self {
        Self {
            connect: Span(Duration::from_secs(2)),
            read: Span(Duration::from_secs(60)),
            total: Span(Duration::from_secs(300)),
            stream_idle: Span(Duration::from_secs(600)),
        }
    }
}

/// One tenant's account at one server.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAccount {
    /// The tenant.
    pub(crate) tenant: Tenant,
    /// The server, by its name under `servers`.
    pub(crate) server: String,
    /// The URL, where it is the tenant's own.
    #[serde(default)]
    pub(crate) url: Option<HttpUrl>,
    /// How many calls at once. Default: any number.
    #[serde(default)]
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    pub(crate) slots: Option<u32>,
    /// With what the gate authenticates at the server.
    #[serde(default)]
    pub(crate) credential: RawCredential,
}
