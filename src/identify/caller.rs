//! Who is calling, and how they proved it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use crate::config;
use crate::name::{AgentId, ServerName, TenantId, UrlId, UserId};

/// Who acts for the tenant on this request, and how they proved it. Only `identify` makes one.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(in crate::identify) tenant: TenantId,
    pub(in crate::identify) user: Option<UserId>,
    pub(in crate::identify) agent: Option<AgentId>,
    pub(in crate::identify) roles: Vec<Arc<str>>,
    pub(in crate::identify) groups: Vec<Arc<str>>,
    pub(in crate::identify) attributes: BTreeMap<String, Value>,
    pub(in crate::identify) authentication: Authentication,
    pub(in crate::identify) scope: Option<Arc<Scope>>,
}

/// How a caller proved who they are.
#[derive(Debug, Clone)]
pub struct Authentication {
    /// By what.
    pub kind: Proof,
    /// The issuer of a token.
    pub issuer: Option<Arc<str>>,
    /// The scopes of a token.
    pub scopes: Vec<Arc<str>>,
    /// When they authenticated: `auth_time`, else `iat`.
    pub at: Option<SystemTime>,
    /// How well, as the issuer calls it (`acr`, OpenID Connect Core 1.0 section 2).
    pub acr: Option<Arc<str>>,
    /// By what means (`amr`, RFC 8176), such as `pwd` and `otp`.
    pub amr: Vec<Arc<str>>,
}

/// The kinds of proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// A JWT access token.
    Jwt,
    /// An API key.
    ApiKey,
    /// A client certificate.
    Certificate,
    /// Holding a scoped URL, and nothing else.
    ScopedUrl,
    /// None: the listener is loopback and the operator allows it.
    Anonymous,
    /// None: the operator of the gate looks at what an account's server offers. No request of an agent has it.
    Operator,
}

impl Proof {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Jwt, Self::ApiKey, Self::Certificate, Self::ScopedUrl, Self::Anonymous];

    /// Its name in policy input and audit.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::ApiKey => "api_key",
            Self::Certificate => "certificate",
            Self::ScopedUrl => "scoped_url",
            Self::Anonymous => "anonymous",
            Self::Operator => "operator",
        }
    }
}

/// What a scoped URL narrows its holder to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Its public id.
    pub id: UrlId,
    /// The server that it leads to.
    pub server: ServerName,
    /// Operations or classes (`read`, `write`, `custom`); empty means that it does not narrow by method.
    pub methods: Vec<Arc<str>>,
    /// Tags, one of which a tool must have; empty means that it does not narrow by tag.
    pub tags: Vec<Arc<str>>,
    /// When it ends.
    pub expires_at: Option<jiff::Timestamp>,
}

impl Authentication {
    /// By something that names no issuer, scope or time.
    pub(in crate::identify) fn by(kind: Proof) -> Self {
        Self { kind, issuer: None, scopes: Vec::new(), at: None, acr: None, amr: Vec::new() }
    }
}

impl Caller {
    pub(in crate::identify) fn configured(who: &config::Static, authentication: Authentication) -> Self {
        Self {
            tenant: who.tenant.clone(),
            user: who.user.clone(),
            agent: who.agent.clone(),
            roles: who.roles.clone(),
            groups: who.groups.clone(),
            attributes: who.attributes.clone(),
            authentication,
            scope: None,
        }
    }

    /// The operator of the gate, in the name of a tenant's account: without user, roles or scope, so that no policy allows
    /// them anything.
    #[must_use]
    pub fn operator(tenant: &TenantId) -> Self {
        Self {
            tenant: tenant.clone(),
            user: None,
            agent: None,
            roles: Vec::new(),
            groups: Vec::new(),
            attributes: BTreeMap::new(),
            authentication: Authentication::by(Proof::Operator),
            scope: None,
        }
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The user, if the caller acts for one.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// The agent, if it is known.
    #[must_use]
    pub fn agent(&self) -> Option<&AgentId> {
        self.agent.as_ref()
    }

    /// The roles.
    #[must_use]
    pub fn roles(&self) -> &[Arc<str>] {
        &self.roles
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> &[Arc<str>] {
        &self.groups
    }

    /// The attributes by name.
    #[must_use]
    pub fn attributes(&self) -> &BTreeMap<String, Value> {
        &self.attributes
    }

    /// How they proved it.
    #[must_use]
    pub fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    /// What the scoped URL narrows them to, if they came by one.
    #[must_use]
    pub fn scope(&self) -> Option<&Arc<Scope>> {
        self.scope.as_ref()
    }
}

/// A caller who is only imagined, to ask policy about. A permit wants an `Arc<Caller>`, which nothing here gives.
#[derive(Debug)]
pub struct Imagined(Caller);

impl Imagined {
    /// The caller that `who` would be with a proof of this kind.
    #[must_use]
    pub fn new(who: &config::Static, kind: Proof) -> Self {
        Self(Caller::configured(who, Authentication::by(kind)))
    }

    /// The same caller by a scoped URL.
    #[must_use]
    pub fn within(mut self, scope: Scope) -> Self {
        self.0.scope = Some(Arc::new(scope));
        self
    }

    /// The caller, for a question.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0
    }
}

/// A caller made up for a test of another room.
#[cfg(test)]
pub(crate) fn caller_for_test(tenant: &str, user: &str, roles: &[&str]) -> Caller {
    Caller {
        tenant: TenantId::parse(tenant).unwrap(),
        user: UserId::parse(user).ok(),
        agent: None,
        roles: roles.iter().map(|r| Arc::from(*r)).collect(),
        groups: Vec::new(),
        attributes: BTreeMap::new(),
        authentication: Authentication::by(Proof::ApiKey),
        scope: None,
    }
}

#[cfg(test)]
impl Caller {
    /// The same caller by a token that says this of how they authenticated.
    pub(crate) fn with_token(mut self, acr: Option<&str>, scopes: &[&str]) -> Self {
        let scopes = scopes.iter().map(|scope| Arc::from(*scope)).collect();
        let acr = acr.map(Arc::from);
        self.authentication = Authentication { scopes, acr, ..Authentication::by(Proof::Jwt) };
        self
    }

    /// The same caller with one more attribute.
    pub(crate) fn with_attribute(mut self, name: &str, value: Value) -> Self {
        self.attributes.insert(name.to_owned(), value);
        self
    }
}
