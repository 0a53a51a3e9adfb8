use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::config::{Env, Policy};
use crate::decide::conditions;

struct Nothing;

impl Env for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn now(&self) -> jiff::Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }
}

const ROLES: &str = r#"
roles:
  clerk:
    - {servers: [erp], tools: [list_orders]}
    - {servers: [erp], tools: [list_invoices], when: {region: caller.region}}
    - {servers: [erp], tools: [list_open], when: {status: open}}
"#;

struct House {
    directory: TempDir,
    config: Config,
}

impl House {
    fn new(data: &str, more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let policies = directory.path().join("policies");
        std::fs::create_dir_all(policies.join("tenants/acme")).unwrap();
        let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        for file in std::fs::read_dir(stock).unwrap().flatten() {
            if file.path().extension().is_some_and(|e| e == "rego") {
                std::fs::copy(file.path(), policies.join(file.file_name())).unwrap();
            }
        }
        std::fs::write(policies.join("tenants/acme/data.yaml"), data).unwrap();
        if !more.is_empty() {
            std::fs::write(policies.join("more.rego"), more).unwrap();
        }
        let file = directory.path().join("portcullis.yaml");
        let config = json!({"servers": {"erp": {"url": "http://127.0.0.1:9/mcp"}}, "accounts": [{"tenant": "acme", "server": "erp"}]});
        std::fs::write(&file, config.to_string()).unwrap();
        Self { config: Config::load(&file, &Nothing).unwrap().0, directory }
    }

    fn policies(&self) -> PathBuf {
        self.directory.path().join("policies")
    }

    fn judged(&self, lines: &[Value]) -> Report {
        let timeout = std::time::Duration::from_secs(5);
        let policy = Policy { directory: self.policies(), timeout, cache: 100 };
        let policy = Decide::load(&policy).unwrap_or_else(|problems| panic!("{problems:?}"));
        let replay = Replay::new(&policy, &self.config, conditions(&self.policies()));
        let mut report = Report::new(policy.revision());
        for line in lines {
            replay.line(&serde_json::from_str(&line.to_string()).unwrap(), &mut report);
        }
        report
    }

    fn effect(&self, line: Value) -> Effect {
        let report = self.judged(&[line]);
        Effect::ALL.into_iter().find(|effect| report.count(*effect) == 1).expect("one decision")
    }
}

fn line(kind: &str, tool: &str, change: Value) -> Value {
    let mut line = json!({
        "kind": kind, "time": "2026-11-21T10:00:00Z", "invocation": "i-1", "tenant": "acme", "user": "alice",
        "roles": ["clerk"], "authn": "jwt", "unkept": [], "source_ip": "127.0.0.1", "server": "erp",
        "method": "tools/call", "tool": tool, "revision": "before",
    });
    line.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    line
}

fn refused(tool: &str, reason: &str) -> Value {
    line("refused", tool, json!({"reason": reason}))
}

#[test]
fn a_decision_stays_or_is_newly_allowed_or_newly_refused() {
    let house = House::new(ROLES, "");
    assert_eq!(house.effect(line("intent", "list_orders", json!({"args": "m"}))), Effect::Same);
    assert_eq!(
        house.effect(line("intent", "pay_order", json!({"args": "m", "rules": ["acme/boss/0"]}))),
        Effect::Refused
    );
    assert_eq!(house.effect(refused("list_orders", "unknown_tool")), Effect::Allowed);
    assert_eq!(house.effect(refused("list_orders", "constrained")), Effect::Allowed);
    assert_eq!(house.effect(refused("pay_order", "unknown_tool")), Effect::Same);
}

#[test]
fn arguments_that_are_not_kept_are_never_guessed() {
    let house = House::new(ROLES, "");
    let with = |kind: &str, reason: &str| {
        house.effect(line(kind, "list_open", json!({"args": "m", "reason": reason})))
    };
    assert_eq!(with("intent", ""), Effect::Arguments);
    assert_eq!(with("refused", "constrained"), Effect::Arguments);
    assert_eq!(with("refused", "unknown_tool"), Effect::Arguments);
    let none = house.effect(line("intent", "list_open", json!({})));
    assert_eq!(
        none,
        Effect::Refused,
        "a call that is known to have had none lacks the one that it must give"
    );
}

#[test]
fn what_attributes_may_open_is_not_known_and_the_rest_is() {
    let house = House::new(ROLES, "");
    let there = json!({"unkept": ["attributes"], "args": "m"});
    assert_eq!(house.effect(line("intent", "list_invoices", there.clone())), Effect::Unknown);
    assert_eq!(house.effect(line("intent", "list_orders", there.clone())), Effect::Same);
    assert_eq!(house.effect(line("intent", "pay_order", there.clone())), Effect::Refused);
    assert_eq!(house.effect(line("intent", "list_invoices", json!({"args": "m"}))), Effect::Refused);
    let older = json!({"unkept": null, "args": "m"});
    assert_eq!(
        house.effect(line("intent", "list_invoices", older)),
        Effect::Unknown,
        "the line does not say"
    );
    let own = "package mcp.authz\n\ndeny contains \"no\" if input.caller.attributes.region == \"US\"\n";
    assert_eq!(House::new(ROLES, own).effect(line("intent", "list_orders", there)), Effect::Unknown);
}

#[test]
fn what_the_policy_reads_and_the_line_lacks_is_named() {
    let own = "package mcp.authz\n\ndeny contains \"no\" if \"temps\" in input.caller.groups\n\ndeny contains \"late\" if time.now_ns() < 0\n";
    let report =
        House::new(ROLES, own).judged(&[line("intent", "list_orders", json!({"unkept": ["groups"]}))]);
    let text = report.told(Form::Text);
    for what in ["want of caller.groups", "want of the clock or chance", "1  cannot be known\n"] {
        assert!(text.contains(what), "{what} is not in {text}");
    }
    let elsewhere = line("intent", "list_orders", json!({"server": "gone"}));
    assert_eq!(House::new(ROLES, "").effect(elsewhere), Effect::Unknown);
}

#[test]
fn a_scoped_url_is_judged_with_what_it_narrowed() {
    let house = House::new(ROLES, "");
    let url = |methods: &[&str]| json!({"scope": "su_1", "narrowed": {"methods": methods, "tags": []}, "args": "m"});
    assert_eq!(house.effect(line("intent", "list_orders", url(&["read"]))), Effect::Same);
    assert_eq!(house.effect(line("intent", "list_orders", url(&["write"]))), Effect::Refused);
    assert_eq!(house.effect(line("intent", "list_orders", json!({"scope": "su_1"}))), Effect::Unknown);
}

#[test]
fn what_policy_did_not_decide_is_counted_apart_and_the_same_policy_decides_the_same() {
    let house = House::new(ROLES, "");
    let revision = house.judged(&[]).told(Form::Text);
    let revision = revision.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    let rate = line("refused", "list_orders", json!({"reason": "user_rate", "revision": null}));
    let operator = line("intent", "x", json!({"authn": "operator"}));
    let question = line("question", "list_orders", json!({}));
    let own = line("intent", "list_open", json!({"args": "m", "revision": revision}));
    let report = house.judged(&[rate, operator, question, own]);
    assert_eq!(report.count(Effect::Same), 1, "{}", report.told(Form::Text));
    assert!(
        report.told(Form::Text).contains("1  not counted: refused by something else than policy (user_rate)")
    );
}

#[test]
fn texts_of_callers_are_no_markup() {
    let house = House::new(ROLES, "");
    let report = house.judged(&[line("intent", "a`|<b>", json!({}))]);
    let text = report.told(Form::Markdown);
    assert!(text.contains("`erp/a???b>`: 1 newly refused"), "{text}");
}
