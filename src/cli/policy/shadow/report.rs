//! The audit's lines → what a candidate policy would have changed. Arguments are in no line, and so in no report.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Reads lines, oldest first.
pub(super) struct Reader {
    since: Option<jiff::Timestamp>,
    examples: usize,
    /// The candidate of the lines that are read now.
    current: Option<String>,
    reports: BTreeMap<String, Report>,
}

/// What one revision of a candidate would have changed.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    candidate: String,
    /// The policy beside it, at the last difference.
    live: Option<String>,
    /// The first line that counts.
    since: Option<String>,
    /// The last line that counts.
    until: Option<String>,
    /// Messages that policy decided while it was the candidate.
    messages: u64,
    /// Those of them that the two policies decide differently.
    differing: u64,
    /// Those of them that the candidate decided.
    decided: u64,
    /// Pages of lists that they show differently.
    lists: u64,
    by_change: BTreeMap<String, u64>,
    by_rule: BTreeMap<String, u64>,
    by_tool: BTreeMap<String, u64>,
    by_role: BTreeMap<String, u64>,
    #[serde(serialize_with = "rows")]
    differences: BTreeMap<What, Count>,
}

/// One kind of difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct What {
    #[serde(skip)]
    order: usize,
    change: String,
    server: String,
    /// The tool, or else the method.
    tool: String,
    role: String,
    /// The rule that allows it: the candidate's, or where it is newly refused the live policy's.
    rule: String,
}

/// How often.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Count {
    messages: u64,
    lists: u64,
    /// The latest invocations.
    examples: Vec<String>,
}

/// In the order in which they are told.
const CHANGES: [(&str, &str); 6] = [
    ("newly_allowed", "newly allowed"),
    ("newly_refused", "newly refused"),
    ("constraints", "other constraints"),
    ("redaction", "other parts masked"),
    ("visibility", "hidden instead of refused with the reason, or the other way round"),
    ("failed", "one of them could not decide"),
];

impl Reader {
    pub(super) fn new(since: Option<jiff::Timestamp>, examples: usize) -> Self {
        Self { since, examples, current: None, reports: BTreeMap::new() }
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, line: &str) {
        let Ok(line) = serde_json::from_str::<Value>(line) else { return };
        match word(&line, "kind") {
            Some("policy") => self.current = word(&line, "candidate").map(str::to_owned),
            Some("shadow") => {
                self.current = word(&line, "candidate").map(str::to_owned);
                if let Some((report, examples)) = self.counting(&line) {
                    report.list(&line, examples);
                }
            }
            Some("intent" | "refused") if line.get("revision").is_some() => {
                let beside = line.get("candidate");
                match beside.and_then(|beside| word(beside, "stage")) {
                    Some("canary") => self.current = word(&line, "revision").map(str::to_owned),
                    Some(_) => {
                        let revision = beside.and_then(|beside| word(beside, "revision"));
                        self.current = revision.map(str::to_owned);
                    }
                    None => {}
                }
                if let Some((report, examples)) = self.counting(&line) {
                    report.message(&line, beside, examples);
                }
            }
            Some(_) | None => {}
        }
    }

    /// The report that a line counts in, if it counts.
    fn counting(&mut self, line: &Value) -> Option<(&mut Report, usize)> {
        let time = word(line, "time")?;
        if let Some(since) = self.since
            && time.parse::<jiff::Timestamp>().is_ok_and(|time| time < since)
        {
            return None;
        }
        let candidate = self.current.as_ref()?;
        let report = self.reports.entry(candidate.clone()).or_default();
        report.candidate.clone_from(candidate);
        report.since.get_or_insert_with(|| time.to_owned());
        report.until = Some(time.to_owned());
        Some((report, self.examples))
    }

    /// The report on this candidate, or on the newest.
    pub(super) fn report(mut self, revision: Option<&str>) -> Option<Report> {
        let revision = revision.map(str::to_owned).or(self.current)?;
        let found = self.reports.remove(&revision);
        found.or_else(|| Some(Report { candidate: revision, ..Report::default() }))
    }
}

impl Report {
    fn message(&mut self, line: &Value, beside: Option<&Value>, examples: usize) {
        self.messages += 1;
        let Some(beside) = beside else { return };
        let canary = word(beside, "stage") == Some("canary");
        self.decided += u64::from(canary);
        let (live, candidate) = match canary {
            true => (beside.get("live"), Some(line)),
            false => (Some(line), Some(beside)),
        };
        let changes = words(beside.get("changes"));
        if changes.is_empty() {
            return;
        }
        self.differing += 1;
        self.live = live.and_then(|live| word(live, "revision")).map(str::to_owned);
        let about = ["tool", "resource", "prompt", "method"].into_iter().find_map(|key| word(line, key));
        let rules = |side: Option<&Value>| words(side.and_then(|side| side.get("rules")));
        for change in changes {
            let rules = if change == "newly_refused" { rules(live) } else { rules(candidate) };
            let count = self.count(&change, line, about.unwrap_or_default(), &rules);
            count.messages += 1;
            count.example(line, examples);
        }
    }

    fn list(&mut self, line: &Value, examples: usize) {
        self.lists += 1;
        self.live = word(line, "live").map(str::to_owned);
        for seen in line.get("tools").and_then(Value::as_array).into_iter().flatten() {
            let tool = word(seen, "tool").unwrap_or_default();
            for change in words(seen.get("changes")) {
                let side = if change == "newly_refused" { "live_rules" } else { "candidate_rules" };
                let rules = words(seen.get(side));
                let count = self.count(&change, line, tool, &rules);
                count.lists += 1;
                count.example(line, examples);
            }
        }
    }

    fn count(&mut self, change: &str, line: &Value, tool: &str, rules: &[String]) -> &mut Count {
        let roles = words(line.get("roles"));
        let or_none = |list: &[String]| if list.is_empty() { "-".to_owned() } else { list.join("+") };
        let what = What {
            order: CHANGES.iter().position(|(name, _)| *name == change).unwrap_or(CHANGES.len()),
            change: change.to_owned(),
            server: word(line, "server").unwrap_or_default().to_owned(),
            tool: tool.to_owned(),
            role: or_none(&roles),
            rule: or_none(rules),
        };
        *self.by_change.entry(what.change.clone()).or_default() += 1;
        *self.by_tool.entry(format!("{}/{}", what.server, what.tool)).or_default() += 1;
        for role in roles {
            *self.by_role.entry(role).or_default() += 1;
        }
        for rule in rules {
            *self.by_rule.entry(rule.clone()).or_default() += 1;
        }
        self.differences.entry(what).or_default()
    }
}

impl Count {
    fn example(&mut self, line: &Value, most: usize) {
        self.examples.extend(word(line, "invocation").map(str::to_owned));
        let surplus = self.examples.len().saturating_sub(most);
        self.examples.drain(..surplus);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beside = self.live.as_ref().map(|live| format!(" beside {live}")).unwrap_or_default();
        writeln!(f, "candidate {}{beside}", self.candidate)?;
        write!(f, "differences in {} of {}", self.differing, number(self.messages, "message"))?;
        if self.lists > 0 {
            write!(f, " and in {}", number(self.lists, "list"))?;
        }
        if self.decided > 0 {
            write!(f, "; the candidate decided {}", number(self.decided, "message"))?;
        }
        if let (Some(since), Some(until)) = (&self.since, &self.until) {
            write!(f, "; {since} to {until}")?;
        }
        writeln!(f)?;
        for (order, (_, title)) in CHANGES.iter().enumerate() {
            let rows: Vec<_> = self.differences.iter().filter(|(what, _)| what.order == order).collect();
            if !rows.is_empty() {
                writeln!(f, "\n{title}")?;
            }
            for (what, count) in rows {
                let by = if what.change == "newly_refused" { "until now by" } else { "by" };
                let rule = if what.rule == "-" { String::new() } else { format!("  {by} {}", what.rule) };
                writeln!(f, "  {}  {}  as {}{rule}: {count}", what.server, what.tool, what.role)?;
                if !count.examples.is_empty() {
                    writeln!(f, "      such as {}", count.examples.join(" "))?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.messages, self.lists) {
            (messages, 0) => f.write_str(&number(messages, "message")),
            (0, lists) => f.write_str(&number(lists, "list")),
            (messages, lists) => write!(f, "{}, {}", number(messages, "message"), number(lists, "list")),
        }
    }
}

fn number(n: u64, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

fn word<'a>(line: &'a Value, key: &str) -> Option<&'a str> {
    line.get(key).and_then(Value::as_str)
}

fn words(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// As a list: JSON has no keys of several parts.
fn rows<S: serde::Serializer>(rows: &BTreeMap<What, Count>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row<'a> {
        #[serde(flatten)]
        what: &'a What,
        #[serde(flatten)]
        count: &'a Count,
    }
    to.collect_seq(rows.iter().map(|(what, count)| Row { what, count }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(lines: &[Value]) -> Reader {
        let mut reader = Reader::new(Some("2026-11-21T12:00:00Z".parse().unwrap()), 2);
        lines.iter().for_each(|line| reader.take(&line.to_string()));
        reader
    }

    fn line(minute: u8, kind: &str, more: Value) -> Value {
        let mut line = json!({"kind": kind, "time": format!("2026-11-21T12:{minute:02}:00Z"), "invocation": format!("i{minute}"),
            "server": "erp", "roles": ["clerk"]});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    }

    #[test]
    fn differences_are_counted_by_change_rule_tool_and_role_with_the_latest_examples() {
        let refused = |minute| {
            let beside = json!({"stage": "shadow", "changes": ["newly_refused"], "revision": "new", "decision": "hidden"});
            line(
                minute,
                "intent",
                json!({"tool": "pay", "revision": "old", "rules": ["clerk/0"], "candidate": beside}),
            )
        };
        let mut lines =
            vec![line(0, "policy", json!({"event": "candidate", "candidate": "new", "live": "old"}))];
        lines.push(line(1, "intent", json!({"tool": "list", "revision": "old"})));
        lines.extend((2..6).map(refused));
        lines.push(line(
            6,
            "shadow",
            json!({"candidate": "new", "live": "old", "tools": [
            {"tool": "sell", "changes": ["newly_allowed"], "candidate_rules": ["clerk/1"]}]}),
        ));
        lines.push(line(7, "refused", json!({"reason": "not_authenticated"})));
        let report = read(&lines).report(None).unwrap();
        assert_eq!((report.messages, report.differing, report.lists, report.decided), (5, 4, 1, 0));
        let shown = serde_json::to_value(&report).unwrap();
        assert_eq!(shown["by_change"], json!({"newly_allowed": 1, "newly_refused": 4}));
        assert_eq!(shown["by_rule"], json!({"clerk/0": 4, "clerk/1": 1}));
        assert_eq!(shown["by_tool"], json!({"erp/pay": 4, "erp/sell": 1}));
        assert_eq!(shown["by_role"], json!({"clerk": 5}));
        assert_eq!(shown["differences"][0]["tool"], "sell", "newly allowed comes first");
        assert_eq!(shown["differences"][1]["examples"], json!(["i4", "i5"]));
    }

    #[test]
    fn the_candidate_that_decides_is_told_from_the_policy_that_serves() {
        let beside = json!({"stage": "canary", "changes": ["newly_refused"],
            "live": {"revision": "old", "decision": "allowed", "rules": ["clerk/0"]}});
        let refused = line(1, "refused", json!({"tool": "pay", "revision": "new", "candidate": beside}));
        let report = read(&[refused]).report(None).unwrap();
        assert_eq!((report.candidate.as_str(), report.live.as_deref()), ("new", Some("old")));
        assert_eq!((report.decided, report.by_rule.get("clerk/0")), (1, Some(&1)));
    }

    #[test]
    fn what_was_before_does_not_count() {
        let before = json!({"kind": "shadow", "time": "2026-11-21T11:59:59Z", "candidate": "new", "live": "old", "tools": []});
        assert_eq!(read(&[before]).report(None).unwrap().lists, 0);
        assert!(read(&[]).report(None).is_none());
    }
}
