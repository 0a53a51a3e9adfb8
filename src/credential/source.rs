//! Reading a secret from where it is kept: a mounted file, the sealed store, a service that it is fetched from, or the
//! configuration.
//!
//! # Why files are looked at inline
//! A secret file is on a local mount, and looking whether it has changed takes one system call, less than handing the
//! work to another thread. It is read again only when its identity, size or times changed; a file that changed less
//! than two seconds before it was read is read each time, for the clock of a file system may be that coarse.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::config::{Fetched, SecretSource};
use crate::credential::Places;
use crate::credential::fetched::Kept;
use crate::credential::seal::{Owner, SealedSecret};
use crate::credential::tokens::Failure;
use crate::secret::{Key, Secret};
use crate::store::Table;

const LARGEST: u64 = 64 << 10;
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// By what one sees whether a secret has changed.
pub(in crate::credential) enum Stamp {
    /// It never changes.
    Constant,
    /// A file's identity, size and times.
    File(Box<Identity>),
    /// The sealed bytes themselves: sealing the same again gives others.
    Sealed(SealedSecret),
    /// The version of what was fetched.
    Fetched(u64),
    /// It must be read each time.
    Unknown,
}

#[derive(PartialEq, Eq)]
pub(in crate::credential) struct Identity {
    file: (u64, u64),
    length: u64,
    modified: SystemTime,
    changed: (i64, i64),
}

pub(in crate::credential) enum Found {
    /// It is what it was when the stamp was made.
    Unchanged,
    /// It is this.
    Secret(Stamp, Secret),
}

/// Whose secrets are read, and from where.
#[derive(Clone, Copy)]
pub(in crate::credential) struct From<'a> {
    pub(in crate::credential) places: &'a Places,
    pub(in crate::credential) owner: Owner<'a>,
    /// Of what is sealed.
    pub(in crate::credential) key: &'a [u8],
}

/// The secret, unless it is still the one that `known` was made from.
pub(in crate::credential) async fn read(
    source: &SecretSource,
    known: Option<&Stamp>,
    kept: Option<&Arc<Kept>>,
    from: From<'_>,
) -> Result<Found, Failure> {
    let From { places, owner, key } = from;
    match source {
        SecretSource::Inline(secret) => Ok(inline(secret, known)),
        SecretSource::File(path) => file(path, known).map_err(|why| {
            let Owner { tenant, server, .. } = owner;
            tracing::warn!(tenant, server, file = %path.display(), %why, "The account's secret cannot be read");
            Failure::Unavailable
        }),
        SecretSource::Sealed => sealed(known, places, owner, key).await,
        SecretSource::Fetched(it) => Box::pin(fetched(it, kept, known, owner)).await,
    }
}

fn inline(secret: &Secret, known: Option<&Stamp>) -> Found {
    match known {
        Some(Stamp::Constant) => Found::Unchanged,
        Some(Stamp::File(_) | Stamp::Sealed(_) | Stamp::Fetched(_) | Stamp::Unknown) | None => {
            Found::Secret(Stamp::Constant, Secret::new(secret.expose().to_owned()))
        }
    }
}

fn file(path: &Path, known: Option<&Stamp>) -> Result<Found, String> {
    if let Some(Stamp::File(known)) = known {
        let now = identity(&std::fs::metadata(path).map_err(|error| error.to_string())?);
        if now.is_some_and(|now| now == **known) {
            return Ok(Found::Unchanged);
        }
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let before = file.metadata().map_err(|error| error.to_string())?;
    if !before.is_file() || before.len() > LARGEST {
        return Err(format!("it is not a file of at most {LARGEST} bytes"));
    }
    let secret = text(file)?;
    Ok(Found::Secret(stamp(&before), secret))
}

/// The secret in a file that is read each time it is needed.
pub(in crate::credential) fn file_secret(path: &Path) -> Result<Secret, String> {
    let read = File::open(path).map_err(|error| error.to_string()).and_then(text);
    read.map_err(|why| format!("`{}` cannot be read: {why}", path.display()))
}

/// The text without the one newline that editors and `echo` leave at its end.
fn text(file: File) -> Result<Secret, String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    file.take(LARGEST).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let line =
        bytes.strip_suffix(b"\n").map_or(bytes.as_slice(), |line| line.strip_suffix(b"\r").unwrap_or(line));
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if text.is_empty() {
        return Err("it is empty".into());
    }
    Ok(Secret::new(text.to_owned()))
}

fn stamp(metadata: &Metadata) -> Stamp {
    match identity(metadata) {
        Some(identity) if identity.is_settled(SystemTime::now()) => Stamp::File(Box::new(identity)),
        Some(_) | None => Stamp::Unknown,
    }
}

impl Identity {
    /// Whether a change that comes now is sure to give other times.
    fn is_settled(&self, now: SystemTime) -> bool {
        let old = |time: SystemTime| now.duration_since(time).is_ok_and(|age| age > COARSEST_CLOCK);
        let changed = u64::try_from(self.changed.0).ok().map(Duration::from_secs);
        let changed = changed.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
        old(self.modified) && changed.is_some_and(|changed| old(changed + Duration::from_secs(1)))
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    Some(Identity {
        file: (metadata.dev(), metadata.ino()),
        length: metadata.len(),
        modified: metadata.modified().ok()?,
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<Identity> {
    None
}

async fn sealed(
    known: Option<&Stamp>,
    places: &Places,
    owner: Owner<'_>,
    key: &[u8],
) -> Result<Found, Failure> {
    let Owner { tenant, server, .. } = owner;
    let stored = places.store.get(Table::Credentials, key).await.map_err(|error| {
        tracing::warn!(tenant, server, %error, "The account's sealed secret cannot be read");
        Failure::Unavailable
    })?;
    let Some(stored) = stored else {
        tracing::warn!(tenant, server, "The account has no secret yet; run `portcullis account set-secret`");
        return Err(Failure::NeedsReauth);
    };
    let stored = SealedSecret::from_bytes(stored.value);
    if matches!(known, Some(Stamp::Sealed(known)) if *known == stored) {
        return Ok(Found::Unchanged);
    }
    let opened = places.sealer.open_sealed(owner, &stored).await.map_err(|error| {
        tracing::warn!(tenant, server, %error, "The account's sealed secret cannot be opened");
        Failure::Unavailable
    })?;
    Ok(Found::Secret(Stamp::Sealed(stored), into_text(&opened)?))
}

async fn fetched(
    it: &Fetched,
    kept: Option<&Arc<Kept>>,
    known: Option<&Stamp>,
    owner: Owner<'_>,
) -> Result<Found, Failure> {
    let text = kept.ok_or(Failure::Unavailable)?.get().await.map_err(|_| Failure::Unavailable)?;
    if matches!(known, Some(Stamp::Fetched(version)) if *version == text.version) {
        return Ok(Found::Unchanged);
    }
    let secret = text.select(it.field.as_deref()).map_err(|why| {
        let Owner { tenant, server, .. } = owner;
        tracing::warn!(tenant, server, %why, "The account's secret was fetched and cannot be used");
        Failure::Unavailable
    })?;
    Ok(Found::Secret(Stamp::Fetched(text.version), secret))
}

fn into_text(opened: &Key) -> Result<Secret, Failure> {
    let text = std::str::from_utf8(opened.expose()).map_err(|_| Failure::Unavailable)?;
    Ok(Secret::new(text.to_owned()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_just_changed_is_read_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "first").unwrap();
        let Ok(Found::Secret(stamp, _)) = file(&path, None) else { panic!("it is there") };
        assert!(matches!(stamp, Stamp::Unknown));
        assert!(matches!(file(&path, Some(&stamp)), Ok(Found::Secret(..))));
        let touched = std::fs::File::open(&path).unwrap();
        touched.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let Ok(Found::Secret(stamp, _)) = file(&path, None) else { panic!("it is there") };
        assert!(matches!(stamp, Stamp::Unknown), "a time that was set by hand proves nothing");
    }

    #[test]
    fn a_file_that_has_not_changed_for_a_while_is_only_looked_at() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".rustfmt.toml");
        let Ok(Found::Secret(stamp, _)) = file(&path, None) else { panic!("it is there") };
        assert!(matches!(file(&path, Some(&stamp)), Ok(Found::Unchanged)));
        let other = path.with_file_name(".gitignore");
        assert!(
            matches!(file(&other, Some(&stamp)), Ok(Found::Secret(..))),
            "another file is another secret"
        );
    }
}
