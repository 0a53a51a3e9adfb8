//! Where state is kept.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::leaf::{FilePath, HttpUrl, Span, StoreAt, Word};
use super::{RawAwsKey, RawGoogleKey, RawInline, RawServerTls};

/// Where state is kept.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawState {
    /// The directory of the embedded store, the gate's own keys and the admin token.
    pub(crate) directory: FilePath,
    /// The key that seals credentials. Default: `seal.key` in the state directory, made when missing.
    pub(crate) sealing_key: Option<RawSealingKey>,
    /// Sealing keys that were there before. They open what `portcullis vault rekey` has not wrapped again yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) retired_sealing_keys: Vec<RawSealingKey>,
    /// A Redis or Valkey that several gates share, instead of the embedded store: `redis://host:port/0`,
    /// `redis+sentinel://host:port,host:port/name` or `redis+cluster://host:port,host:port`; with TLS `rediss` and so on.
    pub(crate) url: Option<StoreAt>,
    /// The user of its access control list.
    pub(crate) user: Option<Word>,
    /// The password: a reference such as `${REDIS_PASSWORD}` or `file:PATH`.
    pub(crate) password: Option<RawInline>,
    /// TLS towards it, where the URL's scheme has it.
    pub(crate) tls: RawServerTls,
    /// What its keys begin with: gates with the same prefix are one deployment.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{1,64}$"))]
    pub(crate) prefix: String,
    /// How many replicas must have a write before it counts, so that a fail-over loses nothing.
    #[schemars(range(max = 16))]
    pub(crate) replicas: u32,
    /// Whether rates and slots are those of all gates together, and not of each.
    pub(crate) shared_limits: bool,
    /// How long a call waits for that; then it goes on within the limits of its own gate.
    pub(crate) limits_within: Span,
}

impl Default for RawState {
    fn default() -> Self {
        Self {
            directory: FilePath("state".into()),
            sealing_key: None,
            retired_sealing_keys: Vec::new(),
            url: None,
            user: None,
            password: None,
            tls: RawServerTls::default(),
            prefix: "portcullis".to_owned(),
            replicas: 0,
            shared_limits: true,
            limits_within: Span(Duration::from_millis(50)),
        }
    }
}

/// Where a sealing key comes from: 32 bytes, in base64 or hex; or the service that it stays in.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawSealingKey {
    /// A file.
    File(FilePath),
    /// The standard output of a command, as of a KMS client.
    Command(#[schemars(length(min = 1))] Vec<String>),
    /// A key of the transit engine of HashiCorp Vault or OpenBao, which never leaves it.
    Transit(RawTransitKey),
    /// A key of AWS KMS, which never leaves it.
    AwsKms(RawAwsKey),
    /// A key of Google Cloud KMS, which never leaves it.
    GcpKms(RawGoogleKey),
}

/// A key of a transit engine.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTransitKey {
    /// The engine's URL with its mount, such as `https://vault.example:8200/v1/transit`.
    pub(crate) url: HttpUrl,
    /// The key's name.
    pub(crate) key: Word,
    /// The file with the token, read at each request, so that an agent can renew it.
    pub(crate) token: FilePath,
    /// Authorities instead of the system's, in PEM.
    #[serde(default)]
    pub(crate) authorities: Option<FilePath>,
}
