//! The key that signs the audit chain: Ed25519 (RFC 8032), made at first start, the public half beside the segments.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use crate::record::RecordError;
use crate::secret::Secret;

/// What stands before the 32 bytes of an Ed25519 key in its X.509 form (RFC 8410 section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The name of the private key's file in the state directory.
const KEY_FILE: &str = "audit.key";

/// The name of the public key's file beside the segments.
pub(super) const PUBLIC_FILE: &str = "audit.pub";

/// The gate's audit key pair.
pub(super) struct Signer(Ed25519KeyPair);

impl Signer {
    /// The pair in `<state>/audit.key`; made with mode 0600 where it is not there.
    pub(super) fn load_or_make(state: &Path) -> Result<Self, RecordError> {
        let path = state.join(KEY_FILE);
        match fs::read_to_string(&path) {
            Ok(pem) => Self::read(&path, &Secret::new(pem)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::make(state, &path),
            Err(error) => Err(RecordError::io("cannot read the audit key", &path, &error)),
        }
    }

    /// The public half.
    pub(super) fn public(&self) -> AuditKey {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(self.0.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        AuditKey(bytes)
    }

    /// The signature of `text` in lower-case hex.
    pub(super) fn sign(&self, text: &[u8]) -> String {
        hex::encode(self.0.sign(text))
    }

    fn read(path: &Path, pem: &Secret) -> Result<Self, RecordError> {
        let bad = || RecordError::BadKey {
            path: path.to_owned(),
            what: "it is not an Ed25519 private key in PKCS#8 PEM; restore it from a backup, or move it away for a \
                   new one (what the old key signed is then verified with the old audit.pub)",
        };
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| bad())?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map(Self).map_err(|_| bad())
    }

    fn make(state: &Path, path: &Path) -> Result<Self, RecordError> {
        let failed = |error: &std::io::Error| RecordError::io("cannot make the audit key", path, error);
        let pair = Ed25519KeyPair::generate().map_err(|_| RecordError::Crypto)?;
        let der = pair.to_pkcs8v1().map_err(|_| RecordError::Crypto)?;
        let text = Secret::new(pem("PRIVATE KEY", der.as_ref()));
        fs::create_dir_all(state).map_err(|e| failed(&e))?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|e| failed(&e))?;
        file.write_all(text.expose().as_bytes()).and_then(|()| file.sync_all()).map_err(|e| failed(&e))?;
        Ok(Self(pair))
    }
}

/// The public key that an audit chain is verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditKey([u8; 32]);

impl AuditKey {
    /// Reads `audit.pub`: an Ed25519 public key in PEM (RFC 8410).
    ///
    /// # Errors
    /// The file cannot be read, or is no such key.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        let text =
            fs::read(path).map_err(|e| RecordError::io("cannot read the audit public key", path, &e))?;
        Self::from_pem(&text).ok_or_else(|| RecordError::BadKey {
            path: path.to_owned(),
            what: "it is not an Ed25519 public key in PEM, as the gate writes it to `audit.pub`",
        })
    }

    /// Where the gate puts the public key of the chain in `directory`.
    #[must_use]
    pub fn path(directory: &Path) -> PathBuf {
        directory.join(PUBLIC_FILE)
    }

    /// The key in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &[&SPKI_PREFIX[..], &self.0].concat())
    }

    /// Whether `signature`, in lower-case hex, is this key's of `text`.
    pub(super) fn proves(&self, text: &[u8], signature: &str) -> bool {
        let Ok(bytes) = hex::decode(signature) else { return false };
        hex::encode(&bytes) == signature
            && UnparsedPublicKey::new(&ED25519, &self.0).verify(text, &bytes).is_ok()
    }

    fn from_pem(text: &[u8]) -> Option<Self> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text).ok()?;
        let bytes = der.as_ref().strip_prefix(&SPKI_PREFIX)?;
        Some(Self(bytes.try_into().ok()?))
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};

    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_its_owner_may_read_it() {
        let state = tempfile::tempdir().unwrap();
        let first = Signer::load_or_make(state.path()).unwrap().public();
        let again = Signer::load_or_make(state.path()).unwrap().public();
        let mode = fs::metadata(state.path().join("audit.key")).unwrap().permissions().mode();
        assert_eq!((first, mode & 0o777), (again, 0o600));
    }

    #[test]
    fn the_public_key_survives_its_file_and_is_the_standard_form() {
        let state = tempfile::tempdir().unwrap();
        let signer = Signer::load_or_make(state.path()).unwrap();
        let path = AuditKey::path(state.path());
        fs::write(&path, signer.public().to_pem()).unwrap();
        let read = AuditKey::read(&path).unwrap();
        let der: PublicKeyX509Der<'_> = signer.0.public_key().as_der().unwrap();
        assert!(signer.public().to_pem().contains(&BASE64_STANDARD.encode(der.as_ref())));
        assert!(read.proves(b"text", &signer.sign(b"text")));
        assert!(!read.proves(b"texT", &signer.sign(b"text")));
        assert!(!read.proves(b"text", &signer.sign(b"text").to_uppercase()));
    }

    #[test]
    fn a_damaged_key_stops_the_start_with_its_path() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("audit.key"), "nonsense").unwrap();
        let error = Signer::load_or_make(state.path()).err().unwrap().to_string();
        assert!(error.contains("audit.key") && error.contains("Ed25519"), "{error}");
    }
}
