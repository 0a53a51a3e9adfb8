//! How callers prove who they are: the meaning of `identity`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use globset::GlobMatcher;

use crate::name::{AgentId, TenantId, UserId};
use crate::secret::Key;

/// How callers prove who they are.
#[derive(Debug)]
pub struct Identity {
    /// Issuers of JWT access tokens.
    pub issuers: Vec<Issuer>,
    /// API keys by their SHA-256.
    pub api_keys: Vec<ApiKey>,
    /// What the operator's directories say of callers.
    pub directories: Vec<Directory>,
    /// How client certificates are mapped; `None`: they prove nothing.
    pub certificates: Option<Certificates>,
    /// The caller that a request without any proof is; only where every listener is loopback.
    pub anonymous: Option<Static>,
    /// Whether scoped URLs need a second factor unless they say otherwise.
    pub second_factor: bool,
    /// Whether a DPoP proof must carry a nonce of the gate's (RFC 9449 section 9).
    pub dpop_nonce: bool,
    /// The gate's own key: HMAC of scoped URL tokens, sealing of session ids.
    pub gate_key: Key,
    /// Its file.
    pub gate_key_file: PathBuf,
}

/// An issuer of JWT access tokens (RFC 9068).
#[derive(Debug, Clone)]
pub struct Issuer {
    /// `iss`, compared exactly.
    pub issuer: String,
    /// Accepted audiences, compared exactly. Never empty.
    pub audiences: Vec<String>,
    /// Where its keys are.
    pub keys: KeySource,
    /// Which claims mean what.
    pub claims: Claims,
    /// Tolerated clock skew, at most 60 s.
    pub leeway: Duration,
    /// Whether `typ` must be `at+jwt` (RFC 9068 section 4).
    pub require_at_jwt: bool,
    /// Scopes that every call needs; a token without them is told so.
    pub scopes: Vec<String>,
    /// Where it says what a token is that says nothing itself; `None`: only JWTs are taken.
    pub introspection: Option<Introspection>,
    /// Whether only tokens are taken that are bound to a key of their sender's: by DPoP (RFC 9449) or a client certificate
    /// (RFC 8705).
    pub sender_constrained: bool,
}

/// An introspection endpoint (RFC 7662), and the gate's credential there.
#[derive(Debug, Clone)]
pub struct Introspection {
    /// The endpoint.
    pub url: String,
    /// The gate's client id.
    pub client_id: String,
    /// The file with its secret, read at each question.
    pub client_secret: PathBuf,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A JWKS document at a URL, refreshed.
    Url {
        /// The URL.
        url: String,
        /// How often it is fetched.
        refresh: Duration,
        /// How long known keys stay good while it cannot be fetched.
        max_stale: Duration,
    },
    /// Where the issuer's metadata say (OpenID Connect Discovery 1.0, RFC 8414).
    Discovered {
        /// How often they are fetched.
        refresh: Duration,
        /// How long known keys stay good while they cannot be fetched.
        max_stale: Duration,
    },
    /// A JWKS document in a file, read again when it changes.
    File(PathBuf),
}

/// Which claims mean what: JSON Pointers (RFC 6901) into the token's claims.
#[derive(Debug, Clone)]
pub struct Claims {
    /// The tenant: an organisation, an agent, or a user, as the operator decides.
    pub tenant: Tenancy,
    /// The tenants that a claim may name; `None`: any.
    pub tenants: Option<BTreeSet<TenantId>>,
    /// The user.
    pub user: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// Roles: a string, a space-separated string, or an array.
    pub roles: Option<String>,
    /// Groups, likewise.
    pub groups: Option<String>,
    /// Attributes by their name in policy.
    pub attributes: BTreeMap<String, String>,
}

/// What a tenant is for an issuer.
#[derive(Debug, Clone)]
pub enum Tenancy {
    /// The value of a claim.
    Claim(String),
    /// Always the same.
    Fixed(TenantId),
}

/// A file of users and groups as SCIM has them (RFC 7643).
#[derive(Debug, Clone)]
pub struct Directory {
    /// The file, read again when it changes.
    pub file: PathBuf,
    /// Whose callers it is about; `None`: every tenant's.
    pub tenant: Option<TenantId>,
    /// The member of a user that is a caller's user: a JSON Pointer.
    pub user: String,
    /// Attributes by their name in policy: JSON Pointers into a user.
    pub attributes: BTreeMap<String, String>,
    /// The roles of a group's members, by its `displayName`.
    pub roles: BTreeMap<String, Vec<Arc<str>>>,
    /// Whether a user who is not in it is refused.
    pub refuse_unknown: bool,
}

/// An API key. Only its hash is configured.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
    /// Whom it stands for.
    pub who: Static,
    /// When it ends.
    pub expires_at: Option<jiff::Timestamp>,
}

/// A caller as configured.
#[derive(Debug, Clone)]
pub struct Static {
    /// The tenant.
    pub tenant: TenantId,
    /// The user, if one.
    pub user: Option<UserId>,
    /// The agent, if one.
    pub agent: Option<AgentId>,
    /// Its roles.
    pub roles: Vec<Arc<str>>,
    /// Its groups.
    pub groups: Vec<Arc<str>>,
    /// Its attributes.
    pub attributes: BTreeMap<String, serde_json::Value>,
}

/// How client certificates are mapped to callers: the first rule whose conditions all hold.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The rules.
    pub rules: Vec<CertificateRule>,
}

/// One rule of [`Certificates`].
#[derive(Debug, Clone)]
pub struct CertificateRule {
    /// The subject's common name must match.
    pub common_name: Option<GlobMatcher>,
    /// One of the subject's alternative names must match.
    pub alternative_name: Option<GlobMatcher>,
    /// The certificate's own SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// Whom it stands for.
    pub who: Static,
}
