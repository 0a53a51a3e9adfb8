//! What the id of a bridged session says: all that a modern server must be told with every request.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::bridge::wire::Object;
use crate::refusal::Refusal;

const SESSION: &str = "mcp-session-id";
/// Tells the gate's own sessions from those of servers. `gateway` seals both, so that nobody can make one up.
const MARK: &str = "portcullis.";
/// A name and capabilities longer than this are not kept: the id travels with every request.
const LONGEST: usize = 4096;

/// A session of the gate's own with a legacy caller.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::bridge) struct Session {
    /// One for each session, so that what a session holds can be found.
    #[serde(rename = "n")]
    pub(in crate::bridge::modern) number: Uuid,
    /// What the caller can be asked.
    #[serde(rename = "c")]
    capabilities: Option<Box<RawValue>>,
    /// What the caller calls itself.
    #[serde(rename = "i")]
    client: Option<Box<RawValue>>,
}

/// Whether a request belongs to a session of the gate's own.
pub(in crate::bridge) fn is_session(headers: &HeaderMap) -> bool {
    headers.get(SESSION).is_some_and(|id| id.as_bytes().starts_with(MARK.as_bytes()))
}

impl Session {
    /// For a caller who says this of itself.
    pub(in crate::bridge::modern) fn new(capabilities: Option<&RawValue>, client: Option<&RawValue>) -> Self {
        let kept = |part: Option<&RawValue>| {
            part.filter(|part| part.get().len() <= LONGEST / 2).map(ToOwned::to_owned)
        };
        Self { number: Uuid::now_v7(), capabilities: kept(capabilities), client: kept(client) }
    }

    /// The session of a request; a caller without one has no capabilities.
    pub(in crate::bridge::modern) fn of(headers: &HeaderMap) -> Self {
        let none = || Self { number: Uuid::nil(), capabilities: None, client: None };
        let id = headers.get(SESSION).and_then(|id| id.to_str().ok()?.strip_prefix(MARK));
        let read = |id: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(id).ok()?).ok();
        id.and_then(read).unwrap_or_else(none)
    }

    /// The id.
    pub(in crate::bridge::modern) fn id(&self) -> Result<HeaderValue, Refusal> {
        let json = serde_json::to_vec(self).map_err(|_| Refusal::Internal)?;
        HeaderValue::from_str(&format!("{MARK}{}", URL_SAFE_NO_PAD.encode(json)))
            .map_err(|_| Refusal::Internal)
    }

    /// What a modern request says of its caller (2026-07-28 basic/index, `_meta`).
    pub(in crate::bridge::modern) fn meta(&self, level: Option<&RawValue>) -> Object {
        const KEY: &str = "io.modelcontextprotocol/";
        Object::default()
            .with(&format!("{KEY}protocolVersion"), "\"2026-07-28\"")
            .with(
                &format!("{KEY}clientCapabilities"),
                self.capabilities.as_deref().map_or("{}", RawValue::get),
            )
            .with_some(&format!("{KEY}clientInfo"), self.client.as_deref())
            .with_some(&format!("{KEY}logLevel"), level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_session_tells_all_that_its_caller_said() {
        let raw = |json: &str| RawValue::from_string(json.to_owned()).unwrap();
        let session = Session::new(Some(&raw(r#"{"elicitation":{}}"#)), Some(&raw(r#"{"name":"c"}"#)));
        let mut headers = HeaderMap::new();
        assert!(!is_session(&headers));
        headers.insert(SESSION, session.id().unwrap());
        assert!(is_session(&headers));
        let again = Session::of(&headers);
        assert_eq!(again.number, session.number);
        assert_eq!(
            again.meta(Some(&raw("\"info\""))).end(),
            r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}},"io.modelcontextprotocol/clientInfo":{"name":"c"},"io.modelcontextprotocol/logLevel":"info"}"#
        );
    }

    #[test]
    fn what_is_too_long_for_a_header_is_not_kept() {
        let long = RawValue::from_string(format!("{{\"name\":\"{}\"}}", "x".repeat(LONGEST))).unwrap();
        let session = Session::new(Some(&long), Some(&long));
        assert!(session.id().unwrap().len() < LONGEST);
        assert!(session.meta(None).end().contains(r#""io.modelcontextprotocol/clientCapabilities":{}"#));
    }
}
