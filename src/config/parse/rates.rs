//! Rates, and the budget beside them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use globset::Glob;

use super::super::problem::At;
use super::super::raw::{RawBudget, RawRate, RawRates};
use super::super::report::Report;
use super::super::{Rate, Rates};
use super::{positive, unused};

pub(super) fn rates(raw: RawRates, budget: Option<RawBudget>, report: &mut Report<'_>) -> Rates {
    let at = At::default().key("rates");
    let mut one = |key: &str, raw: Option<RawRate>| raw.and_then(|raw| rate(&raw, &at.key(key), report));
    let (tenant, user, agent) = (one("tenant", raw.tenant), one("user", raw.user), one("agent", raw.agent));
    Rates {
        tenant,
        user,
        agent,
        tools: tools(&raw.tools.unwrap_or_default(), &at.key("tools"), report),
        budget: budget.and_then(|budget| NonZeroU32::new(budget.per_month)),
    }
}

/// The globs in the order in which they are written: the first that matches counts.
fn tools(raw: &BTreeMap<String, RawRate>, at: &At, report: &mut Report<'_>) -> Vec<(String, Rate)> {
    let mut rates = Vec::new();
    let mut all_above = false;
    for glob in report.written_keys(at) {
        let at = at.key(&glob);
        if let Err(error) = Glob::new(&glob) {
            report.error(
                &at,
                format!("`{glob}` is not a glob: {}", error.kind()),
                "write one such as `create_*`",
            );
        }
        if all_above {
            unused(report, &at, "`*` above matches first");
        }
        all_above |= glob == "*";
        if let Some(rate) = raw.get(&glob).and_then(|raw| rate(raw, &at, report)) {
            rates.push((glob, rate));
        }
    }
    rates
}

fn rate(raw: &RawRate, at: &At, report: &mut Report<'_>) -> Option<Rate> {
    positive(report, &at.key("per"), raw.per.0);
    let requests = NonZeroU32::new(raw.requests)?;
    let burst = raw.burst.map_or(Some(requests), NonZeroU32::new)?;
    Some(Rate { requests, per: raw.per.0, burst })
}
