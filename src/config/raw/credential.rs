//! How the file says with what the gate authenticates at a server.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::super::leaf::{FilePath, Header, HttpUrl, Scope, Word};
use super::RawServerTls;

/// With what the gate authenticates at a server.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawCredential {
    /// Nothing: the server takes none.
    #[default]
    None,
    /// `Authorization: Bearer`.
    Bearer(RawSecret),
    /// `Authorization: Basic`.
    Basic(RawBasic),
    /// A header of its own.
    Header(RawHeader),
    /// A parameter of the URL's query, which `check` warns about.
    Query(RawQuery),
    /// OAuth 2.0 client credentials.
    Oauth(Box<RawOauth>),
    /// OAuth 2.0 authorization code: a person connects the account, and the gate keeps its tokens fresh.
    AuthorizationCode(Box<RawAuthorizationCode>),
    /// OAuth 1.0a, as NetSuite's token-based authentication.
    Oauth1(RawOauth1),
    /// AWS Signature Version 4.
    AwsSigv4(RawAwsSigv4),
}

/// `Authorization: Basic`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBasic {
    /// The user name.
    pub(crate) user: Word,
    /// The password.
    pub(crate) password: RawSecret,
}

/// A header with a secret in it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHeader {
    /// The header's name.
    pub(crate) name: Header,
    /// Its value.
    pub(crate) value: RawSecret,
}

/// A parameter of the query with a secret in it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawQuery {
    /// The parameter's name.
    pub(crate) name: Word,
    /// Its value.
    pub(crate) value: RawSecret,
}

/// OAuth 2.0 client credentials (RFC 6749 section 4.4). The client proves itself by one of `client_secret`, `signed` and
/// `tls.certificate`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawOauth {
    /// The token endpoint.
    pub(crate) token_url: HttpUrl,
    /// The client's id.
    pub(crate) client_id: Word,
    /// The client's secret.
    #[serde(default)]
    pub(crate) client_secret: Option<RawSecret>,
    /// Proof by a signed assertion (RFC 7523, `private_key_jwt`).
    #[serde(default)]
    pub(crate) signed: Option<RawSigned>,
    /// TLS towards the token endpoint; a certificate is proof by `tls_client_auth` (RFC 8705).
    #[serde(default)]
    pub(crate) tls: RawServerTls,
    /// Scopes to ask for.
    #[serde(default)]
    pub(crate) scopes: Vec<Scope>,
    /// The resource to ask for (RFC 8707).
    #[serde(default)]
    pub(crate) resource: Option<Word>,
    /// Whether the client authenticates in the body instead of by Basic.
    #[serde(default)]
    pub(crate) in_body: bool,
}

/// OAuth 2.0 authorization code with PKCE (RFC 6749 section 4.1, RFC 7636). What is left out is discovered: from `issuer`, or
/// from the server itself (RFC 9728).
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAuthorizationCode {
    /// The authorization server's issuer (RFC 8414).
    pub(crate) issuer: Option<HttpUrl>,
    /// The authorization endpoint, where the authorization server publishes no metadata; it needs `token_url`.
    pub(crate) authorization_url: Option<HttpUrl>,
    /// The token endpoint, where the authorization server publishes no metadata; it needs `authorization_url`.
    pub(crate) token_url: Option<HttpUrl>,
    /// The client's id, where it was registered beforehand.
    pub(crate) client_id: Option<Word>,
    /// The client's secret.
    pub(crate) client_secret: Option<RawSecret>,
    /// Proof by a signed assertion (RFC 7523, `private_key_jwt`).
    pub(crate) signed: Option<RawSigned>,
    /// TLS towards the authorization server; a certificate is proof by `tls_client_auth` (RFC 8705).
    pub(crate) tls: RawServerTls,
    /// Scopes to ask for. Default: those that the server asks for.
    pub(crate) scopes: Vec<Scope>,
    /// The resource to ask for (RFC 8707). Default: the server's URL, where it is discovered.
    pub(crate) resource: Option<Word>,
    /// Whether the client authenticates in the body instead of by Basic.
    pub(crate) in_body: bool,
}

/// A client's signed assertion (RFC 7523 section 2.2).
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSigned {
    /// The private key, in PEM (PKCS#8).
    pub(crate) key: RawSecret,
    /// The algorithm.
    pub(crate) algorithm: RawSigning,
    /// `kid`: the key's or the certificate's id at the authorization server.
    #[serde(default)]
    pub(crate) key_id: Option<Word>,
    /// `aud`. Default: the token endpoint.
    #[serde(default)]
    pub(crate) audience: Option<Word>,
    /// Whether the scopes stand in the assertion and not in the request, as NetSuite wants them.
    #[serde(default)]
    pub(crate) scopes_inside: bool,
}

/// The algorithm of a client's assertion (RFC 7518).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum RawSigning {
    /// RSA-PSS with SHA-256.
    PS256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
}

/// OAuth 1.0a with HMAC-SHA256 (RFC 5849), as NetSuite's token-based authentication. Each request is signed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawOauth1 {
    /// The realm: NetSuite's account id, such as `1234567_SB1`.
    pub(crate) realm: Word,
    /// The consumer key.
    pub(crate) consumer_key: Word,
    /// The consumer secret.
    pub(crate) consumer_secret: RawSecret,
    /// The token's id.
    pub(crate) token_id: Word,
    /// The token's secret.
    pub(crate) token_secret: RawSecret,
}

/// AWS Signature Version 4. Each request is signed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAwsSigv4 {
    /// The region, such as `eu-central-1`.
    pub(crate) region: Word,
    /// The service, such as `bedrock-agentcore`.
    pub(crate) service: Word,
    /// The id of the access key.
    pub(crate) access_key_id: Word,
    /// The secret access key.
    pub(crate) secret_access_key: RawSecret,
    /// The session token, where the key is a temporary one.
    #[serde(default)]
    pub(crate) session_token: Option<RawSecret>,
}

/// Where a secret is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawSecret {
    /// Sealed in the store by `portcullis account set-secret`.
    Sealed,
    /// In a file that is read at each call that needs it.
    File(FilePath),
    /// Fetched from one of `secrets` when it is needed, and never stored.
    Fetched(RawFetched),
    /// In this file, which `check` warns about.
    Inline(RawInline),
}

/// A secret that is fetched.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFetched {
    /// The service, by its name under `secrets`.
    pub(crate) from: Word,
    /// The member of the secret's JSON object. Default: the whole text.
    #[serde(default)]
    pub(crate) field: Option<Word>,
    /// The path or name there. Default: the service's own for the tenant and server.
    #[serde(default)]
    pub(crate) path: Option<Word>,
}

/// A secret in the file. It prints nothing of itself.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(crate) struct RawInline(pub(in crate::config) String);

impl fmt::Debug for RawInline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawInline(…)")
    }
}

impl Serialize for RawInline {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("…")
    }
}
