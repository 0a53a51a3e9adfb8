//! Commands as an operator types them.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use serde_json::{Value, json};

use super::*;

struct TestEnv;

impl Env for TestEnv {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn now(&self) -> jiff::Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }
}

/// What a command came to, and what it wrote.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

fn portcullis(arguments: &[&str], input: &str) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = std::iter::once("portcullis").chain(arguments.iter().copied()).map(OsString::from);
    let mut input = input.as_bytes();
    let exit = main(arguments, Console::new(&mut input, &mut out, &mut err, &TestEnv));
    Ran { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// Ana may read, and her region is hers.
const POLICY: &str = r#"package mcp.authz

default allow := false

allow if {
	input.caller.user == "ana"
	input.tool.class == "read"
}

rules contains "readers" if allow

constraints["region"] := {"const": "EMEA"} if allow

test_a_stranger_may_not if not allow with input as {"caller": {"user": "eve"}}
"#;

/// A directory with a configuration whose admin listener is at `admin`, as a gate that ran leaves it.
fn installed(admin: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("policies")).unwrap();
    std::fs::write(directory.path().join("policies/authz.rego"), POLICY).unwrap();
    let text = format!(
        "servers: {{erp: {{url: http://127.0.0.1:9101/mcp}}}}\n\
         admin: {admin}\n\
         accounts:\n\
         - {{tenant: acme, server: erp, slots: 2, credential: {{bearer: sealed}}}}\n\
         - {{tenant: globex, server: erp}}\n"
    );
    let file = directory.path().join("portcullis.yaml");
    std::fs::write(&file, text).unwrap();
    Config::open(&file, &TestEnv).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (directory, file)
}

/// Answers one request with `answer`, and says what was asked.
fn gate(status: &'static str, answer: Value) -> (SocketAddr, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let (mut asked, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
            asked.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        asked.push_str(&String::from_utf8(body).unwrap());
        let body = answer.to_string();
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        reader.get_mut().write_all(format!("{head}{body}").as_bytes()).unwrap();
        asked
    });
    (address, thread)
}

#[test]
fn the_help_is_as_it_was_agreed() {
    let ran = portcullis(&["--help"], "");
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""));
    assert_eq!(ran.out, include_str!("tests/help.txt"));
    let ran = portcullis(&["url", "create", "--help"], "");
    assert_eq!(ran.out, include_str!("tests/help-url-create.txt"));
}

#[test]
fn a_word_that_is_no_command_is_invalid_and_not_denied() {
    let ran = portcullis(&["chek"], "");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Invalid, ""));
    assert!(ran.err.starts_with("error: unrecognized subcommand 'chek'\n"), "{}", ran.err);
}

#[test]
fn check_says_every_mistake_on_stderr_and_exits_3() {
    let (directory, file) = installed("off");
    std::fs::write(Path::new(&file), "servers: {}\ndrain: soon\n").unwrap();
    let ran = portcullis(&["check", "--config", &file], "");
    assert_eq!(ran.exit, Exit::Invalid);
    assert_eq!(ran.out, "2 mistakes\n");
    assert_eq!(
        ran.err.replace(&format!("{}/", directory.path().display()), ""),
        "error: portcullis.yaml:1:1: servers: is empty, and empty never means all; give at least one, or remove the key\n\
         error: portcullis.yaml:2:8: drain: `soon` is not a time; write a number and a unit, such as `500ms`, `30s`, `5m` or `24h`\n"
    );
    let ran = portcullis(&["check", "--config", &file, "--output", "json"], "");
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&told["valid"], &told["errors"][1]["line"]), (&json!(false), &json!(2)));
}

#[test]
fn check_of_a_right_configuration_exits_0() {
    let (_directory, file) = installed("off");
    let ran = portcullis(&["check", "--config", &file], "");
    assert_eq!((ran.exit, ran.out.as_str(), ran.err.as_str()), (Exit::Done, "valid\n", ""));
    let ran = portcullis(&["check", "--policies", "/nowhere/policies"], "");
    assert_eq!(ran.exit, Exit::Invalid);
}

#[test]
fn a_missing_configuration_is_one_plain_sentence() {
    let ran = portcullis(&["config", "show", "--config", "/nowhere/portcullis.yaml"], "");
    assert_eq!(ran.exit, Exit::Invalid);
    assert_eq!(
        ran.err,
        "error: /nowhere/portcullis.yaml: the configuration `/nowhere/portcullis.yaml` cannot be read: \
         No such file or directory (os error 2); name a readable YAML file\n"
    );
}

#[test]
fn a_new_key_and_its_hash_belong_together() {
    use sha2::{Digest, Sha256};
    let ran = portcullis(&["key", "create", "--output", "json"], "");
    let made: Value = serde_json::from_str(&ran.out).unwrap();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("pck_") && key.len() == 47, "{key}");
    assert_eq!(made["sha256"], hex::encode(Sha256::digest(key)));
    assert!(!ran.err.contains(key), "only stdout has it");
}

#[test]
fn a_url_is_made_by_the_running_gate_with_the_admin_token() {
    let (address, asked) = gate("201 Created", json!({"id": "su_1", "url": "http://127.0.0.1:8080/mcp/abc"}));
    let (directory, file) = installed(&format!("{{address: '{address}'}}"));
    let token = std::fs::read_to_string(directory.path().join("state/admin.token")).unwrap();
    let ran = portcullis(
        &[
            "url",
            "create",
            "--config",
            &file,
            "--tenant",
            "acme",
            "--server",
            "erp",
            "--method",
            "read",
            "--expires",
            "7d",
        ],
        "",
    );
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Done, "http://127.0.0.1:8080/mcp/abc\n"), "{}", ran.err);
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("POST /v1/urls HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("authorization: Bearer {}\r\n", token.trim())), "{asked}");
    let body: Value = serde_json::from_str(asked.rsplit("\r\n").next().unwrap()).unwrap();
    assert_eq!(body["expires_at"], "2026-11-28T12:00:00Z");
    assert_eq!(body["methods"], json!(["read"]));
}

#[test]
fn what_the_gate_refuses_is_told_in_its_words() {
    let (address, asked) =
        gate("422 Unprocessable Content", json!({"error": "no tool is left", "hint": "give other tags"}));
    let (_directory, file) = installed(&format!("{{address: '{address}'}}"));
    let ran = portcullis(&["url", "revoke", "--config", &file, "--tenant", "a/b c", "su_1"], "");
    assert_eq!(ran.exit, Exit::Failed);
    assert_eq!(ran.err, "error: no tool is left\nhint: give other tags\n");
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("DELETE /v1/urls/su_1?tenant=a%2Fb%20c HTTP/1.1\r\n"), "{asked}");
}

#[test]
fn a_secret_goes_from_stdin_to_the_gate_and_nowhere_else() {
    let (address, asked) = gate("200 OK", json!({}));
    let (_directory, file) = installed(&format!("{{address: '{address}'}}"));
    let ran = portcullis(&["account", "set-secret", "--config", &file, "acme", "erp"], "hunter2\n");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Done, "sealed for acme at erp\n"), "{}", ran.err);
    assert!(!ran.err.contains("hunter2"));
    let asked = asked.join().unwrap();
    assert!(asked.ends_with(r#"{"secret":"hunter2","server":"erp","tenant":"acme"}"#), "{asked}");
}

#[test]
fn a_secret_that_the_account_would_not_use_is_refused() {
    let (_directory, file) = installed("off");
    let ran = portcullis(&["account", "set-secret", "--config", &file, "globex", "erp"], "hunter2\n");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(
        ran.err.starts_with("error: the account of `globex` at `erp` takes no sealed secret\n"),
        "{}",
        ran.err
    );
    let ran = portcullis(&["account", "set-secret", "--config", &file, "acme", "erp"], "a\nb\n");
    assert!(ran.err.starts_with("error: stdin does not hold one secret of one line\n"), "{}", ran.err);
}

#[test]
fn accounts_are_listed_without_their_secrets() {
    let (_directory, file) = installed("off");
    let ran = portcullis(&["account", "list", "--config", &file], "");
    assert_eq!(
        ran.out,
        "TENANT                  SERVER                  CREDENTIAL  SECRET    SLOTS\n\
         acme                    erp                     bearer      sealed    2\n\
         globex                  erp                     none        -         -\n"
    );
}

#[test]
fn completions_are_printed_for_a_shell() {
    let ran = portcullis(&["completions", "bash"], "");
    assert!(ran.exit == Exit::Done && ran.out.contains("_portcullis()"));
}

#[test]
fn a_url_is_made_listed_and_revoked_where_no_gate_runs() {
    let (_directory, file) = installed("off");
    let create = ["url", "create", "--config", &file, "--tenant", "acme", "--server", "erp"];
    let made = portcullis(&[&create[..], &["--methods", "read,create", "--note", "a week"]].concat(), "");
    assert_eq!(made.exit, Exit::Done, "{}", made.err);
    assert!(made.out.starts_with("http://127.0.0.1:8080/mcp/"), "{}", made.out);
    let list = ["url", "list", "--config", &file, "--tenant", "acme", "--output", "json"];
    let listed = portcullis(&list, "");
    let urls: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!((&urls[0]["note"], &urls[0]["methods"]), (&json!("a week"), &json!(["read", "create"])));
    assert!(!listed.out.contains(made.out.trim().rsplit('/').next().unwrap()), "the token is shown once");
    let id = urls[0]["id"].as_str().unwrap();
    let of = |tenant| ["url", "revoke", "--config", &file, "--tenant", tenant, id];
    assert_eq!(portcullis(&of("globex"), "").exit, Exit::Failed, "it is another tenant's");
    assert_eq!(portcullis(&of("acme"), "").out, format!("revoked {id}\n"));
    assert_eq!(portcullis(&list, "").out, "[]\n");
}

#[test]
fn a_url_that_leads_nowhere_is_not_made() {
    let (_directory, file) = installed("off");
    let create = |tenant, server| {
        portcullis(&["url", "create", "--config", &file, "--tenant", tenant, "--server", server], "")
    };
    assert!(create("acme", "epr").err.starts_with("error: there is no server `epr`; configured are: erp\n"));
    let ran = create("amce", "erp");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.err.starts_with("error: tenant `amce` has no account at `erp`"), "{}", ran.err);
}

#[test]
fn a_secret_is_sealed_where_no_gate_runs() {
    let (directory, file) = installed("off");
    let ran = portcullis(&["account", "set-secret", "--config", &file, "acme", "erp"], "hunter2\n");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Done, "sealed for acme at erp\n"), "{}", ran.err);
    let store = std::fs::read(directory.path().join("state/portcullis.redb")).unwrap();
    assert!(!String::from_utf8_lossy(&store).contains("hunter2"));
}

/// A report without how long each test took.
fn untimed(text: &str) -> String {
    let timeless = |line: &str| match line.split_once(" (") {
        Some((name, time)) if time.ends_with(" ms)") => format!("{name}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(timeless).collect()
}

#[test]
fn a_report_of_policy_tests_comes_in_the_form_that_a_ci_server_reads() {
    let (directory, _) = installed("off");
    let policies = directory.path().join("policies");
    let wrong = "package wrong_test\n\ntest_all_may if data.mcp.authz.rules == {\"<&>\"}\n";
    std::fs::write(policies.join("wrong_test.rego"), wrong).unwrap();
    let test =
        |more: &[&str]| portcullis(&[&["policy", "test", policies.to_str().unwrap()], more].concat(), "");
    let junit = test(&["--format", "junit"]);
    assert_eq!(junit.exit, Exit::Failed);
    for part in [
        "<testsuites name=\"portcullis policy test\" tests=\"2\" failures=\"1\">",
        "<testcase name=\"test_a_stranger_may_not\"",
        "<failure message=\"test `test_all_may` fails\">",
        "data.mcp.authz.rules == {&quot;&lt;&amp;&gt;&quot;}",
    ] {
        assert!(junit.out.contains(part), "{part}\n{}", junit.out);
    }
    let told: Value = serde_json::from_str(&test(&["--format", "json", "--coverage"]).out).unwrap();
    assert_eq!((&told["failed"], &told["tests"][1]["passed"]), (&json!(1), &json!(false)));
    assert_eq!(told["tests"][1]["stops"][0]["values"], json!([["data.mcp.authz.rules", "[]"]]));
    assert!(told["coverage"]["files"][0]["missed"].is_array());
}

#[test]
fn too_little_coverage_fails_the_run() {
    let (directory, _) = installed("off");
    let policies = directory.path().join("policies");
    let test = |threshold: &str| {
        let test =
            ["policy", "test", policies.to_str().unwrap(), "--filter", "stranger", "--threshold", threshold];
        portcullis(&test, "")
    };
    assert_eq!(test("10").exit, Exit::Done);
    let ran = test("99.5");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.out.contains("in all, under the threshold of 99.5 %"), "{}", ran.out);
    assert_eq!(test("101").exit, Exit::Invalid);
}

#[test]
fn policy_tests_are_told_one_by_one() {
    let (directory, _) = installed("off");
    let policies = directory.path().join("policies");
    let ran = portcullis(&["policy", "test", policies.to_str().unwrap()], "");
    assert_eq!(
        (ran.exit, untimed(&ran.out).as_str()),
        (Exit::Done, "pass  test_a_stranger_may_not\n1 passed, 0 failed\n")
    );
    let wrong = "package wrong_test\n\ntest_all_may if data.mcp.authz.allow\n";
    std::fs::write(policies.join("wrong_test.rego"), wrong).unwrap();
    let ran = portcullis(&["policy", "test", policies.to_str().unwrap()], "");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(
        untimed(&ran.out).contains("FAIL  test_all_may\n") && ran.out.contains("wrong_test.rego:3:"),
        "{}",
        ran.out
    );
    assert!(ran.out.ends_with("1 passed, 1 failed\n"), "{}", ran.out);
}

#[test]
fn policy_explains_who_may_what_and_why_not() {
    let (_directory, file) = installed("off");
    let explain = |user: &str, tool: &str, more: &[&str]| {
        let asked = ["policy", "explain", "--config", &file, "--tenant", "acme", "--server", "erp"];
        portcullis(&[&asked[..], &["--user", user, "--tool", tool], more].concat(), "")
    };
    let ran = explain("ana", "list_invoices", &[]);
    let told = "ana may list invoices (`list_invoices` of `erp`) by readers, where `region` is \"EMEA\".\n\
                decision    allowed\nrule        readers\nconstraint  region: {\"const\":\"EMEA\"}\n";
    assert!(ran.exit == Exit::Done && ran.out.starts_with(told), "{} {}", ran.out, ran.err);
    let ran = explain("ana", "list_invoices", &["--arguments", r#"{"region": "US"}"#]);
    assert_eq!(ran.exit, Exit::Denied);
    assert!(ran.out.contains("refused     argument `region` is outside what you may use"), "{}", ran.out);
    let ran = explain("eve", "list_invoices", &["--attribute", "region=EMEA"]);
    assert!(ran.exit == Exit::Denied && ran.out.contains("\ndecision    hidden"), "{}", ran.out);
}

#[test]
fn policy_explains_that_what_is_allowed_is_not_listed_where_a_catalogue_says_so() {
    let (directory, file) = installed("off");
    let catalogue = directory.path().join("catalogue.json");
    let closed =
        r#"{"name": "list_invoices", "inputSchema": {"properties": {}, "additionalProperties": false}}"#;
    std::fs::write(&catalogue, format!(r#"{{"servers": {{"erp": {{"tools": [{closed}]}}}}}}"#)).unwrap();
    let explain = |tool: &str| {
        let asked = ["policy", "explain", "--config", &file, "--tenant", "acme", "--server", "erp"];
        let more = ["--user", "ana", "--tool", tool, "--catalogue", catalogue.to_str().unwrap()];
        portcullis(&[&asked[..], &more].concat(), "")
    };
    let ran = explain("list_invoices");
    assert!(ran.exit == Exit::Done && ran.out.contains("\nbut         not listed, though"), "{}", ran.out);
    let pins = "\npins: {file: portcullis.lock}\n";
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config + pins).unwrap();
    let lock = "{\"version\": 2, \"pins\": [\"tools\"], \"servers\": {}}";
    std::fs::write(directory.path().join("portcullis.lock"), lock).unwrap();
    let ran = explain("list_invoices");
    assert!(ran.exit == Exit::Denied && ran.out.contains("\nbut         withheld until"), "{}", ran.out);
    let ran = explain("list_nothing");
    assert!(ran.exit == Exit::Failed && ran.err.contains("has no tool `list_nothing`"), "{}", ran.err);
}
