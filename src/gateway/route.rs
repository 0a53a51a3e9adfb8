//! Paths: where a request goes.

use bytes::Bytes;
use http::StatusCode;

use crate::gateway::{Gateway, Relay};
use crate::identify::challenge::Resource;
use crate::inbound::{Door, Form, Target};
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
    /// Back from an authorization server.
    Callback,
}

const METADATA: &str = "/.well-known/oauth-protected-resource";
const KEYS: &str = "/.well-known/jwks.json";
const CALLBACK: &str = "/oauth/callback";
const CLIENT: &str = "/oauth/client";
const AUTHZEN: &str = "/.well-known/authzen-configuration";
const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";

impl Gateway {
    /// Where `path` leads.
    ///
    /// # Errors
    /// [`Refusal::NoSuchPath`].
    pub fn route(&self, path: &str) -> Result<Route, Refusal> {
        if path == KEYS {
            return Ok(document(&self.shared.voucher.jwks()));
        }
        if path == CALLBACK {
            return Ok(Route::Callback);
        }
        if path == CLIENT {
            return Ok(document(&self.vault.client_document()));
        }
        if let Some(resource) = path.strip_prefix(METADATA) {
            return self.metadata(resource);
        }
        if let Some(pdp) = path.strip_prefix(AUTHZEN) {
            return self.authzen(pdp);
        }
        match asking(path) {
            Some((form, door)) => self.door(door).map(|door| Route::Mcp(Target::Access(form, door))),
            None => self.target(path).map(Route::Mcp),
        }
    }

    /// Who is asked at a path before `/access/v1/…`.
    fn door(&self, path: &str) -> Result<Door, Refusal> {
        if path.is_empty() {
            return Ok(Door::Gate);
        }
        if let Some(token) = path.strip_prefix("/mcp/").filter(|token| is_token(token)) {
            return Ok(Door::ScopedUrl(Secret::new(token.to_owned())));
        }
        let name = path.strip_prefix("/servers/").and_then(|name| self.server_named(name));
        name.map(Door::Server).ok_or(Refusal::NoSuchPath)
    }

    /// Where questions are asked (OpenID AuthZEN Authorization API 1.0 section 9). Of scoped URLs nothing is published.
    fn authzen(&self, path: &str) -> Result<Route, Refusal> {
        let path = path.strip_prefix(self.identify.challenges().base()).unwrap_or(path);
        match self.door(path)? {
            Door::Gate | Door::Server(_) => {}
            Door::ScopedUrl(_) => return Err(Refusal::NoSuchPath),
        }
        let pdp = format!("{}{path}", self.config.listen.public_url);
        Ok(document(&serde_json::json!({
            "policy_decision_point": pdp,
            "access_evaluation_endpoint": format!("{pdp}{EVALUATION}"),
            "access_evaluations_endpoint": format!("{pdp}{EVALUATIONS}"),
        })))
    }

    fn target(&self, path: &str) -> Result<Target, Refusal> {
        if path == "/mcp" {
            return self.only_server().map(Target::OnlyServer);
        }
        if let Some(token) = path.strip_prefix("/mcp/") {
            return match is_token(token) {
                true => Ok(Target::ScopedUrl(Secret::new(token.to_owned()))),
                false => Err(Refusal::NoSuchPath),
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
                Target::ScopedUrl(_) | Target::Access(..) => return Err(Refusal::NoSuchPath),
            },
        };
        let resource = named.as_ref().map_or(Resource::Mcp, Resource::Server);
        self.identify.challenges().metadata(resource).map(|found| document(&found)).ok_or(Refusal::NoSuchPath)
    }

    pub(in crate::gateway) fn only_server(&self) -> Result<ServerName, Refusal> {
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

/// Whether a path is one of questions, and what stands before that.
fn asking(path: &str) -> Option<(Form, &str)> {
    let at = |form: Form, end: &str| Some((form, path.strip_suffix(end)?));
    at(Form::Evaluation, EVALUATION).or_else(|| at(Form::Evaluations, EVALUATIONS))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}

fn document(value: &serde_json::Value) -> Route {
    Route::Document(Answer::json(StatusCode::OK, Bytes::from(value.to_string())))
}
