//! A case as it is written in integration/cases/redteam.json.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One attack, and what must come of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub id: String,
    #[serde(rename = "category")]
    _category: String,
    pub title: String,
    #[serde(default, rename = "why")]
    _why: String,
    /// Why it has no test yet.
    pub later: Option<String>,
    /// The test of its own that plays it.
    pub driver: Option<String>,
    /// How the gate is set up, if not as usual.
    pub config: Option<String>,
    /// How the server behaves, if not as usual.
    pub upstream: Option<String>,
    pub request: Option<Request>,
    pub expect: Option<Expect>,
}

/// What is sent. What it does not say is as alice's legacy client would send it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub method: Option<String>,
    pub path: Option<String>,
    /// Headers to set (text, or a list for a repeated one) or to leave out (null).
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    pub body: Option<String>,
    pub body_base64: Option<String>,
    /// The very bytes on the socket, instead of all that.
    pub raw: Option<String>,
    /// How many at once.
    pub times: Option<usize>,
}

/// What must come of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// One of these.
    pub status: Vec<u16>,
    /// One of these JSON-RPC codes.
    pub code: Option<Vec<i64>>,
    /// A tool's result that says no will do as well as a code.
    #[serde(default)]
    pub or_refused: bool,
    /// The gate may also close the connection without an answer.
    #[serde(default)]
    pub gone: bool,
    /// The answer has the request's id.
    #[serde(default)]
    pub own_id: bool,
    /// What the caller must not see.
    #[serde(default)]
    pub absent: Vec<String>,
    /// What the caller must see.
    #[serde(default)]
    pub present: Vec<String>,
    /// What the server must not see.
    #[serde(default)]
    pub upstream_absent: Vec<String>,
    /// What the server must see.
    #[serde(default)]
    pub upstream_present: Vec<String>,
    /// Whether the message may reach the server.
    pub reaches_server: bool,
}

/// All cases.
pub fn all() -> Vec<Case> {
    serde_json::from_str(include_str!("../../cases/redteam.json")).expect("the cases are well-formed")
}
