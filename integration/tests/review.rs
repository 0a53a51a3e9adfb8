//! A change of policy is seen before it is live: the matrix, and the difference between two policies.

use std::path::PathBuf;
use std::process::{Command, Output};

use portcullis_integration::fixture::{ROLES, Std};
use portcullis_integration::gate::House;
use portcullis_integration::repository;
use serde_json::{Value, json};

/// What a pull request adds to the regional manager.
const WIDER: &str = "    - servers: [netsuite]
      tools: [create_netsuite_record, update_netsuite_record]
      when: {record_type: [invoice]}
";

/// The NetSuite example in a git repository, and its pull request's files.
struct Company(House);

impl Company {
    fn new() -> Self {
        let house = House::copied(&repository().join("examples/netsuite"));
        let company = Self(house);
        company.git(&["init", "--quiet", "--initial-branch", "main"]);
        company.commit("before");
        company
    }

    fn git(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=ana", "-c", "user.email=ana@acme.example"]).args(arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        let output = command.current_dir(self.0.path(".")).output().expect("git runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output
    }

    fn commit(&self, tag: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", tag]);
        self.git(&["tag", tag]);
    }

    /// Widens the role of regional managers.
    fn widen(&self) {
        let data = std::fs::read_to_string(self.0.path("policies/tenants/acme/data.yaml")).expect("data");
        let next = data.find("  # Reads everything, asks").expect("the role after it");
        let (before, after) = data.split_at(next);
        self.0.tenant("acme", &format!("{before}{WIDER}\n{after}"));
    }

    fn policy(&self, arguments: &[&str]) -> Output {
        let catalogue = example("catalogue.json");
        let catalogue = catalogue.to_str().expect("text");
        self.0.command(&[&["policy"], arguments, &["--catalogue", catalogue]].concat())
    }

    fn diff(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.policy(&[&["diff", "--format", "json"], arguments].concat());
        let told = serde_json::from_slice(&output.stdout);
        (output.status.code(), told.unwrap_or_else(|why| panic!("{why}: {output:?}")))
    }
}

fn example(name: &str) -> PathBuf {
    repository().join("examples/pull-request").join(name)
}

fn allowed(report: &Value) -> Vec<(&str, &str)> {
    let changes = report["changes"].as_array().expect("changes").iter();
    let newly = changes.filter(|change| change["newly_allowed"] == true);
    newly.map(|c| (c["who"].as_str().expect("who"), c["name"].as_str().expect("a name"))).collect()
}

const TWO: [(&str, &str); 2] = [
    ("acme/regional-manager", "create_netsuite_record"),
    ("acme/regional-manager", "update_netsuite_record"),
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_pull_request_that_widens_a_role_shows_the_two_tools_it_newly_allows() {
    let company = Company::new();
    company.widen();
    company.commit("after");
    let (code, report) = company.diff(&["before", "after"]);
    assert_eq!((code, allowed(&report)), (Some(2), TWO.to_vec()), "{report}");
    assert_eq!(report["changes"][0]["after"]["constraints"]["record_type"]["enum"][0], "invoice");
    let expected = example("expected.yaml");
    let expected = ["--expected", expected.to_str().expect("text")];
    let (code, report) = company.diff(&[&["before", "after"][..], &expected].concat());
    assert_eq!((code, allowed(&report)), (Some(0), TWO.to_vec()), "{report}");
    assert_eq!(company.diff(&["after", "before"]).0, Some(0));
    let markdown = company.policy(&["diff", "git:before", "./policies", "--format", "markdown"]);
    let markdown = text(&markdown.stdout);
    assert!(markdown.starts_with("### Policy: 2 newly allowed, 0 newly refused, 0 otherwise"), "{markdown}");
    assert!(
        markdown.contains("`create_netsuite_record`") && markdown.contains("**not expected**"),
        "{markdown}"
    );
}

#[test]
fn a_change_cannot_hide_itself_from_its_review() {
    let company = Company::new();
    company.widen();
    // What leaves files out of an archive of the revision does not leave them out of the review.
    company.0.write(".gitattributes", "policies/tenants export-ignore\n*.yaml export-subst\n");
    company.commit("after");
    assert_eq!(allowed(&company.diff(&["before", "after"]).1), TWO);
    // Nor does a directory that has the name of a revision.
    company.0.write("before/authz.rego", "package mcp.authz\n\nallow := true\n");
    let told = company.policy(&["diff", "before", "after"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(text(&told.stderr).contains("is a directory, and a git revision too"), "{told:?}");
    assert_eq!(allowed(&company.diff(&["git:before", "git:after"]).1), TWO);
}

#[cfg(unix)]
#[test]
fn links_in_a_revision_are_followed_within_it_and_never_out_of_it() {
    let company = Company::new();
    std::fs::rename(company.0.path("policies/stock"), company.0.path("stock")).expect("moved");
    std::os::unix::fs::symlink("../stock", company.0.path("policies/stock")).expect("a link");
    company.commit("linked");
    company.widen();
    company.commit("after");
    assert_eq!(allowed(&company.diff(&["linked", "after"]).1), TWO);
    std::os::unix::fs::symlink("/etc", company.0.path("policies/more")).expect("a link");
    company.commit("out");
    let told = company.policy(&["diff", "linked", "out"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(text(&told.stderr).contains("leads nowhere within the repository"), "{told:?}");
}

#[test]
fn a_revision_that_is_not_there_and_a_policy_that_is_broken_are_told_as_such() {
    let company = Company::new();
    let told = company.policy(&["diff", "before", "nowhere"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(text(&told.stderr).contains("`nowhere` is neither a directory nor a git revision"), "{told:?}");
    company.0.write("policies/more.rego", "package mcp.authz\n\nallow if input.caler.user == \"ana\"\n");
    company.commit("broken");
    let told = company.policy(&["diff", "before", "broken"]);
    assert_eq!(told.status.code(), Some(3), "{told:?}");
    assert!(text(&told.stderr).contains("broken:more.rego:3:"), "{told:?}");
    let told = company.policy(&["matrix"]);
    assert_eq!((told.status.code(), told.stdout.is_empty()), (Some(3), true), "{told:?}");
    assert!(text(&told.stderr).contains("caler"), "{told:?}");
}

#[test]
fn a_change_of_configuration_that_opens_a_tool_is_seen_too() {
    let company = Company::new();
    let config = std::fs::read_to_string(company.0.path("portcullis.yaml")).expect("text");
    company.0.write("before.yaml", &config);
    company.0.write(
        "portcullis.yaml",
        &config.replace("operation: query, tags: [suiteql]", "operation: list, tags: [invoices]"),
    );
    let (code, report) = company.diff(&["before", "before", "--before-config", "before.yaml"]);
    assert_eq!(code, Some(2), "{report}");
    assert!(allowed(&report).contains(&("acme/regional-manager", "run_suiteql")), "{report}");
    // A laxer policy that was there all along opens what it opens once it is named.
    company.0.write("lax/authz.rego", "package mcp.authz\n\nallow := true\n");
    company.commit("lax");
    company.0.write("portcullis.yaml", &config.replace("policies: policies", "policies: lax"));
    let (code, report) = company.diff(&["git:lax", "git:lax", "--before-config", "before.yaml"]);
    assert_eq!(code, Some(2), "{report}");
    assert!(allowed(&report).contains(&("acme/(no role)", "delete_netsuite_record")), "{report}");
}

#[test]
fn the_matrix_has_a_form_for_each_reader() {
    let company = Company::new();
    let form = |format: &str| {
        let output = company.policy(&["matrix", "--format", format]);
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
    };
    assert!(form("table").contains("] region = {caller.region}; masks /margin, /rows/*/margin"));
    assert!(form("markdown").contains("| `run_suiteql` | yes | - |"));
    assert!(form("csv").starts_with("tenant,who,server,kind,name,operation,outcome,"));
    let json: Value = serde_json::from_str(&form("json")).expect("JSON");
    assert_eq!(json["cells"].as_array().expect("cells").len(), 5 * 9);
    assert!(form("html").starts_with("<!doctype html>"));
}

#[test]
fn what_pins_withhold_is_said_to_be_hidden_and_what_they_open_to_be_newly_allowed() {
    let company = Company::new();
    let config = std::fs::read_to_string(company.0.path("portcullis.yaml")).expect("text");
    company.0.write("before.yaml", &format!("{config}\npins: {{file: portcullis.lock}}\n"));
    company.0.write("portcullis.lock", "{\"version\": 2, \"pins\": [\"tools\"], \"servers\": {}}");
    let matrix = company.policy(&["matrix", "--config", "before.yaml"]);
    assert!(text(&matrix.stdout).contains("] withheld until it is approved"), "{matrix:?}");
    let (code, report) = company.diff(&["before", "before", "--before-config", "before.yaml"]);
    assert_eq!(code, Some(2), "{report}");
    assert!(allowed(&report).contains(&("acme/controller", "get_netsuite_invoice")), "{report}");
    assert_eq!(report["changes"][0]["before"]["outcome"], "hidden", "{report}");
}

/// The fixture's roles, and one more tool.
const DANGER: &str = "roles:\n  reader:\n    - servers: [up]\n      tools: [safe, danger]\n      \
                      resources: [\"file:///pub/*\"]\n      prompts: [hello]\n";

/// A gate whose candidate decides for tenant `b`, and whose directory cannot be loaded by now. In `next`, `a` has a tool
/// more than the gate gives it, and `b` one less than the candidate does.
fn drifted() -> Std {
    let std = Std::prepared(
        |config| {
            config["policies"]["candidate"] = json!({"directory": "candidate", "canary": {"tenants": ["b"]}});
        },
        |house| {
            for (policy, a, b) in [("candidate", ROLES, DANGER), ("next", DANGER, ROLES)] {
                house.stock(policy);
                house.write(&format!("{policy}/tenants/a/data.yaml"), a);
                house.write(&format!("{policy}/tenants/b/data.yaml"), b);
            }
        },
    );
    std.gate.house().write("policies/late.rego", "package mcp.authz\n\nallow if input.caler == 1\n");
    std
}

fn turns(report: &Value) -> Vec<(&str, &str, bool)> {
    let changes = report["changes"].as_array().expect("changes").iter();
    let of = |change: &Value| change["kind"] == "tool" && change["name"] == "danger";
    let told = changes.filter(|change| of(change)).map(|change| {
        (
            change["who"].as_str().expect("who"),
            change["change"].as_str().expect("a turn"),
            change["newly_allowed"] == true,
        )
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_running_gate_serves_is_compared_and_not_what_its_directory_says_by_now() {
    let std = drifted();
    let house = std.gate.house();
    let diff = |arguments: &[&str]| {
        let output = house.command(&[&["policy", "diff", "--format", "json"], arguments].concat());
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|why| panic!("{why}: {}", text(&output.stderr)));
        (output.status.code(), report, text(&output.stderr))
    };
    let (code, report, told) = diff(&["--running", "--against", "next"]);
    let expected = [("a/reader", "allowed", true), ("b/reader", "refused", false)];
    assert_eq!((code, turns(&report)), (Some(2), expected.to_vec()), "{report} {told}");
    assert!(told.contains("decides for b"), "{told}");
    house.write(
        "expected.yaml",
        "- {who: a/reader, server: up, tool: danger}\n- {who: b/*, server: up, tool: \"*\"}\n",
    );
    let (code, _, told) = diff(&["gate:", "next", "--expected", "expected.yaml"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, report, _) = diff(&["next", "gate:"]);
    let back = [("b/reader", "allowed", true), ("a/reader", "refused", false)];
    assert_eq!((code, turns(&report)), (Some(2), back.to_vec()), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gate_with_another_configuration_is_not_compared_as_if_it_had_this_one() {
    let std = drifted();
    let house = std.gate.house();
    let config = std::fs::read_to_string(house.path("portcullis.yaml")).expect("text");
    let mut other: Value = serde_json::from_str(&config).expect("JSON");
    other["servers"]["up"]["tags"] = json!(["other"]);
    house.write("other.yaml", &other.to_string());
    let told = house.command(&["policy", "diff", "--running", "--against", "next", "--config", "other.yaml"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(text(&told.stderr).contains("`servers.up.tags` differs"), "{told:?}");
    let stopped = std.gate.kill();
    let told = stopped.command(&["policy", "diff", "--running", "--against", "next"]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(text(&told.stderr).contains("no gate runs"), "{told:?}");
}
