//! Certificates made for one run.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType, SerialNumber,
};

/// A certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// A new authority of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }

    /// The authority's own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for 127.0.0.1 and localhost.
    #[must_use]
    pub fn server(&self, name: &str) -> Certificate {
        let mut params = CertificateParams::new(vec!["localhost".into(), name.into()]).expect("names");
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        self.sign(params, name)
    }

    /// A certificate for another host than the one that tests connect to.
    #[must_use]
    pub fn another_server(&self) -> Certificate {
        let params = CertificateParams::new(vec!["elsewhere.test".into()]).expect("a name");
        self.sign(params, "elsewhere.test")
    }

    /// A certificate for 127.0.0.1 that ended long ago.
    #[must_use]
    pub fn expired_server(&self) -> Certificate {
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("a name");
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.sign(params, "localhost")
    }

    /// A certificate for a client of this common name. `serial` may be that of another one.
    #[must_use]
    pub fn client(&self, name: &str, serial: u64) -> Certificate {
        let mut params = CertificateParams::new(vec![format!("{name}.clients.test")]).expect("a name");
        params.serial_number = Some(SerialNumber::from(serial));
        self.sign(params, name)
    }

    /// A client's certificate that ended long ago.
    #[must_use]
    pub fn expired(&self, name: &str) -> Certificate {
        let mut params = CertificateParams::new(vec![format!("{name}.clients.test")]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.sign(params, name)
    }

    fn sign(&self, mut params: CertificateParams, name: &str) -> Certificate {
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Certificate {
    /// Writes `<name>.crt` and `<name>.key` into the directory.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) =
            (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
        std::fs::write(&certificate, &self.certificate).expect("a writable directory");
        std::fs::write(&key, &self.key).expect("a writable directory");
        (certificate, key)
    }
}
