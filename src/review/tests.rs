//! Two companies: one has an account at `erp`, the other one at `crm`.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::report::Report;
use super::*;
use crate::config::{Config, Env, Policy};
use crate::decide::{Circumstances, Decide, Question, Sight, Written};
use crate::identify::{Imagined, Proof};
use crate::name::Invocation;

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
    - {servers: [erp], tools: ["list_*"], when: {region: caller.region}, redact: [/margin]}
  boss:
    - servers: [erp]
deny:
  - {tools: ["delete_*"], code: no_deletion, message: "ask the | service desk"}
"#;

struct House {
    directory: TempDir,
    config: Config,
}

impl House {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("policies")).unwrap();
        let file = directory.path().join("portcullis.yaml");
        let config = json!({
            "servers": {
                "erp": {"url": "http://127.0.0.1:9/mcp", "tools": [{"name": "close_book", "operation": "close"}]},
                "crm": {"url": "http://127.0.0.1:9/mcp"},
            },
            "accounts": [{"tenant": "acme", "server": "erp"}, {"tenant": "globex", "server": "crm"}],
        });
        std::fs::write(&file, config.to_string()).unwrap();
        Self { config: Config::load(&file, &Nothing).unwrap().0, directory }
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The stock policies with this data of `acme`.
    fn policy(&self, name: &str, data: &str) -> (Decide, crate::decide::Names) {
        let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        for file in std::fs::read_dir(stock).unwrap().flatten() {
            let name = format!("{name}/{}", file.file_name().to_string_lossy());
            if file.path().extension().is_some_and(|e| e == "rego") {
                self.write(&name, &std::fs::read_to_string(file.path()).unwrap());
            }
        }
        self.write(&format!("{name}/tenants/acme/data.yaml"), data);
        self.write(&format!("{name}/tenants/globex/data.yaml"), "roles: {spy: [{servers: [\"*\"]}]}");
        let directory = self.directory.path().join(name);
        let names = Decide::names(&directory).unwrap();
        let policy = Policy { directory, timeout: std::time::Duration::from_secs(5), cache: 100 };
        (Decide::load(&policy).unwrap(), names)
    }

    fn offered(&self, tools: &[&str]) -> Vec<What> {
        let tools: Vec<Value> = tools.iter().map(|name| json!({"name": name, "inputSchema": {}})).collect();
        let text = json!({"servers": {
            "erp": {"tools": tools, "prompts": [{"name": "letter"}]},
            "crm": {"tools": [{"name": "list_leads", "inputSchema": {}}]},
        }});
        let file = self.write("catalogue.json", &text.to_string());
        Found::in_catalogue(&file, &self.config).unwrap().what
    }

    fn matrix(&self, data: &str, tools: &[&str]) -> Matrix {
        let (decide, names) = self.policy("policies", data);
        let who = Who::roles(&self.config, &names);
        let (questions, _) = Questions::new(&self.config, who, self.offered(tools), None);
        Matrix::ask(&Bench::of(decide), &Arc::new(questions), &now(), &mut |_| {})
    }

    /// What `clerk` may do with `list_orders`, before and after, and which way it turns.
    fn turn(&self, before: &str, after: &str) -> Option<Turn> {
        let data = |grant: &str| format!("roles: {{clerk: [{{servers: [erp], {grant}}}]}}");
        let (before, after) = [before, after].map(|grant| self.matrix(&data(grant), &["list_orders"])).into();
        let mut changes = changes(&before, &after).into_iter().map(|change| change.turn);
        let turn = changes.next();
        assert_eq!(changes.next(), None);
        turn
    }
}

fn now() -> Circumstances {
    Circumstances {
        invocation: Invocation::new(),
        time: Nothing.now(),
        source_ip: [127, 0, 0, 1].into(),
        protocol: None,
        client: None,
        workflow: None,
        rate_remaining: None,
        cost_this_month: None,
    }
}

fn outcome(matrix: &Matrix, who: &str, name: &str) -> Option<Standing> {
    let mut found = matrix.entries().filter(|entry| &*entry.who.name == who && entry.what.name() == name);
    found.next().map(|entry| entry.cell.outcome)
}

const TOOLS: [&str; 3] = ["list_orders", "create_order", "delete_order"];

#[test]
fn every_role_is_asked_about_every_tool_and_whoever_has_none_as_well() {
    let matrix = House::new().matrix(ROLES, &TOOLS);
    assert_eq!(outcome(&matrix, "acme/clerk", "list_orders"), Some(Standing::Constrained));
    assert_eq!(outcome(&matrix, "acme/clerk", "create_order"), Some(Standing::Hidden));
    assert_eq!(outcome(&matrix, "acme/boss", "create_order"), Some(Standing::Allowed));
    assert_eq!(outcome(&matrix, "acme/boss", "delete_order"), Some(Standing::Hidden));
    assert_eq!(outcome(&matrix, "acme/(no role)", "list_orders"), Some(Standing::Hidden));
    assert_eq!(matrix.entries().filter(|entry| entry.what.server.name.as_str() == "erp").count(), 3 * 4);
}

#[test]
fn a_tenant_reaches_only_the_servers_at_which_it_has_an_account() {
    let house = House::new();
    let matrix = house.matrix(ROLES, &TOOLS);
    let reached: std::collections::BTreeSet<_> = matrix
        .entries()
        .map(|entry| (entry.who.caller.tenant.as_str(), entry.what.server.name.as_str()))
        .collect();
    assert_eq!(reached.into_iter().collect::<Vec<_>>(), [("acme", "erp"), ("globex", "crm")]);
    assert_eq!(outcome(&matrix, "globex/spy", "list_leads"), Some(Standing::Allowed));
}

#[test]
fn a_cell_is_what_a_list_of_the_gate_shows() {
    let house = House::new();
    let (decide, names) = house.policy("policies", ROLES);
    let who = Who::roles(&house.config, &names);
    let (questions, _) = Questions::new(&house.config, who, house.offered(&TOOLS), None);
    let (same, _) = house.policy("again", ROLES);
    let matrix = Matrix::ask(&Bench::of(same), &Arc::new(questions), &now(), &mut |_| {});
    for Entry { who, what, cell } in matrix.entries() {
        let imagined = Imagined::new(&who.caller, Proof::ApiKey);
        let seen = decide.may_see(Question {
            caller: imagined.caller(),
            server: &what.server,
            method: "tools/list",
            subject: &what.subject,
            arguments: None,
            circumstances: &now(),
        });
        assert_eq!(matches!(seen, Sight::Shown(_)), cell.outcome != Standing::Hidden, "{who:?} {what:?}");
    }
}

#[test]
fn a_condition_on_the_caller_shows_as_what_it_asks_for() {
    let table = table::table(&House::new().matrix(ROLES, &TOOLS), 80);
    assert!(table.contains("] region = {caller.region}; masks /margin"), "{table}");
    assert!(table.contains("no_deletion: ask the | service desk"), "{table}");
}

#[test]
fn callers_with_names_have_the_attributes_that_they_have() {
    let house = House::new();
    let file = house.write(
        "callers.yaml",
        "- {name: maria, tenant: acme, roles: [clerk], attributes: {region: EMEA}}\n- {name: nobody, tenant: acme}\n",
    );
    let who = Who::named(&Written::read(&file).unwrap()).unwrap();
    let (decide, _) = house.policy("policies", ROLES);
    let (questions, _) = Questions::new(&house.config, who, house.offered(&TOOLS), None);
    let matrix = Matrix::ask(&Bench::of(decide), &Arc::new(questions), &now(), &mut |_| {});
    let cell = matrix.entries().next().unwrap().cell.clone();
    assert_eq!(outcome(&matrix, "nobody", "list_orders"), Some(Standing::Hidden));
    assert!(
        matrix.entries().any(|entry| entry.cell.constraints.get("region") == Some(&json!({"const": "EMEA"}))),
        "{cell:?}"
    );
}

#[test]
fn mistakes_in_lists_are_told_with_their_lines() {
    let house = House::new();
    let file = house.write(
        "callers.yaml",
        "- {name: a, tenant: acme}\n- {name: a, tenant: acme}\n- {name: b, tenant: \"\"}\n",
    );
    let told = Who::named(&Written::read(&file).unwrap()).unwrap_err();
    let lines: Vec<_> = told.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 3], "{told:?}");
    let file = house.write("expected.yaml", "- {who: a, server: erp, tol: x}\n");
    let told = Expected::read(&Written::read(&file).unwrap()).unwrap_err();
    assert!(told[0].what.contains("tol"), "{told:?}");
    let file = house.write("expected.yaml", "- {who: a, server: erp}\n");
    assert!(Expected::read(&Written::read(&file).unwrap()).is_err());
}

#[test]
fn without_a_catalogue_exact_names_are_asked_about() {
    let house = House::new();
    let data = "roles: {clerk: [{servers: [\"*\"], tools: [get_order, \"list_*\"]}]}";
    let (_, names) = house.policy("policies", data);
    let found = Found::named(&house.config, &names);
    let mut tools: Vec<_> = found.what.iter().map(What::name).collect();
    tools.sort_unstable();
    assert_eq!((tools, found.notes.len()), (vec!["close_book", "get_order", "get_order"], 1));
}

#[test]
fn what_is_lifted_or_changed_counts_as_newly_allowed_and_what_is_added_does_not() {
    let house = House::new();
    let (free, held) = ("methods: [read]", "when: {region: EMEA}");
    assert_eq!(house.turn(held, free), Some(Turn::Widened));
    assert_eq!(house.turn(held, "when: {region: [EMEA, US]}"), Some(Turn::Widened));
    assert_eq!(house.turn("redact: [/a, /b]", "redact: [/a]"), Some(Turn::Widened));
    assert_eq!(house.turn(free, held), Some(Turn::Narrowed));
    assert_eq!(house.turn("redact: [/a]", "redact: [/a, /b]"), Some(Turn::Narrowed));
    assert_eq!(house.turn("tools: [x]", free), Some(Turn::Allowed));
    assert_eq!(house.turn(free, "tools: [x]"), Some(Turn::Refused));
    assert_eq!(house.turn(free, "tools: [\"list_*\"]"), None);
}

#[test]
fn newly_allowed_stands_first_and_only_what_is_expected_passes() {
    let house = House::new();
    let before = house.matrix("roles: {clerk: [{servers: [erp], tools: [a]}]}", &["a", "b", "c"]);
    let after = house.matrix("roles: {clerk: [{servers: [erp], tools: [b, c]}]}", &["a", "b", "c"]);
    let expect = |text: &str| {
        let file = house.write("expected.yaml", text);
        let expected = Expected::read(&Written::read(&file).unwrap()).unwrap();
        Report::new(("x", "y"), &before.questions, changes(&before, &after), &expected)
    };
    let one =
        expect("- {who: acme/clerk, server: erp, tool: b}\n- {who: acme/clerk, server: erp, tool: zzz}\n");
    assert_eq!((one.unexpected(), one.unmet().len()), (1, 1));
    let text = one.text();
    assert!(text.find("Newly allowed").unwrap() < text.find("Newly refused").unwrap(), "{text}");
    assert_eq!(expect("- {who: \"acme/*\", server: erp, tool: \"*\"}").unexpected(), 0);
    assert_eq!(expect("- {who: acme/cler, server: erp, tool: \"*\"}").unexpected(), 2);
}

#[test]
fn a_servers_names_cannot_do_anything_to_page_or_comment() {
    let evil =
        ["</script><script>alert(1)</script>", "a|b`c", "@everyone", "@SCRIPT@", "=1+1", "\u{202e}exe"];
    let matrix = House::new().matrix(ROLES, &evil);
    let page = page::page(&matrix);
    assert_eq!(page.matches("<script").count(), 2, "the data and the script");
    assert_eq!(page.matches("\"use strict\"").count(), 1);
    assert!(page.contains("default-src 'none'") && !page.contains("http://") && !page.contains("https://"));
    let markdown = markdown::markdown(&matrix);
    assert!(markdown.contains("| <code>a&#124;b&#96;c</code> |"), "{markdown}");
    assert!(
        !markdown.contains("<script") && !markdown.contains("@everyone") && !markdown.contains('\u{202e}')
    );
    assert!(csv::csv(&matrix).contains(",\"'=1+1\","));
}

#[test]
fn json_and_csv_say_each_cell_with_its_constraints_and_rules() {
    let matrix = House::new().matrix(ROLES, &["list_orders"]);
    let said = serde_json::to_value(&matrix).unwrap();
    let cells = said["cells"].as_array().unwrap();
    let clerk = cells.iter().find(|cell| cell["who"] == "acme/clerk" && cell["kind"] == "tool").unwrap();
    assert_eq!(clerk["constraints"], json!({"region": {"const": "{caller.region}"}}));
    assert_eq!((&clerk["rules"], &clerk["redact"]), (&json!(["acme/clerk/0"]), &json!(["/margin"])));
    assert_eq!(csv::csv(&matrix).lines().count(), 1 + cells.len());
}

/// A catalogue with a tool that no arguments fit which `clerk` may give, and a prompt.
const OFFERED: &str = r#"{"servers": {"erp": {
    "tools": [
        {"name": "list_orders", "inputSchema": {"type": "object", "properties": {}, "additionalProperties": false}},
        {"name": "list_pages", "inputSchema": {"type": "object"}},
        {"name": "get_order", "inputSchema": {}}
    ],
    "templates": [{"uriTemplate": "file:///{name}", "name": "files"}],
    "resources": [{"uri": "file:///a", "name": "a"}],
    "prompts": [{"name": "letter"}]
}}}"#;

impl House {
    /// What the policy says of [`OFFERED`], with this in the configuration besides.
    fn offered_with(&self, more: &Value, data: &str) -> Matrix {
        let mut config = json!({
            "servers": {"erp": {"url": "http://127.0.0.1:9/mcp"}},
            "accounts": [{"tenant": "acme", "server": "erp"}],
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config = Config::load(&self.write("more.yaml", &config.to_string()), &Nothing).unwrap().0;
        let (decide, names) = self.policy("policies", data);
        let what = Found::in_text(OFFERED, &config).unwrap().what;
        let (questions, _) = Questions::new(&config, Who::roles(&config, &names), what, None);
        Matrix::ask(&Bench::of(decide), &Arc::new(questions), &now(), &mut |_| {})
    }

    /// The same where no tool and no prompt has been approved, and pins are taken so.
    fn pinned(&self, mode: &str, data: &str) -> Matrix {
        self.write(
            "portcullis.lock",
            "{\"version\": 2, \"pins\": [\"tools\", \"prompts\"], \"servers\": {}}",
        );
        self.offered_with(&json!({"pins": {"file": "portcullis.lock", "mode": mode}}), data)
    }
}

fn said(matrix: &Matrix, who: &str, name: &str) -> (Standing, String) {
    let mut found = matrix.entries().filter(|entry| &*entry.who.name == who && entry.what.name() == name);
    found.next().map(|entry| (entry.cell.outcome, entry.cell.remark())).unwrap()
}

#[test]
fn a_tool_that_no_arguments_fit_is_allowed_and_said_not_to_be_listed() {
    let own = "{servers: [erp], tools: [\"list_*\"], when: {region: caller.region}}";
    let fixed = "{servers: [erp], tools: [\"list_*\"], when: {region: EMEA}, redact: [/margin]}";
    let data = format!("roles: {{clerk: [{fixed}], local: [{own}], boss: [{{servers: [erp]}}]}}");
    let matrix = House::new().offered_with(&json!({}), &data);
    let held = "region = EMEA; masks /margin";
    let unfit = "not listed, though a call may pass: no arguments fit both its schema and policy";
    assert_eq!(
        said(&matrix, "acme/clerk", "list_orders"),
        (Standing::Constrained, format!("{held}; {unfit}"))
    );
    assert_eq!(said(&matrix, "acme/clerk", "list_pages"), (Standing::Constrained, held.to_owned()));
    // What stands in for an attribute is no value that a schema could take.
    let local = (Standing::Constrained, "region = {caller.region}".to_owned());
    assert_eq!(said(&matrix, "acme/local", "list_orders"), local);
    assert_eq!(said(&matrix, "acme/boss", "list_orders"), (Standing::Allowed, String::new()));
    assert_eq!(said(&matrix, "acme/clerk", "get_order"), (Standing::Hidden, String::new()));
    let csv = csv::csv(&matrix);
    assert!(csv.contains(unfit), "{csv}");
}

#[test]
fn what_is_not_as_it_was_pinned_is_hidden_from_whom_policy_allows_it_and_said_to_be() {
    let house = House::new();
    let all = "roles: {boss: [{servers: [erp]}, {servers: [erp], resources: [\"*\"], prompts: [\"*\"]}]}";
    let matrix = house.pinned("enforce", all);
    let withheld = "withheld until it is approved: it is not as it was pinned (appeared)".to_owned();
    for name in ["get_order", "letter"] {
        assert_eq!(said(&matrix, "acme/boss", name), (Standing::Hidden, withheld.clone()), "{name}");
        assert_eq!(said(&matrix, "acme/(no role)", name), (Standing::Hidden, String::new()), "{name}");
    }
    // The lock has no pins of resources.
    assert_eq!(outcome(&matrix, "acme/boss", "file:///a"), Some(Standing::Allowed));
    assert!(table::table(&matrix, 80).contains(&withheld));
    let json = serde_json::to_value(&matrix).unwrap();
    let cells = json["cells"].as_array().unwrap();
    let boss = cells.iter().find(|cell| cell["who"] == "acme/boss" && cell["name"] == "get_order").unwrap();
    assert_eq!((&boss["outcome"], &boss["unlisted"]), (&json!("hidden"), &json!(withheld)));
    assert_eq!(boss["rules"], json!(["acme/boss/0"]));
    let warned = house.pinned("warn", all);
    assert_eq!(said(&warned, "acme/boss", "get_order"), (Standing::Allowed, String::new()));
}

#[test]
fn a_tool_with_the_name_of_the_gates_own_is_hidden_from_everybody() {
    let matrix = House::new().offered_with(&json!({"ask_first": {"tool": "get_order"}}), ROLES);
    let own = (Standing::Hidden, "withheld: the gate's own tool has this name".to_owned());
    assert_eq!(said(&matrix, "acme/boss", "get_order"), own);
    assert_eq!(outcome(&matrix, "acme/boss", "list_orders"), Some(Standing::Allowed));
}

#[test]
fn what_is_granted_and_withheld_is_reviewed_as_allowed_and_so_is_what_pins_no_longer_withhold() {
    let house = House::new();
    let turns = |before: &Matrix, after: &Matrix| -> Vec<Turn> {
        let of_orders =
            changes(before, after).into_iter().filter(|change| change.what.name() == "list_orders");
        of_orders.map(|change| change.turn).collect()
    };
    let (none, some) =
        ("roles: {clerk: [{servers: [erp], tools: [x]}]}", "roles: {clerk: [{servers: [erp]}]}");
    let held = "roles: {clerk: [{servers: [erp], when: {region: [EMEA]}}]}";
    let shut = [none, some, held].map(|data| house.pinned("enforce", data));
    let open = [none, some, held].map(|data| house.pinned("off", data));
    let (none, some, held) = (0, 1, 2);
    assert_eq!(turns(&shut[none], &shut[some]), [Turn::Allowed]);
    assert_eq!(turns(&shut[some], &shut[none]), [Turn::Refused]);
    assert_eq!(turns(&shut[held], &shut[some]), [Turn::Widened]);
    assert_eq!(turns(&shut[some], &open[some]), [Turn::Allowed]);
    assert_eq!(turns(&open[some], &shut[some]), [Turn::Refused]);
    assert_eq!(turns(&shut[some], &shut[some]), []);
    // A call that keeps to the constraint passes, though no list shows the tool.
    assert_eq!(turns(&open[none], &open[held]), [Turn::Allowed]);
    assert_eq!(turns(&open[some], &open[held]), [Turn::Narrowed]);
    assert_eq!(turns(&open[held], &open[some]), [Turn::Widened]);
}
