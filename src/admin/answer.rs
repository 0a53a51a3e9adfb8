//! What the admin API answers with: problems in words with a stable code, versions, pages.

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::tenancy::Problem;
use crate::tenancy::office::{Page, Part, Shown};

/// A page, where nothing else is said.
const PAGE: usize = 100;
/// The largest page.
const LARGEST_PAGE: usize = 1000;

/// A refusal in plain words. Its code is for programs, and stays as it is.
pub(super) fn error(status: StatusCode, what: &str) -> Response {
    coded(status, code(status), what)
}

/// A refusal with a code of its own.
pub(super) fn coded(status: StatusCode, code: &str, what: &str) -> Response {
    (status, Json(json!({"error": what, "code": code}))).into_response()
}

fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PRECONDITION_FAILED => "changed",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "not_json",
        StatusCode::UNPROCESSABLE_ENTITY => "invalid",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ => "failed",
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let words = self.to_string();
        match self {
            Self::Unknown(_) => error(StatusCode::NOT_FOUND, &words),
            Self::Exists(_) => coded(StatusCode::CONFLICT, "exists", &words),
            Self::Configured(_) => coded(StatusCode::CONFLICT, "configured", &words),
            Self::Conflict(_) => error(StatusCode::CONFLICT, &words),
            Self::Changed => error(StatusCode::PRECONDITION_FAILED, &words),
            Self::Unfit(faults) => {
                let told = json!({"error": words, "code": "invalid", "faults": faults});
                (StatusCode::UNPROCESSABLE_ENTITY, Json(told)).into_response()
            }
            Self::Failed(_) => error(StatusCode::SERVICE_UNAVAILABLE, &words),
        }
    }
}

/// An answer that says why not.
pub(super) struct Refused(Box<Response>);

impl From<Response> for Refused {
    fn from(answer: Response) -> Self {
        Self(Box::new(answer))
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        problem.into_response().into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Something with its version as `ETag` (RFC 9110 section 8.8.3).
pub(super) fn versioned(status: StatusCode, shown: Shown) -> Response {
    let mut answer = (status, Json(shown.value)).into_response();
    if let Some(tag) = shown.version.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok())
    {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

/// The version that `If-Match` expects (RFC 9110 section 13.1.1); `None`: any.
pub(super) fn expected(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    // What is no version of ours is none that is there.
    let version =
        text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    version.map(Some).ok_or(Problem::Changed)
}

/// A list, page by page.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// Whose things; a tenant's admin need not say.
    pub(super) tenant: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

impl Listing {
    /// What was asked for, or the answer to what cannot be.
    pub(super) fn of(asked: Result<Query<Self>, QueryRejection>) -> Result<Self, Refused> {
        let known = "a list knows `tenant`, `limit` and `after`";
        asked.map(|Query(listing)| listing).map_err(|_| error(StatusCode::BAD_REQUEST, known).into())
    }

    pub(super) fn part(&self) -> Result<Part, Refused> {
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=LARGEST_PAGE).contains(&limit) {
            let what = format!("`limit` is 1 to {LARGEST_PAGE}");
            return Err(error(StatusCode::BAD_REQUEST, &what).into());
        }
        let read = |cursor: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok();
        let after = self.after.as_deref().map(|cursor| {
            let known = "`after` is not the `next` of a page";
            read(cursor).ok_or_else(|| Refused::from(error(StatusCode::BAD_REQUEST, known)))
        });
        Ok(Part { after: after.transpose()?, limit })
    }
}

/// A page under the name of what is on it. `next` is there while there may be more.
pub(super) fn page(name: &str, page: Page) -> Response {
    let mut body = json!({name: page.items});
    if let (Value::Object(members), Some(next)) = (&mut body, page.next) {
        members.insert("next".to_owned(), json!(URL_SAFE_NO_PAD.encode(next)));
    }
    Json(body).into_response()
}

/// The body, or the answer to one that cannot be read.
pub(super) fn body<T>(given: Result<Json<T>, JsonRejection>) -> Result<T, Refused> {
    given.map(|Json(body)| body).map_err(|rejection| error(rejection.status(), &rejection.body_text()).into())
}

/// The same for a body with a secret in it: what a parser says of it may quote it, so that it is not passed on.
pub(super) fn hidden_body<T>(given: Result<Json<T>, JsonRejection>, wanted: &str) -> Result<T, Refused> {
    given.map(|Json(body)| body).map_err(|rejection| error(rejection.status(), wanted).into())
}
