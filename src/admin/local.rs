//! The same API without a listener: for commands that work on the store of a gate that does not run.

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::{Method, Request, StatusCode, header};
use axum::middleware;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::admin::{Tenancy, idempotency, routed, routes};
use crate::identify::{Power, Principal};

/// The part of the API that concerns tenants, for the operator at this machine.
pub struct Local(Router);

impl Local {
    /// Over what is given.
    #[must_use]
    pub fn new(tenancy: Tenancy) -> Self {
        let operator = Principal { power: Power::Operator, name: "command line".into() };
        let router = routed(routes::tenancy::<Tenancy>().into_iter())
            .route_layer(middleware::from_fn_with_state(tenancy.clone(), idempotency::once))
            .layer(Extension(operator));
        Self(router.with_state(tenancy))
    }

    /// What the API answers to a request: the status, and the JSON.
    ///
    /// # Errors
    /// In words, why it could not be asked.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), String> {
        let request = Request::builder().method(method.clone()).uri(path);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.body(body).map_err(|why| why.to_string())?;
        let Ok(answer) = self.0.clone().oneshot(request).await;
        let status = answer.status();
        if method != Method::GET {
            tracing::info!(%method, path, %status, "Changed on the store");
        }
        let bytes =
            axum::body::to_bytes(answer.into_body(), usize::MAX).await.map_err(|why| why.to_string())?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }
}
