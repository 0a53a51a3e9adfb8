//! `/v1/urls`: scoped URLs are made, listed and revoked.

use std::collections::BTreeMap;

use async_trait::async_trait;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::admin::{AdminState, error};
use crate::name::{TenantId, UrlId};

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
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
    /// When it ends, in RFC 3339; absent: when it is revoked.
    #[serde(default, deserialize_with = "moment")]
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
    tenant: String,
}

type Asked = Result<Query<Whose>, QueryRejection>;

pub(super) async fn create(
    State(state): State<AdminState>,
    wanted: Result<Json<NewUrl>, JsonRejection>,
) -> Response {
    let wanted = match wanted {
        Ok(Json(wanted)) => wanted,
        Err(rejection) => return error(rejection.status(), &rejection.body_text()),
    };
    match state.urls.create(wanted).await {
        Ok(made) => (StatusCode::CREATED, Json(made)).into_response(),
        Err(error) => error.into_response(),
    }
}

pub(super) async fn list(State(state): State<AdminState>, asked: Asked) -> Response {
    let tenant = match tenant(asked) {
        Ok(tenant) => tenant,
        Err(answer) => return *answer,
    };
    match state.urls.list(&tenant).await {
        Ok(urls) => Json(json!({"urls": urls})).into_response(),
        Err(error) => error.into_response(),
    }
}

pub(super) async fn revoke(
    State(state): State<AdminState>,
    Path(id): Path<String>,
    asked: Asked,
) -> Response {
    let tenant = match tenant(asked) {
        Ok(tenant) => tenant,
        Err(answer) => return *answer,
    };
    let revoked = match UrlId::parse(&id) {
        Ok(id) => state.urls.revoke(&tenant, &id).await,
        Err(_) => Ok(false),
    };
    match revoked {
        Ok(true) => Json(json!({"revoked": id})).into_response(),
        Ok(false) => error(StatusCode::NOT_FOUND, &format!("tenant `{tenant}` has no scoped URL `{id}`")),
        Err(error) => error.into_response(),
    }
}

fn tenant(asked: Asked) -> Result<TenantId, Box<Response>> {
    let bad = |why: &str| Box::new(error(StatusCode::BAD_REQUEST, why));
    let Query(whose) = asked.map_err(|_| bad("say whose scoped URLs are meant: `?tenant=<tenant>`"))?;
    TenantId::parse(&whose.tenant).map_err(|why| bad(&format!("`tenant` is no tenant's name: {why}")))
}

fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<jiff::Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}
