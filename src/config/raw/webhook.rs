//! How the file says where notices go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::leaf::HttpUrl;
use super::RawSecret;

/// Where signed notices go (Standard Webhooks), such as that an account needs to be authorised again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawWebhook {
    /// The URL that takes them.
    pub(crate) url: HttpUrl,
    /// The key that signs them: `whsec_` and 24 to 64 bytes in base64, in a file or inline.
    pub(crate) secret: RawSecret,
    /// Whether the URL's address may be a private one.
    #[serde(default)]
    pub(crate) private: bool,
}
