//! `data.tenants.<tenant>.rates` and `.budget` → the rates of each tenant.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::{Rate, Rates};
use crate::decide::bundle::Bundle;
use crate::decide::problem::{At, PolicyProblem, nearest};
use crate::decide::yaml::below;
use crate::name::TenantId;

/// The rates and the budget of every tenant whose data says something of them.
pub(in crate::decide) fn read(bundle: &Bundle) -> Result<BTreeMap<TenantId, Rates>, Vec<PolicyProblem>> {
    let mut reader = Reader { bundle, problems: Vec::new() };
    let mut rates = BTreeMap::new();
    for (name, tenant) in members(bundle.data.get("tenants")) {
        let pointer = below("/tenants", name);
        match TenantId::parse(name) {
            Ok(id) => {
                let said = tenant.get("rates").map(|said| reader.rates(said, &below(&pointer, "rates")));
                let budget = tenant.get("budget").map(|said| reader.budget(said, &below(&pointer, "budget")));
                if said.is_some() || budget.is_some() {
                    let budget = budget.flatten();
                    rates.insert(id, Rates { budget, ..said.unwrap_or_default() });
                }
            }
            Err(e) => reader.problem(&pointer, format!("`{name}` is no tenant's name: {e}"), ""),
        }
    }
    if reader.problems.is_empty() { Ok(rates) } else { Err(reader.problems) }
}

struct Reader<'a> {
    bundle: &'a Bundle,
    problems: Vec<PolicyProblem>,
}

impl Reader<'_> {
    fn rates(&mut self, said: &Value, pointer: &str) -> Rates {
        let members = self.object(said, pointer, &["tenant", "user", "agent", "tools"]);
        let mut rates = Rates::default();
        for (name, value) in members.into_iter().flatten() {
            let inner = below(pointer, name);
            match name.as_str() {
                "tenant" => rates.tenant = self.rate(value, &inner),
                "user" => rates.user = self.rate(value, &inner),
                "agent" => rates.agent = self.rate(value, &inner),
                "tools" => rates.tools = self.tools(value, &inner),
                // Told of already.
                _ => {}
            }
        }
        rates
    }

    fn budget(&mut self, said: &Value, pointer: &str) -> Option<NonZeroU32> {
        let members = self.object(said, pointer, &["per_month"])?;
        self.count(members, pointer, "per_month", "write e.g. `{per_month: 10000}`")
    }

    fn tools(&mut self, said: &Value, pointer: &str) -> Vec<(String, Rate)> {
        let Some(members) = said.as_object() else {
            self.problem(pointer, "not a mapping", "write `\"GLOB\": {requests: …, per: …}`");
            return Vec::new();
        };
        let mut tools = Vec::new();
        for (glob, value) in members {
            let inner = below(pointer, glob);
            if let Err(e) = globset::Glob::new(glob) {
                self.problem(&inner, format!("`{glob}` is no glob: {}", e.kind()), "");
            }
            tools.extend(self.rate(value, &inner).map(|rate| (self.place(&inner), glob.clone(), rate)));
        }
        // The first that matches counts: in the order in which they are written.
        tools.sort_by(|a, b| a.0.cmp(&b.0));
        tools.into_iter().map(|(_, glob, rate)| (glob, rate)).collect()
    }

    fn rate(&mut self, said: &Value, pointer: &str) -> Option<Rate> {
        let members = self.object(said, pointer, &["requests", "per", "burst"])?;
        let fix = "write e.g. `{requests: 600, per: 1m, burst: 60}`";
        let requests = self.count(members, pointer, "requests", fix);
        let burst = match members.contains_key("burst") {
            true => self.count(members, pointer, "burst", fix),
            false => requests,
        };
        let per = self.per(members, pointer);
        Some(Rate { requests: requests?, per: per?, burst: burst? })
    }

    fn count(
        &mut self,
        members: &Map<String, Value>,
        pointer: &str,
        name: &str,
        fix: &str,
    ) -> Option<NonZeroU32> {
        let count = members.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let count = count.and_then(NonZeroU32::new);
        if count.is_none() {
            let what = format!("`{name}` is not a whole number from 1");
            self.problem(&below(pointer, name), what, fix);
        }
        count
    }

    fn per(&mut self, members: &Map<String, Value>, pointer: &str) -> Option<Duration> {
        let text = members.get("per").and_then(Value::as_str);
        let per = text.and_then(|text| humantime::parse_duration(text).ok()).filter(|per| !per.is_zero());
        if per.is_none() {
            self.problem(&below(pointer, "per"), "`per` is not a time", "write e.g. `1s`, `1m` or `1h`");
        }
        per
    }

    fn object<'v>(
        &mut self,
        said: &'v Value,
        pointer: &str,
        known: &[&str],
    ) -> Option<&'v Map<String, Value>> {
        let Some(members) = said.as_object() else {
            self.problem(pointer, "not a mapping", format!("it has {}", known.join(", ")));
            return None;
        };
        for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
            let fix = match nearest(name, known.iter().copied()) {
                Some(near) => format!("the nearest is `{near}`"),
                None => format!("there are {}", known.join(", ")),
            };
            self.problem(&below(pointer, name), format!("there is no key `{name}` here"), fix);
        }
        Some(members)
    }

    fn problem(&mut self, pointer: &str, what: impl Into<String>, fix: impl Into<String>) {
        let (file, at) = self.place(pointer);
        self.problems.push(PolicyProblem::new(&file, at, what, fix));
    }

    /// Where a member of `data` is written, or its nearest parent.
    fn place(&self, pointer: &str) -> (String, At) {
        let mut pointer = pointer;
        loop {
            let documents = self.bundle.documents.iter();
            let mut found =
                documents.filter_map(|document| Some((document.file.clone(), document.at(pointer)?)));
            match (found.next(), pointer.rsplit_once('/')) {
                (Some(found), _) => return found,
                (None, Some((parent, _))) => pointer = parent,
                (None, None) => return (String::new(), At::START),
            }
        }
    }
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}
