//! `server/discover` of a server that has only `initialize`.

use std::sync::Arc;

use http::StatusCode;

use crate::bridge::legacy::id_of;
use crate::bridge::wire::{self, Object};
use crate::bridge::{Bridge, Crossing};
use crate::decode::reply::Fields;
use crate::forward::{Exchange, Reply};
use crate::refusal::Refusal;

/// What of a legacy server the bridge brings to a modern caller.
const BRIDGED: [&str; 5] = ["tools", "prompts", "resources", "completions", "logging"];

impl Bridge {
    /// Answers from what the server said when its session was opened. The path speaks both eras, so both are named.
    pub(in crate::bridge::legacy) async fn discover(
        self: &Arc<Self>,
        crossing: Crossing,
    ) -> Result<Reply, Refusal> {
        let session = self.session(&crossing).await?;
        let opened = Fields::read(&session.opened).map_err(|_| Refusal::Internal)?;
        let all = opened.get("capabilities").and_then(|all| Fields::read(all).ok());
        let capabilities = BRIDGED.iter().fold(Object::default(), |object, name| {
            object.with_some(name, all.as_ref().and_then(|all| all.get(name)))
        });
        let versions = format!(r#"["2026-07-28","{}"]"#, session.version().as_str());
        let mut meta = Object::default();
        if let Some(server) = session.server_info() {
            meta = meta.with("io.modelcontextprotocol/serverInfo", server.get());
        }
        let result = Object::default()
            .with("resultType", "\"complete\"")
            .with("supportedVersions", &versions)
            .with("capabilities", &capabilities.end())
            .with_some("instructions", opened.get("instructions"))
            .with("ttlMs", "0")
            .with("cacheScope", "\"private\"")
            .with("_meta", &meta.end());
        let id = id_of(&crossing.passage)?;
        let document = wire::response(id.as_json(), "result", &result.end());
        let exchange = Exchange::whole(&crossing.endpoint, StatusCode::OK, Some(document));
        Ok(Reply { exchange, passage: crossing.passage })
    }
}
