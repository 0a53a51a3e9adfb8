//! Who is calling: `Head` → [`Caller`].
//!
//! # Why one order and no second chance
//! The scoped URL first, where the target is one; then a JWT or an API key; then the client certificate; then, where the operator
//! allows it, nobody in particular. The first proof that is there decides: where it fails, the request is refused and no weaker
//! proof is looked at.

mod admins;
mod caller;
mod certificate;
pub mod challenge;
mod clock;
mod dpop;
mod jwt;
pub mod key;
mod people;
mod presented;
mod principal;
pub mod problem;
mod proof;
mod records;
mod revoked;
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
#[cfg(test)]
pub(crate) use caller::caller_for_test;
pub use caller::{Authentication, Caller, Imagined, Proof, Scope};
pub use records::Records;
pub use revoked::{NewRevocation, Revocation, Revocations, RevokedBy};
pub use tenant::{Standing, Status, Tenant, Tenants};
pub use uses::Uses;

use std::sync::Arc;

use crate::config;
use crate::identify::certificate::Rules;
use crate::identify::challenge::Challenges;
use crate::identify::clock::Clock;
use crate::identify::dpop::Proofs;
use crate::identify::jwt::{Bound, Tokens};
use crate::identify::key::{ApiKeys, digest};
use crate::identify::people::People;
use crate::identify::presented::{Presented, presented};
use crate::identify::problem::IdentityProblem;
use crate::identify::proof::{BadProof, Found};
use crate::identify::strangers::Strangers;
use crate::identify::url::ScopedUrls;
use crate::inbound::{Door, Head, Target};
use crate::refusal::Refusal;
use crate::secret::Secret;

/// A gate key shorter than this could be guessed.
const SHORTEST_GATE_KEY: usize = 32;

/// Finds out who calls.
#[derive(Debug)]
pub struct Identify {
    urls: Arc<ScopedUrls>,
    tokens: Tokens,
    keys: ApiKeys,
    records: Records,
    certificates: Rules,
    anonymous: Option<Arc<Caller>>,
    people: People,
    proofs: Proofs,
    strangers: Strangers,
    guessers: Strangers,
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
            people: People::new(&identity.directories, &clock, &mut problems),
            strangers: Strangers::new(0, clock.clone()),
            guessers: Strangers::new(0, clock.clone()),
            challenges: challenges(identity, public_url),
            clock,
        };
        if problems.is_empty() { Ok(this) } else { Err(problems) }
    }

    /// The same, where an address may ask for so many scoped URLs per minute that are not there, and come with so many API
    /// keys; 0: with any number.
    #[must_use]
    pub fn limiting(self, unknown: u32) -> Self {
        let strangers = || Strangers::new(unknown, self.clock.clone());
        Self { strangers: strangers(), guessers: strangers(), ..self }
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
            Found::Valid(caller) if self.serves(&caller.tenant).await? => {
                self.people.introduce(caller).map_err(refused)
            }
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
            Found::Nothing => self.people.introduce(Arc::clone(&url.caller)).map_err(refused),
            Found::Invalid(bad) => Err(refused(bad)),
            Found::Valid(caller) if caller.tenant != url.caller.tenant => Err(Refusal::UnknownUrl),
            Found::Valid(caller) => {
                let caller = self.people.introduce(caller).map_err(refused)?;
                Ok(Arc::new(Caller { scope: url.caller.scope.clone(), ..Caller::clone(&caller) }))
            }
        }
    }

    async fn token(&self, token: &str, head: &Head, dpop: bool) -> Found {
        let found = async {
            let bearer = self.tokens.find(token).await?;
            is_held(&self.proofs, bearer.bound, (head, token, dpop))?;
            self.records.revocations.check(&bearer.caller.tenant, &bearer.marks, self.clock.now()).await?;
            Ok::<_, BadProof>(bearer.caller)
        };
        found.await.map_or_else(Found::Invalid, Found::Valid)
    }

    /// The token or API key in the headers.
    async fn credential(&self, head: &Head) -> Found {
        match presented(&head.headers) {
            Err(bad) => Found::Invalid(bad),
            Ok(Presented::Nothing) => Found::Nothing,
            Ok(Presented::ApiKey(key)) => self.key(&digest(key), head.peer.ip()).await,
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
