//! Tokens that say nothing themselves: their issuer is asked what they are (RFC 7662).

use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::config::Introspection;
use crate::identify::jwt::document::{NoDocument, client, small_body};
use crate::identify::proof::BadProof;

/// Questions that are under way at once: made-up tokens must not become a flood of them at the issuer.
const AT_ONCE: usize = 16;
/// How long a question waits for its turn.
const TURN: Duration = Duration::from_secs(2);

/// The endpoint of one issuer.
#[derive(Debug)]
pub(in crate::identify) struct Introspector {
    endpoint: Introspection,
    client: Client,
    turns: Semaphore,
}

impl Introspector {
    pub(in crate::identify) fn new(endpoint: &Introspection) -> Result<Self, NoDocument> {
        let (client, _) = client(&endpoint.url)?;
        Ok(Self { endpoint: endpoint.clone(), client, turns: Semaphore::new(AT_ONCE) })
    }

    /// The claims of a token that is active; [`BadProof::Inactive`] of any other.
    pub(in crate::identify) async fn ask(&self, token: &str) -> Result<Value, BadProof> {
        let turn = tokio::time::timeout(TURN, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(BadProof::Crowded) };
        let claims = self.answer(token).await.map_err(|why| {
            tracing::warn!(endpoint = %self.endpoint.url, %why, "Tokens cannot be introspected");
            BadProof::NoKeys
        })?;
        match claims.get("active") {
            Some(Value::Bool(true)) => Ok(claims),
            Some(_) | None => Err(BadProof::Inactive),
        }
    }

    async fn answer(&self, token: &str) -> Result<Value, NoDocument> {
        let file = &self.endpoint.client_secret;
        let secret = Zeroizing::new(tokio::fs::read_to_string(file).await?);
        let form = [("token", token), ("token_type_hint", "access_token")];
        let request = self.client.post(&self.endpoint.url).header("accept", "application/json");
        let (id, secret) = (encoded(&self.endpoint.client_id), encoded(secret.trim()));
        let request = request.basic_auth(id.as_str(), Some(secret.as_str())).form(&form);
        let body = small_body(request.send().await.map_err(reqwest::Error::without_url)?).await?;
        serde_json::from_slice(&body).map_err(|_| NoDocument::NotJson)
    }
}

/// As RFC 6749 section 2.3.1 wants it before Basic.
fn encoded(text: &str) -> Zeroizing<String> {
    Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect())
}
