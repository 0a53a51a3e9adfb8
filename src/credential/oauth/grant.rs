//! What an authorization server has granted an account, as it is kept: sealed, one entry for each tenant and server.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::credential::oauth::answer::Answer;
use crate::secret::Secret;

/// How long a token is used whose end is not said, where it can be refreshed.
const LIFE_IF_UNSAID: SignedDuration = SignedDuration::from_mins(30);

/// Tokens of one account, and how they were got.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::credential) struct Grant {
    pub(in crate::credential) state: State,
    #[serde(serialize_with = "exposed", deserialize_with = "hidden")]
    pub(in crate::credential) access_token: Secret,
    #[serde(default, serialize_with = "exposed_some", deserialize_with = "hidden_some")]
    pub(in crate::credential) refresh_token: Option<Secret>,
    /// When this access token came; it tells the token from the one before.
    pub(in crate::credential) obtained_at: Timestamp,
    /// When it ends; `None`: when the server rejects it.
    pub(in crate::credential) expires_at: Option<Timestamp>,
    pub(in crate::credential) connected_at: Timestamp,
    pub(in crate::credential) scopes: Vec<String>,
    pub(in crate::credential) resource: Option<String>,
    pub(in crate::credential) issuer: Option<String>,
    pub(in crate::credential) token_url: String,
    pub(in crate::credential) client: Client,
    /// How often the access token was refreshed.
    pub(in crate::credential) refreshes: u64,
    /// Attempts that failed since then.
    pub(in crate::credential) failures: u32,
    pub(in crate::credential) last_failure: Option<Failed>,
}

/// Whether a grant can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::credential) enum State {
    /// It can.
    Active,
    /// Not until a person connects the account again.
    NeedsReauth,
}

/// The client that the grant was given to.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::credential) struct Client {
    pub(in crate::credential) id: String,
    /// Whether the gate registered it by itself (RFC 7591): then its secret is here.
    pub(in crate::credential) registered: bool,
    #[serde(default, serialize_with = "exposed_some", deserialize_with = "hidden_some")]
    pub(in crate::credential) secret: Option<Secret>,
    pub(in crate::credential) in_body: bool,
}

/// A refresh that failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::credential) struct Failed {
    pub(in crate::credential) at: Timestamp,
    pub(in crate::credential) why: String,
}

impl Client {
    pub(in crate::credential) fn copied(&self) -> Self {
        Self {
            id: self.id.clone(),
            registered: self.registered,
            secret: self.secret.as_ref().map(copied),
            in_body: self.in_body,
        }
    }
}

impl Grant {
    pub(in crate::credential) fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// To be sealed at once.
    pub(in crate::credential) fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(8 << 10));
        serde_json::to_writer(&mut *bytes, self)?;
        Ok(bytes)
    }

    /// The grant after a refresh. A server that does not rotate gives no new refresh token: the old one stays.
    pub(in crate::credential) fn refreshed(self, answer: Answer, now: Timestamp) -> Self {
        let refresh_token = answer.refresh_token.or(self.refresh_token);
        Self {
            state: State::Active,
            expires_at: end(answer.life, refresh_token.is_some(), now),
            access_token: answer.access_token,
            refresh_token,
            // Two tokens of one grant never have the same moment.
            obtained_at: now.max(self.obtained_at + SignedDuration::from_millis(1)),
            scopes: answer.scopes.unwrap_or(self.scopes),
            refreshes: self.refreshes.saturating_add(1),
            failures: 0,
            last_failure: None,
            ..self
        }
    }

    /// The grant after a refresh that failed.
    pub(in crate::credential) fn failed(self, why: &str, state: State, now: Timestamp) -> Self {
        let last_failure = Some(Failed { at: now, why: why.to_owned() });
        Self { state, failures: self.failures.saturating_add(1), last_failure, ..self }
    }

    /// How long the access token is still good; `None`: until it is rejected.
    pub(in crate::credential) fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = self.expires_at?.duration_since(now);
        Some(Duration::try_from(left).unwrap_or_default())
    }

    /// The whole life of the access token.
    pub(in crate::credential) fn life(&self) -> Option<Duration> {
        Duration::try_from(self.expires_at?.duration_since(self.obtained_at)).ok()
    }
}

/// When a token ends. Where it is not said and nothing can refresh it, only the server can tell.
pub(in crate::credential) fn end(
    life: Option<Duration>,
    can_refresh: bool,
    now: Timestamp,
) -> Option<Timestamp> {
    match life.and_then(|life| SignedDuration::try_from(life).ok()) {
        Some(life) => now.checked_add(life).ok(),
        None if can_refresh => now.checked_add(LIFE_IF_UNSAID).ok(),
        None => None,
    }
}

pub(in crate::credential) fn copied(secret: &Secret) -> Secret {
    Secret::new(secret.expose().to_owned())
}

pub(in crate::credential) fn exposed<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(secret.expose())
}

pub(in crate::credential) fn hidden<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

pub(in crate::credential) fn exposed_some<S: Serializer>(
    secret: &Option<Secret>,
    to: S,
) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(to)
}

pub(in crate::credential) fn hidden_some<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(Secret::new))
}
