//! TLS and HTTP/2 on the gate's own listener.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_integration::certificate::{Authority, Certificate};
use portcullis_integration::fixture::{AUDIENCE, ROLES, config};
use portcullis_integration::gate::{Gate, House};
use portcullis_integration::issuer::Issuer;
use portcullis_integration::mcp::MODERN;
use portcullis_integration::upstream::Upstream;
use portcullis_integration::wait;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

struct Secured {
    gate: Gate,
    upstream: Upstream,
    issuer: Issuer,
    authority: Authority,
}

impl Secured {
    fn start(client_required: bool) -> Self {
        let (upstream, authority) = (Upstream::start(), Authority::new("gates"));
        let issuer = Issuer::new("https://idp.test", "key-1");
        let mut config = config(&upstream.url);
        config["listen"][0]["tls"] = json!({
            "certificate": "tls/gate.crt", "key": "tls/gate.key",
            "client_authorities": "clients.pem", "client_required": client_required,
        });
        config["identity"]["certificates"] =
            json!([{"common_name": "agent-*", "tenant": "a", "agent": "batch", "roles": ["reader"]}]);
        let house = House::new(&config, &[("a", ROLES), ("b", ROLES)]);
        house.write("jwks.json", &issuer.jwks().to_string());
        house.write("clients.pem", &authority.pem());
        place(&house, &authority.server("gw.test"));
        Self { gate: house.open(1), upstream, issuer, authority }
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.issuer.sign(&self.issuer.claims(AUDIENCE, "a", "alice")))
    }

    async fn connect(
        &self,
        protocols: &[&str],
        client: Option<&Certificate>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.authority.pem())).expect("a certificate");
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(vec![der(&pair.certificate)], key).expect("a pair")
            }
        };
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        let socket = TcpStream::connect(self.gate.address()).await?;
        TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from("localhost").expect("a name"), socket)
            .await
    }
}

fn place(house: &House, pair: &Certificate) {
    house.write("tls/gate.key", &pair.key);
    house.write("tls/gate.crt", &pair.certificate);
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")
}

/// Calls `safe` over HTTP/2 on this connection: status and answer.
async fn call_h2(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &str,
    bearer: Option<&str>,
) -> (u16, Value) {
    let (mut sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let driver = tokio::spawn(connection);
    let mut request = http::Request::post(url)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", MODERN)
        .header("mcp-method", "tools/call")
        .header("mcp-name", "safe");
    if let Some(bearer) = bearer {
        request = request.header("authorization", bearer);
    }
    let meta = json!({"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "safe", "arguments": {"marker": "h2"}, "_meta": meta}});
    let (answer, mut stream) =
        sender.send_request(request.body(()).expect("a request"), false).expect("open");
    stream.send_data(Bytes::from(body.to_string()), true).expect("open");
    let (head, mut body) = answer.await.expect("an answer").into_parts();
    let mut text = Vec::new();
    while let Some(part) = body.data().await {
        text.extend_from_slice(&part.expect("whole"));
    }
    driver.abort();
    (head.status.as_u16(), serde_json::from_slice(&text).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_chosen_over_tls() {
    let secured = Secured::start(false);
    let socket = secured.connect(&["h2", "http/1.1"], None).await.expect("TLS");
    assert_eq!(socket.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (status, answer) = call_h2(socket, "https://localhost/servers/up/mcp", Some(&secured.bearer())).await;
    assert_eq!((status, &answer["result"]["content"][0]["text"]), (200, &json!("safe h2")));
    let old = secured.connect(&["http/1.1"], None).await.expect("TLS");
    assert_eq!(old.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    assert_eq!(secured.upstream.received("tools/call").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_works_in_cleartext() {
    let std = portcullis_integration::fixture::Std::start();
    let socket = TcpStream::connect(std.gate.address()).await.expect("the gate listens");
    let bearer = format!("Bearer {}", std.alice_token());
    let (status, answer) = call_h2(socket, &std.gate.server("up"), Some(&bearer)).await;
    assert_eq!((status, &answer["result"]["content"][0]["text"]), (200, &json!("safe h2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_served_without_a_restart_and_a_broken_one_is_not() {
    let mut secured = Secured::start(false);
    let shown = async |secured: &Secured| {
        let socket = secured.connect(&["h2"], None).await.expect("TLS");
        socket.get_ref().1.peer_certificates().expect("a chain")[0].to_vec()
    };
    let first = shown(&secured).await;
    let open = secured.connect(&["h2"], None).await.expect("TLS");
    let renewed = secured.authority.server("gw.test");
    place(secured.gate.house(), &renewed);
    wait::until("the new certificate", async || {
        (shown(&secured).await == der(&renewed.certificate).to_vec()).then_some(())
    })
    .await;
    assert_ne!(first, der(&renewed.certificate).to_vec());
    let (status, _) = call_h2(open, "https://localhost/servers/up/mcp", Some(&secured.bearer())).await;
    assert_eq!(status, 200, "the connection that was open was cut");
    secured.gate.house().write("tls/gate.crt", "no certificate");
    secured.gate.logged(&["gate.crt"]);
    assert_eq!(shown(&secured).await, der(&renewed.certificate).to_vec());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_says_who_calls() {
    let secured = Secured::start(false);
    let (known, unknown) = (secured.authority.client("agent-7", 1), secured.authority.client("somebody", 2));
    let url = "https://localhost/servers/up/mcp";
    let with = async |pair: &Certificate| secured.connect(&["h2"], Some(pair)).await.expect("TLS");
    assert_eq!(call_h2(with(&known).await, url, None).await.0, 200);
    assert_eq!(call_h2(with(&unknown).await, url, None).await.0, 401);
    let nobody = secured.connect(&["h2"], None).await.expect("TLS");
    assert_eq!(call_h2(nobody, url, None).await.0, 401);
    assert_eq!(secured.upstream.received("tools/call").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_is_required_nothing_is_said_to_who_has_none() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let secured = Secured::start(true);
    let answered = match secured.connect(&["http/1.1"], None).await {
        Err(_) => false,
        Ok(mut socket) => {
            let mut part = [0; 1024];
            drop(socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await);
            matches!(socket.read(&mut part).await, Ok(n) if n > 0)
        }
    };
    assert!(!answered);
}
