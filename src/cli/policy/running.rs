//! The policy that the running gate serves, loaded here as it was loaded there.

use std::collections::BTreeSet;

use reqwest::Method;
use tempfile::TempDir;

use super::matrix::{Stop, load};
use crate::catalogue::Pins;
use crate::cli::admin::{Admin, Asked};
use crate::cli::{Console, Failure};
use crate::config::Config;
use crate::decide::{Decide, Names};
use crate::name::{Revision, TenantId};
use crate::review::Bench;
use crate::run::serving::{self, Loaded, Serving};

/// What the gate that runs with a configuration serves.
pub(super) struct Running {
    serving: Serving,
}

/// One of its policies, ready to be asked.
struct Copy {
    decide: Decide,
    names: Names,
}

impl Running {
    /// Asks the gate; `None`: none runs with this configuration, or it has no admin listener.
    pub(super) fn ask(config: &Config, console: &mut Console<'_>) -> Result<Option<Self>, Failure> {
        let Some(admin) = Admin::of(config)? else { return Ok(None) };
        let answer = match admin.ask(Method::GET, "/v1/policy/serving", None)? {
            Asked::Answer(answer) => answer,
            Asked::NotRunning => return Ok(None),
        };
        let serving: Serving = serde_json::from_value(answer).map_err(|why| {
            let hint = "see that the gate is of the same version as this command";
            Failure::new(format!("what the gate says that it serves cannot be read: {why}"), hint)
        })?;
        let running = Self { serving };
        running.fits(config, console)?;
        Ok(Some(running))
    }

    /// The same, where there must be one.
    pub(super) fn must(config: &Config, console: &mut Console<'_>) -> Result<Self, Failure> {
        Self::ask(config, console)?.ok_or_else(|| {
            let hint = "start it; where it has no `admin` listener, give it one";
            Failure::new("no gate runs with this configuration that could be asked", hint)
        })
    }

    /// The servers, accounts and callers that policy is asked about are those of the configuration: it must be the gate's.
    fn fits(&self, config: &Config, console: &mut Console<'_>) -> Result<(), Failure> {
        if let Some(place) = serving::differing(&self.serving.config, &serving::weight(config)) {
            return Err(Failure::new(
                format!("the gate that runs has another configuration than this one: `{place}` differs"),
                "see in its log and at `/readyz` why it did not take it, or name the one that it runs with",
            ));
        }
        let pins = Pins::load(config).ok().and_then(|pins| pins.revision()).map(|pins| pins.to_string());
        if self.serving.pins != pins {
            console
                .note("note: the gate has other pins than the lock file says now: what is pinned may differ");
        }
        Ok(())
    }

    /// The revision that serves.
    pub(super) fn revision(&self) -> &Revision {
        &self.serving.live.revision
    }

    /// The tenants for whom a candidate decides, and its revision.
    pub(super) fn canary(&self) -> Option<(&Revision, &BTreeSet<TenantId>)> {
        self.serving.canary.as_ref().map(|canary| (&canary.policy.revision, &canary.tenants))
    }

    /// Everything that decides, and the names in it.
    pub(super) fn bench(&self, config: &Config) -> Result<(Bench, Names), Stop> {
        let live = copied(&self.serving.live, config)?;
        let Some(canary) = &self.serving.canary else { return Ok((Bench::of(live.decide), live.names)) };
        let apart = copied(&canary.policy, config)?;
        let bench = Bench::of(live.decide).with(canary.tenants.clone(), apart.decide);
        Ok((bench, live.names.and(apart.names)))
    }

    /// The policy that decides for a tenant.
    pub(super) fn deciding(&self, tenant: &TenantId, config: &Config) -> Result<Decide, Stop> {
        let canary = self.serving.canary.as_ref().filter(|canary| canary.tenants.contains(tenant));
        let policy = canary.map_or(&self.serving.live, |canary| &canary.policy);
        copied(policy, config).map(|copy| copy.decide)
    }

    /// The candidate that is tried.
    pub(super) fn candidate(&self, config: &Config) -> Result<Option<Decide>, Stop> {
        let candidate = self.serving.candidate.as_ref();
        candidate.map(|policy| copied(policy, config).map(|copy| copy.decide)).transpose()
    }
}

/// Loads a policy of the gate's under its own revision.
fn copied(policy: &Loaded, config: &Config) -> Result<Copy, Stop> {
    let failed =
        |why: String| Failure::new(why, "see that there is room in the directory for temporary files");
    let directory = TempDir::new().map_err(|why| failed(format!("no directory for a copy: {why}")))?;
    let place = directory.path().join("policies");
    policy.files.write(&place).map_err(|why| failed(why.to_string()))?;
    Ok(Copy { decide: load(config, &place)?.called(policy.revision.clone()), names: Decide::names(&place)? })
}
