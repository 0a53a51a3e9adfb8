//! `/v1/vault`: which sealing keys are needed, and data keys wrapped again under the current one.

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::admin::AdminState;
use crate::admin::answer::error;

/// Looks after the data keys.
#[async_trait]
pub trait DataKeys: Send + Sync {
    /// Which sealing keys are in use.
    async fn in_use(&self) -> Result<Value, VaultFailed>;

    /// Wraps every data key under the current sealing key.
    async fn rekey(&self) -> Result<Value, VaultFailed>;
}

/// The sealing key cannot be had, or the store failed; the words are for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct VaultFailed(pub String);

pub(super) async fn in_use(State(state): State<AdminState>) -> Response {
    told(state.data_keys.in_use().await)
}

pub(super) async fn rekey(State(state): State<AdminState>) -> Response {
    told(state.data_keys.rekey().await)
}

fn told(told: Result<Value, VaultFailed>) -> Response {
    match told {
        Ok(value) => Json(value).into_response(),
        Err(why) => error(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()),
    }
}
