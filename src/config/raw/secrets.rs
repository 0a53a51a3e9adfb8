//! How the file says from where secrets and keys are fetched.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::leaf::{FilePath, HttpUrl, Span, Word};

/// A place that secrets are fetched from: one of `vault`, `aws`, `file` and `command`. In paths, `{tenant}` and `{server}` are those
/// of the account, and `{tenant}` is a segment of its own.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSecretService {
    /// The KV engine, version 2, of HashiCorp Vault or OpenBao.
    pub(crate) vault: Option<RawVaultKv>,
    /// AWS Secrets Manager.
    pub(crate) aws: Option<RawSecretsManager>,
    /// A file of each account, such as `/run/secrets/{tenant}/{server}`.
    pub(crate) file: Option<FilePath>,
    /// The standard output of a command, which finds the account in `PORTCULLIS_TENANT` and `PORTCULLIS_SERVER`.
    #[schemars(length(min = 1))]
    pub(crate) command: Option<Vec<String>>,
    /// How long a fetched secret serves before it is fetched again.
    pub(crate) keep: Span,
    /// How much longer it serves while it cannot be fetched again.
    pub(crate) stale: Span,
}

impl Default for RawSecretService {
    fn default() -> Self {
        Self {
            vault: None,
            aws: None,
            file: None,
            command: None,
            keep: Span(Duration::from_secs(30)),
            stale: Span(Duration::from_secs(300)),
        }
    }
}

/// A KV engine, version 2.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawVaultKv {
    /// The server's URL, such as `https://vault.example:8200`.
    pub(crate) url: HttpUrl,
    /// The namespace.
    #[serde(default)]
    pub(crate) namespace: Option<Word>,
    /// The engine's mount.
    #[serde(default = "kv_mount")]
    pub(crate) mount: Word,
    /// The secret of an account below the mount, such as `mcp/{tenant}/{server}`.
    pub(crate) path: Word,
    /// How the gate logs in.
    pub(crate) login: RawVaultLogin,
    /// Authorities instead of the system's, in PEM.
    #[serde(default)]
    pub(crate) authorities: Option<FilePath>,
}

fn kv_mount() -> Word {
    Word("secret".to_owned())
}

/// How the gate logs in to Vault or OpenBao.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawVaultLogin {
    /// A file with a token, read at each request, so that an agent can renew it.
    Token(FilePath),
    /// An AppRole.
    AppRole(RawAppRole),
    /// The service account of a Kubernetes pod.
    Kubernetes(RawKubernetesLogin),
}

/// An AppRole.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAppRole {
    /// The role's id.
    pub(crate) role_id: Word,
    /// The file with its secret id.
    pub(crate) secret_id: FilePath,
    /// The method's mount.
    #[serde(default = "app_role_mount")]
    pub(crate) mount: Word,
}

fn app_role_mount() -> Word {
    Word("approle".to_owned())
}

/// The service account of a Kubernetes pod.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawKubernetesLogin {
    /// The role.
    pub(crate) role: Word,
    /// The file with the service account's token.
    #[serde(default = "service_account")]
    pub(crate) token: FilePath,
    /// The method's mount.
    #[serde(default = "kubernetes_mount")]
    pub(crate) mount: Word,
}

fn service_account() -> FilePath {
    FilePath("/var/run/secrets/kubernetes.io/serviceaccount/token".into())
}

fn kubernetes_mount() -> Word {
    Word("kubernetes".to_owned())
}

/// AWS Secrets Manager.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSecretsManager {
    /// The region, such as `eu-central-1`.
    pub(crate) region: Word,
    /// The name of an account's secret, such as `mcp/{tenant}/{server}`.
    pub(crate) name: Word,
    /// With what requests are signed.
    pub(crate) identity: RawAwsIdentity,
    /// The endpoint. Default: the region's.
    #[serde(default)]
    pub(crate) url: Option<HttpUrl>,
}

/// With what the gate signs its own requests to AWS.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawAwsIdentity {
    /// An access key.
    Key(RawAwsAccessKey),
    /// The standard output of a command, as `credential_process` of the AWS CLI has it.
    Process(#[schemars(length(min = 1))] Vec<String>),
}

/// An access key. The files are read at each request.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAwsAccessKey {
    /// Its id.
    pub(crate) id: Word,
    /// The file with the secret access key.
    pub(crate) secret: FilePath,
    /// The file with the session token, where the key is a temporary one.
    #[serde(default)]
    pub(crate) session_token: Option<FilePath>,
}

/// A symmetric key of AWS KMS.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAwsKey {
    /// The region, such as `eu-central-1`.
    pub(crate) region: Word,
    /// The key's ARN, id or alias.
    pub(crate) key: Word,
    /// With what requests are signed.
    pub(crate) identity: RawAwsIdentity,
    /// The endpoint. Default: the region's.
    #[serde(default)]
    pub(crate) url: Option<HttpUrl>,
}

/// A symmetric key of Google Cloud KMS.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawGoogleKey {
    /// The key, as `projects/P/locations/L/keyRings/R/cryptoKeys/K`.
    #[schemars(regex(pattern = "^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$"))]
    pub(crate) key: String,
    /// The file with a service account's key in JSON. Default: the machine's or pod's own account, by its metadata server.
    #[serde(default)]
    pub(crate) service_account: Option<FilePath>,
    /// The metadata server.
    #[serde(default)]
    pub(crate) metadata: Option<HttpUrl>,
    /// The endpoint.
    #[serde(default)]
    pub(crate) url: Option<HttpUrl>,
}
