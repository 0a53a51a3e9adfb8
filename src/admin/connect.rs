//! Accounts that a person connects, how they stand, and the notices about them.

use async_trait::async_trait;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::{AdminState, error};
use crate::name::{ServerName, TenantId};

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
    Path((tenant, server)): Path<(String, String)>,
) -> Response {
    let (Ok(tenant), Ok(server)) = (TenantId::parse(&tenant), ServerName::parse(&server)) else {
        return error(StatusCode::NOT_FOUND, "there is no such account");
    };
    match state.connects.connect(&tenant, &server).await {
        Ok(consent) => (StatusCode::CREATED, Json(consent)).into_response(),
        Err(error) => error.into_response(),
    }
}

pub(super) async fn grants(
    State(state): State<AdminState>,
    asked: Result<Query<Whose>, QueryRejection>,
) -> Response {
    let bad = |why: &str| error(StatusCode::BAD_REQUEST, why);
    let Ok(Query(whose)) = asked else { return bad("the only parameter is `tenant`") };
    let tenant = match whose.tenant.as_deref().map(TenantId::parse).transpose() {
        Ok(tenant) => tenant,
        Err(why) => return bad(&format!("`tenant` is no tenant's name: {why}")),
    };
    match state.connects.grants(tenant.as_ref()).await {
        Ok(grants) => Json(json!({"grants": grants})).into_response(),
        Err(error) => error.into_response(),
    }
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
