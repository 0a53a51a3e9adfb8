//! Certificates and keys in files.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::super::*;
use super::{SERVER, TestEnv, plain, written};

/// Writes a certificate that is good until the given day of 2026-12 or 2027, and its key.
fn certificate(directory: &Path, name: &str, (year, month, day): (i32, u8, u8)) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["gate.example".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(year, month, day);
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(directory.join(format!("{name}.crt")), certificate.pem()).unwrap();
    std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

fn told(tls: &str) -> (Vec<String>, Vec<String>) {
    let (directory, file) =
        written(&format!("{SERVER}listen: [{{address: '127.0.0.1:0', tls: {{{tls}}}}}]\n"));
    certificate(directory.path(), "good", (2027, 6, 1));
    certificate(directory.path(), "other", (2027, 6, 1));
    certificate(directory.path(), "soon", (2026, 11, 30));
    certificate(directory.path(), "old", (2026, 11, 1));
    std::fs::write(directory.path().join("empty.crt"), "").unwrap();
    let told = |findings: Vec<String>| findings.iter().map(|it| plain(it, directory.path())).collect();
    match Config::load(&file, &TestEnv) {
        Ok((_, warnings)) => (Vec::new(), told(warnings.iter().map(ToString::to_string).collect())),
        Err(errors) => (told(errors.iter().map(ToString::to_string).collect()), Vec::new()),
    }
}

#[test]
fn a_good_certificate_with_its_key_is_taken() {
    assert_eq!(told("certificate: good.crt, key: good.key"), (vec![], vec![]));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (errors, _) = told("certificate: good.crt, key: other.key");
    assert_eq!(
        errors,
        [
            "portcullis.yaml:2:69: listen[0].tls.key: `other.key` is not the key of `good.crt`; name the key that the certificate was made for"
        ]
    );
}

#[test]
fn an_expired_certificate_is_refused_and_one_that_soon_expires_is_warned_about() {
    let (errors, _) = told("certificate: old.crt, key: old.key");
    assert_eq!(
        errors,
        [
            "portcullis.yaml:2:54: listen[0].tls.certificate: the certificate in `old.crt` expired on 2026-11-01T00:00:00Z; renew it"
        ]
    );
    let (errors, warnings) = told("certificate: soon.crt, key: soon.key");
    assert_eq!(errors, [""; 0]);
    assert_eq!(
        warnings,
        [
            "portcullis.yaml:2:54: listen[0].tls.certificate: the certificate in `soon.crt` expires on 2026-11-30T00:00:00Z; renew it; the gate takes the new file without a restart"
        ]
    );
}

#[test]
fn files_that_are_missing_or_hold_something_else_are_all_named_at_once() {
    let (errors, _) =
        told("certificate: empty.crt, key: good.crt, client_authorities: none.pem, client_required: true");
    assert_eq!(
        errors,
        [
            "portcullis.yaml:2:54: listen[0].tls.certificate: `empty.crt` holds no certificate; name a PEM file with `-----BEGIN CERTIFICATE-----`",
            "portcullis.yaml:2:70: listen[0].tls.key: `good.crt` holds no private key; name a PEM file with `-----BEGIN PRIVATE KEY-----`",
            "portcullis.yaml:2:100: listen[0].tls.client_authorities: `none.pem` cannot be read: No such file or directory (os error 2); name a readable PEM file",
        ]
    );
}
