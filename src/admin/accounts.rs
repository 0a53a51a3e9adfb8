//! `/v1/accounts`: accounts are made, listed, replaced and removed, and their secrets sealed.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::admin::Tenancy;
use crate::admin::answer::{Listing, Refused, expected, hidden_body, page, versioned};
use crate::admin::who::{About, meant, office, theirs};
use crate::identify::Principal;
use crate::name::{ServerName, TenantId};
use crate::secret::Secret;
use crate::tenancy::Problem;
use crate::tenancy::office::{AccountBody, server};

/// A body that could not be read is described, and not quoted: it may have a secret in it.
const WANTED: &str = "send a JSON object: `tenant`, `server`, `url`, `slots`, `credential` as under `accounts` in the \
                      configuration, and `secret` where it is to be sealed at once";

type Named = Path<(String, String)>;
type Body = Result<Json<AccountBody>, JsonRejection>;

/// A secret that is to be sealed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretBody {
    #[serde(deserialize_with = "hidden")]
    secret: Secret,
}

pub(super) async fn create(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    given: Body,
) -> Result<Response, Refused> {
    let mut wanted = hidden_body(given, WANTED)?;
    // A tenant's admin need not say whose account it is.
    if let Some(own) = principal.confined_to() {
        wanted.account.entry("tenant").or_insert_with(|| json!(own));
    }
    let said = wanted.account.get("tenant").and_then(|said| said.as_str()).unwrap_or_default();
    let tenant = match said.is_empty() {
        true => None,
        false => Some(theirs(&principal, said)?),
    };
    let made = office(&tenancy).create_account(wanted).await;
    let made = made.map(|shown| versioned(StatusCode::CREATED, shown));
    Ok(match tenant {
        Some(tenant) => About::of(&tenant, None, made),
        None => made.into_response(),
    })
}

pub(super) async fn list(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    asked: Result<Query<Listing>, QueryRejection>,
) -> Result<Response, Refused> {
    let asked = Listing::of(asked)?;
    let of = meant(&principal, asked.tenant.as_deref())?;
    let listed = office(&tenancy).accounts(of.as_ref(), &asked.part()?).await;
    Ok(page("accounts", listed?))
}

pub(super) async fn show(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    Path(names): Named,
) -> Result<Response, Problem> {
    let (tenant, server) = named(&principal, &names)?;
    Ok(versioned(StatusCode::OK, office(&tenancy).account(&tenant, &server).await?))
}

pub(super) async fn replace(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    Path(names): Named,
    headers: HeaderMap,
    given: Body,
) -> Result<Response, Refused> {
    let (tenant, server) = named(&principal, &names)?;
    let wanted = hidden_body(given, WANTED)?;
    let replaced = match expected(&headers) {
        Ok(expected) => office(&tenancy).replace_account((&tenant, &server), wanted, expected).await,
        Err(problem) => Err(problem),
    };
    Ok(About::of(&tenant, None, replaced.map(|shown| versioned(StatusCode::OK, shown))))
}

pub(super) async fn delete(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    Path(names): Named,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (tenant, server) = named(&principal, &names)?;
    let expected = expected(&headers)?;
    let done = office(&tenancy).delete_account(&tenant, &server, expected).await;
    Ok(About::of(
        &tenant,
        None,
        done.map(|()| Json(json!({"deleted": {"tenant": tenant, "server": server}}))),
    ))
}

pub(super) async fn seal(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    Path(names): Named,
    given: Result<Json<SecretBody>, JsonRejection>,
) -> Result<Response, Refused> {
    let (tenant, server) = named(&principal, &names)?;
    let SecretBody { secret } = hidden_body(given, "send a JSON object of `secret`")?;
    let done = office(&tenancy).seal_secret(&tenant, &server, &secret).await;
    Ok(About::of(&tenant, None, done.map(|()| Json(json!({"sealed": true})))))
}

pub(super) async fn forget(
    State(tenancy): State<Tenancy>,
    Extension(principal): Extension<Principal>,
    Path(names): Named,
) -> Result<Response, Problem> {
    let (tenant, server) = named(&principal, &names)?;
    let done = office(&tenancy).forget_secret(&tenant, &server).await;
    Ok(About::of(
        &tenant,
        None,
        done.map(|was_there| Json(json!({"sealed": false, "was_sealed": was_there}))),
    ))
}

fn named(principal: &Principal, (tenant, at): &(String, String)) -> Result<(TenantId, ServerName), Problem> {
    let (tenant, at) = (theirs(principal, tenant), server(at)?);
    match tenant {
        // As for an account that is not there.
        Err(Problem::Unknown(_)) => Err(Problem::Unknown(format!("account of {}", of(tenant, &at)))),
        tenant => Ok((tenant?, at)),
    }
}

fn of(tenant: Result<TenantId, Problem>, server: &ServerName) -> String {
    let name = match tenant {
        Ok(tenant) => format!("`{tenant}`"),
        Err(Problem::Unknown(tenant)) => tenant.trim_start_matches("tenant ").to_owned(),
        Err(_) => String::new(),
    };
    format!("{name} at `{server}`")
}

fn hidden<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}
