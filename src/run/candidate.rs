//! The candidate policy of whatever configuration serves: loaded, followed, and never in the way of what serves.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use crate::decide::watch::Watch;
use crate::decide::{Decide, Stage};
use crate::gateway::{Gate, Gateway, Source};
use crate::name::Revision;
use crate::record::metrics::Reload;
use crate::record::{PolicyEvent, PolicyLine};
use crate::run::reload::{LOOK, texts};

/// Follows the candidate's directory, whichever is configured, until `stop` turns true.
pub(in crate::run) async fn follow(gate: Arc<Gate>, mut stop: watch::Receiver<bool>) {
    let mut watched: Option<(PathBuf, Watch)> = None;
    loop {
        let current = gate.current();
        let place = current.config().candidate.as_ref().map(|candidate| &candidate.policy.directory);
        if place != watched.as_ref().map(|(place, _)| place) {
            watched = place.map(|place| (place.clone(), watch(&gate, &current, place)));
        }
        drop(current);
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn watch(gate: &Arc<Gate>, current: &Gateway, place: &Path) -> Watch {
    // One that is not loaded is tried again: what was wrong with it may be mended already.
    let loaded = current.candidate().map(|candidate| candidate.revision().clone());
    let gate = Arc::downgrade(gate);
    Watch::start(place, loaded.unwrap_or_else(|| Revision::from_digest("none")), move || {
        if let Some(gate) = gate.upgrade() {
            load(&gate);
        }
    })
}

/// Loads the configured candidate. One that is broken changes nothing: the one before it stays where it is.
pub(in crate::run) fn load(gate: &Gate) {
    let Some(configured) = gate.current().config().candidate.clone() else {
        gate.mended(Source::Candidate);
        return;
    };
    let loaded = Decide::load(&configured.policy).map_err(|problems| texts(&problems));
    let _turn = gate.turn();
    let current = gate.current();
    if current.config().candidate.as_ref().map(|now| &now.policy.directory)
        != Some(&configured.policy.directory)
    {
        return;
    }
    let next = loaded.and_then(|candidate| {
        let unchanged = current.candidate().filter(|before| before.revision() == candidate.revision());
        let candidate = unchanged.cloned().unwrap_or_else(|| Arc::new(candidate));
        current.with_candidate(Some(candidate)).map_err(|errors| texts(&errors))
    });
    let metrics = current.shared().metrics().candidate();
    match next {
        Ok(next) => {
            told(&next);
            gate.swap(next, Source::Candidate);
            metrics.reloaded(Reload::Loaded);
        }
        Err(problems) => {
            for problem in &problems {
                tracing::error!(%problem, "Candidate policy not loaded; what serves goes on");
            }
            gate.keep(Source::Candidate, problems.join("\n"));
            metrics.reloaded(Reload::KeptOld);
        }
    }
}

/// Loads the configured candidate where none is loaded.
pub(in crate::run) fn load_missing(gate: &Gate) {
    if gate.current().candidate().is_none() {
        load(gate);
    }
}

/// Puts a candidate that is loaded on the record.
fn told(next: &Gateway) {
    let (live, tried) = (next.rollout().live().revision(), next.rollout().candidacy());
    let Some(candidacy) = tried else {
        tracing::info!(revision = %live, "The candidate policy is the same as what serves");
        return;
    };
    let revision = candidacy.policy().revision();
    let canary = match candidacy.stage() {
        Stage::Shadow => None,
        Stage::Canary(canary) => Some(canary),
    };
    let step = PolicyLine { event: PolicyEvent::Candidate, live, candidate: Some(revision), canary };
    next.shared().record().policy(&step);
    tracing::info!(%revision, decides = canary.is_some(), "Candidate policy loaded");
}
