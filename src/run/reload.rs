//! Changes that take effect without a restart: policy, configuration. What is broken is refused whole, and loudly.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::{BadConfig, Config, Env};
use crate::decide::Decide;
use crate::decide::watch::Watch;
use crate::gateway::{BuildError, Gate, Source};
use crate::name::Revision;
use crate::record::metrics::Reload;

/// How often the configuration file is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Follows the policy directory until the watch is dropped.
pub(in crate::run) fn policy(gate: &Arc<Gate>, serving: Revision) -> Watch {
    let directory = gate.current().config().policy.directory.clone();
    let gate = Arc::downgrade(gate);
    Watch::start(&directory, serving, move || {
        if let Some(gate) = gate.upgrade() {
            load_policy(&gate);
        }
    })
}

fn load_policy(gate: &Gate) {
    let current = gate.current();
    let loaded = Decide::load(&current.config().policy).map_err(|problems| texts(&problems));
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

/// Follows the configuration file, and reads it again on SIGHUP, until `stop` turns true.
pub(in crate::run) async fn config(
    gate: Arc<Gate>,
    file: PathBuf,
    env: Arc<dyn Env + Send + Sync>,
    mut stop: watch::Receiver<bool>,
) {
    let mut seen = modified(&file);
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
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
            gate.swap(next, Source::Config);
            tracing::info!(file = %file.display(), "Configuration reloaded");
        }
        Err(problems) => {
            for problem in &problems {
                tracing::error!(%problem, "Configuration not reloaded; the old one serves");
            }
            gate.keep(Source::Config, problems.join("\n"));
        }
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|data| data.modified()).ok()
}

fn texts<E: ToString>(errors: &[E]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}
