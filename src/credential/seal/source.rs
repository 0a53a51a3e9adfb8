//! Where the sealing key comes from: a file, or the standard output of a command.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::credential::command::{self, CommandError};
use crate::credential::seal::{KEY_BYTES, SealError};
use crate::secret::Key;

/// More than any encoding of a key needs.
const MOST_BYTES: u64 = 4096;

pub(super) fn from_file(path: &Path) -> Result<Key, SealError> {
    let wrong = |error: std::io::Error| SealError::BadKey(format!("`{}`: {error}", path.display()));
    let mut text = Zeroizing::new(Vec::new());
    match File::open(path) {
        Ok(file) => drop(file.take(MOST_BYTES).read_to_end(&mut text).map_err(wrong)?),
        Err(error) if error.kind() == ErrorKind::NotFound => return made(path),
        Err(error) => return Err(wrong(error)),
    }
    decoded(&text).ok_or_else(|| {
        let what = "it must be 32 bytes in base64 or hex; make one with `openssl rand -base64 32`";
        SealError::BadKey(format!("`{}`: {what}", path.display()))
    })
}

/// A new key, linked into place when it is written whole; where another process was faster, its key.
fn made(path: &Path) -> Result<Key, SealError> {
    let wrong = |error: std::io::Error| SealError::BadKey(format!("`{}`: {error}", path.display()));
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| SealError::BadKey("no random bytes".into()))?;
    let text = Zeroizing::new(STANDARD.encode(*bytes) + "\n");
    let draft = path.with_extension(format!("{}.new", uuid::Uuid::now_v7().simple()));
    let linked = written(&draft, text.as_bytes()).and_then(|()| std::fs::hard_link(&draft, path));
    let _ = std::fs::remove_file(&draft);
    match linked {
        Ok(()) => {
            tracing::info!(file = %path.display(), "A new sealing key was made; keep a copy of it");
            Ok(Key::new(bytes.to_vec()))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => from_file(path),
        Err(error) => Err(wrong(error)),
    }
}

fn written(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

pub(super) async fn from_command(words: &[String]) -> Result<Key, SealError> {
    let text = command::output(words, &[]).await.map_err(|error| match error {
        CommandError::NotRun(why) => SealError::BadKey(why),
        CommandError::Failed(why) => SealError::Unavailable(why),
    })?;
    let program = words.first().map_or("", String::as_str);
    decoded(&text).ok_or_else(|| {
        SealError::BadKey(format!("`{program}` must print 32 bytes in base64 or hex to its standard output"))
    })
}

fn decoded(text: &[u8]) -> Option<Key> {
    let text = text.trim_ascii();
    let candidates = [
        hex::decode(text).ok(),
        STANDARD.decode(text).ok(),
        STANDARD_NO_PAD.decode(text).ok(),
        URL_SAFE_NO_PAD.decode(text).ok(),
    ];
    candidates.into_iter().flatten().map(Key::new).find(|key| key.expose().len() == KEY_BYTES)
}
