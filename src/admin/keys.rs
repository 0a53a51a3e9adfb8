//! `/v1/keys`: API keys are made, listed and revoked.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::Tenancy;
use crate::admin::answer::{Listing, Refused, body, error, page};
use crate::admin::who::{About, meant, office, theirs};
use crate::identify::Principal;
use crate::name::TenantId;
use crate::tenancy::office::KeyBody;

/// Whose things are meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    pub(super) tenant: Option<String>,
}

pub(super) async fn create(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    given: Result<Json<KeyBody>, JsonRejection>,
) -> Result<Response, Refused> {
    let wanted = body(given)?;
    let tenant = theirs(&principal, &wanted.tenant)?;
    let made = office(&tenancy).create_key(wanted).await?;
    let id = made.get("id").and_then(Value::as_str).map(str::to_owned);
    Ok(About::of(&tenant, id.as_deref(), (StatusCode::CREATED, Json(made))))
}

pub(super) async fn list(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    asked: Result<Query<Listing>, QueryRejection>,
) -> Result<Response, Refused> {
    let asked = Listing::of(asked)?;
    let tenant = whose(&principal, asked.tenant.as_deref())?;
    let listed = office(&tenancy).keys(&tenant, &asked.part()?).await;
    Ok(page("keys", listed?))
}

pub(super) async fn revoke(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    asked: Result<Query<Whose>, QueryRejection>,
) -> Result<Response, Refused> {
    let said = asked.map(|Query(asked)| asked.tenant).map_err(|_| unsaid())?;
    let tenant = whose(&principal, said.as_deref())?;
    let revoked = office(&tenancy).revoke_key(&tenant, &id).await;
    Ok(About::of(&tenant, None, revoked.map(|()| Json(json!({"revoked": id})))))
}

fn whose(principal: &Principal, said: Option<&str>) -> Result<TenantId, Refused> {
    meant(principal, said)?.ok_or_else(unsaid)
}

fn unsaid() -> Refused {
    error(StatusCode::BAD_REQUEST, "say whose API keys are meant: `?tenant=<tenant>`").into()
}
