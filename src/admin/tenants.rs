//! `/v1/tenants`: tenants are made, listed, changed and deleted.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::admin::Tenancy;
use crate::admin::answer::{Listing, Refused, body, expected, page, versioned};
use crate::admin::who::{About, office, theirs};
use crate::identify::Principal;
use crate::tenancy::Problem;
use crate::tenancy::office::{Page, TenantBody, TenantPatch, tenant};

type Asked = Result<Query<Listing>, QueryRejection>;

pub(super) async fn create(
    State(tenancy): State<Tenancy>,
    given: Result<Json<TenantBody>, JsonRejection>,
) -> Result<Response, Refused> {
    let wanted = body(given)?;
    let name = tenant(&wanted.tenant)?;
    let made = office(&tenancy).create_tenant(wanted).await;
    let made = made.map(|shown| versioned(StatusCode::CREATED, shown));
    Ok(About::of(&name, Some(name.as_str()), made))
}

pub(super) async fn list(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    asked: Asked,
) -> Result<Response, Refused> {
    let part = Listing::of(asked)?.part()?;
    let listed = match principal.confined_to() {
        None => office(&tenancy).tenants(&part).await,
        Some(_) if part.after.is_some() => Ok(Page::default()),
        Some(own) => match office(&tenancy).tenant(own).await {
            Ok(shown) => Ok(Page { items: vec![shown.value], next: None }),
            Err(Problem::Unknown(_)) => Ok(Page::default()),
            Err(problem) => Err(problem),
        },
    };
    Ok(page("tenants", listed?))
}

pub(super) async fn show(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let name = theirs(&principal, &name)?;
    Ok(versioned(StatusCode::OK, office(&tenancy).tenant(&name).await?))
}

pub(super) async fn patch(
    State(tenancy): State<Tenancy>,
    Path(name): Path<String>,
    headers: HeaderMap,
    given: Result<Json<TenantPatch>, JsonRejection>,
) -> Result<Response, Refused> {
    let name = tenant(&name)?;
    let patch = body(given)?;
    let changed = match expected(&headers) {
        Ok(expected) => office(&tenancy).patch_tenant(&name, patch, expected).await,
        Err(problem) => Err(problem),
    };
    Ok(About::of(&name, None, changed.map(|shown| versioned(StatusCode::OK, shown))))
}

pub(super) async fn delete(
    State(tenancy): State<Tenancy>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let name = tenant(&name)?;
    let expected = expected(&headers)?;
    let done = office(&tenancy).delete_tenant(&name, expected).await;
    Ok(About::of(&name, None, done.map(|()| Json(json!({"deleted": name})))))
}
