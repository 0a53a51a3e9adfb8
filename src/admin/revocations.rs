//! `/v1/revocations`: tokens that are refused before they end.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use crate::admin::Tenancy;
use crate::admin::answer::{Listing, Refused, body, error, page};
use crate::admin::keys::Whose;
use crate::admin::who::{About, meant, office, theirs};
use crate::identify::Principal;
use crate::name::TenantId;
use crate::tenancy::office::RevocationBody;

pub(super) async fn create(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    given: Result<Json<RevocationBody>, JsonRejection>,
) -> Result<Response, Refused> {
    let wanted = body(given)?;
    let tenant = theirs(&principal, &wanted.tenant)?;
    let made = office(&tenancy).create_revocation(wanted).await?;
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
    let listed = office(&tenancy).revocations(&tenant, &asked.part()?).await;
    Ok(page("revocations", listed?))
}

pub(super) async fn remove(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    asked: Result<Query<Whose>, QueryRejection>,
) -> Result<Response, Refused> {
    let said = asked.map(|Query(asked)| asked.tenant).map_err(|_| unsaid())?;
    let tenant = whose(&principal, said.as_deref())?;
    let removed = office(&tenancy).remove_revocation(&tenant, &id).await;
    Ok(About::of(&tenant, None, removed.map(|()| Json(json!({"removed": id})))))
}

fn whose(principal: &Principal, said: Option<&str>) -> Result<TenantId, Refused> {
    meant(principal, said)?.ok_or_else(unsaid)
}

fn unsaid() -> Refused {
    error(StatusCode::BAD_REQUEST, "say whose revocations are meant: `?tenant=<tenant>`").into()
}
