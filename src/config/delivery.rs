//! From where policies are delivered, where that is not a directory of the operator's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;

/// A source of policies that the gate pulls from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// A git repository.
    Git(GitSource),
    /// An OPA bundle over HTTP.
    Bundle(BundleSource),
}

/// A git repository with policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    /// `https://…`, `ssh://…` or `file:///…`, without user information that is secret.
    pub url: String,
    /// What of it is served.
    pub reference: GitReference,
    /// The policies' directory in it, without slashes at its ends; empty: its top.
    pub path: String,
    /// How often it is asked.
    pub every: Duration,
    /// Who may sign, in the format of ssh's `allowed_signers`. `None`: nothing needs a signature.
    pub signers: Option<PathBuf>,
    /// With what the gate authenticates.
    pub login: GitLogin,
}

/// What of a repository is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitReference {
    /// The tip of a branch.
    Branch(String),
    /// A tag.
    Tag(String),
}

/// With what the gate authenticates at a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitLogin {
    /// Nothing.
    None,
    /// User and password over `https`.
    Basic {
        /// The user name.
        user: String,
        /// The file with the password.
        password: PathBuf,
    },
    /// A key over `ssh`.
    Ssh {
        /// The private key.
        key: PathBuf,
        /// The keys of hosts.
        known_hosts: PathBuf,
    },
}

/// An OPA bundle over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleSource {
    /// Its URL.
    pub url: String,
    /// How often the server is asked.
    pub every: Duration,
    /// How long the server may hold a request; `None`: it is not asked to.
    pub long_poll: Option<Duration>,
    /// The file with the bearer token for the server.
    pub bearer: Option<PathBuf>,
    /// Who may sign. `None`: nothing needs a signature.
    pub signing: Option<Signing>,
}

/// Who may sign bundles. That there is one is the whole of "signatures are needed": nothing in a bundle can change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// The keys by their ids; never empty.
    pub keys: BTreeMap<String, SigningKey>,
    /// The scope that a signature must have.
    pub scope: Option<String>,
}

/// A key that may sign bundles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its one algorithm; what a signature says of itself must be the same.
    pub algorithm: Algorithm,
    /// The public key in PEM; for HMAC the shared secret.
    pub file: PathBuf,
}

impl Delivery {
    /// The source in words, for logs: where it is and what of it is served.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Git(git) => {
                let reference = match &git.reference {
                    GitReference::Branch(name) => format!("branch {name}"),
                    GitReference::Tag(name) => format!("tag {name}"),
                };
                match git.path.as_str() {
                    "" => format!("{} ({reference})", git.url),
                    path => format!("{} ({reference}, {path})", git.url),
                }
            }
            // A query may hold a key.
            Self::Bundle(bundle) => bundle.url.split('?').next().unwrap_or_default().to_owned(),
        }
    }

    /// How often the source is asked.
    #[must_use]
    pub fn every(&self) -> Duration {
        match self {
            Self::Git(git) => git.every,
            Self::Bundle(bundle) => bundle.every,
        }
    }
}
