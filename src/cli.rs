//! The command line: one line per command here, one file per command in `cli/`.
//!
//! # Why the streams are arguments
//! Data goes to stdout and everything else to stderr. A test reads both without a process of its own.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::config::{BadConfig, Config, Env};

mod account;
mod admin;
mod audit;
mod catalogue;
mod check;
mod completions;
mod config;
mod demo;
mod key;
mod policy;
mod revocation;
mod run;
mod state;
mod tenant;
mod url;
mod vault;
mod webhook;

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It is done: 0.
    Done,
    /// It failed: 1.
    Failed,
    /// The answer is no: 2.
    Denied,
    /// What was given is not valid: 3.
    Invalid,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Denied => 2,
            Exit::Invalid => 3,
        })
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// It could not be done.
    Failed {
        /// What happened.
        what: String,
        /// What to do.
        hint: String,
    },
    /// The configuration has mistakes.
    Config(Vec<BadConfig>),
}

impl Failure {
    /// It could not be done: what happened, and what to do.
    #[must_use]
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed { what: what.into(), hint: hint.into() }
    }
}

/// The form of what goes to stdout: for people, or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

/// Where a command reads and writes.
pub struct Console<'a> {
    input: &'a mut dyn Read,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    env: &'a dyn Env,
    output: Output,
}

impl<'a> Console<'a> {
    /// A console over these streams.
    pub fn new(
        input: &'a mut dyn Read,
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
        env: &'a dyn Env,
    ) -> Self {
        Self { input, out, err, env, output: Output::Text }
    }

    /// Writes data to stdout: `text`, or `value` as JSON where that was asked for.
    fn data(&mut self, value: &impl Serialize, text: &impl Display) {
        let line = match self.output {
            Output::Text => text.to_string(),
            Output::Json => serde_json::to_string_pretty(value).unwrap_or_default(),
        };
        // Whoever closed the pipe has read enough.
        let _ = writeln!(self.out, "{}", line.trim_end_matches('\n'));
    }

    /// Writes JSON to stdout.
    fn json(&mut self, value: &impl Serialize) {
        self.say(serde_json::to_string_pretty(value).unwrap_or_default());
    }

    /// Writes a line for people to stdout at once.
    fn say(&mut self, text: impl Display) {
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    /// Writes a line to stderr.
    fn note(&mut self, text: impl Display) {
        let _ = writeln!(self.err, "{text}");
    }

    /// The configuration in `file`; its warnings go to stderr.
    fn config(&mut self, file: &std::path::Path) -> Result<Config, Failure> {
        let (config, warnings) = Config::load(file, self.env).map_err(Failure::Config)?;
        for warning in warnings {
            self.note(format_args!("warning: {warning}"));
        }
        Ok(config)
    }

    fn failed(&mut self, failure: Failure) -> Exit {
        match failure {
            Failure::Failed { what, hint } => {
                self.note(format_args!("error: {what}\nhint: {hint}"));
                Exit::Failed
            }
            Failure::Config(errors) => {
                for error in errors {
                    self.note(format_args!("error: {error}"));
                }
                Exit::Invalid
            }
        }
    }
}

/// A policy gate in front of MCP servers.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, max_term_width = 100)]
pub struct Cli {
    /// The form of what goes to stdout
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gate
    Run(run::Run),
    /// Check a configuration and its policies, and say all mistakes at once
    Check(check::Check),
    /// Show a gate before a sample server: an allowed and a refused call
    Demo(demo::Demo),
    /// The configuration's schema, and what it comes to
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Tenants
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Tokens that are refused before they end
    #[command(subcommand)]
    Revocation(revocation::RevocationCommand),
    /// Scoped URLs
    #[command(subcommand)]
    Url(url::UrlCommand),
    /// The tenants' accounts at servers
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// The store, from one engine to another
    #[command(subcommand)]
    State(state::StateCommand),
    /// The keys that seal credentials
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// Signed notices that were not taken yet
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// The audit chain
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// What servers offer, and what of it is pinned
    #[command(subcommand)]
    Catalogue(catalogue::CatalogueCommand),
    /// Test policies, and ask them
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Print completions for a shell
    Completions(completions::Completions),
}

/// The configuration that a command works with.
#[derive(Debug, Clone, clap::Args)]
struct ConfigFile {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "portcullis.yaml")]
    config: PathBuf,
}

/// Runs the command that `arguments` name.
pub fn main(arguments: impl IntoIterator<Item = OsString>, mut console: Console<'_>) -> Exit {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => {
            console.output = cli.output;
            let done = dispatch(cli.command, &mut console);
            done.unwrap_or_else(|failure| console.failed(failure))
        }
        Err(help) if !help.use_stderr() => {
            let _ = write!(console.out, "{help}");
            Exit::Done
        }
        Err(usage) => {
            let _ = write!(console.err, "{usage}");
            Exit::Invalid
        }
    }
}

fn dispatch(command: Command, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match command {
        Command::Run(command) => command.run(console),
        Command::Check(command) => Ok(command.run(console)),
        Command::Demo(command) => command.run(console),
        Command::Config(command) => command.run(console),
        Command::Tenant(command) => command.run(console),
        Command::Key(command) => command.run(console),
        Command::Revocation(command) => command.run(console),
        Command::Url(command) => command.run(console),
        Command::Account(command) => command.run(console),
        Command::State(command) => command.run(console),
        Command::Vault(command) => command.run(console),
        Command::Webhook(command) => command.run(console),
        Command::Audit(command) => command.run(console),
        Command::Catalogue(command) => command.run(console),
        Command::Policy(command) => command.run(console),
        Command::Completions(command) => Ok(command.run(console)),
    }
}

#[cfg(test)]
mod tests;
