//! What the operator wrote, and what it means. `raw` is the YAML with its defaults and published schema; the types here
//! are what the rooms are built from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::name::{ServerName, TenantId, ToolName};

mod callers;
mod candidate;
mod credential;
mod delivery;
mod fill;
mod keys;
mod leaf;
mod load;
mod parse;
mod problem;
mod raw;
mod report;
mod schema;
mod secrets;
mod show;
mod source;
mod store;
mod stored;
mod structure;
mod upstream;
mod yaml;

pub use callers::{
    ApiKey, CertificateRule, Certificates, Claims, Directory, Identity, Introspection, Issuer, KeySource,
    Static, Tenancy,
};
pub use candidate::{Canary, Candidate, Percent};
pub use credential::{
    AssertionAlgorithm, Authority, AuthorizationCode, AwsSigv4, ClientCredentials, ClientProof, Credential,
    Fetched, Oauth1, SecretSource, Signed, Webhook,
};
pub use delivery::{BundleSource, Delivery, GitLogin, GitReference, GitSource, Signing, SigningKey};
pub use fill::{Env, ProcessEnv};
pub use problem::{BadConfig, Finding, Warning};
pub use schema::schema;
pub use secrets::{
    AwsIdentity, AwsKey, AwsService, GoogleIdentity, GoogleKey, SecretPlace, SecretService, SecretsManager,
    Template, VaultKv, VaultLogin,
};
pub use store::{HostPort, Redis, Topology};
pub use stored::account_schema;
pub use upstream::{Account, Eras, PinMode, Server, Timeouts, ToolRule, UpstreamTls};

/// Everything that a gate is built from.
#[derive(Debug)]
pub struct Config {
    /// Where the gate listens for agents.
    pub listen: Listen,
    /// The admin listener.
    pub admin: Admin,
    /// How callers prove who they are.
    pub identity: Identity,
    /// The upstream servers by name.
    pub servers: BTreeMap<ServerName, Arc<Server>>,
    /// The tenants' accounts; the key begins with the tenant.
    pub accounts: BTreeMap<(TenantId, ServerName), Arc<Account>>,
    /// From where secrets of accounts are fetched, by name.
    pub secrets: BTreeMap<String, Arc<SecretService>>,
    /// Where signed notices go; `None`: nowhere.
    pub webhook: Option<Arc<Webhook>>,
    /// Policy.
    pub policy: Policy,
    /// From where the policy directory is delivered; `None`: it is the operator's own.
    pub delivery: Option<Delivery>,
    /// The policy that is tried beside it.
    pub candidate: Option<Candidate>,
    /// The name of the gate's own tool; `None`: there is none.
    pub ask_first: Option<ToolName>,
    /// What tools are pinned to; `None`: to nothing.
    pub pins: Option<Pinning>,
    /// Default rates; a tenant's policy data may say otherwise.
    pub rates: Rates,
    /// How long a call waits for a concurrency slot.
    pub slot_wait: Duration,
    /// The signed statement to the server.
    pub vouch: Vouch,
    /// The audit chain.
    pub audit: Audit,
    /// Where state is kept.
    pub state: State,
    /// Logs and traces.
    pub telemetry: Telemetry,
}

/// The listeners and their limits.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Each address, with or without TLS.
    pub listeners: Vec<Listener>,
    /// The URL under which agents know the gate: the OAuth resource (RFC 9728) is made from it. No trailing slash.
    pub public_url: String,
    /// Hosts that are served, lower case, with the port where one is written. Never empty.
    pub hosts: Vec<String>,
    /// Origins that are allowed; a request without an Origin header passes.
    pub origins: Vec<String>,
    /// Limits on size and time.
    pub limits: Limits,
    /// How long a stop waits for what is in flight.
    pub drain: Duration,
    /// Worker threads.
    pub threads: usize,
}

/// One address.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The socket address; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS, or cleartext.
    pub tls: Option<ListenerTls>,
}

/// TLS of a listener. The files are read again when they change.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    /// The certificate chain in PEM.
    pub certificate: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
    /// Authorities of client certificates in PEM; where set, a client may present one.
    pub client_authorities: Option<PathBuf>,
    /// Whether a client without a certificate is refused in the handshake.
    pub client_required: bool,
}

/// Limits on what a client may send and how long it may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// All header fields together, in bytes.
    pub header_bytes: usize,
    /// From the first byte (or the last response) to the end of the header.
    pub header_timeout: Duration,
    /// How long an idle connection is kept.
    pub keepalive: Duration,
    /// The body, in bytes.
    pub body_bytes: usize,
    /// From the end of the header to the end of the body.
    pub body_timeout: Duration,
    /// Nesting of JSON, in levels.
    pub json_depth: usize,
    /// Open connections.
    pub connections: usize,
    /// Open event streams of one tenant.
    pub streams_per_tenant: usize,
    /// Scoped URLs that are not there, which one address may ask for in a minute; 0: any number.
    pub unknown_urls: u32,
    /// How long one write to a slow reader may take.
    pub write_timeout: Duration,
    /// Silence on an event stream after which a comment is sent.
    pub stream_keepalive: Duration,
    /// An upstream's JSON answer, in bytes.
    pub answer_bytes: usize,
    /// One event of an upstream's stream, in bytes.
    pub event_bytes: usize,
}

/// The admin listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Its address; loopback unless the operator says otherwise. `None`: there is none.
    pub address: Option<SocketAddr>,
    /// Names in `Host` under which it is reached, beside addresses and `localhost`; lower case, with a port or without.
    pub hosts: Vec<String>,
    /// TLS, or cleartext.
    pub tls: Option<ListenerTls>,
    /// Issuers of access tokens for its API.
    pub issuers: Vec<Issuer>,
    /// Whom client certificates stand for there; `None`: they prove nothing.
    pub certificates: Option<Certificates>,
}

/// Policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The directory.
    pub directory: PathBuf,
    /// How long one decision may take.
    pub timeout: Duration,
    /// Decisions kept in the cache.
    pub cache: usize,
}

/// What tools are pinned to. How strictly is said for each server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinning {
    /// The lock file that `portcullis catalogue pin` writes.
    pub file: PathBuf,
    /// What becomes of a tool that does not match, where its server says nothing else.
    pub mode: PinMode,
    /// What is pinned beside tools; `None`: what the lock file pins.
    pub also: Option<BTreeSet<Pinnable>>,
}

/// What may be pinned beside tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pinnable {
    /// Prompts.
    Prompts,
    /// Resources.
    Resources,
    /// Resource templates.
    Templates,
}

impl Pinnable {
    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "templates",
        }
    }
}

/// Rates; `None` in a field: the operator set no such limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests of one tenant.
    pub tenant: Option<Rate>,
    /// Requests of one user.
    pub user: Option<Rate>,
    /// Requests of one agent.
    pub agent: Option<Rate>,
    /// Calls of one tool, by glob; the first that matches.
    pub tools: Vec<(String, Rate)>,
    /// What the tenant's calls may cost in a calendar month (UTC), in the units of the policy's `cost`.
    pub budget: Option<NonZeroU32>,
}

/// So many per window, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub requests: NonZeroU32,
    /// Per which time.
    pub per: Duration,
    /// How many at once.
    pub burst: NonZeroU32,
}

/// The signed statement to the server.
#[derive(Debug, Clone)]
pub struct Vouch {
    /// `iss`.
    pub issuer: String,
    /// The header, `Txn-Token` by default.
    pub header: HeaderName,
    /// `EdDSA` or `ES256`.
    pub algorithm: Signature,
    /// Life of a token, 60 s at most.
    pub lifetime: Duration,
    /// How often the gate takes a new key; the old one stays published for one more period.
    pub rotate: Duration,
}

/// A signature algorithm for what the gate signs (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

/// The audit chain.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The directory of its segments.
    pub directory: PathBuf,
    /// When lines are forced to the disk.
    pub fsync: Fsync,
    /// A segment closes at this size.
    pub segment_bytes: u64,
    /// How long a call waits for its line.
    pub timeout: Duration,
}

/// When audit lines are forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before the call is forwarded.
    Always,
    /// At the latest so much later; a crash of the machine may lose that much, a crash of the gate nothing.
    Every(Duration),
}

/// Where state is kept.
#[derive(Debug, Clone)]
pub struct State {
    /// The directory of the embedded store, the gate's generated keys and the admin token.
    pub directory: PathBuf,
    /// The key that wraps the tenants' data keys, which seal credentials.
    pub sealing_key: SealingKey,
    /// Keys that wrapped before it. They unwrap what has not been wrapped again yet.
    pub retired_sealing_keys: Vec<SealingKey>,
    /// The shared store; `None`: the embedded one, in the directory.
    pub redis: Option<Arc<Redis>>,
}

impl State {
    /// Whether there is a store already, so that something may be in it.
    #[must_use]
    pub fn has_store(&self) -> bool {
        self.redis.is_some() || self.directory.join("portcullis.redb").exists()
    }

    /// Where delivered policies are kept, a folder for each revision.
    #[must_use]
    pub fn policies(&self) -> PathBuf {
        self.directory.join("policies")
    }

    /// The policy directory of the delivered revision that is served.
    #[must_use]
    pub fn delivered_policies(&self) -> PathBuf {
        self.policies().join("current/policy")
    }
}

/// Where a sealing key comes from: 32 bytes, in base64 or hex; or the service that it stays in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealingKey {
    /// A file; made with mode 0600 if it does not exist and stands in the state directory.
    File(PathBuf),
    /// The standard output of a command, as a KMS client's.
    Command(Vec<String>),
    /// A key of the transit engine of HashiCorp Vault or OpenBao.
    Transit(TransitKey),
    /// A key of AWS KMS.
    AwsKms(AwsKey),
    /// A key of Google Cloud KMS.
    GcpKms(GoogleKey),
}

/// A key of a transit engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitKey {
    /// The engine's URL with its mount, such as `https://vault.example:8200/v1/transit`. No trailing slash.
    pub url: String,
    /// The key's name.
    pub key: String,
    /// The file with the token, read at each request.
    pub token: PathBuf,
    /// Authorities instead of the system's, in PEM.
    pub authorities: Option<PathBuf>,
}

/// Logs and traces.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// An OTLP/HTTP endpoint for traces.
    pub otlp: Option<String>,
    /// Which part of the calls is traced, 0 to 1.
    pub sample: f64,
    /// Whether logs are JSON lines.
    pub json_logs: bool,
}

/// State in a directory, made up for a test of another room.
#[cfg(test)]
pub(crate) fn state_for_test(directory: &std::path::Path, sealing_key: SealingKey) -> State {
    State { directory: directory.to_owned(), sealing_key, retired_sealing_keys: Vec::new(), redis: None }
}

/// A server made up for a test of another room.
#[cfg(test)]
pub(crate) fn server_for_test(name: &str, url: &str) -> Server {
    let second = Duration::from_secs(1);
    Server {
        name: ServerName::parse(name).unwrap(),
        url: url.parse().unwrap(),
        tags: Vec::new(),
        trust_annotations: false,
        tools: Vec::new(),
        tls: UpstreamTls::default(),
        timeouts: Timeouts { connect: second, read: second, total: second, stream_idle: second },
        http2: false,
        eras: crate::config::Eras::Auto,
        vouch_roles: false,
        pins: PinMode::Off,
    }
}

#[cfg(test)]
mod tests;
