//! Changes that take effect without a restart: policy, configuration. What is broken is refused whole, and loudly.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::catalogue::Pins;
use crate::config::{BadConfig, Config, Env};
use crate::decide::Decide;
use crate::decide::watch::Watch;
use crate::gateway::{BuildError, Gate, Gateway, Source};
use crate::name::Revision;
use crate::record::metrics::Reload;
use crate::run::{candidate, doubts, rollout};

/// How often the configuration file is looked at.
pub(in crate::run) const LOOK: Duration = Duration::from_millis(500);

/// Follows the policy directory until the watch is dropped.
pub(in crate::run) fn policy(gate: &Arc<Gate>, serving: Revision) -> Watch {
    let directory = gate.current().config().policy.directory.clone();
    let (gate, runtime) = (Arc::downgrade(gate), Handle::current());
    Watch::start(&directory, serving, move || {
        if let Some(gate) = gate.upgrade() {
            load_policy(&gate, &runtime);
        }
    })
}

fn load_policy(gate: &Gate, runtime: &Handle) {
    let configured = gate.current().config().policy.clone();
    let loaded = Decide::load(&configured).map_err(|problems| texts(&problems));
    // A way back must not wait for a policy that takes long to load.
    let turn = gate.turn();
    let current = gate.current();
    if current.config().policy.directory != configured.directory {
        return;
    }
    let next = loaded.and_then(|policy| {
        let revision = policy.revision().clone();
        let policy = policy.counting(current.shared().tally());
        let next = current.with_policy(Arc::new(policy)).map_err(|errors| texts(&errors))?;
        Ok((next, revision))
    });
    let metrics = current.shared().metrics();
    match next {
        Ok((next, revision)) => {
            gate.swap(next, Source::Policy);
            metrics.reloaded(Reload::Loaded);
            tracing::info!(%revision, "Policy reloaded");
            rollout::settle(gate, runtime);
            drop(turn);
            doubts::tell(&configured.directory, &current.config().servers);
        }
        Err(problems) => {
            for problem in &problems {
                tracing::error!(%problem, "Policy not reloaded; the old one serves");
            }
            gate.keep(Source::Policy, problems.join("\n"));
            metrics.reloaded(Reload::KeptOld);
        }
    }
}

/// Follows the configuration file, and reads it again on each `hangup` (SIGHUP), until `stop` turns true.
pub(in crate::run) async fn config(
    gate: Arc<Gate>,
    file: PathBuf,
    env: Arc<dyn Env + Send + Sync>,
    mut hangup: Signal,
    mut stop: watch::Receiver<bool>,
) {
    let mut seen = modified(&file);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = hangup.recv() => {}
            () = tokio::time::sleep(LOOK) => {
                if modified(&file) == seen {
                    continue;
                }
            }
        }
        seen = modified(&file);
        load_config(&gate, &file, env.as_ref());
    }
}

fn load_config(gate: &Gate, file: &Path, env: &dyn Env) {
    let turn = gate.turn();
    let current = gate.current();
    let next =
        Config::load(file, env).map_err(|bad| texts::<BadConfig>(&bad)).and_then(|(config, warnings)| {
            for warning in warnings {
                tracing::warn!(%warning, "Configuration");
            }
            current.with_config(Arc::new(config)).map_err(|errors| texts::<BuildError>(&errors))
        });
    match next {
        Ok(next) => {
            current.shared().forget_tools();
            turn_keys(&current, &next);
            gate.swap(next, Source::Config);
            tracing::info!(file = %file.display(), "Configuration reloaded");
            rollout::settle(gate, &Handle::current());
            drop(turn);
            candidate::load_missing(gate);
        }
        Err(problems) => {
            for problem in &problems {
                tracing::error!(%problem, "Configuration not reloaded; the old one serves");
            }
            gate.keep(Source::Config, problems.join("\n"));
        }
    }
}

/// Takes the sealing keys of the next generation as soon as they can be had; until then those of the one before serve.
fn turn_keys(current: &Gateway, next: &Gateway) {
    let (sealer, state) = (Arc::clone(current.shared().sealer()), next.config().state.clone());
    tokio::spawn(async move {
        if let Err(error) = sealer.turn(&state).await {
            tracing::error!(%error, "The sealing key of the new configuration cannot be had; the old one stays");
        }
    });
}

/// Follows the lock file of whatever configuration serves, until `stop` turns true.
pub(in crate::run) async fn pins(gate: Arc<Gate>, mut stop: watch::Receiver<bool>) {
    let mut seen = None;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let current = gate.current();
        let Some(pinning) = &current.config().pins else { continue };
        // A generation that was begun before the last change of the lock has the pins before it.
        let now = (pinning.file.clone(), stamp(&pinning.file), current.pins().revision());
        if seen.as_ref() != Some(&now) {
            load_pins(&gate);
            seen = Some((now.0, now.1, gate.current().pins().revision()));
        }
    }
}

fn load_pins(gate: &Gate) {
    let _turn = gate.turn();
    let current = gate.current();
    let next = Pins::load(current.config()).map_err(|bad| vec![bad.to_string()]).and_then(|pins| {
        let changed = pins.revision() != current.pins().revision();
        let next = changed.then(|| current.with_pins(Arc::new(pins)));
        next.transpose().map_err(|errors| texts(&errors))
    });
    match next {
        Ok(Some(next)) => {
            let revision = next.pins().revision().map(|revision| revision.to_string());
            gate.swap(next, Source::Pins);
            tracing::info!(revision, "Pins reloaded");
        }
        Ok(None) => gate.mended(Source::Pins),
        Err(problems) => {
            for problem in &problems {
                tracing::error!(%problem, "Pins not reloaded; the old ones serve");
            }
            gate.keep(Source::Pins, problems.join("\n"));
        }
    }
}

/// When a file was written, and how long it is.
fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let data = file.metadata().ok()?;
    Some((data.modified().ok()?, data.len()))
}

fn modified(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|data| data.modified()).ok()
}

pub(in crate::run) fn texts<E: ToString>(errors: &[E]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}
