//! `/v1/catalogue`: what a server offers to a tenant's account, asked now.

use async_trait::async_trait;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::admin::AdminState;
use crate::admin::answer::error;

/// Asks servers what they offer.
#[async_trait]
pub trait Offers: Send + Sync {
    /// What a server offers to a tenant's account: `tools`, `resources`, `templates`, `prompts` and `notes`.
    async fn offer(&self, asked: OfferOf) -> Result<Value, OfferError>;
}

/// Which offer is meant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferOf {
    /// The tenant whose account is used.
    pub tenant: String,
    /// The server.
    pub server: String,
}

/// Why there is no offer; the words are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Unfit(String),
    /// The server could not be asked.
    #[error("{0}")]
    Failed(String),
}

pub(super) async fn offer(
    State(state): State<AdminState>,
    asked: Result<Query<OfferOf>, QueryRejection>,
) -> Response {
    let Ok(Query(asked)) = asked else {
        return error(StatusCode::BAD_REQUEST, "say which: `?tenant=<tenant>&server=<server>`");
    };
    match state.offers.offer(asked).await {
        Ok(offer) => Json(offer).into_response(),
        Err(why @ OfferError::Unfit(_)) => error(StatusCode::UNPROCESSABLE_ENTITY, &why.to_string()),
        Err(why @ OfferError::Failed(_)) => error(StatusCode::BAD_GATEWAY, &why.to_string()),
    }
}
