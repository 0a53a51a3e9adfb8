//! What the token says: who, for whom, to which server, and exactly which call.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::decide::Permit;
use crate::decode::{Action, Message, Reference};
use crate::identify::Caller;
use crate::name::Invocation;
use crate::vouch::Context;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: Invocation,
    txn: Invocation,
    sub: &'a str,
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<&'a [Arc<str>]>,
    scope: &'a str,
    req_wl: &'a str,
    tctx: Transaction<'a>,
    rctx: Request<'a>,
}

/// The transaction's own details, which do not change on its way.
#[derive(Serialize, Default)]
struct Transaction<'a> {
    method: &'a str,
    server: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args_sha256: Option<String>,
}

/// Where the request came from.
#[derive(Serialize)]
struct Request<'a> {
    req_ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    req_id: Option<&'a RawValue>,
}

/// The claims as JSON; `None` where the clock stands before 1970 or a value is no JSON.
pub(super) fn of(
    permit: &Permit,
    context: &Context<'_>,
    issuer: &str,
    lifetime: Duration,
) -> Option<Vec<u8>> {
    let (caller, server, message) = (permit.caller(), permit.server(), permit.message());
    let iat = context.now.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    let aud = audience(context.url.unwrap_or(&server.url));
    let claims = Claims {
        iss: issuer,
        aud: &aud,
        iat,
        exp: iat + lifetime.as_secs(),
        jti: permit.invocation(),
        txn: permit.invocation(),
        sub: subject(caller),
        tenant: caller.tenant().as_str(),
        agent: caller.agent().map(|agent| agent.as_str()),
        roles: server.vouch_roles.then(|| caller.roles()),
        scope: purpose(message),
        req_wl: issuer,
        tctx: transaction(message, server.name.as_str()),
        rctx: Request { req_ip: context.client_address, req_id: request_id(message)? },
    };
    let mut json = Vec::with_capacity(768);
    serde_json::to_writer(&mut json, &claims).ok()?;
    Some(json)
}

/// Scheme, host, port and path; nothing that could carry a credential.
pub(super) fn audience(url: &http::Uri) -> String {
    let mut audience = String::with_capacity(64);
    let scheme = url.scheme_str().unwrap_or("https");
    // Writing to a String does not fail.
    let _ = write!(audience, "{scheme}://{}", url.host().unwrap_or_default());
    if let Some(port) = url.port() {
        let _ = write!(audience, ":{port}");
    }
    audience.push_str(url.path());
    audience
}

/// The user for whom the call is made, else the agent that makes it, else the tenant.
fn subject(caller: &Caller) -> &str {
    let user = caller.user().map(|user| user.as_str());
    user.or_else(|| caller.agent().map(|agent| agent.as_str())).unwrap_or_else(|| caller.tenant().as_str())
}

/// The draft wants a purpose in each token; what has no method is part of the transport.
fn purpose(message: &Message) -> &str {
    if message.method.is_empty() { "transport" } else { message.method }
}

/// `Some(None)`: it has no id.
fn request_id(message: &Message) -> Option<Option<&RawValue>> {
    message
        .id
        .as_ref()
        .map(|id| serde_json::from_str(id.as_json()).ok())
        .map_or(Some(None), |id| id.map(Some))
}

fn transaction<'a>(message: &'a Message, server: &'a str) -> Transaction<'a> {
    let plain = Transaction { method: purpose(message), server, ..Transaction::default() };
    match &message.action {
        Action::CallTool(call) => Transaction {
            tool: Some(call.name.as_str()),
            args_sha256: call.arguments.as_deref().map(sha256),
            ..plain
        },
        Action::GetPrompt { name, arguments } => {
            Transaction { prompt: Some(name), args_sha256: arguments.as_deref().map(sha256), ..plain }
        }
        Action::ReadResource { uri }
        | Action::Subscribe { uri }
        | Action::Unsubscribe { uri }
        | Action::Complete(Reference::Resource(uri)) => Transaction { resource: Some(uri), ..plain },
        Action::Complete(Reference::Prompt(name)) => Transaction { prompt: Some(name), ..plain },
        Action::Task { id, .. } => Transaction { task: Some(id), ..plain },
        Action::Initialize { .. }
        | Action::Discover
        | Action::Ping
        | Action::List(_)
        | Action::SetLevel
        | Action::Listen(_)
        | Action::Notify(_)
        | Action::Respond
        | Action::OpenStream
        | Action::EndSession => plain,
    }
}

/// Of the exact bytes that were judged and are forwarded.
fn sha256(arguments: &RawValue) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, arguments.get().as_bytes()))
}
