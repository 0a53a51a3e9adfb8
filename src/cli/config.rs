//! `portcullis config`: the schema of the file, and what a file comes to.

use super::{ConfigFile, Console, Exit, Failure};

#[derive(Debug, clap::Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the JSON Schema of the configuration
    Schema,
    /// Print the OpenAPI 3.1 document of the admin API
    Openapi,
    /// Print the effective configuration with secrets masked
    Show(ConfigFile),
}

impl ConfigCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let value = match self {
            Self::Schema => crate::config::schema(),
            Self::Openapi => crate::admin::document(),
            Self::Show(file) => console.config(&file.config)?.masked(),
        };
        let text = serde_json::to_string_pretty(&value).unwrap_or_default();
        console.data(&value, &text);
        Ok(Exit::Done)
    }
}
