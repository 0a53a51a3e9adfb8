//! Who uses the admin API: the admin token, a JWT or a client certificate → a [`Principal`].
//!
//! # Why issuers of its own
//! A token that an agent may send to the gate must not open its administration. The admin API therefore trusts only issuers
//! and audiences that are written under `admin`, read by the same rules as those of agents.

use std::sync::Arc;

use http::HeaderMap;

use crate::config;
use crate::identify::Caller;
use crate::identify::certificate::Rules;
use crate::identify::clock::Clock;
use crate::identify::jwt::{Bearer, Bound, Tokens};
use crate::identify::problem::IdentityProblem;
use crate::identify::proof::{BadProof, Found};
use crate::inbound::ClientCertificate;
use crate::name::TenantId;
use crate::secret::Secret;

/// May do everything.
const OPERATOR: &str = "operator";
/// May do what concerns their own tenant.
const TENANT_ADMIN: &str = "tenant-admin";

/// Who may use the admin API.
#[derive(Debug)]
pub struct Admins {
    token: Secret,
    tokens: Tokens,
    certificates: Rules,
}

/// Who uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What they may do.
    pub power: Power,
    /// Who they are, for the record: by what they proved it, and their name in it.
    pub name: Arc<str>,
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    /// Everything.
    Operator,
    /// What concerns this tenant.
    TenantAdmin(TenantId),
}

/// Why somebody may not use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAdmin {
    /// No proof came, or one that failed.
    Unproved,
    /// They are known, and have neither role.
    NoRole,
    /// The issuer's keys cannot be had now.
    Unavailable,
}

impl Admins {
    /// Those of the configuration, and whoever has the admin token.
    ///
    /// # Errors
    /// Every mistake in the configuration, at once.
    pub fn new(admin: &config::Admin, token: Secret) -> Result<Self, Vec<IdentityProblem>> {
        let mut problems = Vec::new();
        let tokens = Tokens::new(&admin.issuers, Clock::system(), &mut problems);
        let certificates = Rules::new(admin.certificates.as_ref(), &mut problems);
        if problems.is_empty() { Ok(Self { token, tokens, certificates }) } else { Err(problems) }
    }

    /// Who sends a request with these headers, over a connection with this certificate. A token that is there decides.
    ///
    /// # Errors
    /// Nobody who may.
    pub async fn find(
        &self,
        headers: &HeaderMap,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Principal, NotAdmin> {
        let found = match bearer(headers)? {
            Some(given) if self.is_token(given) => {
                return Ok(Principal { power: Power::Operator, name: Arc::from("admin token") });
            }
            Some(given) => {
                let found = self.tokens.find(given).await;
                found.and_then(|bearer| held(bearer, certificate)).map_or_else(Found::Invalid, Found::Valid)
            }
            None => self.certificates.find(certificate),
        };
        match found {
            Found::Valid(caller) => principal(&caller),
            Found::Invalid(BadProof::NoKeys | BadProof::NoStore | BadProof::Crowded) => {
                Err(NotAdmin::Unavailable)
            }
            Found::Invalid(bad) => {
                tracing::info!(why = %bad, "A credential for the admin API was refused");
                Err(NotAdmin::Unproved)
            }
            Found::Nothing => Err(NotAdmin::Unproved),
        }
    }

    fn is_token(&self, given: &str) -> bool {
        let expected = self.token.expose().as_bytes();
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(given.as_bytes(), expected).is_ok();
        same && !expected.is_empty()
    }
}

/// The one bearer token, if there is one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, NotAdmin> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let token = first.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
    match (token, values.next()) {
        (Some(token), None) => Ok(Some(token)),
        (_, Some(_)) | (None, None) => Err(NotAdmin::Unproved),
    }
}

/// Whose token it is, if whoever sends it may. One that is bound to a DPoP key is for the gate's agents.
fn held(bearer: Bearer, certificate: Option<&ClientCertificate>) -> Result<Arc<Caller>, BadProof> {
    let Bearer { caller, bound, .. } = bearer;
    match bound {
        Bound::Free => Ok(caller),
        Bound::Certificate(digest) if certificate.is_some_and(|shown| shown.sha256 == digest) => Ok(caller),
        Bound::Certificate(_) | Bound::Key(_) => Err(BadProof::Bound),
    }
}

fn principal(caller: &Caller) -> Result<Principal, NotAdmin> {
    let has = |wanted: &str| caller.roles().iter().any(|role| **role == *wanted);
    let power = if has(OPERATOR) {
        Power::Operator
    } else if has(TENANT_ADMIN) {
        Power::TenantAdmin(caller.tenant().clone())
    } else {
        return Err(NotAdmin::NoRole);
    };
    let who = caller.user().map(|user| user.as_str()).or(caller.agent().map(|agent| agent.as_str()));
    let by = match caller.authentication().issuer.as_deref() {
        Some(issuer) => format!("{} of {issuer}", who.unwrap_or("somebody")),
        None => format!("certificate of {}", who.unwrap_or("somebody")),
    };
    Ok(Principal { power, name: Arc::from(by) })
}

impl Principal {
    /// The tenant that they are confined to; `None`: to none.
    #[must_use]
    pub fn confined_to(&self) -> Option<&TenantId> {
        match &self.power {
            Power::Operator => None,
            Power::TenantAdmin(tenant) => Some(tenant),
        }
    }

    /// Whether they may do something with what is the tenant's.
    #[must_use]
    pub fn may(&self, tenant: &TenantId) -> bool {
        self.confined_to().is_none_or(|own| own == tenant)
    }

    /// Their role, by its name.
    #[must_use]
    pub fn role(&self) -> &'static str {
        match &self.power {
            Power::Operator => OPERATOR,
            Power::TenantAdmin(_) => TENANT_ADMIN,
        }
    }
}
