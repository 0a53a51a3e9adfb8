//! `portcullis run`: the gate.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{ConfigFile, Console, Exit, Failure};
use crate::config::{Config, ProcessEnv};
use crate::run::{Running, StartError, keep_memory_private, raise_open_files};

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    file: ConfigFile,
}

impl Run {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let (config, warnings) = Config::open(&self.file.config, console.env).map_err(Failure::Config)?;
        for warning in warnings {
            console.note(format_args!("warning: {warning}"));
        }
        runtime(config.listen.threads)?.block_on(serve(config, self.file.config))
    }
}

/// What a worker's stack may grow to. The whole path of a call lies on it, twice where a server's list is looked at first,
/// and a build without optimisation takes several times the room. Only what is used is memory.
const STACK: usize = 16 << 20;

/// The runtime of a gate with so many worker threads.
pub(super) fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).thread_stack_size(STACK).enable_all().build().map_err(|error| {
        Failure::new(
            format!("the system gives no threads: {error}"),
            "raise the limit on processes (`ulimit -u`)",
        )
    })
}

/// Runs the gate until it is told to stop.
async fn serve(config: Config, file: PathBuf) -> Result<Exit, Failure> {
    let mut told = Told::listen()?;
    let hangup = caught(SignalKind::hangup())?;
    let _telemetry = crate::record::trace::init(&config.telemetry)
        .map_err(|error| Failure::new(error.to_string(), "check `telemetry` in the configuration"))?;
    raise_open_files();
    keep_memory_private();
    let mut running = tokio::select! {
        started = Running::start(config) => started.map_err(not_started)?,
        // A source of policies may let a start wait.
        () = told.wait() => return Ok(Exit::Done),
    };
    running.follow(file, Arc::new(ProcessEnv), hangup);
    told.wait().await;
    running.stop().await;
    Ok(Exit::Done)
}

/// Everything that kept a gate from starting, a line each.
pub(super) fn not_started(errors: Vec<StartError>) -> Failure {
    let lines: Vec<String> = errors.iter().map(StartError::to_string).collect();
    Failure::new(
        lines.join("\n"),
        "mend what is named, then start again; `portcullis check` finds the same without starting",
    )
}

/// SIGTERM and SIGINT: caught from the moment this is made, so that neither is lost before it is waited for.
pub(super) struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    /// # Errors
    /// The system lets no signals be caught.
    pub(super) fn listen() -> Result<Self, Failure> {
        Ok(Self { terminate: caught(SignalKind::terminate())?, interrupt: caught(SignalKind::interrupt())? })
    }

    /// Waits until the process is told to go.
    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A signal that no longer ends the process, and is not lost before it is waited for.
fn caught(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(format!("no signals can be awaited: {error}"), "try again"))
}
