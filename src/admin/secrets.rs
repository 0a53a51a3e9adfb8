//! `/v1/secrets`: a secret is sealed for a tenant's account.

use async_trait::async_trait;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::admin::Tenancy;
use crate::admin::answer::error;
use crate::admin::who::{About, theirs};
use crate::identify::Principal;
use crate::secret::Secret;

/// Seals secrets for accounts.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Seals one, in the place of the one before.
    async fn seal(&self, new: NewSecret) -> Result<(), SecretError>;
}

/// A secret that is to be sealed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// The tenant whose account it is.
    pub tenant: String,
    /// The server of the account.
    pub server: String,
    /// The secret.
    #[serde(deserialize_with = "hidden")]
    pub secret: Secret,
}

/// Why a secret could not be sealed; the words are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Unfit(String),
    /// The store or the sealing key failed.
    #[error("{0}")]
    Failed(String),
}

pub(super) async fn seal(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    new: Result<Json<NewSecret>, JsonRejection>,
) -> Response {
    // What a parser says of a body may quote it, so that it is not passed on.
    let Ok(Json(new)) = new else {
        return error(StatusCode::BAD_REQUEST, "send a JSON object of `tenant`, `server` and `secret`");
    };
    let tenant = match theirs(&principal, &new.tenant) {
        Ok(tenant) => tenant,
        Err(problem) => return problem.into_response(),
    };
    match tenancy.secrets.seal(new).await {
        Ok(()) => About::of(&tenant, None, Json(json!({"sealed": true}))),
        Err(why @ SecretError::Unfit(_)) => error(StatusCode::UNPROCESSABLE_ENTITY, &why.to_string()),
        Err(why @ SecretError::Failed(_)) => error(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()),
    }
}

fn hidden<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}
