//! Where the sealing key comes from: a file, or the standard output of a command.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use crate::credential::seal::{KEY_BYTES, SealError};
use crate::secret::Key;

const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
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
    let (program, arguments) =
        words.split_first().ok_or_else(|| SealError::BadKey("the command is empty".into()))?;
    let output = tokio::time::timeout(COMMAND_TIMEOUT, output(program, arguments)).await;
    let text = match output {
        Ok(output) => output?,
        Err(_) => {
            return Err(SealError::Unavailable(format!(
                "`{program}` did not end within {COMMAND_TIMEOUT:?}"
            )));
        }
    };
    decoded(&text).ok_or_else(|| {
        SealError::BadKey(format!("`{program}` must print 32 bytes in base64 or hex to its standard output"))
    })
}

async fn output(program: &str, arguments: &[String]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| SealError::BadKey(format!("`{program}` cannot be run: {error}")))?;
    let failed = |error: std::io::Error| SealError::Unavailable(format!("`{program}`: {error}"));
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(MOST_BYTES).unwrap_or(0)));
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MOST_BYTES).read_to_end(&mut text).await.map_err(failed)?;
    }
    let status = child.wait().await.map_err(failed)?;
    if status.success() {
        return Ok(text);
    }
    Err(SealError::Unavailable(format!("`{program}` failed ({status})")))
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
