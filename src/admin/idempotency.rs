//! A `POST` with an `Idempotency-Key` happens once, however often it is sent: the answer is kept for a day.
//!
//! # Why the answer is kept sealed
//! It may have in it what is shown once: a scoped URL, an API key. A copy of the store is of no use to whoever has it.
//!
//! # Why whose key it is counts
//! Two tenants' admins may have one name. What one of them was shown once is not given to the other for the same words.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::admin::Tenancy;
use crate::admin::answer::{coded, error};
use crate::admin::who::office;
use crate::credential::seal::{Owner, SealedSecret};
use crate::identify::Principal;
use crate::name::TenantId;
use crate::store::{StoreError, Table};
use crate::tenancy::Office;

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long nothing is known of a request whose gate was killed meanwhile.
const UNDER_WAY: Duration = Duration::from_secs(120);
/// No key is longer; in bytes.
const LONGEST: usize = 255;
/// No body is larger; in bytes.
const LARGEST: usize = 1 << 20;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const OWNER: Owner<'static> = Owner { tenant: "", server: "", kind: "idempotency" };

/// What is known of a request.
#[derive(Serialize, Deserialize)]
struct Known {
    /// SHA-256 of what was asked.
    asked: String,
    /// The answer; absent: it is under way.
    answer: Option<Told>,
}

#[derive(Serialize, Deserialize)]
struct Told {
    status: u16,
    etag: Option<String>,
    /// The body, sealed.
    body: Vec<u8>,
}

/// Answers a request that was answered before as it was answered then.
pub(super) async fn once(State(tenancy): State<Tenancy>, request: Request, next: Next) -> Response {
    let Some(key) = request.headers().get(KEY).filter(|_| *request.method() == Method::POST) else {
        return next.run(request).await;
    };
    let key = key.to_str().ok().filter(|key| (1..=LONGEST).contains(&key.len())).map(str::to_owned);
    let Some(key) = key.filter(|_| request.headers().get_all(KEY).iter().count() == 1) else {
        return error(StatusCode::BAD_REQUEST, "`Idempotency-Key` is one text of 1 to 255 letters");
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LARGEST).await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB");
    };
    let who = parts.extensions.get::<Principal>();
    let own = who.and_then(Principal::confined_to).map_or("", TenantId::as_str);
    let name = who.map_or("", |principal| &principal.name);
    let (key, asked) =
        (digest(&[own, name, &key]), digest(&[parts.uri.to_string().as_str(), &hex::encode(&body)]));
    let office = office(&tenancy);
    let taken = take(&office, &key, &asked).await;
    match taken {
        Ok(Taken::Ours(version)) => {
            let request = Request::from_parts(parts, Body::from(body));
            kept(&office, &key, asked, version, next.run(request).await).await
        }
        Ok(Taken::Answered(answer)) => *answer,
        Err(failed) => error(StatusCode::SERVICE_UNAVAILABLE, &failed.to_string()),
    }
}

enum Taken {
    /// It is ours to do.
    Ours(u64),
    /// It was answered, or cannot be now.
    Answered(Box<Response>),
}

async fn take(office: &Office, key: &[u8], asked: &[u8]) -> Result<Taken, StoreError> {
    let asked = hex::encode(asked);
    let known = Known { asked: asked.clone(), answer: None };
    let note = serde_json::to_vec(&known).map_err(|why| StoreError::Failed(why.to_string()))?;
    match office.store.put_for(Table::Idempotency, key, &note, Some(0), UNDER_WAY).await {
        Ok(version) => return Ok(Taken::Ours(version)),
        Err(StoreError::Changed) => {}
        Err(error) => return Err(error),
    }
    let found = office.store.get(Table::Idempotency, key).await?;
    let known = found.and_then(|found| serde_json::from_slice::<Known>(&found.value).ok());
    let answer = match known {
        Some(known) if known.asked != asked => coded(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "the same `Idempotency-Key` came with another request before; take another one",
        ),
        Some(Known { answer: Some(told), .. }) => replayed(office, told).await,
        Some(Known { answer: None, .. }) | None => {
            coded(StatusCode::CONFLICT, "in_progress", "the same request is under way; ask again in a moment")
        }
    };
    Ok(Taken::Answered(Box::new(answer)))
}

/// Keeps what was done. What was refused or failed is not: it may be asked again with the same key.
async fn kept(office: &Office, key: &[u8], asked: Vec<u8>, version: u64, answer: Response) -> Response {
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let done = match parts.status.is_success() {
        true => keep(office, key, hex::encode(asked), version, (parts.status, &parts.headers, &body)).await,
        false => office
            .store
            .remove_version(Table::Idempotency, key, version)
            .await
            .map(drop)
            .map_err(|why| why.to_string()),
    };
    if let Err(why) = done {
        tracing::warn!(%why, "An answer was not kept for its Idempotency-Key");
    }
    Response::from_parts(parts, Body::from(body))
}

async fn keep(
    office: &Office,
    key: &[u8],
    asked: String,
    version: u64,
    (status, headers, body): (StatusCode, &HeaderMap, &Bytes),
) -> Result<(), String> {
    let sealed = office.sealer.seal(OWNER, body).await.map_err(|why| why.to_string())?;
    let etag = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
    let told = Told { status: status.as_u16(), etag, body: sealed.as_bytes().to_vec() };
    let known = serde_json::to_vec(&Known { asked, answer: Some(told) }).map_err(|why| why.to_string())?;
    let put = office.store.put_for(Table::Idempotency, key, &known, Some(version), KEPT).await;
    put.map(drop).map_err(|why| why.to_string())
}

async fn replayed(office: &Office, told: Told) -> Response {
    let Ok(body) = office.sealer.open_sealed(OWNER, &SealedSecret::from_bytes(told.body)).await else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "the kept answer cannot be opened now");
    };
    let status = StatusCode::from_u16(told.status).unwrap_or(StatusCode::OK);
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let mut answer = (status, json, body.expose().to_vec()).into_response();
    answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    if let Some(tag) = told.etag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

/// Each part with its length before it, so that no two lists give the same.
fn digest(parts: &[&str]) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().to_vec()
}
