//! The gate's own keys: 32 bytes in a file, in base64 or hex.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::problem::At;
use super::report::Report;
use crate::secret::Key;

const BYTES: usize = 32;

/// Reads the key in `file`. Where the file is missing and stands in the state directory, the key is a new one that
/// [`make`] can write; elsewhere that is a mistake.
pub(super) fn check(file: &Path, state: &Path, at: &At, report: &mut Report<'_>) -> Option<Key> {
    let fix = "name a file with 32 bytes in base64 or hex";
    match std::fs::read_to_string(file) {
        Ok(text) => {
            private(file, at, report);
            let key = decode(text.trim());
            if key.is_none() {
                report.error(
                    at,
                    format!("`{}` does not hold 32 bytes in base64 or hex", file.display()),
                    fix,
                );
            }
            key
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.starts_with(state) => random(),
        Err(error) => {
            report.error(at, format!("`{}` cannot be read: {error}", file.display()), fix);
            None
        }
    }
}

/// Makes `file` with a new key, mode 0600, unless it is there.
///
/// # Errors
/// The file or its directory cannot be written.
pub(super) fn make(file: &Path) -> io::Result<()> {
    if file.exists() {
        return Ok(());
    }
    let key = random().ok_or_else(|| io::Error::other("the system gives no random bytes"))?;
    write_private(file, hex::encode(key.expose()).as_bytes())
}

/// Makes a directory that is its owner's alone, unless it is there.
///
/// # Errors
/// It cannot be made.
pub(super) fn make_directory(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Writes a file that did not exist, with mode 0600; it appears whole or not at all.
fn write_private(file: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = file.with_extension(format!("{}.new", std::process::id()));
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let written = out.write_all(content).and_then(|()| out.write_all(b"\n")).and_then(|()| out.sync_all());
    // A link, unlike a rename, never replaces a key that another process made meanwhile.
    let linked = written.and_then(|()| match std::fs::hard_link(&unfinished, file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    std::fs::remove_file(&unfinished)?;
    linked?;
    file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn private(file: &Path, at: &At, report: &mut Report<'_>) {
    let mode = std::fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        let what = format!("others can read `{}` (mode {:03o})", file.display(), mode & 0o777);
        report.warn(at, what, format!("run `chmod 600 {}`", file.display()));
    }
}

fn decode(text: &str) -> Option<Key> {
    let bytes = hex::decode(text).ok().or_else(|| STANDARD.decode(text).ok())?;
    (bytes.len() == BYTES).then(|| Key::new(bytes))
}

fn random() -> Option<Key> {
    let mut bytes = vec![0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(Key::new(bytes))
}
