//! Who asks, and what of it they may: the operator everything, a tenant's admin what is their tenant's.
//!
//! # Why 404 for what is another tenant's
//! A tenant's admin who asks for what is not theirs gets the words that they would get if it did not exist: whether it does is
//! nothing that they may learn.

use std::sync::Arc;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admin::answer::error;
use crate::admin::tls::Peer;
use crate::admin::{AdminState, Tenancy};
use crate::identify::{NotAdmin, Principal};
use crate::name::TenantId;
use crate::record::ChangeLine;
use crate::tenancy::Problem;
use crate::tenancy::office;

/// Who may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Anybody who reaches the listener.
    Nothing,
    /// A tenant's admin, for their tenant.
    TenantAdmin,
    /// The operator.
    Operator,
}

/// What a change was about; its handler says so with the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) tenant: Option<TenantId>,
    pub(super) made: Option<String>,
}

impl About {
    /// Says it with an answer.
    pub(super) fn of(tenant: &TenantId, made: Option<&str>, answer: impl IntoResponse) -> Response {
        let mut answer = answer.into_response();
        let about = Self { tenant: Some(tenant.clone()), made: made.map(str::to_owned) };
        answer.extensions_mut().insert(about);
        answer
    }
}

/// Lets in who proves who they are, and puts what they change on the record.
pub(super) async fn known(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return admitted(&state, request, next).await.0;
    }
    // Who hangs up, or whose handler breaks down, must not leave a change without its line.
    let recorded = tokio::spawn(async move {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let (answer, principal) = admitted(&state, request, next).await;
        let about = answer.extensions().get::<About>().cloned().unwrap_or_default();
        let own = principal.as_ref().and_then(Principal::confined_to);
        (state.changes)(&ChangeLine {
            by: principal.as_ref().map_or("nobody", |principal| &principal.name),
            role: principal.as_ref().map(Principal::role),
            method: method.as_str(),
            path: &path,
            tenant: about.tenant.as_ref().or(own).map(TenantId::as_str),
            made: about.made.as_deref(),
            status: answer.status().as_u16(),
        });
        answer
    });
    recorded.await.unwrap_or_else(|_| broke_down())
}

/// The answer, and who asked, where they may.
async fn admitted(state: &AdminState, mut request: Request, next: Next) -> (Response, Option<Principal>) {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().and_then(|ConnectInfo(peer)| peer.0.clone());
    match state.admins.find(request.headers(), peer.as_deref()).await {
        Ok(principal) => {
            request.extensions_mut().insert(principal.clone());
            let answer = tokio::spawn(next.run(request)).await;
            (answer.unwrap_or_else(|_| broke_down()), Some(principal))
        }
        Err(why) => (turned_away(&why), None),
    }
}

fn broke_down() -> Response {
    error(StatusCode::INTERNAL_SERVER_ERROR, "it failed; see the gate's log")
}

fn turned_away(why: &NotAdmin) -> Response {
    match why {
        NotAdmin::NoRole => {
            error(StatusCode::FORBIDDEN, "you have neither the role `operator` nor the role `tenant-admin`")
        }
        NotAdmin::Unavailable => {
            error(StatusCode::SERVICE_UNAVAILABLE, "the issuer's keys cannot be had now")
        }
        NotAdmin::Unproved => {
            let words = "the admin token is needed: `Authorization: Bearer <text of admin.token in the state directory>`, \
                         or a token or certificate of somebody whom `admin` in the configuration names";
            let mut answer = error(StatusCode::UNAUTHORIZED, words);
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
    }
}

/// Lets the operator alone through.
pub(super) async fn operator(request: Request, next: Next) -> Response {
    match principal(&request) {
        Some(principal) if principal.confined_to().is_none() => next.run(request).await,
        Some(_) | None => error(StatusCode::FORBIDDEN, "this needs the role `operator`"),
    }
}

fn principal(request: &Request) -> Option<&Principal> {
    request.extensions().get::<Principal>()
}

/// The tenant that is meant by `text`, if it is there for who asks. The words for another's are those for none.
pub(super) fn theirs(principal: &Principal, text: &str) -> Result<TenantId, Problem> {
    let tenant = office::tenant(text)?;
    match principal.may(&tenant) {
        true => Ok(tenant),
        false => Err(Problem::Unknown(format!("tenant `{tenant}`"))),
    }
}

/// The tenant that is meant where it need not be said: a tenant's admin means their own.
pub(super) fn meant(principal: &Principal, said: Option<&str>) -> Result<Option<TenantId>, Problem> {
    match said {
        Some(said) => theirs(principal, said).map(Some),
        None => Ok(principal.confined_to().cloned()),
    }
}

/// The office that serves now.
pub(super) fn office(tenancy: &Tenancy) -> Arc<office::Office> {
    (tenancy.office)()
}
