//! The life of a gate: start, watch what may change, stop without losing an answer.

mod files;

pub use files::raise_open_files;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{BadConfig, Config, Env};
use crate::decide::Decide;
use crate::gateway::{BuildError, Gate, Gateway, Shared};
use crate::listen::{self, CannotListen, Drain};

/// How often keys, counters and files are looked after.
const ROUND: Duration = Duration::from_secs(30);
/// How often the configuration file is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A gate that runs.
pub struct Running {
    gate: Arc<Gate>,
    drain: Arc<Drain>,
    shared: Arc<Shared>,
    shutdown: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// Where agents reach it.
    pub addresses: Vec<SocketAddr>,
    /// Where operators reach it.
    pub admin: Option<SocketAddr>,
    _policy: crate::decide::watch::Watch,
}

/// Why a gate does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What it is built from.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An address.
    #[error(transparent)]
    Listen(#[from] CannotListen),
}

impl Running {
    /// Starts a gate: everything is opened, built and bound before the first request is taken.
    ///
    /// # Errors
    /// Everything that is wrong, as far as it can be known at once.
    pub async fn start(config: Config) -> Result<Self, Vec<StartError>> {
        let config = Arc::new(config);
        let shared = Shared::open(&config).await.map_err(|error| vec![error.into()])?;
        let gateway = Gateway::build(Arc::clone(&config), None, Arc::clone(&shared));
        let gateway = gateway.map_err(|errors| errors.into_iter().map(Into::into).collect::<Vec<_>>())?;
        let revision = gateway.policy().revision().clone();
        let gate = Gate::new(gateway);
        let bound = bind(&config)?;
        let addresses: Vec<_> = bound.iter().map(|bound| bound.address).collect();
        let drain = Drain::new();
        let (shutdown, watch) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(Arc::clone(&gate), bound, Arc::clone(&drain), watch.clone()));
        tasks.spawn(keep(Arc::clone(&shared), watch.clone()));
        let admin = None;
        let policy = follow_policy(&gate, revision);
        for address in &addresses {
            tracing::info!(%address, "listening");
        }
        Ok(Self { gate, drain, shared, shutdown, tasks, addresses, admin, _policy: policy })
    }

    /// Follows a configuration file: when it changes, or on SIGHUP, the next generation is built from it and swapped in.
    /// One that is wrong is refused whole, and the old one serves on.
    pub fn follow(&mut self, file: PathBuf, env: Arc<dyn Env + Send + Sync>) {
        let (gate, mut stop) = (Arc::clone(&self.gate), self.shutdown.subscribe());
        self.tasks.spawn(async move {
            let mut seen = modified(&file);
            let Ok(mut hangup) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
            else {
                return;
            };
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
                reload(&gate, &file, env.as_ref());
            }
        });
    }

    /// The gate itself.
    #[must_use]
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Stops: takes nothing more, lets what is in flight end, and closes the audit chain. Returns whether everything was
    /// answered in time.
    pub async fn stop(mut self) -> bool {
        let patience = self.gate.current().config().listen.drain;
        tracing::info!(in_flight = self.drain.in_flight(), "Stopping");
        self.shutdown.send_replace(true);
        let answered = self.drain.stop(patience).await;
        if !answered {
            tracing::warn!(in_flight = self.drain.in_flight(), "Not everything was answered in time");
        }
        let _ = tokio::time::timeout(Duration::from_secs(2), async {
            while self.tasks.join_next().await.is_some() {}
        })
        .await;
        self.tasks.abort_all();
        let shared = Arc::clone(&self.shared);
        let _ = tokio::task::spawn_blocking(move || shared.record().stop()).await;
        answered
    }
}

fn bind(config: &Config) -> Result<Vec<listen::Bound>, Vec<StartError>> {
    let (mut bound, mut wrong) = (Vec::new(), Vec::new());
    for listener in &config.listen.listeners {
        match listen::bind(listener.clone()) {
            Ok(one) => bound.push(one),
            Err(error) => wrong.push(error.into()),
        }
    }
    if wrong.is_empty() { Ok(bound) } else { Err(wrong) }
}

async fn serve(
    gate: Arc<Gate>,
    bound: Vec<listen::Bound>,
    drain: Arc<Drain>,
    shutdown: watch::Receiver<bool>,
) {
    if let Err(error) = listen::serve(gate, bound, drain, shutdown).await {
        tracing::error!(%error, "The gate does not listen");
    }
}

/// Looks after what ages: signing keys, and counters that are full again.
async fn keep(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(ROUND) => {}
        }
        shared.govern().tidy();
        if let Err(error) = shared.voucher().maintain(SystemTime::now()).await {
            tracing::warn!(%error, "Signing keys were not looked after");
        }
    }
}

fn follow_policy(gate: &Arc<Gate>, serving: crate::name::Revision) -> crate::decide::watch::Watch {
    let directory = gate.current().config().policy.directory.clone();
    let gate = Arc::downgrade(gate);
    crate::decide::watch::Watch::start(&directory, serving, move || {
        let Some(gate) = gate.upgrade() else { return };
        let current = gate.current();
        match Decide::load(&current.config().policy) {
            Ok(policy) => {
                let revision = policy.revision().clone();
                match current.with_policy(Arc::new(policy)) {
                    Ok(next) => {
                        gate.swap(next);
                        tracing::info!(%revision, "Policy reloaded");
                    }
                    Err(errors) => {
                        errors.iter().for_each(|error| tracing::error!(%error, "Policy not reloaded"))
                    }
                }
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!(%problem, "Policy not reloaded; the old one serves");
                }
            }
        }
    })
}

fn modified(file: &std::path::Path) -> Option<SystemTime> {
    file.metadata().and_then(|data| data.modified()).ok()
}

fn reload(gate: &Gate, file: &std::path::Path, env: &dyn Env) {
    let current = gate.current();
    let built =
        Config::load(file, env).map_err(|bad| bad.iter().map(BadConfig::to_string).collect::<Vec<_>>());
    let built = built.and_then(|(config, warnings)| {
        for warning in warnings {
            tracing::warn!(%warning, "Configuration");
        }
        let same_policy = config.policy.directory == current.config().policy.directory;
        let policy = same_policy.then(|| Arc::clone(current.policy()));
        Gateway::build(Arc::new(config), policy, Arc::clone(current.shared()))
            .map_err(|errors| errors.iter().map(BuildError::to_string).collect())
    });
    match built {
        Ok(next) => {
            current.shared().forget_tools();
            gate.swap(next);
            tracing::info!(file = %file.display(), "Configuration reloaded");
        }
        Err(errors) => {
            for error in errors {
                tracing::error!(%error, "Configuration not reloaded; the old one serves");
            }
        }
    }
}
