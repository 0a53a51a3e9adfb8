//! Which addresses are public. Who is named by a tenant, or by somebody else's server, must not be led to what only the gate
//! can reach (SSRF).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is on the public internet: none of the special-purpose ranges (RFC 6890).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped().or_else(|| embedded_v4(v6)) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    // Only global unicast (2000::/3), without documentation (2001:db8::/32) and benchmarking (2001:2::/48).
    first & 0xe000 == 0x2000 && !(first == 0x2001 && matches!(address.segments()[1], 0x0db8 | 0x0002))
}

/// The IPv4 address in a NAT64 (64:ff9b::/96) or 6to4 (2002::/16) address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, .., y, z] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([h1, h2], [l1, l2]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(h1, h2, l1, l2)
    };
    match (a, b) {
        (0x0064, 0xff9b) => Some(v4(y, z)),
        (0x2002, _) => Some(v4(b, c)),
        _ => None,
    }
}
