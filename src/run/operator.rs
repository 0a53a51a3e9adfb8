//! What the admin listener shows and does, from the gate that runs.

use std::sync::Arc;

use serde_json::Value;

use crate::admin::{AdminState, Explains, Reason};
use crate::decide::{Decide, Detail};
use crate::gateway::{Gate, Gateway, Source};
use crate::identify::Admins;
use crate::listen::Drain;
use crate::name::TenantId;
use crate::run::connect::ConnectDesk;
use crate::run::desk::Desk;
use crate::run::inquiry::{self, Given, Inquiry};
use crate::run::offers::OfferDesk;
use crate::run::rollout::{self, RolloutDesk};
use crate::run::vault::VaultDesk;

/// The admin listener's view of a gate.
pub(in crate::run) fn state(gate: &Arc<Gate>, drain: &Arc<Drain>, admins: Admins) -> AdminState {
    let (ready, drained) = (Arc::clone(gate), Arc::clone(drain));
    let (kept, counted, shown) = (Arc::clone(gate), Arc::clone(gate), Arc::clone(gate));
    let recorded = Arc::clone(gate);
    AdminState {
        reasons: Arc::new(move || reasons(&ready, &drained)),
        notes: Arc::new(move || notes(&kept)),
        metrics: Arc::new(move || metrics(&counted)),
        config: Arc::new(move || shown.current().config().masked()),
        tenancy: Desk::Gate(Arc::clone(gate)).tenancy(),
        connects: Arc::new(ConnectDesk::Gate(Arc::clone(gate))),
        data_keys: Arc::new(VaultDesk::of(Arc::clone(gate.current().shared().sealer()))),
        offers: Arc::new(OfferDesk::Gate(Arc::clone(gate))),
        explains: Arc::new(Explainer(Arc::clone(gate))),
        rollouts: Arc::new(RolloutDesk::new(gate)),
        admins: Arc::new(admins),
        changes: Arc::new(move |change| recorded.current().shared().record().changed(change)),
        hosts: Arc::from(gate.current().config().admin.hosts.clone()),
    }
}

/// Explains messages by the policy that serves.
struct Explainer(Arc<Gate>);

impl Explains for Explainer {
    fn explain(&self, invocation: &str) -> Result<Option<Value>, String> {
        let gateway = self.0.current();
        let line = inquiry::find(&gateway.config().audit.directory, invocation);
        let Some(line) = line.map_err(|error| error.to_string())? else { return Ok(None) };
        let inquiry = Inquiry {
            policy: asked(&gateway, &line),
            config: gateway.config(),
            tools: &|tenant, server| gateway.known_tools(tenant, server),
            now: jiff::Timestamp::now(),
        };
        Ok(Some(inquiry.ask(&line, &Given::default()).json(Detail::WithoutInternals)))
    }
}

/// The policy that judges the messages of a line's tenant.
fn asked<'a>(gateway: &'a Gateway, line: &Value) -> &'a Decide {
    let tenant = line.get("tenant").and_then(Value::as_str).and_then(|tenant| TenantId::parse(tenant).ok());
    tenant.map_or(gateway.policy(), |tenant| gateway.rollout().panel(&tenant).deciding())
}

fn metrics(gate: &Gate) -> String {
    let gateway = gate.current();
    let suspended = gateway.rollout().candidacy().is_some_and(|candidacy| candidacy.is_suspended());
    gateway.shared().metrics().candidate().suspended(suspended);
    gateway.shared().rendered_metrics()
}

/// Why the gate should not get traffic.
fn reasons(gate: &Gate, drain: &Drain) -> Vec<Reason> {
    let gateway = gate.current();
    let shared = gateway.shared();
    let mut reasons = Vec::new();
    if let Err(why) = shared.record().health() {
        reasons.push(Reason { what: "audit", why });
    }
    if let Err(why) = shared.store().health() {
        reasons.push(Reason { what: "store", why: why.to_string() });
    }
    if !shared.voucher().is_ready() {
        reasons.push(Reason {
            what: "vouch",
            why: "there is no key to sign with: the sealing key is not here".into(),
        });
    }
    if !gateway.vault().is_unlocked() {
        reasons.push(Reason { what: "credential", why: "sealed credentials cannot be opened yet".into() });
    }
    if drain.is_draining() {
        reasons.push(Reason { what: "drain", why: "the gate is stopping".into() });
    }
    reasons
}

/// What the operator should know although the gate serves.
fn notes(gate: &Gate) -> Vec<Reason> {
    let note = |what, source| gate.kept_because(source).map(|why| Reason { what, why: why.to_string() });
    let sources = [
        ("policy", Source::Policy),
        ("configuration", Source::Config),
        ("pins", Source::Pins),
        ("candidate", Source::Candidate),
    ];
    let kept = sources.into_iter().filter_map(|(what, source)| note(what, source));
    kept.chain(rollout::notes(gate.current().rollout())).collect()
}
