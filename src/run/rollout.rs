//! The steps of a candidate policy on a gate that runs: canary, promotion, and the way back.
//!
//! # Why the store comes first on the way up and last on the way down
//! A step that a restart would take back must not be taken. A way back that waits for a store is none.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::admin::{NewCanary, Promotion, Reason, RolloutError, Rollouts};
use crate::config::{Canary, Config, Percent, Policy};
use crate::decide::{Candidacy, Decide, Rollout, Stage};
use crate::gateway::{Gate, Gateway, Promoted, Said, Source, Standing, kept_copy};
use crate::name::{Revision, TenantId};
use crate::record::{PolicyEvent, PolicyLine};
use crate::run::serving::Serving;

/// The candidate policy of a gate that runs.
pub(in crate::run) struct RolloutDesk {
    gate: Arc<Gate>,
    runtime: Handle,
}

impl RolloutDesk {
    /// The desk of this gate; it is made where the gate's runtime is.
    pub(in crate::run) fn new(gate: &Arc<Gate>) -> Self {
        Self { gate: Arc::clone(gate), runtime: Handle::current() }
    }

    /// Takes a step where files may be read and written, one at a time.
    async fn step(
        &self,
        step: impl FnOnce(&Gate, &Handle) -> Result<(), RolloutError> + Send + 'static,
    ) -> Result<Value, RolloutError> {
        let (gate, runtime) = (Arc::clone(&self.gate), self.runtime.clone());
        let taken = tokio::task::spawn_blocking(move || {
            let _turn = gate.turn();
            step(&gate, &runtime).map(|()| status(&gate))
        });
        taken
            .await
            .unwrap_or_else(|_| Err(RolloutError::Failed("it broke off; see the gate's log".to_owned())))
    }
}

#[async_trait]
impl Rollouts for RolloutDesk {
    async fn status(&self) -> Value {
        status(&self.gate)
    }

    async fn serving(&self) -> Value {
        let gateway = self.gate.current();
        let told = tokio::task::spawn_blocking(move || serde_json::to_value(Serving::of(&gateway)));
        told.await.ok().and_then(Result::ok).unwrap_or_default()
    }

    async fn canary(&self, wanted: NewCanary) -> Result<Value, RolloutError> {
        self.step(move |gate, runtime| canary(gate, runtime, &wanted)).await
    }

    async fn promote(&self, wanted: Promotion) -> Result<Value, RolloutError> {
        self.step(move |gate, runtime| promote(gate, runtime, &wanted)).await
    }

    async fn rollback(&self) -> Result<Value, RolloutError> {
        self.step(rollback).await
    }
}

// --- the way up ---

fn canary(gate: &Gate, runtime: &Handle, wanted: &NewCanary) -> Result<(), RolloutError> {
    let current = gate.current();
    let candidacy = tried(gate, &current)?;
    let wanted = fitting(wanted, &current, runtime)?;
    recordable(&current)?;
    let revision = candidacy.policy().revision().clone();
    let said = Some(Said { revision: revision.clone(), canary: Some(wanted.clone()) });
    let standing = Standing { said, ..current.shared().standing() };
    let rollout = current.rollout();
    let next = Candidacy::new(Arc::clone(candidacy.policy()), Stage::Canary(wanted.clone()));
    let (home, promoted) = (Arc::clone(rollout.home()), rollout.promoted().cloned());
    let next = made(&current, Rollout::new(home, promoted, Some(Arc::new(next))))?;
    keep(&current, runtime, standing)?;
    gate.put(next);
    let (percent, tenants) = (wanted.percent.get(), wanted.tenants.len());
    tracing::info!(%revision, percent, tenants, "The candidate policy decides for some tenants");
    told(gate, PolicyEvent::Canary, Some(&revision), Some(&wanted));
    Ok(())
}

fn promote(gate: &Gate, runtime: &Handle, wanted: &Promotion) -> Result<(), RolloutError> {
    let current = gate.current();
    let candidacy = tried(gate, &current)?;
    let revision = candidacy.policy().revision().clone();
    if let Some(meant) = wanted.revision.as_ref().filter(|meant| **meant != revision.as_str()) {
        return Err(unfit(format!("the candidate is at revision `{revision}`, and not at `{meant}`")));
    }
    recordable(&current)?;
    let policy = Arc::new(copied(&current, &revision)?);
    let rollout = current.rollout();
    let (home, loaded) = (Arc::clone(rollout.home()), rollout.loaded().cloned());
    let promoted = Some(Promoted { revision: revision.clone(), over: home.revision().clone() });
    let next = made(&current, Rollout::new(home, Some(policy), loaded))?;
    keep(&current, runtime, Standing { promoted, said: None })?;
    gate.put(next);
    forget_copies(current.config(), Some(&revision));
    tracing::info!(%revision, "The candidate policy serves");
    told(gate, PolicyEvent::Promoted, Some(&revision), None);
    Ok(())
}

/// The gate's own copy of the candidate, loaded: what serves now is what will serve after a restart, whatever becomes of
/// the candidate's directory.
fn copied(current: &Gateway, revision: &Revision) -> Result<Decide, RolloutError> {
    let config = current.config();
    let Some(candidate) = &config.candidate else { return Err(unfit("no candidate is configured")) };
    let copy = kept_copy(config, revision);
    let failed = |why: String| RolloutError::Failed(format!("the candidate cannot be kept: {why}"));
    if copy.exists() {
        fs::remove_dir_all(&copy).map_err(|why| failed(why.to_string()))?;
    }
    let found = Decide::copy(&candidate.policy.directory, &copy).map_err(|why| failed(why.to_string()))?;
    if found != *revision {
        forget(&copy);
        let what = "the candidate's files have changed and are not loaded yet: look at them, and try again";
        return Err(unfit(what));
    }
    let loaded = Decide::load(&Policy { directory: copy, ..config.policy.clone() });
    let loaded = loaded.map_err(|problems| {
        failed(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    Ok(loaded.counting(current.shared().tally()))
}

/// The candidate that can take a step.
fn tried(gate: &Gate, current: &Gateway) -> Result<Arc<Candidacy>, RolloutError> {
    let rollout = current.rollout();
    match (rollout.candidacy(), rollout.loaded(), &current.config().candidate) {
        (Some(candidacy), _, _) if candidacy.is_suspended() => {
            Err(unfit("the candidate was late too often and is not compared any more: make it faster"))
        }
        (Some(candidacy), _, _) => Ok(Arc::clone(candidacy)),
        (None, Some(_), _) => Err(unfit("the candidate is what serves already")),
        (None, None, None) => Err(unfit("no candidate is configured: see `policies.candidate`")),
        (None, None, Some(_)) => {
            let why = gate.kept_because(Source::Candidate);
            Err(unfit(format!(
                "the candidate cannot be loaded: {}",
                why.as_deref().map_or("", String::as_str)
            )))
        }
    }
}

/// For whom the candidate is to decide: a name that is nobody's is a slip.
fn fitting(wanted: &NewCanary, current: &Gateway, runtime: &Handle) -> Result<Canary, RolloutError> {
    let percent = Percent::new(wanted.percent).ok_or_else(|| unfit("`percent` is at most 100"))?;
    let mut canary = Canary { percent, ..Canary::default() };
    for name in &wanted.tenants {
        let tenant = TenantId::parse(name).ok();
        let standing = |tenant: &TenantId| runtime.block_on(current.directory().tenants().standing(tenant));
        let tenant = tenant
            .filter(|tenant| !matches!(standing(tenant), Ok(crate::tenancy::Standing::Unknown) | Err(_)));
        let tenant = tenant.ok_or_else(|| unfit(format!("there is no tenant `{name}`")))?;
        canary.tenants.insert(tenant);
    }
    if canary == Canary::default() {
        return Err(unfit("that is nobody: give a percentage or tenants, or roll back"));
    }
    Ok(canary)
}

/// A step that gives a policy power is on the record, or it is not taken.
fn recordable(current: &Gateway) -> Result<(), RolloutError> {
    let health = current.shared().record().health();
    health.map_err(|why| RolloutError::Failed(format!("it cannot be recorded: {why}")))
}

// --- the way back ---

fn rollback(gate: &Gate, runtime: &Handle) -> Result<(), RolloutError> {
    let current = gate.current();
    let rollout = current.rollout();
    let policy = rollout.loaded().map(|candidacy| Arc::clone(candidacy.policy()));
    let revision = policy.as_ref().map(|policy| policy.revision().clone());
    let in_shadow = policy.map(|policy| Arc::new(Candidacy::new(policy, Stage::Shadow)));
    gate.put(made(&current, Rollout::new(Arc::clone(rollout.home()), None, in_shadow))?);
    tracing::warn!(revision = %rollout.home().revision(), "Rolled back: the configured policy decides for everyone");
    told(gate, PolicyEvent::RolledBack, revision.as_ref(), None);
    let standing = rolled_back(&current.shared().standing(), revision);
    current.shared().stand(standing.clone());
    let kept = runtime.block_on(standing.write(current.shared().store().as_ref()));
    forget_copies(current.config(), None);
    kept.map_err(|why| {
        RolloutError::Failed(format!("it is rolled back, but a restart would undo that: {why}"))
    })
}

/// What is left after a way back: `candidate` decides for nobody, whatever the configuration says.
#[must_use]
pub fn rolled_back(before: &Standing, candidate: Option<Revision>) -> Standing {
    let revision = candidate.or_else(|| before.said.as_ref().map(|said| said.revision.clone()));
    Standing { promoted: None, said: revision.map(|revision| Said { revision, canary: None }) }
}

/// Ends a promotion that holds no more, because the directory that it took the place of has changed.
pub(in crate::run) fn settle(gate: &Gate, runtime: &Handle) {
    let current = gate.current();
    let standing = current.shared().standing();
    let Some(promoted) = &standing.promoted else { return };
    let home = current.rollout().home().revision();
    if standing.promotion(home).is_some() {
        return;
    }
    tracing::warn!(promoted = %promoted.revision, revision = %home, "The configured policy has changed and serves again; a promotion has ended");
    told(gate, PolicyEvent::PromotionEnded, Some(&promoted.revision), None);
    let next = Standing { promoted: None, ..standing.clone() };
    current.shared().stand(next.clone());
    // In this turn, so that the store has what was said last; and on a thread that may wait for it.
    let (store, runtime) = (Arc::clone(current.shared().store()), runtime.clone());
    let written = std::thread::spawn(move || runtime.block_on(next.write(store.as_ref()))).join();
    match written {
        Ok(Ok(())) => forget_copies(current.config(), None),
        Ok(Err(error)) => tracing::error!(%error, "The end of a promotion is not in the store"),
        Err(_) => tracing::error!("The end of a promotion is not in the store"),
    }
}

// --- what both need ---

fn unfit(why: impl Into<String>) -> RolloutError {
    RolloutError::Unfit(why.into())
}

fn made(current: &Gateway, rollout: Rollout) -> Result<Gateway, RolloutError> {
    current.with_rollout(rollout).map_err(|wrong| {
        RolloutError::Failed(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })
}

fn keep(current: &Gateway, runtime: &Handle, standing: Standing) -> Result<(), RolloutError> {
    let kept = runtime.block_on(standing.write(current.shared().store().as_ref()));
    kept.map_err(|why| RolloutError::Failed(format!("nothing is changed: {why}")))?;
    current.shared().stand(standing);
    Ok(())
}

fn told(gate: &Gate, event: PolicyEvent, candidate: Option<&Revision>, canary: Option<&Canary>) {
    let current = gate.current();
    let live = current.rollout().live().revision();
    current.shared().record().policy(&PolicyLine { event, live, candidate, canary });
}

/// Removes the copies of policies that are promoted no more.
fn forget_copies(config: &Config, but: Option<&Revision>) {
    let kept = but.map(|revision| kept_copy(config, revision));
    let copies = fs::read_dir(config.state.directory.join("promoted"));
    for copy in copies.into_iter().flatten().flatten().map(|entry| entry.path()) {
        if kept.as_ref() != Some(&copy) {
            forget(&copy);
        }
    }
}

fn forget(copy: &Path) {
    if let Err(error) = fs::remove_dir_all(copy) {
        tracing::warn!(copy = %copy.display(), %error, "A copy of a policy could not be removed");
    }
}

/// What the operator should know of the policies although the gate serves.
pub(in crate::run) fn notes(rollout: &Rollout) -> Vec<Reason> {
    let mut notes = Vec::new();
    if let Some(promoted) = rollout.promoted() {
        let why = format!(
            "the promoted candidate {} serves, and not the configured directory: put it there",
            promoted.revision()
        );
        notes.push(Reason { what: "policy", why });
    }
    if rollout.candidacy().is_some_and(|candidacy| candidacy.is_suspended()) {
        let why = "the candidate is too slow, and is not compared until it changes".to_owned();
        notes.push(Reason { what: "candidate", why });
    }
    notes
}

fn status(gate: &Gate) -> Value {
    let current = gate.current();
    let (rollout, config) = (current.rollout(), current.config());
    let directory = config.candidate.as_ref().map(|candidate| &candidate.policy.directory);
    let candidate = rollout.loaded().map(|loaded| {
        let (stage, canary) = match rollout.candidacy().map(|it| it.stage()) {
            None => ("serves", None),
            Some(Stage::Shadow) => ("shadow", None),
            Some(Stage::Canary(canary)) => ("canary", Some(canary)),
        };
        json!({
            "revision": loaded.policy().revision(),
            "directory": directory,
            "stage": stage,
            "canary": canary,
            "suspended": loaded.is_suspended(),
        })
    });
    json!({
        "live": {
            "revision": rollout.live().revision(),
            "promoted": rollout.promoted().is_some(),
            "directory": {"path": config.policy.directory, "revision": rollout.home().revision()},
        },
        "candidate": candidate,
        "problem": gate.kept_because(Source::Candidate).map(|why| why.to_string()),
    })
}
