//! `initialize` of a server that has only `server/discover`.

use std::sync::Arc;

use http::{HeaderName, StatusCode};

use crate::bridge::modern::session::Session;
use crate::bridge::wire::{self, Object};
use crate::bridge::{Bridge, Crossing};
use crate::decode::reply::{Fields, Outcome, Reply as Told, read};
use crate::decode::{Action, Era, Version};
use crate::forward::{Exchange, Reply};
use crate::refusal::Refusal;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// What of a modern server the bridge brings to a legacy caller.
const BRIDGED: [&str; 5] = ["tools", "prompts", "resources", "completions", "logging"];

impl Bridge {
    /// Opens a session of the gate's own, and answers from what the server says of itself.
    pub(in crate::bridge::modern) async fn initialize(
        self: &Arc<Self>,
        crossing: Crossing,
    ) -> Result<Reply, Refusal> {
        let errand = crossing.errand(self);
        let exchange = Self::discovered(&errand, &crossing.request.headers).await?;
        // Who may ask and how often is told by the status alone, in either era.
        if matches!(exchange.status.as_u16(), 401 | 403 | 429 | 500..) {
            return Ok(Reply { exchange, passage: crossing.passage });
        }
        let is_events = exchange.is_media("text/event-stream");
        let body = exchange.body(crossing.limits.answer).await?;
        let messages = wire::messages(&body, is_events, crossing.limits.event);
        let bad = || Refusal::BadAnswer {
            server: crossing.endpoint.server.clone(),
            what: "it does not say what it offers",
        };
        let told = messages.last().ok_or_else(bad)?;
        let Ok(Told::Response { outcome: Outcome::Result(result), .. }) = read(told) else {
            return Err(bad());
        };
        let result = Fields::read(result).map_err(|_| bad())?;
        let params = wire::params(&crossing.request.body)?.map(Fields::read).transpose();
        let params = params.map_err(|_| Refusal::Internal)?;
        let said = |key: &str| params.as_ref().and_then(|params| params.get(key));
        let session = Session::new(said("capabilities"), said("clientInfo"));
        let message = crossing.passage.permit.message();
        let id = message.id.as_ref().ok_or(Refusal::Internal)?;
        let document = wire::response(id.as_json(), "result", &opened(&result, &message.action));
        let exchange = Exchange::whole(&crossing.endpoint, StatusCode::OK, Some(document));
        let exchange = exchange.with(SESSION, session.id()?);
        Ok(Reply { exchange, passage: crossing.passage })
    }
}

/// The result of `initialize` (2025-11-25 basic/lifecycle) from one of `server/discover`.
fn opened(discovered: &Fields<'_>, asked: &Action) -> String {
    let all = discovered.get("capabilities").and_then(|all| Fields::read(all).ok());
    let capabilities = BRIDGED.iter().fold(Object::default(), |object, name| {
        object.with_some(name, all.as_ref().and_then(|all| all.get(name)))
    });
    let meta = discovered.get("_meta").and_then(|meta| Fields::read(meta).ok());
    let server = meta.as_ref().and_then(|meta| meta.get("io.modelcontextprotocol/serverInfo"));
    Object::default()
        .with("protocolVersion", &format!("\"{}\"", negotiated(asked).as_str()))
        .with("capabilities", &capabilities.end())
        .with("serverInfo", server.map_or(r#"{"name":"","version":""}"#, |server| server.get()))
        .with_some("instructions", discovered.get("instructions"))
        .end()
}

/// What the caller asks for, where it is a legacy revision; else the latest.
fn negotiated(asked: &Action) -> Version {
    let asked = match asked {
        Action::Initialize { version } => Version::parse(version),
        _ => None,
    };
    asked.filter(|version| version.era() == Era::Legacy).unwrap_or(Version::V2025_11_25)
}
