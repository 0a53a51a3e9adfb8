//! How far a candidate policy has come, as it outlives the process: what operators said of which revision.
//!
//! # Why of a revision
//! Whoever lets a candidate decide has looked at one state of its files. A promotion holds for that revision, which the
//! gate keeps a copy of, and a canary too: the candidate's next revision is in shadow again until it is let decide.
//! What the configuration says of a canary holds for every revision, but for one that was rolled back.
//!
//! # Why a changed directory ends a promotion
//! Somebody who changes the configured directory wants what it says now, be it the promoted candidate or a rule that must
//! hold at once. A promotion that went on above it would leave their change without effect, and nobody would see why.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::config::{Canary, Config};
use crate::decide::Stage;
use crate::name::Revision;
use crate::store::{Store, StoreError, Table};

/// The one entry of the table.
const KEY: &[u8] = b"standing";

/// What operators said of candidates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Standing {
    /// The candidate that serves in the place of the directory.
    pub promoted: Option<Promoted>,
    /// What was last said of a candidate that is tried.
    pub said: Option<Said>,
}

/// A candidate that serves in the place of the configured directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promoted {
    /// Which.
    pub revision: Revision,
    /// The revision of the directory whose place it took; another one ends the promotion.
    pub over: Revision,
}

/// What was said of one revision of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// Which.
    pub revision: Revision,
    /// For whom it decides; `None`: for nobody, whatever the configuration says.
    pub canary: Option<Canary>,
}

impl Standing {
    /// What the store has. An entry that cannot be read is not passed over: a policy might serve that nobody chose.
    ///
    /// # Errors
    /// The store fails, or the entry was made by a newer version.
    pub async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let Some(stored) = store.get(Table::Policies, KEY).await? else { return Ok(Self::default()) };
        serde_json::from_slice(&stored.value).map_err(|why| {
            StoreError::Failed(format!("what it has of candidate policies is not known: {why}"))
        })
    }

    /// Puts it in the store, in the place of what is there.
    ///
    /// # Errors
    /// The store fails.
    pub async fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        let value = serde_json::to_vec(self).map_err(|why| StoreError::Failed(why.to_string()))?;
        store.put(Table::Policies, KEY, &value, None).await.map(drop)
    }

    /// The promotion that holds over this revision of the directory.
    #[must_use]
    pub fn promotion(&self, home: &Revision) -> Option<&Promoted> {
        self.promoted.as_ref().filter(|promoted| promoted.over == *home)
    }

    /// The stage of this revision of a candidate.
    #[must_use]
    pub fn stage(&self, candidate: &Revision, configured: Option<&Canary>) -> Stage {
        let canary = match &self.said {
            Some(said) if said.revision == *candidate => said.canary.as_ref(),
            Some(_) | None => configured,
        };
        canary.map_or(Stage::Shadow, |canary| Stage::Canary(canary.clone()))
    }
}

/// Where the gate keeps its copy of a promoted policy.
#[must_use]
pub fn kept_copy(config: &Config, revision: &Revision) -> PathBuf {
    config.state.directory.join("promoted").join(Path::new(revision.as_str()))
}

/// The standing of this gate; the store has the same.
#[derive(Debug)]
pub(in crate::gateway) struct Kept(Mutex<Standing>);

impl Kept {
    pub(in crate::gateway) fn new(standing: Standing) -> Self {
        Self(Mutex::new(standing))
    }

    pub(in crate::gateway) fn get(&self) -> Standing {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::gateway) fn set(&self, standing: Standing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Percent;

    fn revision(text: &str) -> Revision {
        Revision::parse(text).unwrap()
    }

    fn everyone() -> Canary {
        Canary { percent: Percent::new(100).unwrap(), ..Canary::default() }
    }

    #[test]
    fn what_was_said_of_one_revision_is_not_said_of_the_next() {
        let said = Some(Said { revision: revision("one"), canary: Some(everyone()) });
        let standing = Standing { said, promoted: None };
        assert_eq!(standing.stage(&revision("one"), None), Stage::Canary(everyone()));
        assert_eq!(standing.stage(&revision("two"), None), Stage::Shadow);
    }

    #[test]
    fn a_revision_that_was_rolled_back_stays_so_whatever_the_configuration_says() {
        let standing =
            Standing { said: Some(Said { revision: revision("one"), canary: None }), promoted: None };
        assert_eq!(standing.stage(&revision("one"), Some(&everyone())), Stage::Shadow);
        assert_eq!(standing.stage(&revision("two"), Some(&everyone())), Stage::Canary(everyone()));
    }

    #[test]
    fn a_changed_directory_ends_a_promotion() {
        let promoted = Some(Promoted { revision: revision("new"), over: revision("old") });
        let standing = Standing { promoted, said: None };
        assert!(standing.promotion(&revision("old")).is_some());
        assert!(standing.promotion(&revision("mended")).is_none());
    }
}
