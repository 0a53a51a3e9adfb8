//! Paths: where a request goes.

use bytes::Bytes;
use http::StatusCode;

use crate::gateway::{Gateway, Relay};
use crate::identify::challenge::Resource;
use crate::inbound::Target;
use crate::name::ServerName;
use crate::refusal::Refusal;
use crate::respond::Answer;
use crate::secret::Secret;

/// Where a path leads.
#[derive(Debug)]
pub enum Route {
    /// To a server.
    Mcp(Target),
    /// To a public document of the gate's own.
    Document(Answer<Relay>),
}

const METADATA: &str = "/.well-known/oauth-protected-resource";
const KEYS: &str = "/.well-known/jwks.json";

impl Gateway {
    /// Where `path` leads.
    ///
    /// # Errors
    /// [`Refusal::NoSuchPath`].
    pub fn route(&self, path: &str) -> Result<Route, Refusal> {
        if path == KEYS {
            return Ok(document(&self.shared.voucher.jwks()));
        }
        if let Some(resource) = path.strip_prefix(METADATA) {
            return self.metadata(resource);
        }
        self.target(path).map(Route::Mcp)
    }

    fn target(&self, path: &str) -> Result<Target, Refusal> {
        if path == "/mcp" {
            return self.only_server().map(Target::OnlyServer);
        }
        if let Some(token) = path.strip_prefix("/mcp/") {
            return match token.is_empty() || token.contains('/') {
                true => Err(Refusal::NoSuchPath),
                false => Ok(Target::ScopedUrl(Secret::new(token.to_owned()))),
            };
        }
        let name = path.strip_prefix("/servers/").and_then(|rest| rest.strip_suffix("/mcp"));
        name.and_then(|name| self.server_named(name)).map(Target::Server).ok_or(Refusal::NoSuchPath)
    }

    fn metadata(&self, path: &str) -> Result<Route, Refusal> {
        let base = self.identify.challenges().base();
        let path = path.strip_prefix(base).unwrap_or(path);
        let named = match path {
            "" | "/mcp" => None,
            path => match self.target(path)? {
                Target::Server(name) => Some(name),
                Target::OnlyServer(_) => None,
                Target::ScopedUrl(_) => return Err(Refusal::NoSuchPath),
            },
        };
        let resource = named.as_ref().map_or(Resource::Mcp, Resource::Server);
        self.identify.challenges().metadata(resource).map(|found| document(&found)).ok_or(Refusal::NoSuchPath)
    }

    fn only_server(&self) -> Result<ServerName, Refusal> {
        let mut names = self.config.servers.keys();
        match (names.next(), names.next()) {
            (Some(only), None) => Ok(only.clone()),
            _ => Err(Refusal::NoSuchPath),
        }
    }

    fn server_named(&self, name: &str) -> Option<ServerName> {
        let name = ServerName::parse(name).ok()?;
        self.config.servers.contains_key(&name).then_some(name)
    }
}

fn document(value: &serde_json::Value) -> Route {
    Route::Document(Answer::json(StatusCode::OK, Bytes::from(value.to_string())))
}
