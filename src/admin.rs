//! The operator's own listener: health, metrics, the effective configuration, and the API by which tenants, accounts, scoped
//! URLs and API keys are made.
//!
//! # Why a listener of its own
//! Nothing here is for agents. It is loopback unless the operator says otherwise, and no path of it exists on the
//! listeners of agents. A web page in the operator's browser can reach loopback too: hence the check of `Host`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{FromRef, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::admin::answer::error;
use crate::admin::routes::Operation;
use crate::admin::tls::{Peer, TlsListener};
use crate::identify::Admins;
use crate::record::ChangeLine;
use crate::tenancy::Office;

mod accounts;
mod answer;
mod catalogue;
mod connect;
mod explain;
mod idempotency;
mod keys;
mod local;
mod openapi;
mod policy;
mod revocations;
mod routes;
mod secrets;
mod tenants;
mod tls;
mod urls;
mod vault;
mod who;

pub use catalogue::{OfferError, OfferOf, Offers};
pub use connect::{Connects, DeskError};
pub use explain::Explains;
pub use local::Local;
pub use policy::{NewCanary, Promotion, RolloutError, Rollouts};
pub use secrets::{NewSecret, SecretError, Secrets};
pub use urls::{NewUrl, UrlError, Urls};
pub use vault::{DataKeys, VaultFailed};

/// Where the admin listener gets what it shows. It names no other room's engine: whoever builds the gate hands it in.
#[derive(Clone)]
pub struct AdminState {
    /// Why the gate should not get traffic; empty: it is ready.
    pub reasons: Arc<dyn Fn() -> Vec<Reason> + Send + Sync>,
    /// What the operator should know although the gate serves, such as a policy that was not taken.
    pub notes: Arc<dyn Fn() -> Vec<Reason> + Send + Sync>,
    /// The metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The effective configuration, its secrets masked.
    pub config: Arc<dyn Fn() -> Value + Send + Sync>,
    /// What concerns tenants.
    pub tenancy: Tenancy,
    /// The keys that seal.
    pub data_keys: Arc<dyn DataKeys>,
    /// Accounts that a person connects, and the notices about them.
    pub connects: Arc<dyn Connects>,
    /// What servers offer.
    pub offers: Arc<dyn Offers>,
    /// Explanations of messages.
    pub explains: Arc<dyn Explains>,
    /// The candidate policy.
    pub rollouts: Arc<dyn Rollouts>,
    /// Who may use `/v1/`.
    pub admins: Arc<Admins>,
    /// Where changes are put on the record.
    pub changes: Arc<dyn Fn(&ChangeLine<'_>) + Send + Sync>,
    /// Names in `Host`, beside addresses and `localhost`, under which the listener is reached; lower case.
    pub hosts: Arc<[String]>,
}

/// What concerns tenants: of a gate that runs, or in the store of one that does not.
#[derive(Clone)]
pub struct Tenancy {
    /// The office that serves now.
    pub office: Arc<dyn Fn() -> Arc<Office> + Send + Sync>,
    /// Scoped URLs.
    pub urls: Arc<dyn Urls>,
    /// Sealed secrets.
    pub secrets: Arc<dyn Secrets>,
}

impl FromRef<AdminState> for Tenancy {
    fn from_ref(state: &AdminState) -> Self {
        state.tenancy.clone()
    }
}

/// The OpenAPI document of the API.
#[must_use]
pub fn document() -> Value {
    routes::document()
}

/// Why the gate should not get traffic.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    /// What is not ready: `audit`, `policy`, `drain`, `jwks`, …
    pub what: &'static str,
    /// Why, for the operator.
    pub why: String,
}

/// Serves until `shutdown` resolves, over TLS where there is a configuration for it.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(
    listener: std::net::TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    state: AdminState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let service = router(state, address).into_make_service_with_connect_info::<Peer>();
    match tls {
        None => axum::serve(listener, service).with_graceful_shutdown(shutdown).await,
        Some(tls) => {
            let listener = TlsListener::new(listener, tls)?;
            axum::serve(listener, service).with_graceful_shutdown(shutdown).await
        }
    }
}

fn router(state: AdminState, address: SocketAddr) -> Router {
    let guarded = routed(routes::tenancy().into_iter().chain(routes::running()))
        .route_layer(middleware::from_fn_with_state(state.tenancy.clone(), idempotency::once))
        .route_layer(middleware::from_fn_with_state(state.clone(), who::known));
    let hosts = Hosts { named: Arc::clone(&state.hosts), address: address.ip() };
    routed(routes::open().into_iter())
        .merge(guarded)
        .method_not_allowed_fallback(async || {
            error(StatusCode::METHOD_NOT_ALLOWED, "this path does not take the method")
        })
        .fallback(async || error(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .layer(middleware::from_fn_with_state(hosts, with_known_host))
        .with_state(state)
}

fn routed<S: Clone + Send + Sync + 'static>(operations: impl Iterator<Item = Operation<S>>) -> Router<S> {
    operations
        .map(Operation::handler)
        .fold(Router::new(), |router, (path, handler)| router.route(path, handler))
}

async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}

async fn ready(State(state): State<AdminState>) -> Response {
    let reasons = (state.reasons)();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": reasons.is_empty(), "reasons": reasons, "notes": (state.notes)()})))
        .into_response()
}

async fn metrics(State(state): State<AdminState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (state.metrics)())
}

async fn config(State(state): State<AdminState>) -> Json<Value> {
    Json((state.config)())
}

#[derive(Clone)]
struct Hosts {
    named: Arc<[String]>,
    address: IpAddr,
}

impl Hosts {
    /// A name that resolves to loopback is not loopback: only `localhost`, addresses and configured names are known. Where it
    /// listens on every address, any address is its own: what is rebound is a name.
    fn know(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
            None => host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name),
        };
        let own = |ip: IpAddr| ip.is_loopback() || ip == self.address || self.address.is_unspecified();
        let address = name.parse::<IpAddr>().is_ok_and(own);
        address || name == "localhost" || self.named.iter().any(|known| known == name || *known == host)
    }
}

/// Stops DNS rebinding: a page of `evil.example` that resolves to 127.0.0.1 still sends `Host: evil.example`.
async fn with_known_host(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let mut values = request.headers().get_all(header::HOST).iter();
    let host = values.next().and_then(|host| host.to_str().ok());
    if values.next().is_none() && host.is_some_and(|host| hosts.know(host)) {
        return next.run(request).await;
    }
    error(
        StatusCode::FORBIDDEN,
        "the Host header is not one of this listener: use its address, localhost, or a name in `admin.hosts`",
    )
}

#[cfg(test)]
mod tests;
