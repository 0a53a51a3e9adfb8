//! Why something could not be done with tenants, accounts or keys.

use serde::Serialize;

use crate::config::BadConfig;
use crate::credential::VaultError;
use crate::store::StoreError;

/// Why it could not be done. The words are for whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There is no such thing; or it is another tenant's, which is the same to whoever asks.
    #[error("there is no {0}")]
    Unknown(String),
    /// It is there already.
    #[error("there is already {0}")]
    Exists(String),
    /// It stands in the configuration, and is changed there.
    #[error("{0} stands in the configuration, and can only be changed there")]
    Configured(String),
    /// It is not the version that was expected.
    #[error("it has changed since it was read; read it again")]
    Changed,
    /// It cannot be done in the state that it is in.
    #[error("{0}")]
    Conflict(String),
    /// What was given cannot be.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unfit(Vec<Fault>),
    /// The store or the sealing key failed.
    #[error("{0}")]
    Failed(String),
}

/// One mistake in what was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where, as `credential.bearer`; empty where it is the whole.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub fix: String,
}

impl Fault {
    /// A mistake in one member.
    pub fn new(key: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { key: key.to_owned(), what: what.into(), fix: fix.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.what, self.fix)
    }
}

impl Problem {
    /// One mistake in one member.
    pub fn unfit(key: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Unfit(vec![Fault::new(key, what, fix)])
    }
}

impl From<Vec<BadConfig>> for Problem {
    fn from(wrong: Vec<BadConfig>) -> Self {
        Self::Unfit(
            wrong
                .into_iter()
                .map(|BadConfig(it)| Fault { key: it.key, what: it.what, fix: it.fix })
                .collect(),
        )
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Changed => Self::Changed,
            StoreError::InUse(_) | StoreError::Damaged { .. } | StoreError::Failed(_) => {
                Self::Failed(error.to_string())
            }
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        let words = error.to_string();
        match error {
            VaultError::NoAccount(..) | VaultError::NotSealed(..) | VaultError::Unusable(_) => {
                Self::unfit("secret", words, "see the account's `credential`")
            }
            VaultError::Store(error) => error.into(),
            VaultError::Seal(_) => Self::Failed(words),
        }
    }
}
