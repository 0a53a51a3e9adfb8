//! A server that cannot prove by TLS that it is the one.

use std::sync::{Arc, Mutex};

use portcullis_integration::certificate::{Authority, Certificate};
use portcullis_integration::fixture::Std;
use portcullis_integration::mcp::answer;
use portcullis_integration::reply::{Reply, Step};
use portcullis_integration::upstream::Upstream;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::json;
use tempfile::TempDir;

/// The certificate of the moment.
#[derive(Debug)]
struct Shown(Mutex<Arc<CertifiedKey>>);

impl Shown {
    fn now(&self, certificate: &Certificate) {
        *self.0.lock().expect("no panic while it is held") = certified(certificate);
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.lock().expect("no panic while it is held").clone())
    }
}

fn certified(pair: &Certificate) -> Arc<CertifiedKey> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
    Arc::new(CertifiedKey::from_der(chain, key, &provider).expect("a pair"))
}

/// A server that shows what it is told, proves itself on each connection anew, and closes after each answer.
fn server(first: &Certificate) -> (Upstream, Arc<Shown>) {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let shown = Arc::new(Shown(Mutex::new(certified(first))));
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(shown.clone());
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let upstream = Upstream::start_tls(config);
    upstream.answers(|e| Reply([answer(e).0, vec![Step::Close]].concat()));
    (upstream, shown)
}

/// F13.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_prove_its_name_gets_no_byte_also_when_it_could_before() {
    let (authority, foreign) = (Authority::new("servers"), Authority::new("others"));
    let good = authority.server("up.test");
    let (upstream, shown) = server(&good);
    let trusted = TempDir::new().expect("a directory");
    let authorities = trusted.path().join("authorities.pem");
    std::fs::write(&authorities, authority.pem()).expect("writable");
    let std = Std::before(upstream, |c| c["servers"]["up"]["tls"] = json!({"authorities": authorities}));
    let bad = [authority.expired_server(), authority.another_server(), foreign.server("up.test")];
    for wrong in bad {
        shown.now(&good);
        assert!(!std.alice().calls("safe", json!({})).await.result().is_null());
        shown.now(&wrong);
        std.upstream.forget();
        for agent in [std.alice(), std.carol()] {
            let answer = agent.calls("safe", json!({})).await;
            assert_eq!(answer.code(), Some(-31502), "{answer:?}");
        }
        assert!(std.upstream.exchanges().is_empty() && std.upstream.bytes().is_empty());
    }
}

/// F13: what one tenant's credential has opened serves no other.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_share_no_connection_to_a_server() {
    let std = Std::start();
    for _ in 0..3 {
        std.alice().calls("safe", json!({})).await;
        std.carol().calls("safe", json!({})).await;
    }
    let used = |secret: &str| -> Vec<_> {
        let bearer = format!("Bearer {secret}");
        let own =
            std.upstream.exchanges().into_iter().filter(|e| e.header("authorization") == [bearer.as_str()]);
        own.map(|e| e.connection).collect()
    };
    let (a, b) = (
        used(portcullis_integration::fixture::UPSTREAM_SECRET_A),
        used(portcullis_integration::fixture::UPSTREAM_SECRET_B),
    );
    assert!(
        !a.is_empty() && !b.is_empty() && a.iter().all(|connection| !b.contains(connection)),
        "{a:?} {b:?}"
    );
}
