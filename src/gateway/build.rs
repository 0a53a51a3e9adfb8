//! From a configuration to a gateway: what lives as long as the process, and what each generation makes anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::catalogue::{BadLock, Catalogue, Pins, Tool};
use crate::config::{Config, Rates};
use crate::credential::seal::{SealError, Sealer};
use crate::credential::{BadAccount, Vault};
use crate::decide::{Decide, PolicyProblem, Tally};
use crate::forward::{BadEndpoint, Endpoint, Forward, Resolver};
use crate::gateway::Gateway;
use crate::gateway::belongs::Questions;
use crate::gateway::looks::Looks;
use crate::gateway::tasks::Tasks;
use crate::govern::{Govern, Quotas};
use crate::identify::Identify;
use crate::identify::problem::IdentityProblem;
use crate::identify::session::Sessions;
use crate::identify::state::States;
use crate::identify::url::ScopedUrls;
use crate::name::{ServerName, TenantId};
use crate::record::metrics::{Held, Lasting, Metrics};
use crate::record::trace::Sampler;
use crate::record::{Record, RecordError};
use crate::refusal::Refusal;
use crate::store::file::FileStore;
use crate::store::{Store, StoreError};
use crate::vouch::{VouchError, Voucher};

/// What outlives a change of configuration or policy: counters, connections, the audit chain, keys, the store.
pub struct Shared {
    pub(in crate::gateway) store: Arc<dyn Store>,
    pub(in crate::gateway) sealer: Arc<Sealer>,
    pub(in crate::gateway) govern: Govern,
    pub(in crate::gateway) forward: Arc<Forward>,
    pub(in crate::gateway) record: Record,
    pub(in crate::gateway) voucher: Voucher,
    pub(in crate::gateway) catalogue: Catalogue,
    pub(in crate::gateway) tasks: Tasks,
    pub(in crate::gateway) questions: Questions,
    pub(in crate::gateway) looks: Looks,
    pub(in crate::gateway) metrics: Metrics,
    pub(in crate::gateway) tally: Arc<Tally>,
    pub(in crate::gateway) sampler: Sampler,
}

/// Why a gateway cannot be built. Each of them names what to mend.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sealing key.
    #[error("sealing key: {0}")]
    Seal(#[from] SealError),
    /// The signing keys.
    #[error(transparent)]
    Vouch(#[from] VouchError),
    /// The audit chain.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Identity.
    #[error(transparent)]
    Identity(#[from] IdentityProblem),
    /// An account.
    #[error(transparent)]
    Account(#[from] BadAccount),
    /// A server.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// A policy.
    #[error("policy: {0}")]
    Policy(PolicyProblem),
    /// The lock file.
    #[error(transparent)]
    Lock(#[from] BadLock),
    /// The policies' source is another one.
    #[error(
        "`policies` has another source, or the same one asked otherwise; that takes effect at the next start of the gate"
    )]
    OtherSource,
    /// The metrics.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The gate's own key.
    #[error("the gate key cannot be used")]
    GateKey,
}

impl From<Refusal> for BuildError {
    /// Only a key that the cryptographic library does not take is refused while building.
    fn from(_: Refusal) -> Self {
        Self::GateKey
    }
}

impl Shared {
    /// Opens the store, the audit chain and the keys.
    ///
    /// # Errors
    /// Whatever cannot be opened.
    pub async fn open(config: &Config) -> Result<Arc<Self>, BuildError> {
        let directory = &config.state.directory;
        let store: Arc<dyn Store> = Arc::new(FileStore::open(directory.join("portcullis.redb"))?);
        let sealer = Arc::new(Sealer::open(&config.state.sealing_key).await?);
        let voucher =
            Voucher::open(&config.vouch, Arc::clone(&store), Arc::clone(&sealer), SystemTime::now()).await?;
        let record = Record::open_chain(&config.audit, directory, &config.identity.gate_key)?;
        Ok(Arc::new(Self {
            store,
            sealer,
            govern: Govern::default(),
            forward: Arc::new(Forward::new(Resolver::system())),
            record,
            voucher,
            catalogue: Catalogue::default(),
            tasks: Tasks::new(),
            questions: Questions::new(),
            looks: Looks::default(),
            metrics: Metrics::new()?,
            tally: Arc::default(),
            sampler: Sampler::new(&config.telemetry),
        }))
    }

    /// The audit chain, for health and a clean stop.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The metrics, in the text format that Prometheus reads.
    #[must_use]
    pub fn rendered_metrics(&self) -> String {
        self.metrics.render(&self.record, &self.tally)
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Counts a connection until what is returned is dropped.
    pub fn connected(&self) -> Held {
        self.metrics.begin(Lasting::Connection)
    }

    /// How often policy was asked.
    #[must_use]
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// The signing keys, for health and rotation.
    #[must_use]
    pub fn voucher(&self) -> &Voucher {
        &self.voucher
    }

    /// Forgets what lists have taught: what operators say of tools may have changed.
    pub fn forget_tools(&self) {
        self.catalogue.clear();
    }

    /// The counters, to be tidied now and then.
    #[must_use]
    pub fn govern(&self) -> &Govern {
        &self.govern
    }
}

impl Gateway {
    /// One generation. `policy`: one that is already loaded; `None` loads it.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn build(
        config: Arc<Config>,
        policy: Option<Arc<Decide>>,
        shared: Arc<Shared>,
    ) -> Result<Self, Vec<BuildError>> {
        let mut wrong = Vec::new();
        let decide = match policy {
            Some(policy) => Some(policy),
            None => {
                let loaded = Decide::load(&config.policy).map_err(all(BuildError::Policy));
                keep(loaded, &mut wrong).map(|decide| Arc::new(decide.counting(shared.tally())))
            }
        };
        let identity = keep(identity(&config, &shared), &mut wrong);
        let vault = Vault::new(&config, Arc::clone(&shared.store), Arc::clone(&shared.sealer));
        let vault = keep(vault.map_err(all(BuildError::Account)), &mut wrong).map(Arc::new);
        let endpoints = keep(endpoints(&config), &mut wrong);
        let pins = keep(Pins::load(&config).map_err(|bad| vec![bad.into()]), &mut wrong).map(Arc::new);
        let (
            Some(decide),
            Some((identify, sessions, states)),
            Some(vault),
            Some((endpoints, own_endpoints)),
            Some(pins),
        ) = (decide, identity, vault, endpoints, pins)
        else {
            return Err(wrong);
        };
        let quotas = decide.rates().map(|(tenant, rates)| (tenant.clone(), merged(rates, &config.rates)));
        Ok(Self {
            quotas: quotas.collect(),
            default_quotas: Quotas::new(&config.rates),
            config,
            identify: Arc::new(identify),
            sessions,
            states: Arc::new(states),
            decide,
            vault,
            endpoints,
            own_endpoints,
            pins,
            pages: Arc::default(),
            shared,
        })
    }

    /// The same generation under another policy.
    ///
    /// # Errors
    /// As [`Gateway::build`].
    pub fn with_policy(&self, policy: Arc<Decide>) -> Result<Self, Vec<BuildError>> {
        self.with(policy, Arc::clone(&self.pins))
    }

    /// The same generation with other pins.
    ///
    /// # Errors
    /// As [`Gateway::build`].
    pub fn with_pins(&self, pins: Arc<Pins>) -> Result<Self, Vec<BuildError>> {
        self.with(Arc::clone(&self.decide), pins)
    }

    fn with(&self, policy: Arc<Decide>, pins: Arc<Pins>) -> Result<Self, Vec<BuildError>> {
        let quotas = policy.rates();
        let quotas =
            quotas.map(|(tenant, rates)| (tenant.clone(), merged(rates, &self.config.rates))).collect();
        let sessions =
            Sessions::new(&self.config.identity.gate_key).map_err(|refusal| vec![refusal.into()])?;
        Ok(Self {
            config: Arc::clone(&self.config),
            identify: Arc::clone(&self.identify),
            sessions,
            states: Arc::clone(&self.states),
            decide: policy,
            vault: Arc::clone(&self.vault),
            quotas,
            default_quotas: Quotas::new(&self.config.rates),
            endpoints: self.endpoints.clone(),
            own_endpoints: self.own_endpoints.clone(),
            pins,
            pages: Arc::default(),
            shared: Arc::clone(&self.shared),
        })
    }

    /// The next generation from another configuration; the policy is kept where its directory is the
    /// same.
    ///
    /// # Errors
    /// As [`Gateway::build`].
    pub fn with_config(&self, config: Arc<Config>) -> Result<Self, Vec<BuildError>> {
        if config.delivery != self.config.delivery {
            return Err(vec![BuildError::OtherSource]);
        }
        let same = config.policy.directory == self.config.policy.directory;
        Self::build(config, same.then(|| Arc::clone(&self.decide)), Arc::clone(&self.shared))
    }

    /// The tools that the account's server is known to have, where its whole list has been seen.
    #[must_use]
    pub fn known_tools(&self, tenant: &TenantId, server: &ServerName) -> Option<Vec<Tool>> {
        let server = self.config.servers.get(server)?;
        self.shared.catalogue.tools(tenant, server, &self.pins)
    }

    /// What this generation has pinned.
    #[must_use]
    pub fn pins(&self) -> &Arc<Pins> {
        &self.pins
    }

    /// The policy of this generation.
    #[must_use]
    pub fn policy(&self) -> &Arc<Decide> {
        &self.decide
    }

    /// What outlives this generation.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The accounts' credentials.
    #[must_use]
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// The scoped URLs.
    #[must_use]
    pub fn urls(&self) -> &Arc<ScopedUrls> {
        self.identify.urls()
    }
}

fn identity(config: &Config, shared: &Shared) -> Result<(Identify, Sessions, States), Vec<BuildError>> {
    let one = |refusal: Refusal| vec![BuildError::from(refusal)];
    let key = &config.identity.gate_key;
    let urls = ScopedUrls::new(Arc::clone(&shared.store), key, config.identity.second_factor).map_err(one)?;
    let identify = Identify::new(&config.identity, &config.listen.public_url, Arc::new(urls));
    let identify = identify.map_err(all(BuildError::Identity))?;
    Ok((identify, Sessions::new(key).map_err(one)?, States::new(key).map_err(one)?))
}

type Endpoints = (HashMap<ServerName, Endpoint>, HashMap<(TenantId, ServerName), Endpoint>);

fn endpoints(config: &Config) -> Result<Endpoints, Vec<BuildError>> {
    let mut wrong = Vec::new();
    let mut servers = HashMap::new();
    for (name, server) in &config.servers {
        match Endpoint::new(server, None) {
            Ok(endpoint) => drop(servers.insert(name.clone(), endpoint)),
            Err(error) => wrong.push(error.into()),
        }
    }
    let mut own = HashMap::new();
    for (key, account) in config.accounts.iter().filter(|(_, account)| account.url.is_some()) {
        let Some(server) = config.servers.get(&account.server) else { continue };
        match Endpoint::new(server, Some(account)) {
            Ok(endpoint) => drop(own.insert(key.clone(), endpoint)),
            Err(error) => wrong.push(error.into()),
        }
    }
    if wrong.is_empty() { Ok((servers, own)) } else { Err(wrong) }
}

/// A tenant's own rates, and the operator's where the tenant's policy data says nothing.
fn merged(own: &Rates, default: &Rates) -> Quotas {
    Quotas::new(&Rates {
        tenant: own.tenant.or(default.tenant),
        user: own.user.or(default.user),
        agent: own.agent.or(default.agent),
        tools: own.tools.iter().chain(&default.tools).cloned().collect(),
    })
}

fn all<E>(wrap: impl Fn(E) -> BuildError) -> impl Fn(Vec<E>) -> Vec<BuildError> {
    move |errors| errors.into_iter().map(&wrap).collect()
}

fn keep<T>(result: Result<T, Vec<BuildError>>, wrong: &mut Vec<BuildError>) -> Option<T> {
    result.map_err(|errors| wrong.extend(errors)).ok()
}
