//! The policy that is tried beside the one that serves.

use std::collections::BTreeSet;

use super::super::problem::At;
use super::super::raw::{RawCanary, RawCandidate, RawPolicies, RawStaged};
use super::super::report::Report;
use super::super::{Canary, Candidate, Percent, Policy};
use super::unused;
use crate::name::TenantId;

/// The candidate that `raw` names, with the limits of `serving`. Whether it is there and loads is no mistake of the
/// configuration: whatever becomes of it, the policy that serves goes on.
pub(super) fn candidate(
    raw: Option<RawCandidate>,
    serving: &Policy,
    report: &mut Report<'_>,
) -> Option<Candidate> {
    let at = At::default().key("policies").key("candidate");
    let (at, staged) = match raw? {
        RawCandidate::Directory(directory) => (at, RawStaged { directory, canary: None }),
        RawCandidate::Staged(staged) => (at.key("directory"), staged),
    };
    let directory = report.path(&staged.directory.0);
    if !directory.is_dir() {
        let what = format!("there is no directory `{}`", directory.display());
        report.warn(&at, what, "name the directory of the candidate; until it is there nothing is compared");
    }
    if directory.starts_with(&serving.directory) || serving.directory.starts_with(&directory) {
        let fix = "put it beside that one, or leave the candidate out";
        report.error(&at, "is in the directory of the policies that serve, or the other way round", fix);
    }
    let canary = staged.canary.and_then(|raw| canary(raw, report));
    Some(Candidate { policy: Policy { directory, ..serving.clone() }, canary })
}

/// Takes the candidate out of what is written of the policies.
pub(super) fn taken(policies: &mut RawPolicies) -> Option<RawCandidate> {
    match policies {
        RawPolicies::Directory(_) => None,
        RawPolicies::Limited(limits) => limits.candidate.take(),
    }
}

fn canary(raw: RawCanary, report: &mut Report<'_>) -> Option<Canary> {
    let at = At::default().key("policies").key("candidate").key("canary");
    let mut tenants = BTreeSet::new();
    for (i, name) in raw.tenants.iter().flatten().enumerate() {
        match TenantId::parse(name) {
            Ok(tenant) => drop(tenants.insert(tenant)),
            Err(bad) => {
                let what = format!("`{}` is not the name of a tenant: {bad}", name.escape_debug());
                report.error(&at.key("tenants").item(i), what, "name a tenant");
            }
        }
    }
    let percent = Percent::new(raw.percent).unwrap_or_default();
    if percent == Percent::default() && raw.tenants.is_none() {
        unused(report, &at, "it covers no tenant");
        return None;
    }
    Some(Canary { tenants, percent })
}
