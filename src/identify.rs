//! Who is calling: `Head` → [`Caller`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

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
}

impl Proof {
    /// Its name in policy input and audit.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::ApiKey => "api_key",
            Self::Certificate => "certificate",
            Self::ScopedUrl => "scoped_url",
            Self::Anonymous => "anonymous",
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

impl Caller {
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
        authentication: Authentication { kind: Proof::ApiKey, issuer: None, scopes: Vec::new(), at: None },
        scope: None,
    }
}

#[cfg(test)]
impl Caller {
    /// The same caller with one more attribute.
    pub(crate) fn with_attribute(mut self, name: &str, value: Value) -> Self {
        self.attributes.insert(name.to_owned(), value);
        self
    }
}
