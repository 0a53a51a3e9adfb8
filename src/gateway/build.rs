//! From a configuration to a gateway: what lives as long as the process, and what each generation makes anew.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::bridge::Bridge;
use crate::catalogue::{BadLock, Catalogue, Pins, Tool};
use crate::config::{Config, Policy, Rates};
use crate::credential::seal::{SealError, Sealer};
use crate::credential::{BadVault, Vault};
use crate::decide::{Decide, PolicyProblem, Rollout, Tally};
use crate::forward::{BadEndpoint, Endpoint, Forward, Resolver};
use crate::gateway::Gateway;
use crate::gateway::belongs::Questions;
use crate::gateway::looks::Looks;
use crate::gateway::same::same_keys;
use crate::gateway::spending;
use crate::gateway::standing::{Kept, Standing, kept_copy};
use crate::gateway::tasks::Tasks;
use crate::govern::{Govern, Quotas};
use crate::identify::problem::IdentityProblem;
use crate::identify::session::Sessions;
use crate::identify::state::States;
use crate::identify::url::ScopedUrls;
use crate::identify::{Identify, Records, Revocations, Uses};
use crate::name::{Revision, ServerName, TenantId};
use crate::record::metrics::{Held, Lasting, Metrics};
use crate::record::trace::Sampler;
use crate::record::{Record, RecordError};
use crate::refusal::Refusal;
use crate::store::{Store, StoreError};
use crate::tenancy::{Directory, Office};
use crate::vouch::{VouchError, Voucher};

/// What outlives a change of configuration or policy: counters, connections, the audit chain, keys, the store.
pub struct Shared {
    pub(in crate::gateway) store: Arc<dyn Store>,
    pub(in crate::gateway) sealer: Arc<Sealer>,
    pub(in crate::gateway) govern: Govern,
    pub(in crate::gateway) bridge: Arc<Bridge>,
    pub(in crate::gateway) record: Record,
    pub(in crate::gateway) voucher: Voucher,
    pub(in crate::gateway) catalogue: Catalogue,
    pub(in crate::gateway) tasks: Tasks,
    pub(in crate::gateway) questions: Questions,
    pub(in crate::gateway) looks: Looks,
    /// The looks at prompts, resources and templates.
    pub(in crate::gateway) listings: Looks,
    pub(in crate::gateway) metrics: Metrics,
    pub(in crate::gateway) tally: Arc<Tally>,
    pub(in crate::gateway) standing: Kept,
    pub(in crate::gateway) sampler: Sampler,
    pub(in crate::gateway) uses: Arc<Uses>,
    pub(in crate::gateway) revocations: Arc<Revocations>,
}

/// From where a generation has its policies.
pub enum Policies {
    /// Loaded from the directory that the configuration names.
    Configured,
    /// Loaded already, from whatever delivers them.
    Loaded(Arc<Decide>),
    /// Those of the generation before.
    Kept(Rollout),
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
    Account(#[from] BadVault),
    /// A server.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// A policy.
    #[error("policy: {0}")]
    Policy(PolicyProblem),
    /// The copy of a promoted policy.
    #[error(
        "the gate's copy of the promoted policy `{0}` is not as it was: restore it, or take the promotion back with \
         `portcullis policy rollback`"
    )]
    Promoted(Revision),
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
    /// It is not that of the other gates.
    #[error(
        "`{}` is not the key of the other gates on this store: copy theirs here; to change it for all of them, stop them and run \
         `portcullis state new-gate-key`",
        .0.display()
    )]
    OtherGateKey(PathBuf),
    /// The sealing key is not that of the other gates.
    #[error(
        "{0} is not the sealing key of the other gates on this store: copy theirs here; after a change of keys, name the old one \
         under `state.retired_sealing_keys`"
    )]
    OtherSealingKey(String),
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
        let store = crate::store::open(&config.state).await?;
        let standing = Standing::read(store.as_ref()).await?;
        let within = config.state.redis.as_ref().and_then(|redis| redis.limits_within);
        let govern = within.map_or_else(Govern::default, |within| Govern::on(&store, within));
        let revocations = Revocations::open(Arc::clone(&store)).await?;
        spending::restore(store.as_ref(), &govern).await?;
        let sealer = Arc::new(Sealer::open(&config.state, Arc::clone(&store)).await?);
        same_keys(config, &store, &sealer).await?;
        let voucher =
            Voucher::open(&config.vouch, Arc::clone(&store), Arc::clone(&sealer), SystemTime::now()).await?;
        let metrics = Metrics::new()?;
        let record = Record::open_chain(&config.audit, directory, &config.identity.gate_key)?;
        Ok(Arc::new(Self {
            store,
            sealer,
            govern,
            bridge: Bridge::new(Arc::new(Forward::new(Resolver::system())), &metrics),
            record,
            voucher,
            catalogue: Catalogue::default(),
            tasks: Tasks::new(),
            questions: Questions::new(),
            looks: Looks::default(),
            listings: Looks::default(),
            metrics,
            tally: Arc::default(),
            standing: Kept::new(standing),
            sampler: Sampler::new(&config.telemetry),
            uses: Arc::default(),
            revocations,
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
        self.metrics.spending().waits(self.govern.unsaved().len());
        self.metrics.limits_are_shared(self.govern.is_together().unwrap_or(false));
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

    /// What operators said of candidate policies.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.get()
    }

    /// Holds to what operators say of candidate policies, from the next generation on. The store is not told.
    pub fn stand(&self, standing: Standing) {
        self.standing.set(standing);
    }

    /// What seals and opens credentials.
    #[must_use]
    pub fn sealer(&self) -> &Arc<Sealer> {
        &self.sealer
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
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

    /// Writes when keys and scoped URLs were last used. Called behind calls, now and then.
    pub async fn save_uses(&self) {
        if let Err(error) = self.uses.save(self.store.as_ref(), jiff::Timestamp::now()).await {
            tracing::warn!(%error, "When keys and scoped URLs were last used was not written");
        }
    }

    /// The counters, to be tidied now and then.
    #[must_use]
    pub fn govern(&self) -> &Govern {
        &self.govern
    }
}

impl Gateway {
    /// One generation.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn build(
        config: Arc<Config>,
        policies: Policies,
        shared: Arc<Shared>,
    ) -> Result<Self, Vec<BuildError>> {
        let mut wrong = Vec::new();
        let rollout = match policies {
            Policies::Kept(rollout) => Some(rollout),
            Policies::Loaded(home) => keep(serving(home, &config, &shared), &mut wrong),
            Policies::Configured => {
                let home = load(&config.policy, &shared);
                keep(home.and_then(|home| serving(home, &config, &shared)), &mut wrong)
            }
        };
        let (uses, revocations) = (Arc::clone(&shared.uses), Arc::clone(&shared.revocations));
        let records = Records::new(&config, &shared.store, uses, revocations);
        let identity = keep(identity(&config, &records, &shared), &mut wrong);
        let vault = Vault::new(&config, Arc::clone(&shared.store), Arc::clone(&shared.sealer));
        let vault = keep(vault.map_err(all(BuildError::Account)), &mut wrong).map(Arc::new);
        let directory = vault.as_ref().and_then(|vault| {
            keep(directory(&config, vault, &records, &shared).map_err(all(BuildError::Endpoint)), &mut wrong)
        });
        let endpoints = keep(endpoints(&config), &mut wrong);
        let pins = keep(Pins::load(&config).map_err(|bad| vec![bad.into()]), &mut wrong).map(Arc::new);
        let (
            Some(rollout),
            Some((identify, sessions, states)),
            Some(vault),
            Some(directory),
            Some(endpoints),
            Some(pins),
        ) = (rollout, identity, vault, directory, endpoints, pins)
        else {
            return Err(wrong);
        };
        let office = Office {
            config: Arc::clone(&config),
            store: Arc::clone(&shared.store),
            vault: Arc::clone(&vault),
            sealer: Arc::clone(&shared.sealer),
            urls: Arc::clone(identify.urls()),
            records,
        };
        Ok(Self {
            quotas: quotas(&rollout, &config),
            default_quotas: Quotas::new(&config.rates),
            config,
            identify: Arc::new(identify),
            sessions,
            states: Arc::new(states),
            rollout: Arc::new(rollout),
            vault,
            directory: Arc::new(directory),
            office: Arc::new(office),
            endpoints,
            pins,
            pages: Arc::default(),
            shared,
        })
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

    /// The accounts of every tenant.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Where tenants, accounts and keys are made, changed and removed.
    #[must_use]
    pub fn office(&self) -> &Arc<Office> {
        &self.office
    }

    /// The scoped URLs.
    #[must_use]
    pub fn urls(&self) -> &Arc<ScopedUrls> {
        self.identify.urls()
    }
}

fn identity(
    config: &Config,
    records: &Records,
    shared: &Shared,
) -> Result<(Identify, Sessions, States), Vec<BuildError>> {
    let one = |refusal: Refusal| vec![BuildError::from(refusal)];
    let key = &config.identity.gate_key;
    let urls = ScopedUrls::new(Arc::clone(&shared.store), key, config.identity.second_factor).map_err(one)?;
    let public_url = &config.listen.public_url;
    let identify = Identify::new(&config.identity, public_url, Arc::new(urls), records.clone());
    let identify = identify.map_err(all(BuildError::Identity))?.limiting(config.listen.limits.unknown_urls);
    Ok((identify, Sessions::new(key).map_err(one)?, States::new(key).map_err(one)?))
}

fn directory(
    config: &Arc<Config>,
    vault: &Arc<Vault>,
    records: &Records,
    shared: &Shared,
) -> Result<Directory, Vec<BadEndpoint>> {
    let (vault, tenants) = (Arc::clone(vault), Arc::clone(&records.tenants));
    Directory::new(Arc::clone(config), vault, tenants, Arc::clone(&shared.store))
}

fn endpoints(config: &Config) -> Result<HashMap<ServerName, Arc<Endpoint>>, Vec<BuildError>> {
    let mut wrong = Vec::new();
    let mut servers = HashMap::new();
    for (name, server) in &config.servers {
        match Endpoint::new(server, None) {
            Ok(endpoint) => drop(servers.insert(name.clone(), Arc::new(endpoint))),
            Err(error) => wrong.push(error.into()),
        }
    }
    if wrong.is_empty() { Ok(servers) } else { Err(wrong) }
}

fn load(policy: &Policy, shared: &Shared) -> Result<Arc<Decide>, Vec<BuildError>> {
    let loaded = Decide::load(policy).map_err(all(BuildError::Policy));
    loaded.map(|decide| Arc::new(decide.counting(shared.tally())))
}

/// The operator's policy, and the candidate that was promoted over it. Where that one's copy cannot be loaded, the
/// operator's does not serve in its place: somebody took it out of service.
fn serving(home: Arc<Decide>, config: &Config, shared: &Shared) -> Result<Rollout, Vec<BuildError>> {
    let standing = shared.standing();
    let Some(promoted) = standing.promotion(home.revision()) else {
        return Ok(Rollout::new(home, None, None));
    };
    let copy = Policy { directory: kept_copy(config, &promoted.revision), ..config.policy.clone() };
    let lost = || BuildError::Promoted(promoted.revision.clone());
    let policy =
        load(&copy, shared).map_err(|wrong| std::iter::once(lost()).chain(wrong).collect::<Vec<_>>())?;
    match *policy.revision() == promoted.revision {
        true => Ok(Rollout::new(home, Some(policy), None)),
        false => Err(vec![lost()]),
    }
}

pub(in crate::gateway) fn quotas(rollout: &Rollout, config: &Config) -> HashMap<TenantId, Quotas> {
    rollout.rates().map(|(tenant, rates)| (tenant.clone(), merged(rates, &config.rates))).collect()
}

/// A tenant's own rates, and the operator's where the tenant's policy data says nothing.
fn merged(own: &Rates, default: &Rates) -> Quotas {
    Quotas::new(&Rates {
        tenant: own.tenant.or(default.tenant),
        user: own.user.or(default.user),
        agent: own.agent.or(default.agent),
        tools: own.tools.iter().chain(&default.tools).cloned().collect(),
        budget: own.budget.or(default.budget),
    })
}

fn all<E>(wrap: impl Fn(E) -> BuildError) -> impl Fn(Vec<E>) -> Vec<BuildError> {
    move |errors| errors.into_iter().map(&wrap).collect()
}

fn keep<T>(result: Result<T, Vec<BuildError>>, wrong: &mut Vec<BuildError>) -> Option<T> {
    result.map_err(|errors| wrong.extend(errors)).ok()
}
