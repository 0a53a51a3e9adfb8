//! Certificates and keys in PEM files: readable, of one another, and not expired.

use std::path::Path;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::parse_x509_certificate;

use super::super::problem::At;
use super::super::report::Report;

/// How long before its end a certificate is warned about; in seconds.
const SOON: i64 = 14 * 24 * 60 * 60;

/// Checks the certificate chain and its key under `at`.
pub(super) fn pair(certificate: &Path, key: &Path, at: &At, report: &mut Report<'_>) {
    let chain = certificates(certificate, &at.key("certificate"), report);
    let key_der = private_key(key, &at.key("key"), report);
    if let Some(leaf) = chain.first() {
        validity(leaf, certificate, &at.key("certificate"), report);
    }
    if let (false, Some(key_der)) = (chain.is_empty(), key_der) {
        matches(chain, key_der, (certificate, key), at, report);
    }
}

/// Checks a file of authorities.
pub(super) fn authorities(file: &Path, at: &At, report: &mut Report<'_>) {
    for certificate in certificates(file, at, report) {
        validity(&certificate, file, at, report);
    }
}

fn certificates(file: &Path, at: &At, report: &mut Report<'_>) -> Vec<CertificateDer<'static>> {
    let Some(pem) = bytes(file, at, report) else { return Vec::new() };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => found,
        Ok(_) | Err(_) => {
            report.error(
                at,
                format!("`{}` holds no certificate", file.display()),
                "name a PEM file with `-----BEGIN CERTIFICATE-----`",
            );
            Vec::new()
        }
    }
}

fn private_key(file: &Path, at: &At, report: &mut Report<'_>) -> Option<PrivateKeyDer<'static>> {
    let pem = bytes(file, at, report)?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => Some(key),
        Err(_) => {
            report.error(
                at,
                format!("`{}` holds no private key", file.display()),
                "name a PEM file with `-----BEGIN PRIVATE KEY-----`",
            );
            None
        }
    }
}

fn matches(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    (certificate_file, key_file): (&Path, &Path),
    at: &At,
    report: &mut Report<'_>,
) {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let Ok(key) = provider.key_provider.load_private_key(key) else {
        let what = format!("`{}` holds a key of a kind that is not supported", key_file.display());
        report.error(&at.key("key"), what, "use an ECDSA (P-256, P-384), Ed25519 or RSA key");
        return;
    };
    let certified = CertifiedKey::new(chain, Arc::clone(&key));
    if certified.keys_match() == Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) {
        let what = format!("`{}` is not the key of `{}`", key_file.display(), certificate_file.display());
        report.error(&at.key("key"), what, "name the key that the certificate was made for");
    }
}

fn validity(certificate: &CertificateDer<'_>, file: &Path, at: &At, report: &mut Report<'_>) {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
        report.error(at, format!("`{}` holds a damaged certificate", file.display()), "make the file anew");
        return;
    };
    let now = report.env.now().as_second();
    let (from, until) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let name = file.display();
    if until <= now {
        report.error(at, format!("the certificate in `{name}` expired on {}", day(until)), "renew it");
    } else if from > now {
        let what = format!("the certificate in `{name}` is not valid before {}", day(from));
        report.error(at, what, "use one that is valid now, or set this machine's clock right");
    } else if until - now < SOON {
        report.warn(
            at,
            format!("the certificate in `{name}` expires on {}", day(until)),
            "renew it; the gate takes the new file without a restart",
        );
    }
}

fn bytes(file: &Path, at: &At, report: &mut Report<'_>) -> Option<Vec<u8>> {
    match std::fs::read(file) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            report.error(
                at,
                format!("`{}` cannot be read: {error}", file.display()),
                "name a readable PEM file",
            );
            None
        }
    }
}

fn day(second: i64) -> String {
    jiff::Timestamp::from_second(second).map_or_else(|_| "an unknown day".to_owned(), |time| time.to_string())
}
