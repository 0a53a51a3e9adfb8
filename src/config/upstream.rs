//! What is upstream, and with whose credential: the meaning of `servers` and `accounts`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Credential;
use crate::name::{ServerName, TenantId};
use globset::GlobMatcher;

/// One upstream MCP server.
#[derive(Debug)]
pub struct Server {
    /// Its name.
    pub name: ServerName,
    /// Its URL (`http` or `https`).
    pub url: http::Uri,
    /// Its tags.
    pub tags: Vec<Arc<str>>,
    /// Whether its tools' annotations are believed.
    pub trust_annotations: bool,
    /// What the operator says of its tools: the first pattern that matches wins.
    pub tools: Vec<ToolRule>,
    /// TLS towards it.
    pub tls: UpstreamTls,
    /// Times.
    pub timeouts: Timeouts,
    /// Whether HTTP/2 is spoken where the server offers it.
    pub http2: bool,
    /// In which era it is spoken to.
    pub eras: Eras,
    /// Whether the Txn-Token carries the caller's roles.
    pub vouch_roles: bool,
    /// What becomes of its tools that do not match their pins.
    pub pins: PinMode,
}

/// In which era a server is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Eras {
    /// In the caller's, if it speaks it: it is asked.
    #[default]
    Auto,
    /// In the legacy era only.
    Legacy,
    /// In the modern era only.
    Modern,
    /// In the caller's, whatever it is.
    Both,
}

impl Eras {
    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Legacy => "legacy",
            Self::Modern => "modern",
            Self::Both => "both",
        }
    }
}

/// What becomes of a tool that changed or appeared after it was pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PinMode {
    /// It is hidden and refused until it is approved.
    Enforce,
    /// It passes; the operator is told.
    Warn,
    /// Tools are not compared with pins at all.
    Off,
}

impl PinMode {
    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
            Self::Off => "off",
        }
    }
}

impl Server {
    /// A server that is only imagined, to ask policy about: nothing is ever sent to it.
    #[must_use]
    pub fn imagined(name: ServerName, tags: Vec<Arc<str>>, tools: Vec<ToolRule>) -> Self {
        let second = Duration::from_secs(1);
        Self {
            name,
            url: http::Uri::default(),
            tags,
            trust_annotations: false,
            tools,
            tls: UpstreamTls::default(),
            timeouts: Timeouts { connect: second, read: second, total: second, stream_idle: second },
            http2: false,
            eras: Eras::Auto,
            vouch_roles: false,
            pins: PinMode::Off,
        }
    }
}

/// What the operator says of tools that match a pattern.
#[derive(Debug, Clone)]
pub struct ToolRule {
    /// A glob on the tool's name.
    pub pattern: GlobMatcher,
    /// Its operation.
    pub operation: Option<Arc<str>>,
    /// Its tags.
    pub tags: Vec<Arc<str>>,
}

/// TLS towards a server.
#[derive(Debug, Clone, Default)]
pub struct UpstreamTls {
    /// Authorities instead of the system's, in PEM.
    pub authorities: Option<PathBuf>,
    /// The client certificate and its key, in PEM.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Times towards a server.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect: Duration,
    /// Between two reads of an answer; event streams have only `total`.
    pub read: Duration,
    /// The whole call.
    pub total: Duration,
    /// Silence on an event stream.
    pub stream_idle: Duration,
}

/// One tenant's connection to one server.
#[derive(Debug)]
pub struct Account {
    /// The tenant.
    pub tenant: TenantId,
    /// The server.
    pub server: ServerName,
    /// The URL, where it is the tenant's own. Not the operator's: it is guarded against private addresses.
    pub url: Option<http::Uri>,
    /// With what the gate authenticates.
    pub credential: Credential,
    /// How many calls at once.
    pub slots: Option<NonZeroU32>,
}
