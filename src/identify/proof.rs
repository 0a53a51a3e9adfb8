//! What one scheme found in a request: nothing, a caller, or a proof that failed.
//!
//! # Why three
//! "Did not try" and "tried and failed" are different things: only the first lets the next scheme look. A boolean or an
//! `Option` would let a bad token fall through to a weaker proof.

use std::sync::Arc;

use crate::identify::Caller;
use crate::refusal::Refusal;

/// What one scheme found.
#[derive(Debug)]
pub(in crate::identify) enum Found {
    /// The request carries no proof of this kind.
    Nothing,
    /// It does, and this is who it proves.
    Valid(Arc<Caller>),
    /// It does, and it proves nobody.
    Invalid(BadProof),
}

/// Why a proof failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::identify) enum BadProof {
    Several,
    NotBearer,
    Malformed,
    Critical,
    NotAccessToken,
    Issuer,
    UnknownKey,
    Algorithm,
    Signature,
    Audience,
    Expired,
    NotYet,
    Claim,
    Tenant,
    Bound,
    Unbound,
    Inactive,
    Dpop(&'static str),
    Nonce(Arc<str>),
    Crowded,
    Scope(Vec<Arc<str>>),
    UnknownApiKey,
    ExpiredApiKey,
    UnknownCertificate,
    NoKeys,
    NoStore,
    NotServed,
    Revoked,
    Gone,
    Guessing,
}

impl BadProof {
    /// For its holder: what to mend, and nothing of what would have passed.
    fn text(&self) -> &'static str {
        match self {
            Self::Several => "more than one credential was sent",
            Self::NotBearer => "the Authorization header is not `Bearer` or `DPoP` and one token",
            Self::Malformed => "the token is not a signed JWT in compact form",
            Self::Critical => "the token has a critical header that is not understood",
            Self::NotAccessToken => "the token is not an access token",
            Self::Issuer => "the token's issuer is not trusted",
            Self::UnknownKey => "the token is signed by an unknown key",
            Self::Algorithm => "the token's algorithm is not its key's",
            Self::Signature => "the token's signature is wrong",
            Self::Audience => "the token was issued for another audience",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Claim => "a claim of the token is missing or of the wrong type",
            Self::Tenant => "the token's issuer does not speak for the tenant",
            Self::Bound => "the token is bound to a key that was not proved",
            Self::Unbound => "the token is bound to no key, and this gate takes only tokens that are",
            Self::Inactive => "the token is not active",
            Self::Dpop(why) => why,
            Self::Nonce(_) => "the DPoP proof has no nonce of this gate",
            Self::Crowded => "too many proofs are checked at once",
            Self::Scope(_) => "the token's scope is too small",
            Self::UnknownApiKey => "the API key is not known",
            Self::ExpiredApiKey => "the API key has expired",
            Self::UnknownCertificate => "the client certificate stands for nobody here",
            Self::NoKeys => "the issuer's keys cannot be had now",
            Self::NotServed => "the tenant is not served at present",
            Self::Revoked => "the token has been revoked",
            Self::Gone => "the user is not active in the directory",
            Self::Guessing => "this address came with too many API keys that are not there",
            Self::NoStore => "the credential cannot be looked up now",
        }
    }
}

impl std::fmt::Display for BadProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl From<BadProof> for Refusal {
    fn from(bad: BadProof) -> Self {
        let text = bad.text();
        match bad {
            BadProof::Scope(scopes) => Self::InsufficientScope { scopes },
            BadProof::NoKeys | BadProof::NoStore | BadProof::Crowded => Self::IdentityUnavailable,
            BadProof::Guessing => Self::Overloaded(text),
            BadProof::Dpop(why) => Self::BadDpopProof(why),
            BadProof::Nonce(nonce) => Self::UseDpopNonce { nonce },
            BadProof::Several
            | BadProof::NotBearer
            | BadProof::Malformed
            | BadProof::Critical
            | BadProof::NotAccessToken
            | BadProof::Issuer
            | BadProof::UnknownKey
            | BadProof::Algorithm
            | BadProof::Signature
            | BadProof::Audience
            | BadProof::Expired
            | BadProof::NotYet
            | BadProof::Claim
            | BadProof::Tenant
            | BadProof::Bound
            | BadProof::Unbound
            | BadProof::Inactive
            | BadProof::UnknownApiKey
            | BadProof::ExpiredApiKey
            | BadProof::NotServed
            | BadProof::Revoked
            | BadProof::Gone
            | BadProof::UnknownCertificate => Self::BadCredential(text),
        }
    }
}
