//! What a token endpoint answers: tokens (RFC 6749 section 5.1), or why there are none (section 5.2).

use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::Response;
use serde::Deserialize;

use crate::credential::oauth::http::body;
use crate::credential::tokens::{Failure, Setback};
use crate::secret::Secret;

const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What a token endpoint gives.
pub(in crate::credential) struct Answer {
    pub(in crate::credential) access_token: Secret,
    /// How long the token lives from now, where it is said.
    pub(in crate::credential) life: Option<Duration>,
    pub(in crate::credential) refresh_token: Option<Secret>,
    /// The scopes, where they are not those that were asked for.
    pub(in crate::credential) scopes: Option<Vec<String>>,
}

/// RFC 6749 section 5.1. Some servers write `expires_in` as a string.
#[derive(Deserialize)]
struct Written {
    access_token: String,
    token_type: String,
    expires_in: Option<serde_json::Value>,
    refresh_token: Option<String>,
    scope: Option<String>,
}

/// RFC 6749 section 5.2.
#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

/// Reads the answer of a token endpoint.
///
/// # Errors
/// It refuses, or gives no usable token now.
pub(in crate::credential) async fn read(response: Response) -> Result<Answer, Setback> {
    let status = response.status();
    let wait = retry_after(&response);
    let is_json = is_json(&response);
    let body = body(response).await.map_err(unavailable)?;
    match status {
        StatusCode::OK if is_json => granted(&body),
        StatusCode::OK => Err(unavailable("the answer is not JSON by its media type".into())),
        _ => Err(refused(status, wait, &body)),
    }
}

/// An answer that says no type is read all the same: the body decides.
fn is_json(response: &Response) -> bool {
    let Some(value) = response.headers().get(CONTENT_TYPE) else { return true };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| {
        let essence = essence.trim().to_ascii_lowercase();
        essence == "application/json"
            || essence.ends_with("+json")
            || essence == "text/plain"
            || essence == "text/javascript"
    })
}

fn granted(body: &[u8]) -> Result<Answer, Setback> {
    let answer: Written = serde_json::from_slice(body)
        .map_err(|_| unavailable("the answer is no token response (RFC 6749 section 5.1)".into()))?;
    let access_token = Secret::new(answer.access_token);
    let refresh_token = answer.refresh_token.filter(|token| !token.is_empty()).map(Secret::new);
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err(unavailable("the token's type is not Bearer".into()));
    }
    let is_token = |token: &Secret| {
        let text = token.expose();
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !is_token(&access_token) {
        return Err(unavailable("the token has characters that no token has (RFC 6750 section 2.1)".into()));
    }
    Ok(Answer {
        access_token,
        life: life(answer.expires_in.as_ref()),
        refresh_token,
        scopes: answer.scope.map(|scope| scope.split_ascii_whitespace().map(str::to_owned).collect()),
    })
}

fn life(expires_in: Option<&serde_json::Value>) -> Option<Duration> {
    let seconds = expires_in.and_then(|value| match value {
        serde_json::Value::String(text) => text.parse::<f64>().ok(),
        other => other.as_f64(),
    });
    let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    life.map(|life| life.min(LONGEST_LIFE))
}

/// RFC 6749 section 5.2: these say that the client or its grant is refused, which waiting does not mend.
fn refused(status: StatusCode, wait: Option<Duration>, body: &[u8]) -> Setback {
    let error = serde_json::from_slice::<ErrorAnswer>(body).ok().map(|answer| answer.error);
    let known = error.as_deref().filter(|error| is_code(error)).unwrap_or("no error code");
    let why = format!("HTTP {status}, {known}");
    let is_refused = matches!(known, "invalid_client" | "unauthorized_client" | "invalid_grant");
    if status.is_client_error() && (is_refused || status == StatusCode::UNAUTHORIZED) {
        return Setback { failure: Failure::NeedsReauth, why, wait, grant_is_gone: known == "invalid_grant" };
    }
    Setback { failure: Failure::Unavailable, why, wait, grant_is_gone: false }
}

/// Only what has the shape of an error code is told: an endpoint may echo what it was sent.
pub(in crate::credential) fn is_code(text: &str) -> bool {
    !text.is_empty() && text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

pub(in crate::credential) fn unavailable(why: String) -> Setback {
    Setback { why, ..Failure::Unavailable.into() }
}
