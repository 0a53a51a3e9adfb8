//! What is written → what it means. Nothing is checked again after this.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::leaf::FilePath;
use super::problem::At;
use super::raw::{
    Raw, RawAskFirst, RawAudit, RawPinMode, RawPinnable, RawPins, RawPolicies, RawPolicyLimits, RawTelemetry,
};
use super::report::Report;
use super::{Audit, Config, Delivery, PinMode, Pinnable, Pinning, Policy, State, Telemetry};
use crate::name::ToolName;

mod accounts;
mod admin;
mod candidate;
mod credential;
mod delivery;
mod identity;
mod listen;
mod pem;
mod rates;
mod secrets;
mod servers;
mod state;
mod vouch;

pub(super) use accounts::{Known, stored as stored_account};

/// The meaning of `raw`; `None` where it has none, and then `report` says why.
pub(super) fn config(mut raw: Raw, report: &mut Report<'_>) -> Option<Config> {
    let root = At::default();
    let state = state::state(raw.state, report);
    let admin = admin::admin(raw.admin, &raw.listen, report);
    let identity = identity::identity(raw.identity, &raw.listen, &state, report);
    let vouch = vouch::vouch(&raw.vouch, raw.public_url.as_ref(), &raw.listen, report);
    let pins = raw.pins.map(|pins| pinning(&pins, report));
    let servers = servers::servers(raw.servers, pins.as_ref(), report);
    let secrets = secrets::secrets(raw.secrets, report);
    let known = accounts::Known { servers: &servers, secrets: &secrets, vouch: &vouch };
    let accounts = accounts::accounts(raw.accounts.unwrap_or_default(), known, report);
    if report.is_written(&root.key("slot_wait")) && accounts.values().all(|account| account.slots.is_none()) {
        unused(report, &root.key("slot_wait"), "no account has `slots`");
    }
    let webhook = raw.webhook.map(|raw| Arc::new(credential::webhook(raw, report)));
    let tried = candidate::taken(&mut raw.policies);
    let listen = listen::listen(
        listen::Written {
            listeners: raw.listen,
            public_url: raw.public_url,
            hosts: raw.hosts,
            origins: raw.origins,
            limits: raw.limits,
            drain: raw.drain.0,
            threads: raw.threads,
        },
        report,
    );
    let (policy, delivery) = policy(raw.policies, &state, report);
    Some(Config {
        listen,
        admin,
        identity: identity?,
        servers,
        accounts,
        secrets,
        webhook,
        candidate: candidate::candidate(tried, &policy, report),
        policy,
        delivery,
        ask_first: raw.ask_first.and_then(|raw| own_tool(&raw, report)),
        pins,
        rates: rates::rates(raw.rates, raw.budget, report),
        slot_wait: raw.slot_wait.0,
        vouch,
        audit: audit(&raw.audit, &state, report),
        state,
        telemetry: telemetry(&raw.telemetry, report),
    })
}

/// A key that would change nothing is a mistake: whoever wrote it expects that it does.
fn unused(report: &mut Report<'_>, at: &At, why: &str) {
    report.error(at, format!("would have no effect: {why}"), "remove it, or give what it needs");
}

/// A time that may not be zero.
fn positive(report: &mut Report<'_>, at: &At, time: Duration) {
    if time.is_zero() {
        report.error(at, "is zero", "give a time above zero, such as `30s`");
    }
}

fn policy(raw: RawPolicies, state: &State, report: &mut Report<'_>) -> (Policy, Option<Delivery>) {
    let section = At::default().key("policies");
    let (at, limits) = match raw {
        RawPolicies::Directory(directory) => {
            (section.clone(), RawPolicyLimits { directory: Some(directory), ..RawPolicyLimits::default() })
        }
        RawPolicies::Limited(limits) => {
            positive(report, &section.key("timeout"), limits.timeout.0);
            (section.key("directory"), limits)
        }
    };
    let delivery = delivery::delivery(&limits, &section, report);
    let directory = match &delivery {
        Some(_) => state.delivered_policies(),
        None => directory(limits.directory, &at, report),
    };
    (Policy { directory, timeout: limits.timeout.0, cache: limits.cache }, delivery)
}

fn directory(written: Option<FilePath>, at: &At, report: &mut Report<'_>) -> PathBuf {
    let written = written.unwrap_or_else(|| FilePath("policies".into()));
    let directory = report.path(&written.0);
    // Where the section was cut out, it may have named another source.
    if !directory.is_dir() && !report.is_broken("policies") {
        let what = format!("there is no directory `{}`", directory.display());
        report.error(at, what, "name the directory of the policies");
    }
    directory
}

/// The lock itself is read when a gate is built: the command that writes it must work before it is there.
fn pinning(raw: &RawPins, report: &mut Report<'_>) -> Pinning {
    let file = report.path(&raw.file.0);
    if file.is_dir() {
        let what = format!("`{}` is a directory", file.display());
        report.error(&At::default().key("pins").key("file"), what, "name a file");
    }
    let kind = |raw: &RawPinnable| match raw {
        RawPinnable::Prompts => Pinnable::Prompts,
        RawPinnable::Resources => Pinnable::Resources,
        RawPinnable::Templates => Pinnable::Templates,
    };
    let also = raw.also.as_ref().map(|kinds| kinds.iter().map(kind).collect());
    Pinning { file, mode: pin_mode(raw.mode), also }
}

/// A name that every client and model takes (MCP 2025-11-25, tool names).
fn own_tool(raw: &RawAskFirst, report: &mut Report<'_>) -> Option<ToolName> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name = ToolName::parse(&raw.tool).ok();
    let name = name.filter(|name| name.as_str().len() <= 64 && name.as_str().chars().all(plain));
    if name.is_none() {
        let what = format!("`{}` is not the name of a tool", raw.tool.escape_debug());
        let fix = "use up to 64 letters, digits, `-`, `_` and `.`";
        report.error(&At::default().key("ask_first").key("tool"), what, fix);
    }
    name
}

fn pin_mode(raw: RawPinMode) -> PinMode {
    match raw {
        RawPinMode::Enforce => PinMode::Enforce,
        RawPinMode::Warn => PinMode::Warn,
        RawPinMode::Off => PinMode::Off,
    }
}

fn audit(raw: &RawAudit, state: &State, report: &mut Report<'_>) -> Audit {
    let at = At::default().key("audit");
    positive(report, &at.key("timeout"), raw.timeout.0);
    if raw.segment_bytes.0 < 64 << 10 {
        report.error(&at.key("segment_bytes"), "is less than 64KiB", "give at least `64KiB`");
    }
    let directory = report.path(&raw.directory.0);
    if directory == state.directory {
        report.error(&at.key("directory"), "is the state directory", "give the audit a directory of its own");
    }
    if directory.exists() && !directory.is_dir() {
        let what = format!("`{}` is not a directory", directory.display());
        report.error(&at.key("directory"), what, "name a directory; it is made when missing");
    }
    Audit { directory, fsync: raw.fsync.0, segment_bytes: raw.segment_bytes.0, timeout: raw.timeout.0 }
}

fn telemetry(raw: &RawTelemetry, report: &mut Report<'_>) -> Telemetry {
    let sample = At::default().key("telemetry").key("sample");
    if raw.otlp.is_none() && report.is_written(&sample) && !report.is_broken("telemetry") {
        unused(report, &sample, "there is no `otlp` to send traces to");
    }
    Telemetry {
        otlp: raw.otlp.as_ref().map(|url| url.0.text.clone()),
        sample: raw.sample,
        json_logs: raw.json_logs,
    }
}
