//! `/v1/policy`: the policy that serves, the candidate beside it, and the steps that the candidate takes.

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::admin::AdminState;
use crate::admin::answer::error;

/// Tells and changes how far a candidate policy has come. Each answers with what holds now.
#[async_trait]
pub trait Rollouts: Send + Sync {
    /// What serves and what is tried.
    async fn status(&self) -> Value;
    /// Every file of the policies that decide, and what of the configuration they are told: so that others judge alike.
    async fn serving(&self) -> Value;
    /// The candidate decides for these tenants.
    async fn canary(&self, wanted: NewCanary) -> Result<Value, RolloutError>;
    /// The candidate serves.
    async fn promote(&self, wanted: Promotion) -> Result<Value, RolloutError>;
    /// The candidate decides for nobody, and a promotion is taken back.
    async fn rollback(&self) -> Result<Value, RolloutError>;
}

/// For whom the candidate is to decide.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewCanary {
    /// For these tenants.
    pub tenants: Vec<String>,
    /// And for so many of a hundred others.
    pub percent: u8,
}

/// Which candidate is to serve.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Promotion {
    /// Its revision; absent: the one that is there.
    pub revision: Option<String>,
}

/// Why a step was not taken; the words are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Unfit(String),
    /// The store or the disk failed.
    #[error("{0}")]
    Failed(String),
}

pub(super) async fn status(State(state): State<AdminState>) -> Json<Value> {
    Json(state.rollouts.status().await)
}

pub(super) async fn serving(State(state): State<AdminState>) -> Json<Value> {
    Json(state.rollouts.serving().await)
}

pub(super) async fn canary(
    State(state): State<AdminState>,
    wanted: Result<Json<NewCanary>, JsonRejection>,
) -> Response {
    match wanted {
        Ok(Json(wanted)) => told(state.rollouts.canary(wanted).await),
        Err(_) => error(StatusCode::BAD_REQUEST, "send a JSON object of `tenants` and `percent`"),
    }
}

pub(super) async fn promote(
    State(state): State<AdminState>,
    wanted: Result<Json<Promotion>, JsonRejection>,
) -> Response {
    match wanted {
        Ok(Json(wanted)) => told(state.rollouts.promote(wanted).await),
        Err(_) => error(StatusCode::BAD_REQUEST, "send a JSON object, with a `revision` where one is meant"),
    }
}

pub(super) async fn rollback(State(state): State<AdminState>) -> Response {
    told(state.rollouts.rollback().await)
}

fn told(done: Result<Value, RolloutError>) -> Response {
    match done {
        Ok(now) => Json(now).into_response(),
        Err(why @ RolloutError::Unfit(_)) => error(StatusCode::UNPROCESSABLE_ENTITY, &why.to_string()),
        Err(why @ RolloutError::Failed(_)) => error(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()),
    }
}
