//! A policy directory as a git revision has it.
//!
//! # Why not `git archive`
//! It leaves out and rewrites what `.gitattributes` says (`export-ignore`, `export-subst`), which stands in the same pull
//! request as the policy: a change could hide itself from its own review. Here every file of the directory is read
//! from the revision's tree, byte for byte. A link is followed within that tree, and never out of it.

mod tree;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::review::git::tree::{Kind, Tree};

/// A revision's policy directory, written out; it goes with this value.
#[derive(Debug)]
pub struct Checkout {
    directory: TempDir,
    commit: String,
}

/// Why a revision cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BadRevision {
    /// git cannot be run.
    #[error("git cannot be run: {0}")]
    NoGit(std::io::Error),
    /// The policy directory is in no repository.
    #[error("`{path}` is in no git repository: {why}")]
    NoRepository {
        /// The directory.
        path: String,
        /// What git says.
        why: String,
    },
    /// There is no such revision.
    #[error("`{0}` is neither a directory nor a git revision that is here")]
    Unknown(String),
    /// The revision does not have the directory.
    #[error("revision `{revision}` does not have `{path}`")]
    NotThere {
        /// The revision.
        revision: String,
        /// The directory, from the top of the repository.
        path: String,
    },
    /// A link leads nowhere, out of the repository, or in a circle.
    #[error("`{0}` is a link that leads nowhere within the repository")]
    Astray(String),
    /// Another repository stands where policies should.
    #[error("`{0}` is a submodule, whose files the repository does not have")]
    Submodule(String),
    /// git says something else.
    #[error("git failed: {0}")]
    Failed(String),
    /// The files cannot be written out.
    #[error("the revision's files cannot be written out: {0}")]
    Unwritable(#[from] std::io::Error),
}

impl Checkout {
    /// Writes out what `directory` held at `revision`.
    ///
    /// # Errors
    /// See [`BadRevision`].
    pub fn of(revision: &str, directory: &Path) -> Result<Self, BadRevision> {
        let (start, rest) = existing(directory)?;
        let top = ask(&start, &["rev-parse", "--show-toplevel"], &[])
            .map_err(|error| no_repository(error, directory))?;
        let top = PathBuf::from(String::from_utf8_lossy(&top).trim_end_matches('\n')).canonicalize()?;
        let inside = start.join(rest);
        let inside = inside.strip_prefix(&top).unwrap_or(Path::new("")).to_string_lossy().into_owned();
        let commit = commit(&top, revision)?;
        let tree = Tree::parse(&ask(&top, &["ls-tree", "-r", "-z", "--full-tree", &commit], &[])?)?;
        let checkout = Self { directory: TempDir::new()?, commit };
        checkout.fill(&top, &tree, revision, &inside)?;
        Ok(checkout)
    }

    /// Where its files are.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> &str {
        &self.commit
    }

    fn fill(&self, top: &Path, tree: &Tree, revision: &str, inside: &str) -> Result<(), BadRevision> {
        let links = tree.of_kind(Kind::Link);
        let targets = blobs(top, links.iter().map(|(_, object)| *object))?;
        let targets = links.iter().map(|(path, _)| (*path).to_owned()).zip(targets).collect();
        let files = tree.below(inside, &targets)?;
        if files.is_empty() {
            return Err(BadRevision::NotThere { revision: revision.to_owned(), path: inside.to_owned() });
        }
        let contents = blobs(top, files.iter().map(|(_, object)| object.as_str()))?;
        for ((name, _), content) in files.iter().zip(contents) {
            let path = self.directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(self.directory.path()))?;
            std::fs::write(path, content)?;
        }
        Ok(())
    }
}

/// The nearest directory that exists, in full, and what of `directory` lies below it.
fn existing(directory: &Path) -> Result<(PathBuf, PathBuf), BadRevision> {
    let absolute = std::path::absolute(directory)?;
    let mut rest = PathBuf::new();
    for above in absolute.ancestors() {
        if above.is_dir() {
            return Ok((above.canonicalize()?, rest));
        }
        let name = above.file_name().unwrap_or_default();
        rest = if rest.as_os_str().is_empty() { name.into() } else { Path::new(name).join(rest) };
    }
    Ok((absolute, PathBuf::new()))
}

fn commit(top: &Path, revision: &str) -> Result<String, BadRevision> {
    let unknown = || BadRevision::Unknown(revision.to_owned());
    let wanted = format!("{revision}^{{commit}}");
    let asked = ["rev-parse", "--quiet", "--verify", "--end-of-options", &wanted];
    match ask(top, &asked, &[]) {
        Ok(said) => {
            let said = String::from_utf8_lossy(&said);
            // Older gits repeat `--end-of-options`.
            said.lines().last().map(str::to_owned).ok_or_else(unknown)
        }
        Err(BadRevision::Failed(_)) => Err(unknown()),
        Err(other) => Err(other),
    }
}

/// The contents of objects, in their order.
fn blobs<'a>(
    top: &Path,
    objects: impl Iterator<Item = &'a str> + Clone,
) -> Result<Vec<Vec<u8>>, BadRevision> {
    let input: String = objects.clone().map(|object| format!("{object}\n")).collect();
    let output = ask(top, &["cat-file", "--batch"], input.as_bytes())?;
    let (mut rest, mut contents) = (output.as_slice(), Vec::new());
    for object in objects {
        let broken = || BadRevision::Failed(format!("object {object} cannot be read"));
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(broken)?;
        let (head, body) = rest.split_at_checked(end).ok_or_else(broken)?;
        let head = String::from_utf8_lossy(head);
        let size: usize =
            head.rsplit_once(" blob ").and_then(|(_, size)| size.parse().ok()).ok_or_else(broken)?;
        // The newline of the head stands before the content, and another one after it.
        let content = body.get(1..=size).ok_or_else(broken)?;
        contents.push(content.to_vec());
        rest = body.get(size + 2..).ok_or_else(broken)?;
    }
    Ok(contents)
}

fn ask<S: AsRef<OsStr>>(directory: &Path, arguments: &[S], input: &[u8]) -> Result<Vec<u8>, BadRevision> {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(arguments).env("GIT_NO_REPLACE_OBJECTS", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(BadRevision::NoGit)?;
    let output = std::thread::scope(|scope| {
        if let Some(mut stdin) = child.stdin.take() {
            // Whoever reads less than all of it says so by how it ends.
            scope.spawn(move || stdin.write_all(input));
        }
        child.wait_with_output()
    });
    let output = output.map_err(BadRevision::NoGit)?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(BadRevision::Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

fn no_repository(error: BadRevision, directory: &Path) -> BadRevision {
    match error {
        BadRevision::Failed(why) => BadRevision::NoRepository { path: directory.display().to_string(), why },
        other => other,
    }
}
