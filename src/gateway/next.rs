//! The generation that follows: the same with another policy, candidate, pins or configuration.

use std::sync::Arc;

use crate::catalogue::Pins;
use crate::config::Config;
use crate::decide::{Candidacy, Decide, Rollout};
use crate::gateway::build::{Policies, quotas};
use crate::gateway::{BuildError, Gateway};
use crate::govern::Quotas;
use crate::identify::session::Sessions;

impl Gateway {
    /// The same generation with another policy in the configured directory. It serves, unless a promoted candidate does.
    ///
    /// # Errors
    /// As [`Gateway::build`].
    pub fn with_policy(&self, home: Arc<Decide>) -> Result<Self, Vec<BuildError>> {
        let held = self.shared.standing().promotion(home.revision()).is_some();
        let promoted = self.rollout.promoted().filter(|_| held).cloned();
        self.with_rollout(Rollout::new(home, promoted, self.rollout.loaded().cloned()))
    }

    /// The same generation with another candidate, at the stage that it has come to, or with none.
    ///
    /// # Errors
    /// As [`Gateway::build`].
    pub fn with_candidate(&self, candidate: Option<Arc<Decide>>) -> Result<Self, Vec<BuildError>> {
        let (home, promoted) = (Arc::clone(self.rollout.home()), self.rollout.promoted().cloned());
        self.with_rollout(Rollout::new(home, promoted, self.candidacy(candidate)))
    }

    /// The same generation under these policies.
    ///
    /// # Errors
    /// As [`Gateway::build`].
    pub fn with_rollout(&self, rollout: Rollout) -> Result<Self, Vec<BuildError>> {
        self.with(Arc::new(rollout), Arc::clone(&self.pins))
    }

    /// The same generation with other pins.
    ///
    /// # Errors
    /// As [`Gateway::build`].
    pub fn with_pins(&self, pins: Arc<Pins>) -> Result<Self, Vec<BuildError>> {
        self.with(Arc::clone(&self.rollout), pins)
    }

    fn with(&self, rollout: Arc<Rollout>, pins: Arc<Pins>) -> Result<Self, Vec<BuildError>> {
        let sessions =
            Sessions::new(&self.config.identity.gate_key).map_err(|refusal| vec![refusal.into()])?;
        Ok(Self {
            config: Arc::clone(&self.config),
            identify: Arc::clone(&self.identify),
            sessions,
            states: Arc::clone(&self.states),
            quotas: quotas(&rollout, &self.config),
            rollout,
            vault: Arc::clone(&self.vault),
            directory: Arc::clone(&self.directory),
            office: Arc::clone(&self.office),
            default_quotas: Quotas::new(&self.config.rates),
            endpoints: self.endpoints.clone(),
            pins,
            pages: Arc::default(),
            shared: Arc::clone(&self.shared),
        })
    }

    /// The next generation from another configuration; the policies are kept where their directory is the same.
    ///
    /// # Errors
    /// As [`Gateway::build`].
    pub fn with_config(&self, config: Arc<Config>) -> Result<Self, Vec<BuildError>> {
        if config.delivery != self.config.delivery {
            return Err(vec![BuildError::OtherSource]);
        }
        let same = config.policy.directory == self.config.policy.directory;
        let policies = if same { Policies::Kept((*self.rollout).clone()) } else { Policies::Configured };
        let next = Self::build(config, policies, Arc::clone(&self.shared))?;
        let place = |config: &Config| config.candidate.as_ref().map(|it| it.policy.directory.clone());
        let kept = place(&next.config) == place(&self.config);
        next.with_candidate(self.candidate().filter(|_| kept).cloned())
    }

    /// A candidate at the stage that it has come to. One that is there already goes on as it is.
    fn candidacy(&self, candidate: Option<Arc<Decide>>) -> Option<Arc<Candidacy>> {
        let candidate = candidate?;
        let configured = self.config.candidate.as_ref().and_then(|it| it.canary.as_ref());
        let stage = self.shared.standing().stage(candidate.revision(), configured);
        let same = self
            .rollout
            .loaded()
            .filter(|now| Arc::ptr_eq(now.policy(), &candidate) && *now.stage() == stage);
        Some(same.cloned().unwrap_or_else(|| Arc::new(Candidacy::new(candidate, stage))))
    }

    /// What the candidate's directory holds in this generation.
    #[must_use]
    pub fn candidate(&self) -> Option<&Arc<Decide>> {
        self.rollout.loaded().map(|candidacy| candidacy.policy())
    }

    /// The policies of this generation.
    #[must_use]
    pub fn rollout(&self) -> &Rollout {
        &self.rollout
    }

    /// The policy that serves in this generation.
    #[must_use]
    pub fn policy(&self) -> &Arc<Decide> {
        self.rollout.live()
    }
}
