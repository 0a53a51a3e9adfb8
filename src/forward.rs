//! To the server: Pingora's connector, pools kept apart by tenant and credential, answers read under limits.
//!
//! # Why not Pingora's proxy
//! `ProxyHttp` sends the upstream its header, credential included, before the body has been judged, and replays a body
//! only up to 64 KiB. With the connector alone we write the header after the judgement, at any size.

mod address;
mod cork;
mod endpoint;
mod errand;
mod exchange;
mod socket;
mod spoken;

pub use address::{Guard, Resolver};
pub use endpoint::{BadEndpoint, Endpoint};
pub use errand::Errand;
pub use exchange::{Body, Exchange, Request, Retry, Wait};
pub use spoken::{Speaks, Spoken};

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::upstreams::peer::{HttpPeer, Peer};

use crate::credential::{Lease, Outgoing};
use crate::decide::Permit;
use crate::govern::Slot;
use crate::name::TenantId;
use crate::refusal::Refusal;

/// The way to the servers: connections, and the addresses behind names.
pub struct Forward {
    connector: Connector<()>,
    resolver: Resolver,
    /// Keys of connection groups are keyed hashes, so that a tenant cannot aim for another's.
    groups: std::hash::RandomState,
}

impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forward")
    }
}

/// What a call is made with. The place in flight is given back when it is dropped.
#[derive(Debug)]
pub struct Passage {
    /// The proof that it may be made.
    pub permit: Permit,
    /// The place in flight.
    pub slot: Slot,
    /// The credential.
    pub lease: Lease,
}

/// What a server answers, and what it was asked with.
#[derive(Debug)]
pub struct Reply {
    /// The answer, its head read.
    pub exchange: Exchange,
    /// What was used up to ask.
    pub passage: Passage,
}

/// How many idle connections are kept to servers in all.
const POOL: usize = 1024;
/// How long an idle connection is kept: shorter than what servers usually allow, so that we are the one to close it.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Concurrent streams on one HTTP/2 connection; Pingora's own default is one.
const H2_STREAMS: usize = 100;

impl Forward {
    /// A forwarder with empty pools.
    #[must_use]
    pub fn new(resolver: Resolver) -> Self {
        Self {
            connector: Connector::new(Some(ConnectorOptions::new(POOL))),
            resolver,
            groups: std::hash::RandomState::new(),
        }
    }

    /// Sends a permitted request with its credential and reads the head of the answer. The permit is used up: one permit,
    /// one call.
    /// Connections are never shared across tenants or credentials.
    ///
    /// # Errors
    /// [`Refusal::Unreachable`], [`Refusal::TimedOut`] or [`Refusal::BadAnswer`]; [`Refusal::CredentialUnavailable`] where
    /// the credential has ended.
    pub async fn send(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        passage: Passage,
        request: Request,
    ) -> Result<Reply, Refusal> {
        let Passage { permit, lease, .. } = &passage;
        let exchange = self.exchange(endpoint, permit.caller().tenant(), lease, request).await?;
        Ok(Reply { exchange, passage })
    }

    async fn exchange(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        tenant: &TenantId,
        lease: &Lease,
        mut request: Request,
    ) -> Result<Exchange, Refusal> {
        let peer = self.peer(endpoint, tenant, &lease.fingerprint()).await?;
        let Request { method, headers, body, query, retry: _ } = &mut request;
        // Last, as some credentials sign all that is sent.
        lease.apply(Outgoing { method, url: &endpoint.url, headers, body, query })?;
        Exchange::send(Arc::clone(self), endpoint, peer, request).await
    }

    async fn peer(
        &self,
        endpoint: &Endpoint,
        tenant: &TenantId,
        credential: &[u8; 32],
    ) -> Result<HttpPeer, Refusal> {
        let address = self.resolver.resolve(endpoint).await?;
        let mut peer = HttpPeer::new(address, endpoint.tls, endpoint.host.clone());
        peer.group_key = self.groups.hash_one((tenant, credential, endpoint.identity()));
        peer.client_cert_key = endpoint.client.clone();
        let options = &mut peer.options;
        options.ca = endpoint.authorities.clone();
        options.connection_timeout = Some(endpoint.timeouts.connect);
        options.total_connection_timeout = Some(endpoint.timeouts.connect);
        options.read_timeout = Some(endpoint.timeouts.read);
        options.write_timeout = Some(endpoint.timeouts.read);
        options.idle_timeout = Some(POOL_IDLE);
        options.max_h2_streams = H2_STREAMS;
        if endpoint.http2 {
            options.set_http_version(2, if endpoint.tls { 1 } else { 2 });
        } else {
            options.set_http_version(1, 1);
        }
        debug_assert!(peer.verify_cert());
        Ok(peer)
    }
}
