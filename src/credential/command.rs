//! The standard output of a command that fetches a secret or a key.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use zeroize::Zeroizing;

const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST: usize = 64 << 10;

/// Why a command gave nothing. For the operator.
#[derive(Debug)]
pub(in crate::credential) enum CommandError {
    /// It cannot be run.
    NotRun(String),
    /// It failed, or did not end.
    Failed(String),
}

impl CommandError {
    pub(in crate::credential) fn into_text(self) -> String {
        match self {
            Self::NotRun(why) | Self::Failed(why) => why,
        }
    }
}

/// What the command prints; it finds `told` in its environment.
///
/// # Errors
/// It cannot be run, fails, or does not end within 10 s.
pub(in crate::credential) async fn output(
    words: &[String],
    told: &[(&str, &str)],
) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| CommandError::NotRun("the command is empty".into()))?;
    let mut command = Command::new(program);
    command.args(arguments).envs(told.iter().copied());
    let ended = tokio::time::timeout(PATIENCE, run(program, command)).await;
    ended
        .unwrap_or_else(|_| Err(CommandError::Failed(format!("`{program}` did not end within {PATIENCE:?}"))))
}

async fn run(program: &str, mut command: Command) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| CommandError::NotRun(format!("`{program}` cannot be run: {error}")))?;
    let failed = |error: std::io::Error| CommandError::Failed(format!("`{program}`: {error}"));
    let mut text = Zeroizing::new(Vec::with_capacity(LARGEST));
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LARGEST as u64).read_to_end(&mut text).await.map_err(failed)?;
    }
    let status = child.wait().await.map_err(failed)?;
    if status.success() {
        return Ok(text);
    }
    Err(CommandError::Failed(format!("`{program}` failed ({status})")))
}
