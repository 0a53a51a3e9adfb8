//! The configuration file as it is written: its keys, their defaults, and what the published schema says of them.
//!
//! # Why two sets of types
//! These are what an operator writes; [`super::Config`] is what it means. Here everything may be left out and nothing is
//! looked up; there nothing is optional that the gate needs.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Fsync;
use super::leaf::{Address, FilePath, Header, Host, HttpUrl, Origin, Size, Span, Sync};

mod candidate;
mod credential;
mod delivery;
mod identity;
mod pins;
mod secrets;
mod servers;
mod state;
mod webhook;

pub(crate) use candidate::*;
pub(crate) use credential::*;
pub(crate) use delivery::*;
pub(crate) use identity::*;
pub(crate) use pins::*;
pub(crate) use secrets::*;
pub(crate) use servers::*;
pub(crate) use state::*;
pub(crate) use webhook::*;

/// The configuration of a Portcullis gate. Relative paths are relative to this file. In every text, `${VAR}` and
/// `${VAR:-default}` take an environment variable, and a text `file:PATH` takes the content of a file.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Portcullis")]
pub(crate) struct Raw {
    /// Where the gate listens for agents.
    #[schemars(length(min = 1))]
    pub(crate) listen: Vec<RawListener>,
    /// The URL under which agents know the gate, without a path. Default: `http://` (with TLS `https://`) and the first address.
    pub(crate) public_url: Option<HttpUrl>,
    /// Hosts that are served, with the port where one is meant. Default: the host of `public_url` and the addresses of `listen`.
    #[schemars(length(min = 1))]
    pub(crate) hosts: Option<Vec<Host>>,
    /// Browser origins that are served; a request without an Origin header passes.
    pub(crate) origins: Vec<Origin>,
    /// Limits on what a client may send and how long it may take.
    pub(crate) limits: RawLimits,
    /// How long a stop waits for what is in flight.
    pub(crate) drain: Span,
    /// Worker threads. Default: one per core.
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) threads: Option<usize>,
    /// The admin listener, or `off`.
    pub(crate) admin: RawAdmin,
    /// How callers prove who they are. Scoped URLs need nothing here.
    pub(crate) identity: RawIdentity,
    /// The upstream MCP servers by name.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) servers: BTreeMap<String, RawServer>,
    /// The tenants' accounts at the servers.
    #[schemars(length(min = 1))]
    pub(crate) accounts: Option<Vec<RawAccount>>,
    /// From where secrets of accounts are fetched, by a name for `fetched`.
    pub(crate) secrets: BTreeMap<String, RawSecretService>,
    /// Where signed notices go. Without it there are none.
    pub(crate) webhook: Option<RawWebhook>,
    /// The policies: a directory, or their source with its limits.
    pub(crate) policies: RawPolicies,
    /// A tool of the gate's own, at the end of every server's list, that says which calls would pass. Without it there is none.
    pub(crate) ask_first: Option<RawAskFirst>,
    /// What the servers' tools are pinned to. Without it they are pinned to nothing.
    pub(crate) pins: Option<RawPins>,
    /// Rates, where the policies' data says nothing else for a tenant.
    pub(crate) rates: RawRates,
    /// The budget of a tenant, where the policies' data says nothing else for it.
    pub(crate) budget: Option<RawBudget>,
    /// How long a call waits for one of the account's `slots`.
    pub(crate) slot_wait: Span,
    /// The signed statement to the server of who is calling.
    pub(crate) vouch: RawVouch,
    /// The audit chain.
    pub(crate) audit: RawAudit,
    /// Where state is kept.
    pub(crate) state: RawState,
    /// Logs and traces.
    pub(crate) telemetry: RawTelemetry,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            listen: vec![RawListener { address: Address(([127, 0, 0, 1], 8080).into()), tls: None }],
            public_url: None,
            hosts: None,
            origins: Vec::new(),
            limits: RawLimits::default(),
            drain: seconds(30),
            threads: None,
            admin: RawAdmin::default(),
            identity: RawIdentity::default(),
            servers: BTreeMap::new(),
            accounts: None,
            secrets: BTreeMap::new(),
            webhook: None,
            policies: RawPolicies::default(),
            ask_first: None,
            pins: None,
            rates: RawRates::default(),
            budget: None,
            slot_wait: seconds(5),
            vouch: RawVouch::default(),
            audit: RawAudit::default(),
            state: RawState::default(),
            telemetry: RawTelemetry::default(),
        }
    }
}

/// One address.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawListener {
    /// The socket address; port 0 takes a free one.
    pub(crate) address: Address,
    /// TLS; without it the address speaks cleartext.
    #[serde(default)]
    pub(crate) tls: Option<RawListenerTls>,
}

/// TLS of a listener. The files are read again when they change.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawListenerTls {
    /// The certificate chain in PEM.
    pub(crate) certificate: FilePath,
    /// The private key in PEM.
    pub(crate) key: FilePath,
    /// Authorities of client certificates in PEM; with them a client may present a certificate.
    #[serde(default)]
    pub(crate) client_authorities: Option<FilePath>,
    /// Whether a client without a certificate is refused.
    #[serde(default)]
    pub(crate) client_required: bool,
}

/// Limits on what a client may send and how long it may take.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawLimits {
    /// All header fields together.
    pub(crate) header_bytes: Size,
    /// From the first byte to the end of the header.
    pub(crate) header_timeout: Span,
    /// How long an idle connection is kept.
    pub(crate) keepalive: Span,
    /// The body.
    pub(crate) body_bytes: Size,
    /// From the end of the header to the end of the body.
    pub(crate) body_timeout: Span,
    /// Nesting of JSON, in levels.
    #[schemars(range(min = 4, max = 127))]
    pub(crate) json_depth: usize,
    /// Open connections.
    #[schemars(range(min = 1))]
    pub(crate) connections: usize,
    /// Open event streams of one tenant.
    #[schemars(range(min = 1))]
    pub(crate) streams_per_tenant: usize,
    /// Scoped URLs that are not there, which one address may ask for in a minute. 0: any number, where a proxy before the gate
    /// hides addresses.
    pub(crate) unknown_urls: u32,
    /// One write to a slow reader.
    pub(crate) write_timeout: Span,
    /// Silence on an event stream after which a comment is sent.
    pub(crate) stream_keepalive: Span,
    /// A server's JSON answer.
    pub(crate) answer_bytes: Size,
    /// One event of a server's stream.
    pub(crate) event_bytes: Size,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            header_bytes: Size(32 << 10),
            header_timeout: seconds(10),
            keepalive: seconds(60),
            body_bytes: Size(4 << 20),
            body_timeout: seconds(30),
            json_depth: 64,
            connections: 10_000,
            streams_per_tenant: 1_000,
            unknown_urls: 600,
            write_timeout: seconds(30),
            stream_keepalive: seconds(15),
            answer_bytes: Size(16 << 20),
            event_bytes: Size(4 << 20),
        }
    }
}

/// The admin listener, or `off`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawAdmin {
    /// None.
    Off(RawOff),
    /// One.
    On(RawAdminListener),
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self::On(RawAdminListener::default())
    }
}

/// The word `off`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum RawOff {
    /// Switched off.
    Off,
}

/// The admin listener.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAdminListener {
    /// Its socket address.
    pub(crate) address: Address,
    /// Names under which others reach it, such as `gate` for a scraper of metrics; addresses and `localhost` need none.
    pub(crate) hosts: Vec<Host>,
    /// TLS; without it the listener speaks cleartext.
    pub(crate) tls: Option<RawListenerTls>,
    /// Issuers of access tokens for its API: the role `operator` may do everything, `tenant-admin` what concerns the
    /// token's tenant.
    #[schemars(length(min = 1))]
    pub(crate) jwt: Option<Vec<RawIssuer>>,
    /// Whom client certificates stand for, by the same two roles.
    #[schemars(length(min = 1))]
    pub(crate) certificates: Option<Vec<RawCertificate>>,
}

impl Default for RawAdminListener {
    fn default() -> Self {
        let address = Address(([127, 0, 0, 1], 9901).into());
        Self { address, hosts: Vec::new(), tls: None, jwt: None, certificates: None }
    }
}

/// The policies: a directory, or their source with its limits.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawPolicies {
    /// A directory.
    Directory(FilePath),
    /// A source with its limits.
    Limited(RawPolicyLimits),
}

impl Default for RawPolicies {
    fn default() -> Self {
        Self::Limited(RawPolicyLimits::default())
    }
}

/// The policies' source with its limits.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawPolicyLimits {
    /// A directory. Default: `policies`, unless there is another source.
    pub(crate) directory: Option<FilePath>,
    /// A git repository, instead of a directory.
    pub(crate) git: Option<Box<RawGit>>,
    /// An OPA bundle, instead of a directory.
    pub(crate) bundle: Option<Box<RawBundle>>,
    /// How long one decision may take.
    pub(crate) timeout: Span,
    /// Decisions kept in the cache; 0 keeps none.
    pub(crate) cache: usize,
    /// A policy that is tried on live traffic: a directory, or a directory and for whom it decides.
    pub(crate) candidate: Option<RawCandidate>,
}

impl Default for RawPolicyLimits {
    fn default() -> Self {
        Self {
            directory: None,
            git: None,
            bundle: None,
            timeout: Span(Duration::from_millis(20)),
            cache: 100_000,
            candidate: None,
        }
    }
}

/// The gate's own tool.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAskFirst {
    /// Its name. A tool of that name at a server is hidden: the name is the gate's.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{1,64}$"))]
    pub(crate) tool: String,
}

impl Default for RawAskFirst {
    fn default() -> Self {
        Self { tool: "portcullis_check_access".to_owned() }
    }
}

/// Rates. What is left out is not limited.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRates {
    /// Requests of one tenant.
    pub(crate) tenant: Option<RawRate>,
    /// Requests of one user.
    pub(crate) user: Option<RawRate>,
    /// Requests of one agent.
    pub(crate) agent: Option<RawRate>,
    /// Calls of one tool by glob, in order; the first that matches.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) tools: Option<BTreeMap<String, RawRate>>,
}

/// What a tenant's calls may cost.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBudget {
    /// In a calendar month (UTC), in the units of the policy's `cost`.
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    pub(crate) per_month: u32,
}

/// So many requests in a span of time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRate {
    /// How many.
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    pub(crate) requests: u32,
    /// In which time.
    pub(crate) per: Span,
    /// How many at once. Default: as many as `requests`.
    #[serde(default)]
    #[schemars(range(min = 1, max = 4_294_967_295_u64))]
    pub(crate) burst: Option<u32>,
}

/// The signed statement to the server of who is calling: a JWT of type `txntoken+jwt`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawVouch {
    /// Its `iss`. Default: `public_url`.
    pub(crate) issuer: Option<HttpUrl>,
    /// The header in which it goes to the server.
    pub(crate) header: Header,
    /// The signature.
    pub(crate) algorithm: RawSignature,
    /// How long it is good, 60 s at most.
    pub(crate) lifetime: Span,
    /// How often the gate takes a new key; the old one stays published for one more period.
    pub(crate) rotate: Span,
}

impl Default for RawVouch {
    fn default() -> Self {
        Self {
            issuer: None,
            header: Header(http::HeaderName::from_static("txn-token")),
            algorithm: RawSignature::EdDsa,
            lifetime: seconds(30),
            rotate: seconds(24 * 60 * 60),
        }
    }
}

/// A signature algorithm.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum RawSignature {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256.
    #[serde(rename = "ES256")]
    Es256,
}

/// The audit chain.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAudit {
    /// The directory of its segments.
    pub(crate) directory: FilePath,
    /// When lines are forced to the disk: `always`, or a time after which at the latest.
    pub(crate) fsync: Sync,
    /// A segment closes at this size.
    pub(crate) segment_bytes: Size,
    /// How long a call waits for its line.
    pub(crate) timeout: Span,
}

impl Default for RawAudit {
    fn default() -> Self {
        Self {
            directory: FilePath("audit".into()),
            fsync: Sync(Fsync::Always),
            segment_bytes: Size(64 << 20),
            timeout: seconds(2),
        }
    }
}

/// Logs and traces.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTelemetry {
    /// An OTLP/HTTP endpoint for traces. Without it there are none.
    pub(crate) otlp: Option<HttpUrl>,
    /// Which part of the calls is traced.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) sample: f64,
    /// Whether logs are JSON lines.
    pub(crate) json_logs: bool,
}

impl Default for RawTelemetry {
    fn default() -> Self {
        Self { otlp: None, sample: 0.1, json_logs: true }
    }
}

const fn seconds(seconds: u64) -> Span {
    Span(Duration::from_secs(seconds))
}
