//! A question that was decided before, judged again: what policy says of it, arguments aside, and what nobody kept of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::decide::allowance::Purse;
use crate::decide::bundle::Bundle;
use crate::decide::contract::Field;
use crate::decide::{Decide, Outcome, Phase, Question, Verdict};

/// The stock policies' rules, as they are given out.
const STOCK: [&str; 7] = [
    include_str!("../../policies/authz.rego"),
    include_str!("../../policies/deny.rego"),
    include_str!("../../policies/grants.rego"),
    include_str!("../../policies/index.rego"),
    include_str!("../../policies/limits.rego"),
    include_str!("../../policies/methods.rego"),
    include_str!("../../policies/scope.rego"),
];

/// What policy says of a question, its arguments aside.
#[derive(Debug)]
pub struct Again {
    /// The outcome; [`Outcome::Allowed`] within the constraints.
    pub outcome: Outcome,
    /// The verdict; `None`: policy could not decide.
    pub verdict: Option<Arc<Verdict>>,
}

impl Again {
    /// Whether arguments are held to something.
    #[must_use]
    pub fn is_constrained(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| !verdict.constraints.is_empty())
    }
}

impl Decide {
    /// Judges a question that was decided before. Verdicts are kept as for calls.
    #[must_use]
    pub fn again(&self, question: &Question<'_>) -> Again {
        let asked = Question { arguments: None, ..*question };
        let verdicts = self
            .verdict(&asked, Phase::Call, Purse::Open)
            .and_then(|call| Ok((call, self.listed(&asked, Purse::Open)?)));
        match verdicts {
            Ok((call, list)) => {
                let hidden = question.subject.used_by().is_some() && !list.allow;
                let outcome = match (hidden, call.allow) {
                    (true, _) => Outcome::Hidden,
                    (false, true) => Outcome::Allowed,
                    (false, false) => Outcome::Denied,
                };
                Again { outcome, verdict: Some(call) }
            }
            Err(_) => Again { outcome: Outcome::Failed, verdict: None },
        }
    }

    /// Whether the policy itself reads arguments, besides what it narrows them to.
    #[must_use]
    pub fn reads_arguments(&self) -> bool {
        self.reads.has(Field::Arguments)
    }

    /// What the policy reads that no line of an audit can hold.
    #[must_use]
    pub fn never_recorded(&self) -> Vec<&'static str> {
        let of = [
            (self.reads.has(Field::ToolPinned), "tool.pinned"),
            (self.reads.has(Field::RequestId), "request.id"),
            (self.reads.calls_passing, "the clock or chance"),
        ];
        of.into_iter().filter(|(reads, _)| *reads).map(|(_, what)| what).collect()
    }
}

/// The caller's attributes that conditions of grants name, where the rules are the stock ones and no others: then an
/// attribute can only open a grant, and only such a one. `None`: an attribute may matter to any rule.
#[must_use]
pub fn conditions(directory: &Path) -> Option<BTreeSet<String>> {
    let (bundle, problems) = Bundle::read(directory);
    let stock = bundle.modules.iter().all(|module| STOCK.contains(&module.text.as_str()));
    if !problems.is_empty() || !stock {
        return None;
    }
    let mut names = BTreeSet::new();
    bundle.data.get("tenants").into_iter().for_each(|tenants| named(tenants, &mut names));
    Some(names)
}

fn named(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => into.extend(text.strip_prefix("caller.").map(str::to_owned)),
        Value::Array(items) => items.iter().for_each(|item| named(item, into)),
        Value::Object(members) => members.values().for_each(|member| named(member, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
