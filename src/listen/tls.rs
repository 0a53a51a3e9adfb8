//! TLS of a listener: certificates that are read again when their files change, and client certificates.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::listeners::{ALPN, TlsAccept};
use pingora::protocols::tls::TlsRef;
use rustls::RootCertStore;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;

use crate::config::ListenerTls;
use crate::inbound::ClientCertificate;

/// Why TLS files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{path}`: {why}")]
pub struct BadTls {
    path: PathBuf,
    why: String,
}

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The settings of one listener. Its files are watched for as long as the process lives.
pub(in crate::listen) fn settings(files: &ListenerTls) -> Result<TlsSettings, BadTls> {
    let bad = |why: String| BadTls { path: files.certificate.clone(), why };
    let mut settings =
        TlsSettings::with_callbacks(Box::new(ReadCertificate)).map_err(|error| bad(error.to_string()))?;
    settings.set_alpn(ALPN::H2H1);
    settings.set_cert_resolver(Reloading::watch(&files.certificate, &files.key)?);
    if let Some(authorities) = &files.client_authorities {
        settings.set_client_cert_verifier(verifier(authorities, files.client_required)?);
    }
    Ok(settings)
}

/// The same for a listener that is not Pingora's. It speaks HTTP/1.1.
///
/// # Errors
/// Files that cannot be used.
pub fn server_config(files: &ListenerTls) -> Result<rustls::ServerConfig, BadTls> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| bad(&files.certificate, &error))?;
    let builder = match &files.client_authorities {
        Some(authorities) => builder.with_client_cert_verifier(verifier(authorities, files.client_required)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Reloading::watch(&files.certificate, &files.key)?);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificate as it is in the files now.
#[derive(Debug)]
struct Reloading(ArcSwap<CertifiedKey>);

impl Reloading {
    fn watch(certificate: &Path, key: &Path) -> Result<Arc<Self>, BadTls> {
        let resolver = Arc::new(Self(ArcSwap::from_pointee(load(certificate, key)?)));
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let held = Arc::downgrade(&resolver);
        tokio::spawn(async move {
            let mut seen = changed(&certificate, &key);
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(resolver) = held.upgrade() else { return };
                let now = changed(&certificate, &key);
                if now == seen {
                    continue;
                }
                match load(&certificate, &key) {
                    Ok(fresh) => {
                        resolver.0.store(Arc::new(fresh));
                        seen = now;
                        tracing::info!(certificate = %certificate.display(), "Certificate reloaded");
                    }
                    // Key and certificate are seldom replaced in one instant: the next look may find both.
                    Err(error) => tracing::warn!(%error, "Certificate not reloaded; the old one serves"),
                }
            }
        });
        Ok(resolver)
    }
}

impl ResolvesServerCert for Reloading {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn changed(certificate: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [certificate, key].map(|path| path.metadata().and_then(|data| data.modified()).ok())
}

fn load(certificate: &Path, key: &Path) -> Result<CertifiedKey, BadTls> {
    let chain = certificates(certificate)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, &error))?;
    let signing =
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&secret).map_err(|error| bad(key, &error))?;
    let certified = CertifiedKey::new(chain, signing);
    certified.keys_match().map_err(|_| bad(key, &"the key does not belong to the certificate"))?;
    Ok(certified)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| bad(path, &error))?
        .collect::<Result<_, _>>()
        .map_err(|error| bad(path, &error))?;
    match all.is_empty() {
        true => Err(bad(path, &"there is no certificate in it")),
        false => Ok(all),
    }
}

fn bad(path: &Path, why: &dyn std::fmt::Display) -> BadTls {
    BadTls { path: path.to_owned(), why: why.to_string() }
}

fn verifier(authorities: &Path, required: bool) -> Result<Arc<dyn ClientCertVerifier>, BadTls> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authorities)? {
        roots.add(certificate).map_err(|error| bad(authorities, &error))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    let verifier = builder.build().map_err(|error| bad(authorities, &error))?;
    Ok(verifier)
}

/// Reads the client's certificate once per connection, after the handshake has verified it.
struct ReadCertificate;

#[async_trait]
impl TlsAccept for ReadCertificate {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let certificate = read(tls.peer_certificate_der()?)?;
        Some(Arc::new(certificate))
    }
}

/// What a client's certificate says.
#[must_use]
pub fn read(der: &[u8]) -> Option<ClientCertificate> {
    let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
    let first = |mut values: Box<dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>> + '_>| {
        values.next().and_then(|value| value.as_str().ok()).map(ToOwned::to_owned)
    };
    let names = parsed.subject_alternative_name().ok().flatten();
    Some(ClientCertificate {
        sha256: Sha256::digest(der).into(),
        common_name: first(Box::new(parsed.subject().iter_common_name())),
        organisation: first(Box::new(parsed.subject().iter_organization())),
        alternative_names: names
            .map(|names| names.value.general_names.iter().filter_map(text).collect())
            .unwrap_or_default(),
        der: der.to_vec(),
    })
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) | GeneralName::RFC822Name(text) => {
            Some((*text).to_owned())
        }
        _ => None,
    }
}
