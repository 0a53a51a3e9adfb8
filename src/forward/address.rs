//! Names to addresses: resolved by us, cached, and guarded where the URL is not the operator's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::TokioResolver;

use crate::forward::Endpoint;
use crate::refusal::Refusal;

/// Which addresses a connection may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Any: the operator wrote the URL.
    Any,
    /// Public ones only: a tenant wrote the URL, and must not reach what only we can (SSRF).
    PublicOnly,
}

impl Guard {
    fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::PublicOnly => is_public(address),
        }
    }
}

/// Resolves names with the system's configuration; keeps answers as long as their TTL allows.
#[derive(Clone)]
pub struct Resolver(Option<Arc<TokioResolver>>);

impl Resolver {
    /// A resolver with the system's configuration. Without one (no `resolv.conf`), only literal addresses resolve.
    #[must_use]
    pub fn system() -> Self {
        let built = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        Self(
            built
                .inspect_err(
                    |error| tracing::warn!(%error, "No DNS resolver; only literal addresses resolve"),
                )
                .ok()
                .map(Arc::new),
        )
    }

    /// The address to connect to. It is checked here, and the connection goes to exactly this address, so that a name
    /// that changes its answer in between (rebinding) gains nothing.
    ///
    /// # Errors
    /// [`Refusal::Unreachable`] where there is none that the guard admits.
    pub async fn resolve(&self, endpoint: &Endpoint) -> Result<SocketAddr, Refusal> {
        let unreachable = || Refusal::Unreachable { server: endpoint.server.clone() };
        if let Ok(literal) = endpoint.host.parse::<IpAddr>() {
            return match endpoint.guard.admits(literal) {
                true => Ok(SocketAddr::new(literal, endpoint.port)),
                false => Err(unreachable()),
            };
        }
        let resolver = self.0.as_ref().ok_or_else(unreachable)?;
        let found =
            tokio::time::timeout(endpoint.timeouts.connect, resolver.lookup_ip(endpoint.host.as_str()))
                .await
                .map_err(|_| unreachable())?
                .map_err(|error| {
                    tracing::warn!(server = %endpoint.server, %error, "Name did not resolve");
                    unreachable()
                })?;
        found
            .iter()
            .find(|address| endpoint.guard.admits(*address))
            .map(|address| SocketAddr::new(address, endpoint.port))
            .ok_or_else(|| {
                tracing::warn!(server = %endpoint.server, "No address of the server may be connected to");
                unreachable()
            })
    }
}

/// Whether an address is on the public internet: none of the special-purpose ranges (RFC 6890).
fn is_public(address: IpAddr) -> bool {
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

#[cfg(test)]
mod tests;
