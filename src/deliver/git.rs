//! A git repository that is kept pulled: its newest commit, whose signature is verified by git and ssh.
//!
//! # What is trusted
//! The signature of the served commit, or of the served tag, by one of the operator's signers; it covers every file. The
//! server and the way to it are not trusted. A branch or tag goes forward only: a commit that does not descend from the
//! one that serves is refused, so that nobody who can push brings back an old one that was signed once.

mod command;
mod tree;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use crate::config::{GitLogin, GitReference, GitSource};
use crate::deliver::git::command::Git;
use crate::deliver::shelf::Shelf;
use crate::deliver::{About, Fetched, Origin, Setback, Staged};

/// Where the newest that was fetched stands in our repository.
const NEWEST: &str = "refs/portcullis/newest";
/// For one fetch.
const FETCH: Duration = Duration::from_secs(120);
/// For everything that asks no network.
const LOCAL: Duration = Duration::from_secs(30);

/// A repository and our copy of it.
#[derive(Debug)]
pub(in crate::deliver) struct Repository {
    git: Arc<Git>,
}

impl Drop for Repository {
    /// A pull that is under way ends: nobody waits for it, but for the process that wants to end.
    fn drop(&mut self) {
        self.git.given_up.store(true, Ordering::Relaxed);
    }
}

/// A commit, and who signed for it.
struct Signed {
    /// What is signed: the commit, or the tag that leads to it.
    object: String,
    commit: String,
    signer: Option<String>,
}

impl Repository {
    pub(in crate::deliver) fn new(source: GitSource, directory: PathBuf) -> Self {
        let (pulling, given_up) = (Mutex::default(), AtomicBool::new(false));
        Self { git: Arc::new(Git { source, directory, pulling, given_up }) }
    }

    pub(in crate::deliver) fn unready(&self) -> Vec<String> {
        self.git.unready()
    }

    pub(in crate::deliver) async fn fetch(
        &self,
        shelf: &Shelf,
        last: Option<&About>,
    ) -> Result<Fetched, Setback> {
        let (git, last) = (Arc::clone(&self.git), last.and_then(|about| about.commit.clone()));
        let signed = blocking(move || git.newest(last.as_deref())).await?;
        match signed {
            None => Ok(Fetched::Same),
            Some(signed) => self.stage(shelf, signed).await.map(Fetched::New),
        }
    }

    pub(in crate::deliver) async fn again(&self, shelf: &Shelf, about: About) -> Result<Staged, Setback> {
        let git = Arc::clone(&self.git);
        let signed = blocking(move || git.kept(about)).await?;
        self.stage(shelf, signed).await
    }

    async fn stage(&self, shelf: &Shelf, signed: Signed) -> Result<Staged, Setback> {
        let unable = |error| Setback::disk("the revision cannot be written out", &error);
        let folder = shelf.stage(&format!("git-{}", signed.commit)).map_err(unable)?;
        let (git, commit, policy) = (Arc::clone(&self.git), signed.commit.clone(), folder.policy());
        blocking(move || tree::files(&git, &commit)?.write(&policy).map_err(unable)).await?;
        Ok(Staged {
            folder,
            origin: Origin::Commit { commit: signed.commit, object: signed.object },
            signer: signed.signer,
            etag: None,
            signed_at: None,
        })
    }
}

impl Git {
    /// The newest commit that is signed for; `None`: it is `last`, and its signature is good.
    fn newest(&self, last: Option<&str>) -> Result<Option<Signed>, Setback> {
        let _alone = match self.pulling.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(Setback::unreachable("the pull before is still under way"));
            }
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
        };
        self.fetch()?;
        let signed = self.signed(NEWEST)?;
        match last {
            Some(last) if last == signed.commit => Ok(None),
            Some(last) => self.descends(&signed.commit, last).map(|()| Some(signed)),
            None => Ok(Some(signed)),
        }
    }

    /// What was kept, from our copy alone. Its objects are compared with their names first: a signature is over names.
    fn kept(&self, about: About) -> Result<Signed, Setback> {
        let none = || Setback::refused("what was kept names no commit");
        let (commit, object) = about.commit.zip(about.object).ok_or_else(none)?;
        if !self.exists() {
            return Err(Setback::refused("the copy of the repository is gone from the state directory"));
        }
        self.ask(&["fsck", "--full", "--no-dangling", "--no-reflogs", "--no-progress", &object], LOCAL)?;
        let signed = self.signed(&object)?;
        match signed.commit == commit {
            true => Ok(signed),
            false => Err(Setback::refused("what was kept is another commit than the one that was signed")),
        }
    }

    fn fetch(&self) -> Result<(), Setback> {
        self.begin()?;
        let wanted = match &self.source.reference {
            GitReference::Branch(name) => format!("+refs/heads/{name}:{NEWEST}"),
            GitReference::Tag(name) => format!("+refs/tags/{name}:{NEWEST}"),
        };
        let fetch = ["fetch", "--quiet", "--force", "--no-tags", "--no-recurse-submodules"];
        let rest = ["--no-write-fetch-head", "--no-auto-maintenance", "--end-of-options", &self.source.url];
        let arguments: Vec<&str> = fetch.into_iter().chain(rest).chain([wanted.as_str()]).collect();
        self.pull(&arguments, FETCH)
    }

    /// The commit that `target` leads to, once its signature is verified where one is needed.
    fn signed(&self, target: &str) -> Result<Signed, Setback> {
        let object = self.resolve(&format!("{target}^{{object}}"))?;
        let kind = self.ask(&["cat-file", "-t", &object], LOCAL)?;
        let commit = self.resolve(&format!("{object}^{{commit}}"))?;
        let signer = match (&self.source.reference, kind.trim()) {
            (GitReference::Tag(name), "tag") => {
                self.names(&object, name)?;
                self.verified("verify-tag", &object)?
            }
            (GitReference::Tag(name), _) if self.source.signers.is_some() => {
                return Err(Setback::refused(format!(
                    "tag `{name}` has no signature, because it is no annotated tag (`git tag --sign`)"
                )));
            }
            (GitReference::Branch(_) | GitReference::Tag(_), _) => self.verified("verify-commit", &commit)?,
        };
        Ok(Signed { object, commit, signer })
    }

    /// A tag is signed with its name in it: under another name it would be somebody else's word.
    fn names(&self, tag: &str, wanted: &str) -> Result<(), Setback> {
        let text = self.ask(&["cat-file", "tag", tag], LOCAL)?;
        let head = || text.lines().take_while(|line| !line.is_empty());
        let has = |line: String| head().any(|own| own == line);
        match has(format!("tag {wanted}")) && has("type commit".to_owned()) {
            true => Ok(()),
            false => Err(Setback::refused(format!("the tag under `{wanted}` was made for something else"))),
        }
    }

    /// Who signed an object; `None`: nobody needs to.
    fn verified(&self, how: &str, object: &str) -> Result<Option<String>, Setback> {
        let Some(signers) = &self.source.signers else { return Ok(None) };
        let said = self.verify(how, object, signers)?;
        let signer = said.lines().find_map(|line| {
            let rest = line.strip_prefix("Good \"git\" signature for ")?;
            rest.rsplit_once(" with ").map(|(signer, _)| signer.to_owned())
        });
        signer.map(Some).ok_or_else(|| unsigned(object, &said))
    }

    fn descends(&self, commit: &str, last: &str) -> Result<(), Setback> {
        let asked = self.ask(&["merge-base", "--is-ancestor", last, commit], LOCAL);
        match asked {
            Ok(_) => Ok(()),
            Err(Setback::Refused(_)) => Err(Setback::refused(format!(
                "commit {commit} does not descend from {last}, which serves: history was rewritten or goes back. To go \
                 back, commit a revert; to accept another history, stop the gate and remove `policies` in its state directory"
            ))),
            Err(other) => Err(other),
        }
    }

    fn resolve(&self, name: &str) -> Result<String, Setback> {
        let said = self.ask(&["rev-parse", "--quiet", "--verify", name], LOCAL)?;
        let id = said.trim();
        match id.len() >= 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => Ok(id.to_owned()),
            false => Err(Setback::refused(format!("git knows no `{name}`"))),
        }
    }
}

/// An object without a signature by one of the operator's signers.
fn unsigned(object: &str, said: &str) -> Setback {
    let why = said.lines().map(str::trim).find(|line| !line.is_empty());
    let why = why.unwrap_or("it has no signature");
    Setback::refused(format!("{object} is not signed by any of the signers: {why}"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Setback> + Send + 'static,
) -> Result<T, Setback> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Setback::Unable("the work on the repository broke off".to_owned())))
}

/// Whether a password goes with requests.
fn password(login: &GitLogin) -> Option<(&str, &PathBuf)> {
    match login {
        GitLogin::Basic { user, password } => Some((user, password)),
        GitLogin::None | GitLogin::Ssh { .. } => None,
    }
}
