//! With what the gate authenticates at a server: the meaning of `accounts[].credential`.

use std::path::PathBuf;

use http::HeaderName;

use crate::config::UpstreamTls;
use crate::secret::Secret;

/// With what the gate authenticates at a server.
#[derive(Debug)]
pub enum Credential {
    /// Nothing: the server takes none.
    None,
    /// `Authorization: Bearer`.
    Bearer(SecretSource),
    /// `Authorization: Basic`.
    Basic {
        /// The user name.
        user: String,
        /// The password.
        password: SecretSource,
    },
    /// A header of its own.
    Header {
        /// The header's name.
        name: HeaderName,
        /// Its value.
        value: SecretSource,
    },
    /// A parameter of the URL's query.
    Query {
        /// The parameter's name.
        name: String,
        /// Its value.
        value: SecretSource,
    },
    /// OAuth 2.0 client credentials.
    ClientCredentials(Box<ClientCredentials>),
    /// OAuth 2.0 authorization code.
    AuthorizationCode(Box<AuthorizationCode>),
    /// OAuth 1.0a with HMAC-SHA256.
    Oauth1(Oauth1),
    /// AWS Signature Version 4.
    AwsSigv4(AwsSigv4),
}

/// OAuth 2.0 client credentials (RFC 6749 section 4.4).
#[derive(Debug)]
pub struct ClientCredentials {
    /// The token endpoint.
    pub token_url: String,
    /// The client's id.
    pub client_id: String,
    /// How the client proves itself.
    pub proof: ClientProof,
    /// TLS towards the token endpoint.
    pub tls: UpstreamTls,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// The resource to ask for (RFC 8707).
    pub resource: Option<String>,
}

/// OAuth 2.0 authorization code with PKCE (RFC 6749 section 4.1, RFC 7636).
#[derive(Debug)]
pub struct AuthorizationCode {
    /// How the authorization server is found.
    pub authority: Authority,
    /// The client's id, where it was registered beforehand.
    pub client_id: Option<String>,
    /// How the client proves itself.
    pub proof: ClientProof,
    /// TLS towards the authorization server.
    pub tls: UpstreamTls,
    /// Scopes to ask for; none: those that the server asks for.
    pub scopes: Vec<String>,
    /// The resource to ask for (RFC 8707).
    pub resource: Option<String>,
}

/// How an authorization server is found.
#[derive(Debug)]
pub enum Authority {
    /// The MCP server says which it is (RFC 9728).
    OfTheServer,
    /// By its metadata (RFC 8414, OpenID Connect Discovery).
    Issuer(String),
    /// It publishes no metadata; these are its endpoints.
    Endpoints {
        /// The authorization endpoint.
        authorization: String,
        /// The token endpoint.
        token: String,
        /// The issuer, where callbacks say one (RFC 9207).
        issuer: Option<String>,
    },
}

/// How a client proves itself at a token endpoint.
#[derive(Debug)]
pub enum ClientProof {
    /// Not at all: it is public.
    Public,
    /// By its secret in `Authorization: Basic`.
    Basic(SecretSource),
    /// By its secret in the body.
    Body(SecretSource),
    /// By an assertion that it signs (`private_key_jwt`).
    Signed(Signed),
    /// By the certificate of its TLS (`tls_client_auth`).
    Certificate,
}

/// A client's signed assertion (RFC 7523 section 2.2).
#[derive(Debug)]
pub struct Signed {
    /// The private key, in PEM.
    pub key: SecretSource,
    /// The algorithm.
    pub algorithm: AssertionAlgorithm,
    /// `kid`.
    pub key_id: Option<String>,
    /// `aud`; `None`: the token endpoint.
    pub audience: Option<String>,
    /// Whether the scopes stand in the assertion and not in the request.
    pub scopes_inside: bool,
}

/// The algorithm of a client's assertion (RFC 7518).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionAlgorithm {
    /// RSA-PSS with SHA-256.
    Ps256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl AssertionAlgorithm {
    /// Its name in the configuration and in JOSE.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// OAuth 1.0a with HMAC-SHA256 (RFC 5849).
#[derive(Debug)]
pub struct Oauth1 {
    /// The realm.
    pub realm: String,
    /// The consumer key.
    pub consumer_key: String,
    /// The consumer secret.
    pub consumer_secret: SecretSource,
    /// The token's id.
    pub token_id: String,
    /// The token's secret.
    pub token_secret: SecretSource,
}

/// AWS Signature Version 4.
#[derive(Debug)]
pub struct AwsSigv4 {
    /// The region.
    pub region: String,
    /// The service.
    pub service: String,
    /// The id of the access key.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: SecretSource,
    /// The session token.
    pub session_token: Option<SecretSource>,
}

/// Where signed notices go (Standard Webhooks).
#[derive(Debug)]
pub struct Webhook {
    /// The URL that takes them.
    pub url: String,
    /// The key that signs them.
    pub secret: SecretSource,
    /// Whether the URL's address may be a private one.
    pub private: bool,
}

/// Where a secret is.
#[derive(Debug)]
pub enum SecretSource {
    /// In a file that is read at each lease.
    File(PathBuf),
    /// Sealed in the store under the tenant and server.
    Sealed,
    /// In the configuration, which `check` warns about.
    Inline(Secret),
    /// In a service that it is fetched from.
    Fetched(Fetched),
}

/// A secret that is not kept here.
#[derive(Debug)]
pub struct Fetched {
    /// The service, by its name under `secrets`.
    pub from: String,
    /// Where it is there; `None`: the service's command is told the account.
    pub place: Option<String>,
    /// The path that the operator wrote instead of the service's own.
    pub path: Option<String>,
    /// Which member of a JSON object it is; `None`: the whole text.
    pub field: Option<String>,
}

impl SecretSource {
    /// Where it is, in one word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Sealed => "sealed",
            Self::Inline(_) => "inline",
            Self::Fetched(_) => "fetched",
        }
    }
}

impl ClientProof {
    /// The secret that it is made with, if it is made with one.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretSource> {
        match self {
            Self::Basic(secret) | Self::Body(secret) | Self::Signed(Signed { key: secret, .. }) => {
                Some(secret)
            }
            Self::Public | Self::Certificate => None,
        }
    }
}

impl Credential {
    /// Its kind in one word: part of the seal of its secret.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bearer(_) => "bearer",
            Self::Basic { .. } => "basic",
            Self::Header { .. } => "header",
            Self::Query { .. } => "query",
            Self::ClientCredentials(_) => "client_credentials",
            Self::AuthorizationCode(_) => "authorization_code",
            Self::Oauth1(_) => "oauth1",
            Self::AwsSigv4(_) => "aws_sigv4",
        }
    }

    /// Its secrets, in an order that stays. At most one of them is sealed.
    #[must_use]
    pub fn secrets(&self) -> Vec<&SecretSource> {
        match self {
            Self::None => Vec::new(),
            Self::Bearer(source)
            | Self::Basic { password: source, .. }
            | Self::Header { value: source, .. }
            | Self::Query { value: source, .. } => vec![source],
            Self::ClientCredentials(it) => it.proof.secret().into_iter().collect(),
            Self::AuthorizationCode(it) => it.proof.secret().into_iter().collect(),
            Self::Oauth1(it) => vec![&it.consumer_secret, &it.token_secret],
            Self::AwsSigv4(it) => std::iter::once(&it.secret_access_key).chain(&it.session_token).collect(),
        }
    }
}
