//! `/v1/explain`: why a message was allowed or refused, for the operator; an agent only ever gets the reason.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use crate::admin::AdminState;
use crate::admin::answer::error;

/// Explains messages of the audit.
pub trait Explains: Send + Sync {
    /// Why a message ended as it did; `None`: the audit has no such message. It reads the audit, and blocks meanwhile.
    ///
    /// # Errors
    /// The audit cannot be read; the words are for the operator.
    fn explain(&self, invocation: &str) -> Result<Option<Value>, String>;
}

#[derive(Deserialize)]
pub(super) struct Asked {
    invocation: Option<String>,
}

pub(super) async fn explain(State(state): State<AdminState>, Query(asked): Query<Asked>) -> Response {
    let Some(invocation) = asked.invocation else {
        return error(StatusCode::BAD_REQUEST, "name the message: `?invocation=ID`");
    };
    let answer = tokio::task::spawn_blocking(move || state.explains.explain(&invocation)).await;
    match answer {
        Ok(Ok(Some(answer))) => Json(answer).into_response(),
        Ok(Ok(None)) => error(StatusCode::NOT_FOUND, "the audit has no such message"),
        Ok(Err(why)) => error(StatusCode::SERVICE_UNAVAILABLE, &why),
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "the explanation broke off; see the gate's log"),
    }
}
