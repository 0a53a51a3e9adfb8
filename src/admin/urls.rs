//! `/v1/urls`: scoped URLs are made, listed and revoked.

use std::collections::BTreeMap;

use async_trait::async_trait;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::admin::Tenancy;
use crate::admin::answer::{Listing, Refused, body, error, page};
use crate::admin::who::{About, meant, theirs};
use crate::identify::Principal;
use crate::name::{TenantId, UrlId};
use crate::tenancy::office::{Page, end};

/// Makes, lists and revokes scoped URLs.
#[async_trait]
pub trait Urls: Send + Sync {
    /// Makes one. The answer holds the URL with its secret: it is shown this once.
    async fn create(&self, wanted: NewUrl) -> Result<Value, UrlError>;

    /// Those of a tenant, without their secrets.
    async fn list(&self, tenant: &TenantId) -> Result<Vec<Value>, UrlError>;

    /// Revokes one; false where the tenant has none with this id.
    async fn revoke(&self, tenant: &TenantId, id: &UrlId) -> Result<bool, UrlError>;
}

/// A scoped URL that is wanted.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUrl {
    /// The tenant that it belongs to.
    pub tenant: String,
    /// The server that it leads to.
    pub server: String,
    /// The user that its holder acts for.
    pub user: Option<String>,
    /// The agent that holds it.
    pub agent: Option<String>,
    /// The holder's roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The holder's groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The holder's attributes.
    #[serde(default)]
    pub attributes: BTreeMap<String, Value>,
    /// Operations or classes that it is narrowed to; absent: it does not narrow by method.
    pub methods: Option<Vec<String>>,
    /// Tags that it is narrowed to; absent: it does not narrow by tag.
    pub tags: Option<Vec<String>>,
    /// When it ends: a moment in RFC 3339, or how long it lasts, such as `7d`. Absent: when it is revoked.
    #[serde(default, deserialize_with = "moment")]
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<jiff::Timestamp>,
    /// Whether its holder needs a JWT or an API key as well; absent: as the configuration says.
    pub second_factor: Option<bool>,
    /// What it is for, in words.
    pub note: Option<String>,
}

/// Why a scoped URL could not be made, listed or revoked; the words are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Unfit(String),
    /// The store failed.
    #[error("{0}")]
    Failed(String),
}

impl From<UrlError> for Refused {
    fn from(why: UrlError) -> Self {
        why.into_response().into()
    }
}

impl IntoResponse for UrlError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Unfit(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        error(status, &self.to_string())
    }
}

/// Whose URLs are meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    tenant: Option<String>,
}

pub(super) async fn create(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    wanted: Result<Json<NewUrl>, JsonRejection>,
) -> Result<Response, Refused> {
    let wanted = body(wanted)?;
    let tenant = theirs(&principal, &wanted.tenant)?;
    let made = tenancy.urls.create(wanted).await?;
    let id = made.get("id").and_then(Value::as_str).map(str::to_owned);
    Ok(About::of(&tenant, id.as_deref(), (StatusCode::CREATED, Json(made))))
}

pub(super) async fn list(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    asked: Result<Query<Listing>, QueryRejection>,
) -> Result<Response, Refused> {
    let asked = Listing::of(asked)?;
    let part = asked.part()?;
    let tenant = whose(&principal, asked.tenant.as_deref())?;
    let mut urls = tenancy.urls.list(&tenant).await?;
    let id = |url: &Value| url.get("id").and_then(Value::as_str).map(str::to_owned);
    // One that was revoked meanwhile is no place to go on from: then the list begins anew.
    if let Some(at) =
        part.after.and_then(|after| urls.iter().position(|url| id(url).as_ref() == Some(&after)))
    {
        urls.drain(..=at);
    }
    let next =
        urls.get(part.limit..).filter(|rest| !rest.is_empty()).and(urls.get(part.limit.saturating_sub(1)));
    let next = next.and_then(id);
    urls.truncate(part.limit);
    Ok(page("urls", Page { items: urls, next }))
}

pub(super) async fn revoke(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    asked: Result<Query<Whose>, QueryRejection>,
) -> Result<Response, Refused> {
    let said = asked.map(|Query(asked)| asked.tenant).map_err(|_| unsaid())?;
    let tenant = whose(&principal, said.as_deref())?;
    let revoked = match UrlId::parse(&id) {
        Ok(id) => tenancy.urls.revoke(&tenant, &id).await,
        Err(_) => Ok(false),
    };
    Ok(match revoked {
        Ok(true) => About::of(&tenant, None, Json(json!({"revoked": id}))),
        Ok(false) => error(StatusCode::NOT_FOUND, &format!("tenant `{tenant}` has no scoped URL `{id}`")),
        Err(error) => error.into_response(),
    })
}

fn whose(principal: &Principal, said: Option<&str>) -> Result<TenantId, Refused> {
    meant(principal, said)?.ok_or_else(unsaid)
}

fn unsaid() -> Refused {
    error(StatusCode::BAD_REQUEST, "say whose scoped URLs are meant: `?tenant=<tenant>`").into()
}

fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<jiff::Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let now = jiff::Timestamp::now();
    text.map(|text| end(&text, now).map_err(serde::de::Error::custom)).transpose()
}
