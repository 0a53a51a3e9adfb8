//! What the admin listener shows and does, from the gate that runs.

use std::sync::Arc;

use serde_json::Value;

use crate::admin::{AdminState, Explains, Reason};
use crate::decide::Detail;
use crate::gateway::{Gate, Source};
use crate::listen::Drain;
use crate::run::desk::{SecretDesk, UrlDesk};
use crate::run::inquiry::{self, Given, Inquiry};
use crate::run::offers::OfferDesk;
use crate::secret::Secret;

/// The admin listener's view of a gate.
pub(in crate::run) fn state(gate: &Arc<Gate>, drain: &Arc<Drain>, token: Secret) -> AdminState {
    let (ready, drained) = (Arc::clone(gate), Arc::clone(drain));
    let (kept, counted, shown) = (Arc::clone(gate), Arc::clone(gate), Arc::clone(gate));
    AdminState {
        reasons: Arc::new(move || reasons(&ready, &drained)),
        notes: Arc::new(move || notes(&kept)),
        metrics: Arc::new(move || counted.current().shared().rendered_metrics()),
        config: Arc::new(move || shown.current().config().masked()),
        urls: Arc::new(UrlDesk::Gate(Arc::clone(gate))),
        secrets: Arc::new(SecretDesk::Gate(Arc::clone(gate))),
        offers: Arc::new(OfferDesk::Gate(Arc::clone(gate))),
        explains: Arc::new(Explainer(Arc::clone(gate))),
        token: Arc::new(token),
        hosts: Arc::new([]),
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
            policy: gateway.policy(),
            config: gateway.config(),
            tools: &|tenant, server| gateway.known_tools(tenant, server),
            now: jiff::Timestamp::now(),
        };
        Ok(Some(inquiry.ask(&line, &Given::default()).json(Detail::WithoutInternals)))
    }
}

/// Why the gate should not get traffic.
fn reasons(gate: &Gate, drain: &Drain) -> Vec<Reason> {
    let gateway = gate.current();
    let shared = gateway.shared();
    let mut reasons = Vec::new();
    if let Err(why) = shared.record().health() {
        reasons.push(Reason { what: "audit", why });
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
    let sources = [("policy", Source::Policy), ("configuration", Source::Config), ("pins", Source::Pins)];
    sources.into_iter().filter_map(|(what, source)| note(what, source)).collect()
}
