//! How a call ended.

use serde::Serialize;

use crate::record::mac::Mac;
use crate::refusal::Refusal;

/// How a call ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// In one word.
    pub status: Status,
    /// The upstream's JSON-RPC error code, where it answered with an error.
    pub error: Option<i64>,
    /// Why the gate refused or gave up: [`Refusal::reason`].
    pub reason: Option<&'static str>,
    /// The HMAC of the result: [`Macs::of`](crate::record::Macs::of) or a [`MacStream`](crate::record::MacStream) that was fed event by event.
    pub result: Option<Mac>,
    /// Bytes of the answer from upstream.
    pub bytes: u64,
}

impl Outcome {
    /// An outcome that says no more than its status.
    #[must_use]
    pub fn bare(status: Status) -> Self {
        Self { status, error: None, reason: None, result: None, bytes: 0 }
    }

    /// The gate gave up after the intent was on the record.
    #[must_use]
    pub fn refused(refusal: &Refusal) -> Self {
        Self { reason: Some(refusal.reason()), ..Self::bare(Status::Refused) }
    }
}

/// How a call ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The server answered with a result.
    Ok,
    /// The server answered with a result that says `isError`.
    ToolError,
    /// The server answered with a JSON-RPC error, or not as it should.
    Error,
    /// The gate gave up before the server had the call.
    Refused,
    /// The caller cancelled it or went away.
    Cancelled,
    /// Nobody said how it ended: the call was dropped inside the gate.
    Abandoned,
    /// The gate does not know: it died, or the answer broke off, while the call was with the server.
    Unknown,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::ToolError,
        Self::Error,
        Self::Refused,
        Self::Cancelled,
        Self::Abandoned,
        Self::Unknown,
    ];

    /// Its name in the audit and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::Error => "error",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
            Self::Unknown => "unknown",
        }
    }
}
