//! The life of a gate: start, watch what may change, stop without losing an answer.

mod candidate;
pub mod connect;
mod delivered;
pub mod desk;
mod doubts;
mod files;
pub mod inquiry;
pub mod offers;
mod operator;
mod reload;
pub mod replay;
pub mod rollout;
pub mod serving;
pub mod vault;

pub use files::{keep_memory_private, raise_open_files};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Config, Env};
use crate::decide::watch::Watch;
use crate::gateway::{BuildError, Gate, Gateway, Policies, Shared};
use crate::identify::Admins;
use crate::listen::{self, CannotListen, Drain};
use crate::secret::Secret;

/// How often keys, counters and files are looked after.
const ROUND: Duration = Duration::from_secs(30);

/// How often what tenants have spent is written: a crash loses no more than that.
const SAVED_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether a notice is due.
const NOTICES_EVERY: Duration = Duration::from_secs(2);

/// How often a gate that cannot sign, for its sealing key is not here, asks for it again.
const LOCKED_ROUND: Duration = Duration::from_secs(2);

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
    _policy: Option<Watch>,
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
    /// No policy was delivered.
    #[error("policy: {0}")]
    NoPolicy(String),
    /// The admin token.
    #[error("the admin token `{path}` cannot be read: {why}", path = .path.display())]
    AdminToken {
        /// Its file.
        path: PathBuf,
        /// The system's reason.
        why: std::io::Error,
    },
}

impl Running {
    /// Starts a gate: everything is opened, built and bound before the first request is taken.
    ///
    /// # Errors
    /// Everything that is wrong, as far as it can be known at once.
    pub async fn start(config: Config) -> Result<Self, Vec<StartError>> {
        let config = Arc::new(config);
        let shared = Shared::open(&config).await.map_err(|error| vec![error.into()])?;
        let delivered = match &config.delivery {
            Some(delivery) => Some(delivered::first(&config, delivery, &shared).await),
            None => None,
        };
        let delivered = delivered.transpose().map_err(|why| vec![StartError::NoPolicy(why)])?;
        let (policy, follow) = delivered.unzip();
        let policies = policy.map_or(Policies::Configured, Policies::Loaded);
        let gateway = Gateway::build(Arc::clone(&config), policies, Arc::clone(&shared));
        let gateway = gateway.map_err(|errors| errors.into_iter().map(Into::into).collect::<Vec<_>>())?;
        let revision = gateway.rollout().home().revision().clone();
        let gate = Gate::new(gateway);
        let bound = bind(&config)?;
        let admin = bind_admin(&config).map_err(|error| vec![error])?;
        let admins = admins(&config)?;
        let tls = config.admin.tls.as_ref().map(listen::server_config).transpose();
        let tls = tls.map_err(|bad| vec![CannotListen::from(bad).into()])?.map(Arc::new);
        let addresses: Vec<_> = bound.iter().map(|bound| bound.address).collect();
        let drain = Drain::new();
        let (shutdown, watch) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(Arc::clone(&gate), bound, Arc::clone(&drain), watch.clone()));
        tasks.spawn(keep(Arc::clone(&shared), watch.clone()));
        tasks.spawn(save(Arc::clone(&shared), watch.clone()));
        tasks.spawn(notify(Arc::clone(&gate), watch.clone()));
        let admin = admin.map(|(socket, address)| {
            let state = operator::state(&gate, &drain, admins);
            let mut stop = watch.clone();
            tasks.spawn(async move {
                let until = async move {
                    let _ = stop.wait_for(|stop| *stop).await;
                };
                if let Err(error) = crate::admin::serve(socket, tls, state, until).await {
                    tracing::error!(%error, "The admin listener ended");
                }
            });
            tracing::info!(%address, "admin listening");
            address
        });
        if config.delivery.is_none() {
            doubts::tell(&config.policy.directory, &config.servers);
        }
        rollout::settle(&gate, &Handle::current());
        candidate::load(&gate);
        let policy = match follow {
            Some(follow) => {
                tasks.spawn(follow.follow(Arc::clone(&gate), watch.clone()));
                None
            }
            None => Some(reload::policy(&gate, revision)),
        };
        tasks.spawn(candidate::follow(Arc::clone(&gate), watch));
        tasks.spawn(finish_removals(Arc::clone(&gate)));
        for address in &addresses {
            tracing::info!(%address, "listening");
        }
        Ok(Self { gate, drain, shared, shutdown, tasks, addresses, admin, _policy: policy })
    }

    /// Follows a configuration file: when it changes, or on `hangup` (SIGHUP, caught since the start), the next generation
    /// is built from it and swapped in. One that is wrong is refused whole, and the old one serves on.
    pub fn follow(&mut self, file: PathBuf, env: Arc<dyn Env + Send + Sync>, hangup: Signal) {
        let stop = || self.shutdown.subscribe();
        self.tasks.spawn(reload::pins(Arc::clone(&self.gate), stop()));
        self.tasks.spawn(reload::config(Arc::clone(&self.gate), file, env, hangup, stop()));
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
        self.shared.save_spending().await;
        self.shared.save_uses().await;
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

fn bind_admin(config: &Config) -> Result<Option<(std::net::TcpListener, SocketAddr)>, StartError> {
    let Some(address) = config.admin.address else { return Ok(None) };
    let failed = |why| CannotListen::Bind { address, why };
    let socket = std::net::TcpListener::bind(address).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    // For commands of the same configuration; without it they say that they do not find the gate.
    if let Err(error) = std::fs::write(config.admin_address(), address.to_string()) {
        tracing::warn!(%error, "The admin listener's address could not be left in the state directory");
    }
    Ok(Some((socket, address)))
}

fn admins(config: &Config) -> Result<Admins, Vec<StartError>> {
    let path = config.admin_token();
    let text = std::fs::read_to_string(&path).map_err(|why| vec![StartError::AdminToken { path, why }])?;
    let admins = Admins::new(&config.admin, Secret::new(text.trim_end().to_owned()));
    admins.map_err(|wrong| wrong.into_iter().map(|problem| BuildError::from(problem).into()).collect())
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
        let rest = if shared.voucher().is_ready() { ROUND } else { LOCKED_ROUND };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(rest) => {}
        }
        shared.govern().tidy();
        shared.save_uses().await;
        if let Err(error) = shared.voucher().maintain(SystemTime::now()).await {
            tracing::warn!(%error, "Signing keys were not looked after");
        }
    }
}

/// Sends notices that are due: this gate's own, and those that another could not send.
async fn notify(gate: Arc<Gate>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(NOTICES_EVERY) => {}
        }
        if let Err(error) = gate.current().vault().deliver_notices().await {
            tracing::warn!(%error, "Notices were not looked after");
        }
    }
}

/// Goes on with what a stop has broken off.
async fn finish_removals(gate: Arc<Gate>) {
    let office = Arc::clone(gate.current().office());
    if let Err(problem) = office.finish_removals().await {
        tracing::warn!(%problem, "A tenant that is being deleted is not gone yet");
    }
}

/// Writes what tenants have spent, behind their calls.
async fn save(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(SAVED_EVERY) => {}
        }
        shared.save_spending().await;
    }
}
