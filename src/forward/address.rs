//! Names to addresses: resolved by us, cached, and guarded where the URL is not the operator's own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::TokioResolver;

use crate::address::is_public;
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

#[cfg(test)]
mod tests;
