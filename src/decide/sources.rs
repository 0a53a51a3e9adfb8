//! A policy's files as they were when it was loaded, so that another process can load the same policy.
//!
//! # Why the files and not the directory
//! The directory may have changed since, and what is in it now may not load. What serves is what was loaded.

use std::fs;
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decide::bundle::digest;
use crate::name::Revision;

/// Every file of a policy that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sources(Vec<Source>);

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its path in the directory, with `/` between its parts.
    pub path: String,
    /// Its bytes; base64 (RFC 4648 section 4) where they are passed on.
    #[serde(rename = "base64", serialize_with = "encoded", deserialize_with = "decoded")]
    pub content: Arc<[u8]>,
}

/// Why a policy directory was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A file cannot be read.
    #[error("{0}")]
    Read(crate::decide::PolicyProblem),
    /// A file cannot be written.
    #[error("`{path}`: {why}", path = .0.display(), why = .1)]
    Write(PathBuf, std::io::Error),
    /// A file would stand outside the directory.
    #[error("`{0}` is no path within a policy directory")]
    Astray(String),
}

impl Sources {
    pub(in crate::decide) fn new(files: Vec<Source>) -> Self {
        Self(files)
    }

    /// The digest of every path and content, which is a directory's revision.
    #[must_use]
    pub fn digest(&self) -> Revision {
        digest(&self.0)
    }

    /// Writes the files to a directory, which is there as a whole or not at all.
    ///
    /// # Errors
    /// One cannot be written, or would stand outside the directory.
    pub fn write(&self, to: &Path) -> Result<(), CopyError> {
        let draft = to.with_extension("new");
        if draft.exists() {
            fs::remove_dir_all(&draft).map_err(failed(&draft))?;
        }
        fs::create_dir_all(&draft).map_err(failed(&draft))?;
        for file in &self.0 {
            file.write(&draft)?;
        }
        fs::rename(&draft, to).map_err(failed(to))
    }
}

impl Source {
    fn write(&self, directory: &Path) -> Result<(), CopyError> {
        let relative = Path::new(&self.path);
        let within = relative.components().all(|part| matches!(part, Component::Normal(_)));
        if !within || self.path.is_empty() {
            return Err(CopyError::Astray(self.path.clone()));
        }
        let path = directory.join(relative);
        let folder = path.parent().unwrap_or(directory);
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let mut written = fs::File::create(&path).map_err(failed(&path))?;
        written.write_all(&self.content).and_then(|()| written.sync_all()).map_err(failed(&path))
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> CopyError {
    let path = path.to_owned();
    move |why| CopyError::Write(path, why)
}

fn encoded<S: Serializer>(content: &Arc<[u8]>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(content))
}

fn decoded<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<[u8]>, D::Error> {
    let text = String::deserialize(from)?;
    STANDARD.decode(text).map(Arc::from).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, content: &[u8]) -> Source {
        Source { path: path.to_owned(), content: content.into() }
    }

    #[test]
    fn files_that_were_passed_on_are_the_same_policy() {
        let directory = tempfile::tempdir().unwrap();
        let sources =
            Sources::new(vec![source("a/data.json", b"{\"x\":\"\xff\"}"), source("z.rego", b"package z")]);
        let passed: Sources = serde_json::from_str(&serde_json::to_string(&sources).unwrap()).unwrap();
        let to = directory.path().join("policy");
        passed.write(&to).unwrap();
        assert_eq!(bundle_digest(&to), sources.digest());
        assert_ne!(sources.digest(), Sources::new(vec![source("z.rego", b"package z")]).digest());
    }

    #[test]
    fn no_file_is_written_outside_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["../x.rego", "/tmp/x.rego", "a/../../x.rego", ""] {
            let told = Sources::new(vec![source(path, b"")]).write(&directory.path().join("policy"));
            assert!(matches!(told, Err(CopyError::Astray(_))), "{path}: {told:?}");
        }
    }

    fn bundle_digest(directory: &Path) -> Revision {
        crate::decide::Decide::revision_of(directory).unwrap()
    }
}
