//! `portcullis key`: API keys. The key is shown once; only its hash is configured.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Console, Exit, Failure};

#[derive(Debug, clap::Subcommand)]
pub(super) enum KeyCommand {
    /// Make an API key: the key for its holder, its SHA-256 for the configuration
    Create,
}

impl KeyCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let Self::Create = self;
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| Failure::new("the system gives no random bytes", "try again"))?;
        let key = format!("pk_{}", URL_SAFE_NO_PAD.encode(bytes));
        let sha256 = hex::encode(Sha256::digest(key.as_bytes()));
        console
            .data(&json!({"key": key, "sha256": sha256}), &format_args!("key     {key}\nsha256  {sha256}"));
        console.note("the key is not shown again; put `sha256` under `identity.api_keys`");
        Ok(Exit::Done)
    }
}
