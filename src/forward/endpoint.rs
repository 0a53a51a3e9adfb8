//! Where a server is and how it is spoken to, read once from the configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::config::{Account, Server, Timeouts};
use crate::forward::{Guard, Spoken};
use crate::name::ServerName;

/// One server as seen by one account.
#[derive(Debug)]
pub struct Endpoint {
    /// The server's name, for refusals.
    pub server: ServerName,
    /// Its URL.
    pub url: http::Uri,
    /// The host as it stands in the URL, for DNS, SNI and `Host`.
    pub host: String,
    /// The port.
    pub port: u16,
    /// `Host` as sent.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Whether HTTP/2 is spoken where it is offered.
    pub http2: bool,
    /// Which addresses may be connected to.
    pub guard: Guard,
    /// Times.
    pub timeouts: Timeouts,
    /// Which eras it speaks.
    pub spoken: Spoken,
    pub(in crate::forward) authorities: Option<Arc<CaType>>,
    pub(in crate::forward) client: Option<Arc<CertKey>>,
    identity: [u8; 32],
}

/// Why an endpoint cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BadEndpoint {
    /// A URL that is not absolute `http` or `https`.
    #[error("server `{0}`: the URL must be absolute and begin with http:// or https://")]
    Url(ServerName),
    /// A file that cannot be read or parsed.
    #[error("server `{server}`: `{path}`: {why}")]
    File {
        /// The server.
        server: ServerName,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Endpoint {
    /// The endpoint of `server`, at the account's own URL where it has one.
    ///
    /// # Errors
    /// A URL or a PEM file that cannot be used.
    pub fn new(server: &Server, account: Option<&Account>) -> Result<Self, BadEndpoint> {
        let own = account.and_then(|account| account.url.as_ref());
        let url = own.unwrap_or(&server.url);
        let bad = || BadEndpoint::Url(server.name.clone());
        let tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad()),
        };
        let authority = url.authority().ok_or_else(bad)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let (authorities, client, identity) = materials(server)?;
        Ok(Self {
            server: server.name.clone(),
            url: url.clone(),
            host,
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.to_string(),
            path: url.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            tls,
            http2: server.http2,
            guard: if own.is_some() { Guard::PublicOnly } else { Guard::Any },
            timeouts: server.timeouts.clone(),
            spoken: Spoken::default(),
            authorities,
            client,
            identity,
        })
    }

    /// What a connection is authenticated with and against: Pingora's own pool key has neither the authorities nor
    /// more of a client certificate than its serial number.
    pub(in crate::forward) fn identity(&self) -> (&ServerName, &[u8; 32], bool) {
        (&self.server, &self.identity, self.http2)
    }
}

type Materials = (Option<Arc<CaType>>, Option<Arc<CertKey>>, [u8; 32]);

fn materials(server: &Server) -> Result<Materials, BadEndpoint> {
    let mut digest = Sha256::new();
    let authorities = match &server.tls.authorities {
        Some(path) => {
            let certificates = certificates(server, path)?;
            certificates.iter().for_each(|der| digest.update(der));
            let list: Vec<WrappedX509> =
                certificates.into_iter().map(|der| WrappedX509::new(der, parse_x509)).collect();
            Some(Arc::from(list.into_boxed_slice()))
        }
        None => None,
    };
    let client = match &server.tls.client {
        Some((certificate, key)) => {
            let chain = certificates(server, certificate)?;
            chain.iter().for_each(|der| digest.update(der));
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| file(server, key, &error))?;
            Some(Arc::new(CertKey::new(chain, key.secret_der().to_vec())))
        }
        None => None,
    };
    Ok((authorities, client, digest.finalize().into()))
}

/// The certificates of a PEM file, each one parsed: Pingora would panic on one that cannot be.
fn certificates(server: &Server, path: &Path) -> Result<Vec<Vec<u8>>, BadEndpoint> {
    let bad =
        |why: &str| BadEndpoint::File { server: server.name.clone(), path: path.to_owned(), why: why.into() };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| file(server, path, &error))?;
    let all: Vec<Vec<u8>> = read
        .map(|der| der.map(|der| der.to_vec()).map_err(|error| file(server, path, &error)))
        .collect::<Result<_, _>>()?;
    if all.is_empty() {
        return Err(bad("there is no certificate in it"));
    }
    match all.iter().all(|der| x509_parser::parse_x509_certificate(der).is_ok()) {
        true => Ok(all),
        false => Err(bad("one of its certificates cannot be parsed")),
    }
}

fn file(server: &Server, path: &Path, error: &rustls_pki_types::pem::Error) -> BadEndpoint {
    BadEndpoint::File { server: server.name.clone(), path: path.to_owned(), why: error.to_string() }
}
