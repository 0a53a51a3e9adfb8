//! Accounts that a person connects, how they stand, and the notices about them.

use async_trait::async_trait;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::AdminState;
use crate::admin::answer::error;
use crate::admin::who::{About, meant, theirs};
use crate::identify::Principal;
use crate::name::{ServerName, TenantId};
use crate::tenancy::Problem;

/// Connects accounts, and says how they stand.
#[async_trait]
pub trait Connects: Send + Sync {
    /// A URL for the person who connects the account, and when it is too late for it.
    async fn connect(&self, tenant: &TenantId, server: &ServerName) -> Result<Value, DeskError>;

    /// How the accounts of a tenant, or of all, stand.
    async fn grants(&self, tenant: Option<&TenantId>) -> Result<Vec<Value>, DeskError>;

    /// The notices that were not taken yet.
    async fn notices(&self) -> Result<Vec<Value>, DeskError>;

    /// Sends a notice again; false where there is none of that id.
    async fn replay(&self, id: &str) -> Result<bool, DeskError>;
}

/// Why it could not be done; the words are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Unfit(String),
    /// The store, the sealing key or the authorization server failed.
    #[error("{0}")]
    Failed(String),
}

impl IntoResponse for DeskError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Unfit(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        error(status, &self.to_string())
    }
}

/// Whose accounts are meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    tenant: Option<String>,
}

pub(super) async fn connect(
    State(state): State<AdminState>,
    Extension(principal): Extension<Principal>,
    Path((tenant, server)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let tenant = theirs(&principal, &tenant)?;
    let Ok(server) = ServerName::parse(&server) else {
        return Err(Problem::Unknown("such an account".to_owned()));
    };
    let begun = state.connects.connect(&tenant, &server).await;
    Ok(About::of(&tenant, None, begun.map(|consent| (StatusCode::CREATED, Json(consent)))))
}

pub(super) async fn grants(
    State(state): State<AdminState>,
    Extension(principal): Extension<Principal>,
    asked: Result<Query<Whose>, QueryRejection>,
) -> Result<Response, Problem> {
    let Ok(Query(whose)) = asked else {
        return Ok(error(StatusCode::BAD_REQUEST, "the only parameter is `tenant`"));
    };
    let tenant = meant(&principal, whose.tenant.as_deref())?;
    let grants = state.connects.grants(tenant.as_ref()).await;
    Ok(grants.map(|grants| Json(json!({"grants": grants}))).into_response())
}

pub(super) async fn notices(State(state): State<AdminState>) -> Response {
    match state.connects.notices().await {
        Ok(notices) => Json(json!({"notices": notices})).into_response(),
        Err(error) => error.into_response(),
    }
}

pub(super) async fn replay(State(state): State<AdminState>, Path(id): Path<String>) -> Response {
    match state.connects.replay(&id).await {
        Ok(true) => Json(json!({"replayed": id})).into_response(),
        Ok(false) => error(StatusCode::NOT_FOUND, &format!("there is no notice `{id}`")),
        Err(error) => error.into_response(),
    }
}
