//! Who is calling: `Head` → [`Caller`].
//!
//! # Why one order and no second chance
//! The scoped URL first, where the target is one; then a JWT or an API key; then the client certificate; then, where the operator
//! allows it, nobody in particular. The first proof that is there decides: where it fails, the request is refused and no weaker
//! proof is looked at.

mod admins;
mod certificate;
pub mod challenge;
mod clock;
mod dpop;
mod jwt;
pub mod key;
mod presented;
mod principal;
pub mod problem;
mod proof;
mod records;
mod sealed;
pub mod session;
pub mod state;
mod strangers;
mod tenant;
#[cfg(test)]
mod tests;
pub mod url;
mod uses;

pub use admins::{Admins, NotAdmin, Power, Principal};
pub use records::Records;
pub use tenant::{Standing, Status, Tenant, Tenants};
pub use uses::Uses;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use crate::config;
use crate::identify::certificate::Rules;
use crate::identify::challenge::Challenges;
use crate::identify::clock::Clock;
use crate::identify::dpop::Proofs;
use crate::identify::jwt::{Bound, Tokens};
use crate::identify::key::{ApiKeys, digest};
use crate::identify::presented::{Presented, presented};
use crate::identify::problem::IdentityProblem;
use crate::identify::proof::{BadProof, Found};
use crate::identify::strangers::Strangers;
use crate::identify::url::ScopedUrls;
use crate::inbound::{Door, Head, Target};
use crate::name::{AgentId, ServerName, TenantId, UrlId, UserId};
use crate::refusal::Refusal;
use crate::secret::Secret;

/// A gate key shorter than this could be guessed.
const SHORTEST_GATE_KEY: usize = 32;

/// What proofs of possession have to be like.
fn proofs(
    identity: &config::Identity,
    public_url: &str,
    clock: &Clock,
    problems: &mut Vec<IdentityProblem>,
) -> Proofs {
    let proofs = Proofs::new(public_url, clock.clone());
    if !identity.dpop_nonce {
        return proofs;
    }
    proofs.demanding_nonces(&identity.gate_key).unwrap_or_else(|_| {
        problems.push(IdentityProblem::new(
            "identity.gate_key",
            "no key can be derived of it",
            "leave it out",
        ));
        Proofs::new(public_url, clock.clone())
    })
}

/// Finds out who calls.
#[derive(Debug)]
pub struct Identify {
    urls: Arc<ScopedUrls>,
    tokens: Tokens,
    keys: ApiKeys,
    records: Records,
    certificates: Rules,
    anonymous: Option<Arc<Caller>>,
    proofs: Proofs,
    strangers: Strangers,
    challenges: Challenges,
    clock: Clock,
}

impl Identify {
    /// Made from the configuration. Key files are read; key URLs are fetched with the first token.
    ///
    /// # Errors
    /// Every mistake in the configuration, at once.
    pub fn new(
        identity: &config::Identity,
        public_url: &str,
        urls: Arc<ScopedUrls>,
        records: Records,
    ) -> Result<Self, Vec<IdentityProblem>> {
        Self::with_clock(identity, public_url, (urls, records), Clock::system())
    }

    fn with_clock(
        identity: &config::Identity,
        public_url: &str,
        (urls, records): (Arc<ScopedUrls>, Records),
        clock: Clock,
    ) -> Result<Self, Vec<IdentityProblem>> {
        let mut problems = Vec::new();
        if identity.gate_key.expose().len() < SHORTEST_GATE_KEY {
            problems.push(IdentityProblem::new(
                "identity.gate_key",
                "the key is shorter than 32 bytes",
                "leave the key out, and the gate makes one; or write 32 random bytes",
            ));
        }
        let this = Self {
            urls,
            tokens: Tokens::new(&identity.issuers, clock.clone(), &mut problems),
            keys: ApiKeys::new(&identity.api_keys, &mut problems),
            records,
            certificates: Rules::new(identity.certificates.as_ref(), &mut problems),
            anonymous: identity
                .anonymous
                .as_ref()
                .map(|who| Arc::new(Caller::configured(who, Authentication::by(Proof::Anonymous)))),
            proofs: proofs(identity, public_url, &clock, &mut problems),
            strangers: Strangers::new(0, clock.clone()),
            challenges: challenges(identity, public_url),
            clock,
        };
        if problems.is_empty() { Ok(this) } else { Err(problems) }
    }

    /// The same, where an address may ask for so many scoped URLs per minute that are not there; 0: for any number.
    #[must_use]
    pub fn limiting(self, unknown_urls: u32) -> Self {
        Self { strangers: Strangers::new(unknown_urls, self.clock.clone()), ..self }
    }

    /// Who makes this request.
    ///
    /// # Errors
    /// [`Refusal::UnknownUrl`], [`Refusal::NotAuthenticated`] where no proof came, [`Refusal::BadCredential`] and
    /// [`Refusal::InsufficientScope`] where one came and failed, [`Refusal::IdentityUnavailable`] where it cannot be checked now.
    pub async fn caller(&self, head: &Head) -> Result<Arc<Caller>, Refusal> {
        match &head.target {
            Target::ScopedUrl(token) | Target::Access(_, Door::ScopedUrl(token)) => {
                self.holder(token, head).await
            }
            Target::Server(_) | Target::OnlyServer(_) | Target::Access(_, Door::Gate | Door::Server(_)) => {
                self.direct(head).await
            }
        }
    }

    /// The scoped URLs.
    #[must_use]
    pub fn urls(&self) -> &Arc<ScopedUrls> {
        &self.urls
    }

    /// The metadata document and the `WWW-Authenticate` header.
    #[must_use]
    pub fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    async fn direct(&self, head: &Head) -> Result<Arc<Caller>, Refusal> {
        let found = match self.credential(head).await {
            Found::Nothing => self.certificates.find(head.certificate.as_deref()),
            tried @ (Found::Valid(_) | Found::Invalid(_)) => tried,
        };
        match found {
            Found::Valid(caller) if self.serves(&caller.tenant).await? => Ok(caller),
            Found::Valid(_) => Err(refused(BadProof::NotServed)),
            Found::Invalid(bad) => Err(refused(bad)),
            Found::Nothing => self.anonymous.clone().ok_or(Refusal::NotAuthenticated),
        }
    }

    /// The holder of a scoped URL. With a credential besides they are who that says, narrowed to the URL; but a URL of another
    /// tenant does not exist for them, and one of a tenant that is not served for nobody.
    async fn holder(&self, token: &Secret, head: &Head) -> Result<Arc<Caller>, Refusal> {
        let address = head.peer.ip();
        if !self.strangers.may_look(address) {
            return Err(Refusal::Overloaded("this address asked for too many URLs that are not there"));
        }
        let url = self.urls.live(token.expose()).await;
        if matches!(url, Err(Refusal::UnknownUrl)) {
            self.strangers.missed(address);
        }
        let url = url?;
        let tenant = &url.caller.tenant;
        if self.standing(tenant).await? != Standing::Served {
            return Err(Refusal::UnknownUrl);
        }
        if let Some(scope) = &url.caller.scope {
            self.records.uses.note(tenant, scope.id.as_str(), self.clock.now());
        }
        match self.credential(head).await {
            Found::Nothing if url.needs_second_factor => Err(Refusal::NotAuthenticated),
            Found::Nothing => Ok(Arc::clone(&url.caller)),
            Found::Invalid(bad) => Err(refused(bad)),
            Found::Valid(caller) if caller.tenant != url.caller.tenant => Err(Refusal::UnknownUrl),
            Found::Valid(caller) => {
                Ok(Arc::new(Caller { scope: url.caller.scope.clone(), ..Caller::clone(&caller) }))
            }
        }
    }

    async fn token(&self, token: &str, head: &Head, dpop: bool) -> Found {
        let found = self.tokens.find(token).await;
        let held = found
            .and_then(|(caller, bound)| is_held(&self.proofs, bound, (head, token, dpop)).map(|()| caller));
        held.map_or_else(Found::Invalid, Found::Valid)
    }

    /// The token or API key in the headers.
    async fn credential(&self, head: &Head) -> Found {
        match presented(&head.headers) {
            Err(bad) => Found::Invalid(bad),
            Ok(Presented::Nothing) => Found::Nothing,
            Ok(Presented::ApiKey(key)) => self.key(&digest(key)).await,
            Ok(Presented::Bearer(token)) => self.token(token, head, false).await,
            Ok(Presented::Dpop(token)) => self.token(token, head, true).await,
        }
    }
}

/// Whether the sender shows that they hold the key that a token is bound to. `dpop`: it came by that scheme, which only a
/// token takes that is bound so (RFC 9449 section 7.1).
fn is_held(proofs: &Proofs, bound: Bound, (head, token, dpop): (&Head, &str, bool)) -> Result<(), BadProof> {
    match (bound, dpop) {
        (Bound::Key(key), true) => proofs.check(head, token, &key),
        (Bound::Certificate(digest), false)
            if head.certificate.as_ref().is_some_and(|certificate| certificate.sha256 == digest) =>
        {
            Ok(())
        }
        (Bound::Free, false) => Ok(()),
        (Bound::Free | Bound::Certificate(_), true) => {
            Err(BadProof::Dpop("the token is not bound to a DPoP key"))
        }
        (Bound::Key(_), false) => {
            Err(BadProof::Dpop("the token is bound to a key: send it by the scheme `DPoP`"))
        }
        (Bound::Certificate(_), false) => Err(BadProof::Bound),
    }
}

fn refused(bad: BadProof) -> Refusal {
    tracing::info!(why = %bad, "Credential refused");
    bad.into()
}

fn challenges(identity: &config::Identity, public_url: &str) -> Challenges {
    let issuers = identity.issuers.iter().map(|issuer| issuer.issuer.clone()).collect();
    let mut scopes: Vec<String> = Vec::new();
    for scope in identity.issuers.iter().flat_map(|issuer| &issuer.scopes) {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    Challenges::new(public_url, issuers, scopes)
}

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
    fn by(kind: Proof) -> Self {
        Self { kind, issuer: None, scopes: Vec::new(), at: None, acr: None, amr: Vec::new() }
    }
}

impl Caller {
    fn configured(who: &config::Static, authentication: Authentication) -> Self {
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
