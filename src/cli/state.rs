//! `portcullis state export` and `import`: everything that is in the store, from one engine to another.

use std::io::BufWriter;

use clap::{Args, Subcommand};
use serde_json::json;

use super::admin::BUSY;
use super::run::runtime;
use super::{ConfigFile, Console, Exit, Failure};
use crate::config::Config;
use crate::gateway::GATE_KEY;
use crate::store::transfer::{Export, Onto, TransferError, export};
use crate::store::{self, Table};

/// The store as a whole.
#[derive(Debug, Subcommand)]
pub(super) enum StateCommand {
    /// Write everything in the store to stdout; sealed values stay sealed, and keys are not in it
    Export(ExportState),
    /// Read an export from stdin into the store of the configuration
    Import(ImportState),
    /// Let the next gate that starts say what the gate's key is; scoped URLs and sessions of the old one end
    NewGateKey(NewGateKey),
}

/// Everything in the store.
#[derive(Debug, Args)]
pub(super) struct ExportState {
    #[command(flatten)]
    file: ConfigFile,
}

/// An export into a store.
#[derive(Debug, Args)]
pub(super) struct ImportState {
    #[command(flatten)]
    file: ConfigFile,
    /// Keep what is in the store, but for entries that the export has as well
    #[arg(long)]
    merge: bool,
    /// Remove what is in the store first
    #[arg(long, conflicts_with = "merge")]
    replace: bool,
}

/// Another gate key for all gates.
#[derive(Debug, Args)]
pub(super) struct NewGateKey {
    #[command(flatten)]
    file: ConfigFile,
}

impl StateCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Export(command) => command.run(console),
            Self::Import(command) => command.run(console),
            Self::NewGateKey(command) => command.run(console),
        }
    }
}

impl ExportState {
    fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let (config, _) = Config::load(&self.file.config, console.env).map_err(Failure::Config)?;
        let entries = runtime(1)?.block_on(async {
            let store = store::open(&config.state).await?;
            export(store.as_ref(), &mut BufWriter::new(&mut *console.out)).await
        });
        let entries = entries.map_err(failed)?;
        console.note(format_args!(
            "exported {entries} entries; the gate's key and the sealing key are not in it"
        ));
        Ok(Exit::Done)
    }
}

impl ImportState {
    fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let mut text = String::new();
        console
            .input
            .read_to_string(&mut text)
            .map_err(|why| Failure::new(format!("stdin cannot be read: {why}"), "pipe the export in"))?;
        let read = Export::read(&text).map_err(failed)?;
        let (config, _) = Config::open(&self.file.config, console.env).map_err(Failure::Config)?;
        let onto = match (self.merge, self.replace) {
            (true, _) => Onto::Merged,
            (false, true) => Onto::Replaced,
            (false, false) => Onto::Empty,
        };
        let imported = runtime(1)?.block_on(async {
            let store = store::open(&config.state).await?;
            read.import(store.as_ref(), onto).await
        });
        let imported = imported.map_err(failed)?;
        console.data(&json!({"imported": imported}), &format_args!("imported {imported} entries"));
        Ok(Exit::Done)
    }
}

impl NewGateKey {
    fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let (config, _) = Config::load(&self.file.config, console.env).map_err(Failure::Config)?;
        let forgotten = runtime(1)?.block_on(async {
            let store = store::open(&config.state).await?;
            store.remove(Table::Gates, GATE_KEY).await
        });
        let forgotten = forgotten.map_err(|error| failed(error.into()))?;
        let text = if forgotten {
            "the next gate that starts says what the key is"
        } else {
            "no gate has said it yet"
        };
        console.data(&json!({"forgotten": forgotten}), &text);
        Ok(Exit::Done)
    }
}

fn failed(error: TransferError) -> Failure {
    let hint = match &error {
        TransferError::Store(_) => BUSY,
        TransferError::Write(_) => "see that there is room for it",
        TransferError::Unreadable { .. } => "make the export anew with `portcullis state export`",
        TransferError::NotEmpty(_) => "`--merge` keeps what is there, `--replace` removes it",
    };
    Failure::new(error.to_string(), hint)
}
