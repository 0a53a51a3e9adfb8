//! How the file says who callers are.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::leaf::{
    Agent, ClaimPointer, FilePath, Hash, HttpUrl, Moment, Pattern, Scope, Span, Tenant, User, Word,
};

/// How callers prove who they are.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawIdentity {
    /// The gate's own key. Default: `gate.key` in the state directory, made when missing.
    pub(crate) gate_key: Option<RawKeyFile>,
    /// Whether a scoped URL needs a JWT or an API key as well.
    pub(crate) second_factor: bool,
    /// Whether a DPoP proof must carry a nonce that the gate has chosen (RFC 9449 section 9).
    pub(crate) dpop_nonce: bool,
    /// Issuers of JWT access tokens.
    #[schemars(length(min = 1))]
    pub(crate) jwt: Option<Vec<RawIssuer>>,
    /// API keys; only their hash is written here.
    #[schemars(length(min = 1))]
    pub(crate) api_keys: Option<Vec<RawApiKey>>,
    /// What directories of yours say of callers: groups, roles, attributes, and who is still there.
    #[schemars(length(min = 1))]
    pub(crate) directories: Option<Vec<RawDirectory>>,
    /// Whom client certificates stand for; the first rule whose conditions all hold.
    #[schemars(length(min = 1))]
    pub(crate) certificates: Option<Vec<RawCertificate>>,
    /// Whom a request without any proof stands for; only where every listener is loopback.
    pub(crate) anonymous: Option<RawWho>,
}

/// A key in a file: 32 bytes, in base64 or hex.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawKeyFile {
    /// The file.
    pub(crate) file: FilePath,
}

/// An issuer of JWT access tokens (RFC 9068).
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawIssuer {
    /// `iss`, compared exactly.
    pub(crate) issuer: HttpUrl,
    /// Accepted audiences, compared exactly.
    #[schemars(length(min = 1))]
    pub(crate) audiences: Vec<Word>,
    /// Where its keys are. Left out: where its metadata say.
    #[serde(default)]
    pub(crate) jwks: RawJwks,
    /// The tenant of a token.
    pub(crate) tenant: RawTenancy,
    /// The tenants that its claim may name. Left out: any.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) tenants: Option<Vec<Tenant>>,
    /// Which claims mean what.
    #[serde(default)]
    pub(crate) claims: RawClaims,
    /// Tolerated clock skew, 60 s at most.
    #[serde(default = "leeway")]
    pub(crate) leeway: Span,
    /// Whether `typ` must be `at+jwt`.
    #[serde(default = "yes")]
    pub(crate) require_at_jwt: bool,
    /// Scopes that every call needs.
    #[serde(default)]
    pub(crate) scopes: Vec<Scope>,
    /// Where it says what a token is that says nothing itself (RFC 7662).
    #[serde(default)]
    pub(crate) introspection: Option<RawIntrospection>,
    /// Whether only tokens are taken that are bound to a key of their sender's (RFC 9449, RFC 8705).
    #[serde(default)]
    pub(crate) sender_constrained: bool,
}

/// An introspection endpoint, and the gate's credential there.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawIntrospection {
    /// The endpoint.
    pub(crate) url: HttpUrl,
    /// The gate's client id.
    pub(crate) client_id: Word,
    /// The file with its secret, read at each question.
    pub(crate) client_secret: FilePath,
}

/// A file of users and groups as SCIM has them (RFC 7643): a list, or `{"Resources": […]}`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDirectory {
    /// The file, read again when it changes.
    pub(crate) file: FilePath,
    /// Whose callers it is about. Left out: every tenant's.
    #[serde(default)]
    pub(crate) tenant: Option<Tenant>,
    /// The member of a user that is the caller's user.
    #[serde(default = "user_name")]
    pub(crate) user: ClaimPointer,
    /// Attributes by their name in policy: JSON Pointers into a user.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, ClaimPointer>,
    /// The roles of a group's members, by its `displayName`.
    #[serde(default)]
    pub(crate) roles: BTreeMap<String, Vec<Word>>,
    /// Whether a user who is not in it is refused.
    #[serde(default)]
    pub(crate) refuse_unknown: bool,
}

/// Where an issuer's keys are: `url` or `file`; with neither, where its metadata say.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct RawJwks {
    /// A JWKS document at a URL.
    pub(crate) url: Option<HttpUrl>,
    /// How often it is fetched. Default: `5m`.
    pub(crate) refresh: Option<Span>,
    /// How long known keys stay good while it cannot be fetched. Default: `24h`.
    pub(crate) max_stale: Option<Span>,
    /// A JWKS document in a file, read again when it changes.
    pub(crate) file: Option<FilePath>,
}

/// The tenant of a token.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawTenancy {
    /// The value of a claim.
    Claim(ClaimPointer),
    /// Always the same.
    Fixed(Tenant),
}

/// Which claims mean what: JSON Pointers into the token's claims.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawClaims {
    /// The user.
    pub(crate) user: ClaimPointer,
    /// The agent.
    pub(crate) agent: ClaimPointer,
    /// Roles: an array, or a text with spaces.
    pub(crate) roles: ClaimPointer,
    /// Groups, likewise.
    pub(crate) groups: ClaimPointer,
    /// Attributes by their name in policy.
    pub(crate) attributes: BTreeMap<String, ClaimPointer>,
}

impl Default for RawClaims {
    fn default() -> Self {
        let claim = |text: &str| ClaimPointer(text.to_owned());
        Self {
            user: claim("/sub"),
            agent: claim("/client_id"),
            roles: claim("/roles"),
            groups: claim("/groups"),
            attributes: BTreeMap::new(),
        }
    }
}

/// An API key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawApiKey {
    /// SHA-256 of the key in hex, as `portcullis key create` prints it.
    pub(crate) sha256: Hash,
    /// The tenant.
    pub(crate) tenant: Tenant,
    /// The user.
    #[serde(default)]
    pub(crate) user: Option<User>,
    /// The agent.
    #[serde(default)]
    pub(crate) agent: Option<Agent>,
    /// Its roles.
    #[serde(default)]
    pub(crate) roles: Vec<Word>,
    /// Its groups.
    #[serde(default)]
    pub(crate) groups: Vec<Word>,
    /// Its attributes by their name in policy.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, Value>,
    /// When it ends.
    #[serde(default)]
    pub(crate) expires_at: Option<Moment>,
}

/// Whom matching client certificates stand for. At least one condition is needed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCertificate {
    /// A glob that the subject's common name must match.
    #[serde(default)]
    pub(crate) common_name: Option<Pattern>,
    /// A glob that one of the subject's alternative names must match.
    #[serde(default)]
    pub(crate) alternative_name: Option<Pattern>,
    /// The certificate's own SHA-256 in hex.
    #[serde(default)]
    pub(crate) sha256: Option<Hash>,
    /// The tenant.
    pub(crate) tenant: Tenant,
    /// The user.
    #[serde(default)]
    pub(crate) user: Option<User>,
    /// The agent.
    #[serde(default)]
    pub(crate) agent: Option<Agent>,
    /// Its roles.
    #[serde(default)]
    pub(crate) roles: Vec<Word>,
    /// Its groups.
    #[serde(default)]
    pub(crate) groups: Vec<Word>,
    /// Its attributes by their name in policy.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, Value>,
}

/// A caller.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawWho {
    /// The tenant.
    pub(crate) tenant: Tenant,
    /// The user.
    #[serde(default)]
    pub(crate) user: Option<User>,
    /// The agent.
    #[serde(default)]
    pub(crate) agent: Option<Agent>,
    /// Its roles.
    #[serde(default)]
    pub(crate) roles: Vec<Word>,
    /// Its groups.
    #[serde(default)]
    pub(crate) groups: Vec<Word>,
    /// Its attributes by their name in policy.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, Value>,
}

fn user_name() -> ClaimPointer {
    ClaimPointer("/userName".to_owned())
}

fn leeway() -> Span {
    Span(Duration::from_secs(30))
}

fn yes() -> bool {
    true
}
