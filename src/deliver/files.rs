//! The files of a revision: named so that none leaves its folder, and not too many.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// All files of a revision together, in bytes.
pub(in crate::deliver) const LARGEST: u64 = 128 << 20;
/// So many files.
pub(in crate::deliver) const MOST: usize = 10_000;
/// So many folders, one in the other.
const DEEPEST: usize = 16;
/// A name, in bytes.
const LONGEST: usize = 200;

/// The files of a revision by their paths, which stay inside of it.
#[derive(Debug, Default)]
pub(in crate::deliver) struct Files {
    files: BTreeMap<String, Vec<u8>>,
    bytes: u64,
}

impl Files {
    /// Takes one more.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(in crate::deliver) fn add(&mut self, path: &str, content: Vec<u8>) -> Result<(), String> {
        check(path)?;
        self.bytes += content.len() as u64;
        if self.bytes > LARGEST {
            return Err(format!("its files are larger than {} MiB together", LARGEST >> 20));
        }
        if self.files.len() >= MOST {
            return Err(format!("it has more than {MOST} files"));
        }
        match self.files.insert(path.to_owned(), content) {
            Some(_) => Err(format!("it has `{path}` twice")),
            None => Ok(()),
        }
    }

    pub(in crate::deliver) fn take(&mut self, path: &str) -> Option<Vec<u8>> {
        self.files.remove(path)
    }

    #[cfg(test)]
    pub(in crate::deliver) fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    pub(in crate::deliver) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, content)| (path.as_str(), content.as_slice()))
    }

    pub(in crate::deliver) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Writes them out below `folder`, forced to the disk.
    ///
    /// # Errors
    /// The disk's.
    pub(in crate::deliver) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir(folder)?;
        for (path, content) in self.iter() {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            let mut file = File::create_new(&path)?;
            file.write_all(content)?;
            file.sync_all()?;
        }
        sync(folder)
    }
}

/// Forces a folder and those in it to the disk.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync(&path)?;
        }
    }
    File::open(folder)?.sync_all()
}

/// Whether a path is made of plain names, so that it stays below wherever it is put.
fn check(path: &str) -> Result<(), String> {
    let shown = path.escape_debug();
    let parts: Vec<&str> = path.split('/').collect();
    if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return Err(format!("its file `{shown}` does not stay inside of it"));
    }
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Err(format!("its file `{shown}` has a character that names do not have"));
    }
    if parts.len() > DEEPEST || parts.iter().any(|part| part.len() > LONGEST) {
        return Err(format!("its file `{shown}` is nested too deep, or its name is too long"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_its_folder_is_no_path() {
        for path in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "a\\..\\b", "a\0b", "a\nb"] {
            assert!(Files::default().add(path, Vec::new()).is_err(), "{path:?}");
        }
        assert!(Files::default().add(&"a/".repeat(20), Vec::new()).is_err());
        assert!(Files::default().add("roles/data.json", Vec::new()).is_ok());
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut files = Files::default();
        files.add("a.rego", b"1".to_vec()).unwrap();
        assert_eq!(files.add("a.rego", b"2".to_vec()), Err("it has `a.rego` twice".to_owned()));
    }

    #[test]
    fn a_file_that_is_a_folder_too_is_not_written() {
        let mut files = Files::default();
        files.add("a", Vec::new()).unwrap();
        files.add("a/b", Vec::new()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        assert!(files.write(&folder.path().join("policy")).is_err());
    }
}
