//! An OPA bundle over HTTP: fetched, verified against its `.signatures.json`, unpacked.
//!
//! # What is trusted
//! The operator's keys. The server, the way to it, and every field of a bundle before its signature is verified are not.
//! A signature that says when it was made (`iat`) may not be older than that of the bundle that serves, so that nobody
//! who holds the server brings back an old one.

mod archive;
mod digest;
mod http;
mod manifest;
mod signature;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::BundleSource;
use crate::deliver::bundle::http::{Answer, Server};
use crate::deliver::bundle::manifest::Manifest;
use crate::deliver::files::Files;
use crate::deliver::shelf::{Shelf, archive};
use crate::deliver::{About, Asked, Fetched, Origin, Setback, Staged};

/// The file with a bundle's signatures.
const SIGNATURES: &str = ".signatures.json";
/// The file that says what a bundle is.
const MANIFEST: &str = ".manifest";

/// A bundle's source.
#[derive(Debug)]
pub(in crate::deliver) struct Bundle {
    source: BundleSource,
    server: Server,
}

/// A bundle that was opened and verified.
struct Opened {
    files: Files,
    revision: String,
    signer: Option<String>,
    signed_at: Option<i64>,
}

impl Bundle {
    pub(in crate::deliver) fn new(source: BundleSource) -> Result<Self, Setback> {
        let server = Server::new(&source)?;
        Ok(Self { source, server })
    }

    pub(in crate::deliver) fn unready(&self) -> Vec<String> {
        self.source.signing.iter().flat_map(signature::unready).collect()
    }

    pub(in crate::deliver) fn server(&self) -> &Server {
        &self.server
    }

    pub(in crate::deliver) async fn fetch(
        &self,
        shelf: &Shelf,
        kept: Option<(PathBuf, About)>,
        asked: Asked,
    ) -> Result<Fetched, Setback> {
        let etag = kept.as_ref().and_then(|(_, about)| about.etag.as_deref());
        let (packed, etag) = match self.server.ask(etag, asked).await? {
            Answer::Bundle { packed, etag } => (packed, etag),
            Answer::Same => return self.same(kept),
        };
        let digest = hex::encode(Sha256::digest(&packed));
        if kept.as_ref().is_some_and(|(_, about)| about.archive.as_ref() == Some(&digest)) {
            return self.same(kept);
        }
        let opened = self.open(&packed)?;
        if let Some((_, about)) = &kept {
            not_older(&opened, about)?;
        }
        self.stage(shelf, &packed, opened, etag).map(Fetched::New)
    }

    pub(in crate::deliver) fn again(
        &self,
        shelf: &Shelf,
        folder: &Path,
        about: About,
    ) -> Result<Staged, Setback> {
        let packed = kept(folder)?;
        let opened = self.open(&packed)?;
        self.stage(shelf, &packed, opened, about.etag)
    }

    /// What is kept is the newest; but is it still signed by a key that counts?
    fn same(&self, last: Option<(PathBuf, About)>) -> Result<Fetched, Setback> {
        let none = || Setback::refused("the server says that nothing changed, and nothing is here");
        let (folder, _) = last.ok_or_else(none)?;
        self.open(&kept(&folder)?).map(|_| Fetched::Same)
    }

    fn open(&self, packed: &[u8]) -> Result<Opened, Setback> {
        let open = || {
            let mut files = archive::unpack(packed)?;
            let signatures = files.take(SIGNATURES);
            let signed = match &self.source.signing {
                Some(signing) => Some(signature::verify(&files, signatures.as_deref(), signing)?),
                None => None,
            };
            let manifest = Manifest::read(files.take(MANIFEST).as_deref())?;
            manifest::fit(&files)?;
            Ok(Opened {
                files,
                revision: manifest.revision,
                signed_at: signed.as_ref().and_then(|signed| signed.at),
                signer: signed.map(|signed| signed.key),
            })
        };
        open().map_err(|why: String| Setback::Refused(format!("the bundle is refused: {why}")))
    }

    fn stage(
        &self,
        shelf: &Shelf,
        packed: &[u8],
        opened: Opened,
        etag: Option<String>,
    ) -> Result<Staged, Setback> {
        let digest = hex::encode(Sha256::digest(packed));
        let short: String = digest.chars().take(16).collect();
        let write = || {
            let folder = shelf.stage(&format!("bundle-{short}"))?;
            opened.files.write(&folder.policy())?;
            let mut file = std::fs::File::create_new(folder.archive())?;
            std::io::Write::write_all(&mut file, packed)?;
            file.sync_all()?;
            Ok(folder)
        };
        let folder = write().map_err(|error| Setback::disk("the bundle cannot be written out", &error))?;
        let origin = Origin::Bundle { revision: opened.revision, archive: digest };
        Ok(Staged { folder, origin, signer: opened.signer, etag, signed_at: opened.signed_at })
    }
}

fn kept(folder: &Path) -> Result<Vec<u8>, Setback> {
    let packed = std::fs::read(archive(folder));
    packed.map_err(|error| Setback::refused(format!("the archive that was kept cannot be read: {error}")))
}

fn not_older(opened: &Opened, about: &About) -> Result<(), Setback> {
    match (opened.signed_at, about.signed_at) {
        (Some(new), Some(old)) if new < old => Err(Setback::refused(format!(
            "the bundle was signed before the one that serves (`iat` {new}, {old}): it may be an old one that is played \
             again. Sign it anew to go back to it"
        ))),
        (None, Some(_)) => Err(Setback::refused(
            "the bundle's signature does not say when it was made (`iat`), and that of the one that serves does",
        )),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}
