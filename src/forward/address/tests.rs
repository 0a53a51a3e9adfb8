use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::net::UdpSocket;

use super::*;
use crate::config::{PinMode, Server, Timeouts, UpstreamTls};
use crate::name::ServerName;

#[test]
fn a_tenants_own_url_reaches_public_addresses_only() {
    let refused = [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
    ];
    for address in refused {
        assert!(!Guard::PublicOnly.admits(address.parse().unwrap()), "{address}");
    }
    for address in ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"] {
        assert!(Guard::PublicOnly.admits(address.parse().unwrap()), "{address}");
    }
}

/// A name server that gives each of these addresses once, in turn, and the last one for ever. None may be kept (TTL 0).
async fn name_server(addresses: &'static [Ipv4Addr], asked: Arc<AtomicUsize>) -> Resolver {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut connection = ConnectionConfig::udp();
    connection.port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let answer = answer(&query[..length], addresses, &asked);
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let resolver =
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap();
    Resolver(Some(Arc::new(resolver)))
}

/// The answer to a query for one name (RFC 1035 section 4.1); empty unless it is for an IPv4 address.
fn answer(query: &[u8], addresses: &[Ipv4Addr], asked: &AtomicUsize) -> Vec<u8> {
    let name = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let is_a = query[name..name + 2] == [0, 1];
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    answer.extend(&query[12..name + 4]);
    if is_a {
        let turn = asked.fetch_add(1, Ordering::SeqCst).min(addresses.len() - 1);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(addresses[turn].octets());
    }
    answer
}

fn endpoint(url: &str) -> Endpoint {
    let second = Duration::from_secs(1);
    let server = Server {
        name: ServerName::parse("erp").unwrap(),
        url: url.parse().unwrap(),
        tags: Vec::new(),
        trust_annotations: false,
        tools: Vec::new(),
        tls: UpstreamTls::default(),
        timeouts: Timeouts { connect: second, read: second, total: second, stream_idle: second },
        http2: false,
        eras: crate::config::Eras::Auto,
        vouch_roles: false,
        pins: PinMode::Off,
    };
    let mut endpoint = Endpoint::new(&server, None).unwrap();
    endpoint.guard = Guard::PublicOnly;
    endpoint
}

/// Who is connected stays at the address that was checked; this is the next connection.
#[tokio::test]
async fn a_name_that_leads_inside_after_it_was_checked_is_checked_again() {
    const OUTSIDE: Ipv4Addr = Ipv4Addr::new(93, 184, 216, 34);
    let asked = Arc::new(AtomicUsize::new(0));
    let resolver = name_server(&[OUTSIDE, Ipv4Addr::LOCALHOST], Arc::clone(&asked)).await;
    let endpoint = endpoint("http://rebinds.test:8080/mcp");
    assert_eq!(resolver.resolve(&endpoint).await.unwrap(), SocketAddr::from((OUTSIDE, 8080)));
    let refused = Refusal::Unreachable { server: endpoint.server.clone() };
    assert_eq!(resolver.resolve(&endpoint).await, Err(refused));
    assert!(asked.load(Ordering::SeqCst) >= 2, "the name was looked up anew");
}
