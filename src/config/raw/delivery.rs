//! How the file says from where policies are delivered.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::leaf::{FilePath, HttpUrl, Span, Word};

/// A git repository with policies, which the gate keeps pulled.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawGit {
    /// The repository: `https://…`, `ssh://…`, or the path (from the root) of one that something else keeps pulled.
    pub(crate) url: Word,
    /// The branch whose tip is served. Default: `main`, unless there is a `tag`.
    #[serde(default)]
    pub(crate) branch: Option<Word>,
    /// The tag that is served, instead of a branch.
    #[serde(default)]
    pub(crate) tag: Option<Word>,
    /// The policies' directory in the repository. Default: its top.
    #[serde(default)]
    pub(crate) path: Option<Word>,
    /// How often the repository is asked.
    #[serde(default = "minute")]
    pub(crate) every: Span,
    /// Who may sign: a file in the format of ssh's `allowed_signers`. With it, a commit (or tag) that none of them signed is refused.
    #[serde(default)]
    pub(crate) signers: Option<FilePath>,
    /// User and password for `https`.
    #[serde(default)]
    pub(crate) basic: Option<RawGitBasic>,
    /// The key for `ssh`.
    #[serde(default)]
    pub(crate) ssh: Option<RawGitSsh>,
}

/// User and password for a repository.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawGitBasic {
    /// The user name.
    pub(crate) user: Word,
    /// The password or token.
    pub(crate) password: RawSecretFile,
}

/// The key for a repository over ssh.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawGitSsh {
    /// The private key.
    pub(crate) key: FilePath,
    /// The keys of hosts, in the format of ssh's `known_hosts`. A host that is not in it is refused.
    pub(crate) known_hosts: FilePath,
}

/// A secret in a file.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSecretFile {
    /// The file; it is read each time that the secret is needed.
    pub(crate) file: FilePath,
}

/// An OPA bundle over HTTP.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBundle {
    /// The bundle's URL.
    pub(crate) url: HttpUrl,
    /// How often the server is asked.
    #[serde(default = "minute")]
    pub(crate) every: Span,
    /// How long the server may hold a request until there is something new. Default: it is not asked to.
    #[serde(default)]
    pub(crate) long_poll: Option<Span>,
    /// `Authorization: Bearer` for the server.
    #[serde(default)]
    pub(crate) bearer: Option<RawSecretFile>,
    /// The keys that may sign, by their ids. With them, a bundle that none of them signed is refused.
    #[serde(default)]
    #[schemars(extend("minProperties" = 1))]
    pub(crate) keys: Option<BTreeMap<String, RawBundleKey>>,
    /// The scope that the signature must have.
    #[serde(default)]
    pub(crate) scope: Option<Word>,
}

/// A key that may sign bundles.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBundleKey {
    /// Its one algorithm.
    pub(crate) algorithm: RawBundleAlgorithm,
    /// The public key in PEM; for `HS…` the shared secret.
    pub(crate) file: FilePath,
}

/// An algorithm of bundle signatures (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum RawBundleAlgorithm {
    /// RSA with PKCS #1 v1.5 and SHA-256.
    RS256,
    /// RSA with PKCS #1 v1.5 and SHA-384.
    RS384,
    /// RSA with PKCS #1 v1.5 and SHA-512.
    RS512,
    /// RSA-PSS with SHA-256.
    PS256,
    /// RSA-PSS with SHA-384.
    PS384,
    /// RSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256.
    ES256,
    /// ECDSA on P-384.
    ES384,
    /// Ed25519.
    EdDSA,
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
}

const fn minute() -> Span {
    Span(Duration::from_secs(60))
}
