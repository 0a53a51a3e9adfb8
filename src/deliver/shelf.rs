//! The revisions that are on the disk: a folder for each, and a link to the one that was good last.
//!
//! ```text
//! <state>/policies/current              -> revisions/<name>, changed by one rename
//! <state>/policies/revisions/<name>/    policy/  about.json  bundle.tar.gz
//! <state>/policies/repository           a bare git repository, where the source is one
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::name::Revision;

/// So many revisions stay, for an operator who wants to compare.
const KEPT: usize = 3;

/// What is known of a kept revision.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct About {
    /// The source that it is of.
    pub source: String,
    /// How it is called in decisions.
    #[serde(deserialize_with = "revision")]
    pub revision: Revision,
    /// Its commit.
    pub commit: Option<String>,
    /// What of the repository is signed: the commit, or a tag.
    pub object: Option<String>,
    /// The SHA-256 of its archive, in hex.
    pub archive: Option<String>,
    /// The entity tag under which a server gave it.
    pub etag: Option<String>,
    /// When its signature says that it was made, in seconds since 1970.
    pub signed_at: Option<i64>,
    /// When it was fetched.
    pub fetched_at: jiff::Timestamp,
}

fn revision<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Revision, D::Error> {
    let text = String::deserialize(from)?;
    Revision::parse(&text).map_err(serde::de::Error::custom)
}

/// Where revisions are kept.
#[derive(Debug)]
pub(in crate::deliver) struct Shelf {
    root: PathBuf,
}

/// A revision's folder. Unless it is kept, it goes with this value.
#[derive(Debug)]
pub(in crate::deliver) struct Folder(TempDir);

impl Folder {
    /// Its policy directory.
    pub(in crate::deliver) fn policy(&self) -> PathBuf {
        self.0.path().join("policy")
    }

    /// Its archive.
    pub(in crate::deliver) fn archive(&self) -> PathBuf {
        archive(self.0.path())
    }
}

/// The archive in a kept folder.
pub(in crate::deliver) fn archive(folder: &Path) -> PathBuf {
    folder.join("bundle.tar.gz")
}

impl Shelf {
    pub(in crate::deliver) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// A new folder, named after `name`.
    pub(in crate::deliver) fn stage(&self, name: &str) -> io::Result<Folder> {
        let revisions = self.root.join("revisions");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&revisions)?;
        Ok(Folder(tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(revisions)?))
    }

    /// The folder that was kept last, if it is of this source.
    pub(in crate::deliver) fn last(&self, source: &str) -> Option<(PathBuf, About)> {
        let folder = self.root.join("current").canonicalize().ok()?;
        let about = fs::read(folder.join("about.json")).ok()?;
        let about: About = serde_json::from_slice(&about).ok()?;
        (about.source == source).then_some((folder, about))
    }

    /// Makes a folder the last one, at once and for good, and removes all but the last few.
    pub(in crate::deliver) fn keep(&self, folder: Folder, about: &About) -> io::Result<()> {
        let mut file = File::create_new(folder.0.path().join("about.json"))?;
        file.write_all(&serde_json::to_vec_pretty(about)?)?;
        file.sync_all()?;
        File::open(folder.0.path())?.sync_all()?;
        let revisions = self.root.join("revisions");
        File::open(&revisions)?.sync_all()?;
        let name = folder.0.path().file_name().map(PathBuf::from).unwrap_or_default();
        let link = self.root.join(format!("current.{}", std::process::id()));
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        symlink(Path::new("revisions").join(&name), &link)?;
        fs::rename(&link, self.root.join("current"))?;
        let _ = folder.0.keep();
        self.tidy(&name);
        File::open(&self.root)?.sync_all()
    }

    /// Removes what is neither `current` nor among the newest. What cannot be removed now is removed later.
    fn tidy(&self, current: &Path) {
        let Ok(entries) = fs::read_dir(self.root.join("revisions")) else { return };
        let mut folders: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .filter(|entry| entry.file_name() != current.as_os_str())
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        folders.sort();
        let old = folders.len().saturating_sub(KEPT - 1);
        for (_, folder) in folders.into_iter().take(old) {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(revision: &str) -> About {
        About {
            source: "here".to_owned(),
            revision: Revision::parse(revision).unwrap(),
            commit: None,
            object: None,
            archive: None,
            etag: None,
            signed_at: None,
            fetched_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_last_that_was_kept_is_found_again_and_old_ones_go() {
        let root = tempfile::tempdir().unwrap();
        let shelf = Shelf::at(root.path().to_owned());
        assert!(shelf.last("here").is_none());
        for number in 0..6 {
            let folder = shelf.stage("git-abc").unwrap();
            fs::create_dir(folder.policy()).unwrap();
            shelf.keep(folder, &about(&format!("git:{number}"))).unwrap();
            drop(shelf.stage("given-up").unwrap());
        }
        let (folder, about) = shelf.last("here").unwrap();
        assert_eq!(about.revision.as_str(), "git:5");
        assert!(folder.join("policy").is_dir());
        assert_eq!(fs::read_dir(root.path().join("revisions")).unwrap().count(), KEPT);
        assert!(shelf.last("elsewhere").is_none(), "another source's revision was taken for this one's");
    }
}
