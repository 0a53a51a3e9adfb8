//! `portcullis policy`: test policies, and ask them.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{ConfigFile, Console, Exit, Failure};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Run the tests in a policy directory
    Test {
        /// The policies
        directory: PathBuf,
    },
    /// Ask whether a call would be allowed, and by which rules; exit 2 when denied
    Explain(Explain),
}

/// The call that is asked about.
#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// The tenant
    #[arg(long)]
    pub(super) tenant: String,
    /// The user
    #[arg(long)]
    pub(super) user: Option<String>,
    /// The agent
    #[arg(long)]
    pub(super) agent: Option<String>,
    /// The caller's roles, with commas
    #[arg(long, value_delimiter = ',')]
    pub(super) roles: Vec<String>,
    /// The caller's attributes, a JSON object
    #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}")]
    pub(super) attributes: JsonObject,
    /// The server
    #[arg(long)]
    pub(super) server: String,
    /// The tool
    #[arg(long)]
    pub(super) tool: String,
    /// The arguments, a JSON object; without them the question is whether the tool is listed
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub(super) arguments: Option<JsonObject>,
}

/// A JSON object from the command line.
#[derive(Debug, Clone)]
pub(super) struct JsonObject(
    /// Its members.
    pub(super) Map<String, Value>,
);

impl PolicyCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Test { directory } => test(&directory, console),
            Self::Explain(question) => {
                let config = console.config(&question.file.config)?;
                explain(&config, &question, console)
            }
        }
    }
}

/// Runs the policies' tests; `Exit::Failed` where one fails. NOT WIRED: `decide` answers here.
fn test(directory: &Path, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let _ = (directory, console);
    Err(Failure::not_wired("policy test"))
}

/// Decides about the call; `Exit::Denied` where it is denied. NOT WIRED: `decide` answers here.
fn explain(config: &Config, question: &Explain, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let _ =
        (config, console, &question.attributes.0, &question.arguments.as_ref().map(|arguments| &arguments.0));
    Err(Failure::not_wired("policy explain"))
}

fn object(text: &str) -> Result<JsonObject, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(JsonObject(object)),
        Ok(_) => Err("it is JSON, but not an object: write one such as `{\"status\": \"open\"}`".to_owned()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}
