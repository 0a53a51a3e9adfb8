//! The operator's own listener: health, metrics, the effective configuration, scoped URLs, sealed secrets.
//!
//! # Why a listener of its own
//! Nothing here is for agents. It is loopback unless the operator says otherwise, and no path of it exists on the
//! listeners of agents. A web page in the operator's browser can reach loopback too: hence the check of `Host`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::secret::Secret;

mod catalogue;
mod connect;
mod policy;
mod secrets;
mod urls;
mod vault;

pub use catalogue::{OfferError, OfferOf, Offers};
pub use connect::{Connects, DeskError};
mod explain;

pub use explain::Explains;
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
    /// Scoped URLs.
    pub urls: Arc<dyn Urls>,
    /// Sealed secrets.
    pub secrets: Arc<dyn Secrets>,
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
    /// The bearer token of `/v1/`.
    pub token: Arc<Secret>,
    /// Names in `Host`, beside addresses and `localhost`, under which the listener is reached; lower case.
    pub hosts: Arc<[String]>,
}

/// Why the gate should not get traffic.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    /// What is not ready: `audit`, `policy`, `drain`, `jwks`, …
    pub what: &'static str,
    /// Why, for the operator.
    pub why: String,
}

/// Serves until `shutdown` resolves.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(
    listener: std::net::TcpListener,
    state: AdminState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    axum::serve(listener, router(state, address)).with_graceful_shutdown(shutdown).await
}

fn router(state: AdminState, address: SocketAddr) -> Router {
    let guarded = Router::new()
        .route("/v1/urls", get(urls::list).post(urls::create))
        .route("/v1/urls/{id}", delete(urls::revoke))
        .route("/v1/secrets", post(secrets::seal))
        .route("/v1/vault", get(vault::in_use))
        .route("/v1/vault/rekey", post(vault::rekey))
        .route("/v1/accounts/{tenant}/{server}/connect", post(connect::connect))
        .route("/v1/grants", get(connect::grants))
        .route("/v1/webhooks", get(connect::notices))
        .route("/v1/webhooks/{id}/replay", post(connect::replay))
        .route("/v1/catalogue", get(catalogue::offer))
        .route("/v1/explain", get(explain::explain))
        .route("/v1/policy", get(policy::status))
        .route("/v1/policy/serving", get(policy::serving))
        .route("/v1/policy/canary", post(policy::canary))
        .route("/v1/policy/promote", post(policy::promote))
        .route("/v1/policy/rollback", post(policy::rollback))
        .route_layer(middleware::from_fn_with_state(state.clone(), with_token));
    let hosts = Hosts { named: Arc::clone(&state.hosts), address: address.ip() };
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .merge(guarded)
        .method_not_allowed_fallback(async || {
            error(StatusCode::METHOD_NOT_ALLOWED, "this path does not take the method")
        })
        .fallback(async || error(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .layer(middleware::from_fn_with_state(hosts, with_known_host))
        .with_state(state)
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

/// A refusal in plain words.
fn error(status: StatusCode, what: &str) -> Response {
    (status, Json(json!({"error": what}))).into_response()
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

async fn with_token(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let mut values = request.headers().get_all(header::AUTHORIZATION).iter();
    let given =
        values.next().and_then(|value| value.to_str().ok()).and_then(|text| text.strip_prefix("Bearer "));
    let expected = state.token.expose().as_bytes();
    let known = given.is_some_and(|given| {
        aws_lc_rs::constant_time::verify_slices_are_equal(given.as_bytes(), expected).is_ok()
    });
    if known && values.next().is_none() && !expected.is_empty() {
        return next.run(request).await;
    }
    let words =
        "the admin token is needed: `Authorization: Bearer <text of admin.token in the state directory>`";
    let mut answer = error(StatusCode::UNAUTHORIZED, words);
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    answer
}

#[cfg(test)]
mod tests;
