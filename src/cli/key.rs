//! `portcullis key`: API keys. The key is shown once; only its hash is configured.

use serde_json::json;

use super::{Console, Exit, Failure};
use crate::identify::key::new_api_key;

#[derive(Debug, clap::Subcommand)]
pub(super) enum KeyCommand {
    /// Make an API key: the key for its holder, its SHA-256 for the configuration
    Create,
}

impl KeyCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let Self::Create = self;
        let (key, sha256) =
            new_api_key().map_err(|_| Failure::new("the system gives no random bytes", "try again"))?;
        let (key, sha256) = (key.expose(), hex::encode(sha256));
        console
            .data(&json!({"key": key, "sha256": sha256}), &format_args!("key     {key}\nsha256  {sha256}"));
        console.note("the key is not shown again; put `sha256` under `identity.api_keys`");
        Ok(Exit::Done)
    }
}
