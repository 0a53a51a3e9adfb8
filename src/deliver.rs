//! How policies come here: from a git repository or as an OPA bundle, verified, into a folder of their own.
//!
//! # What a revision goes through
//! Fetched, verified, written beside what serves ([`Staged`]); then whoever asked loads it, which checks everything else, and
//! only then is it [kept](Deliver::keep): one link changes its place, and a restart without a network serves it.
//! What was kept is verified again before it is served again.
//!
//! # Why signatures are one yes or no
//! Whether a signature is needed is said by the operator alone: there are signers, or there are none. No key id, no missing
//! file and no field of what was fetched can turn a needed signature into one that is not.

mod bundle;
mod files;
mod git;
mod shelf;

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Delivery;
use crate::name::{BadName, Revision};

pub use shelf::About;

use bundle::Bundle;
use git::Repository;
use shelf::{Folder, Shelf};

/// A source of policies, and the shelf on which its revisions are kept.
#[derive(Debug)]
pub struct Deliver {
    place: String,
    source: Source,
    shelf: Shelf,
}

#[derive(Debug)]
enum Source {
    Git(Repository),
    Bundle(Box<Bundle>),
}

/// How a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// For an answer now.
    AtOnce,
    /// It may take the time until there is something new, where it can.
    WithTime,
}

/// What came of asking.
#[derive(Debug)]
pub enum Fetched {
    /// What is kept is the newest, and its signature is still good.
    Same,
    /// Another revision.
    New(Staged),
}

/// A revision that was fetched and verified, and is not kept yet. It goes with this value.
#[derive(Debug)]
pub struct Staged {
    folder: Folder,
    origin: Origin,
    signer: Option<String>,
    etag: Option<String>,
    signed_at: Option<i64>,
}

/// How a revision is called where it comes from.
#[derive(Debug, Clone)]
enum Origin {
    /// A commit, and the object that is signed: itself, or a tag.
    Commit { commit: String, object: String },
    /// A bundle's own revision, and the SHA-256 of its archive in hex.
    Bundle { revision: String, archive: String },
}

/// Why there is nothing new, and nothing to be sure of.
#[derive(Debug, thiserror::Error)]
pub enum Setback {
    /// The source gives nothing now.
    #[error("{why}")]
    Unreachable {
        /// What happened.
        why: String,
        /// How long the source wants not to be asked.
        wait: Option<Duration>,
    },
    /// What it gives, or what was kept, is not to be trusted, or is no policy.
    #[error("{0}")]
    Refused(String),
    /// This machine cannot do what it takes.
    #[error("{0}")]
    Unable(String),
}

impl Setback {
    fn unreachable(why: impl Into<String>) -> Self {
        Self::Unreachable { why: why.into(), wait: None }
    }

    fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }

    /// The disk does not do what it should.
    fn disk(what: &str, error: &std::io::Error) -> Self {
        Self::Unable(format!("{what}: {error}"))
    }
}

impl Deliver {
    /// A source whose revisions are kept in `directory`, which is made when the first one comes.
    ///
    /// # Errors
    /// The HTTP client cannot be made, or this machine does not know where it stands.
    pub fn new(delivery: &Delivery, directory: PathBuf) -> Result<Self, Setback> {
        // Git runs in a directory of its own.
        let directory = std::path::absolute(directory)
            .map_err(|error| Setback::disk("the state directory cannot be found", &error))?;
        let source = match delivery {
            Delivery::Git(git) => Source::Git(Repository::new(git.clone(), directory.join("repository"))),
            Delivery::Bundle(bundle) => Source::Bundle(Box::new(Bundle::new(bundle.clone())?)),
        };
        Ok(Self { place: delivery.place(), source, shelf: Shelf::at(directory) })
    }

    /// Where the source is and what of it is served, in words.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What keeps signatures from being verified at all: keys that are none, programs that are missing.
    #[must_use]
    pub fn unready(&self) -> Vec<String> {
        match &self.source {
            Source::Git(repository) => repository.unready(),
            Source::Bundle(bundle) => bundle.unready(),
        }
    }

    /// What is known of the revision that was kept last, if it is of this source.
    #[must_use]
    pub fn last(&self) -> Option<About> {
        self.shelf.last(&self.place).map(|(_, about)| about)
    }

    /// Asks the source for what is newer than `last`.
    ///
    /// # Errors
    /// See [`Setback`].
    pub async fn fetch(&self, last: Option<&About>, asked: Asked) -> Result<Fetched, Setback> {
        match &self.source {
            Source::Git(repository) => repository.fetch(&self.shelf, last).await,
            Source::Bundle(bundle) => {
                let kept = last.and_then(|_| self.shelf.last(&self.place));
                bundle.fetch(&self.shelf, kept, asked).await
            }
        }
    }

    /// Whether to ask again at once after an answer that took so long, because the source tells what is new itself.
    #[must_use]
    pub fn tells(&self, is_new: bool, took: Duration) -> bool {
        match &self.source {
            Source::Git(_) => false,
            Source::Bundle(bundle) => bundle.server().held(is_new, took),
        }
    }

    /// The revision that was kept last, verified again and written out anew; `None`: there is none of this source.
    ///
    /// # Errors
    /// It cannot be verified any more.
    pub async fn again(&self) -> Result<Option<Staged>, Setback> {
        let Some((folder, about)) = self.shelf.last(&self.place) else { return Ok(None) };
        let staged = match &self.source {
            Source::Git(repository) => repository.again(&self.shelf, about).await?,
            Source::Bundle(bundle) => bundle.again(&self.shelf, &folder, about)?,
        };
        Ok(Some(staged))
    }

    /// Makes a revision the one that serves after a restart. `revision`: as it is called in decisions.
    ///
    /// # Errors
    /// The disk; then the one before it stays.
    pub fn keep(&self, staged: Staged, revision: Revision) -> Result<About, Setback> {
        let Staged { folder, origin, etag, signed_at, .. } = staged;
        let (commit, object, archive) = match origin {
            Origin::Commit { commit, object } => (Some(commit), Some(object), None),
            Origin::Bundle { archive, .. } => (None, None, Some(archive)),
        };
        let fetched_at = jiff::Timestamp::now();
        let source = self.place.clone();
        let about = About { source, revision, commit, object, archive, etag, signed_at, fetched_at };
        let kept = self.shelf.keep(folder, &about);
        kept.map_err(|error| Setback::disk("the new revision cannot be kept", &error))?;
        Ok(about)
    }
}

impl Staged {
    /// The policy directory.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.folder.policy()
    }

    /// Who signed it; `None`: nobody needed to.
    #[must_use]
    pub fn signer(&self) -> Option<&str> {
        self.signer.as_deref()
    }

    /// How it is called in decisions: `git:<commit>`, or `bundle:<revision>@<digest>` with the digest of its content.
    ///
    /// # Errors
    /// The bundle's own revision has characters that a name may not have, or is too long.
    pub fn revision(&self, digest: &Revision) -> Result<Revision, BadName> {
        match &self.origin {
            Origin::Commit { commit, .. } => Revision::parse(&format!("git:{commit}")),
            Origin::Bundle { revision, .. } => Revision::parse(&format!("bundle:{revision}@{digest}")),
        }
    }
}
