//! Configurations as an operator writes them, right and wrong.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::raw::Raw;
use super::*;

mod certificates;
mod wrong;

/// An environment of a test's own, on 21 November 2026.
pub(super) struct TestEnv;

impl Env for TestEnv {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "PORT" => Some("8443".to_owned()),
            "EMPTY" => Some(String::new()),
            "YAML" => Some("x: [1]\nservers: {}".to_owned()),
            _ => None,
        }
    }

    fn now(&self) -> jiff::Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }
}

pub(super) const SERVER: &str = "servers: {erp: {url: http://127.0.0.1:9101/mcp}}\n";

/// A directory with a policy directory, and the configuration in it.
pub(super) fn written(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("policies")).unwrap();
    let file = directory.path().join("portcullis.yaml");
    std::fs::write(&file, text).unwrap();
    (directory, file)
}

fn load(text: &str) -> (TempDir, Config, Vec<String>) {
    let (directory, file) = written(text);
    let (config, warnings) = Config::load(&file, &TestEnv).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let warnings = warnings.iter().map(|warning| plain(warning, directory.path())).collect();
    (directory, config, warnings)
}

/// A finding as the operator reads it who stands in the directory.
pub(super) fn plain(finding: &impl ToString, directory: &Path) -> String {
    finding.to_string().replace(&format!("{}/", directory.display()), "")
}

#[test]
fn a_server_alone_is_a_configuration_and_the_rest_has_the_documented_defaults() {
    let (directory, config, warnings) = load(SERVER);
    assert_eq!(warnings, [""; 0]);
    assert_eq!(config.listen.public_url, "http://127.0.0.1:8080");
    assert_eq!(config.listen.hosts, ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"]);
    assert_eq!(config.admin.address, Some("127.0.0.1:9901".parse().unwrap()));
    assert_eq!(config.vouch.issuer, "http://127.0.0.1:8080");
    assert_eq!(config.vouch.lifetime, Duration::from_secs(30));
    assert_eq!(config.policy.directory, directory.path().join("policies"));
    assert_eq!(config.audit.fsync, Fsync::Always);
    assert_eq!(config.rates, Rates::default());
    assert!(config.identity.anonymous.is_none());
}

#[test]
fn every_key_that_the_plan_names_is_understood() {
    let (_directory, config, _) = load(include_str!("tests/complete.yaml"));
    let erp = config.servers.values().next().unwrap();
    assert_eq!(erp.tools[0].operation.as_deref(), Some("list"));
    assert!(erp.trust_annotations);
    assert_eq!(config.limits_header(), 16 << 10);
    assert_eq!(config.accounts.len(), 12);
    let globs: Vec<&str> = config.rates.tools.iter().map(|(glob, _)| glob.as_str()).collect();
    assert_eq!(globs, ["update_*", "create_*", "*"], "in the order in which they are written");
    assert_eq!(config.rates.budget.map(u32::from), Some(100_000));
    assert_eq!(config.audit.fsync, Fsync::Every(Duration::from_millis(100)));
    assert_eq!(
        config.identity.issuers[0].issuer, "https://idp.acme.example",
        "compared exactly: nothing is added"
    );
}

impl Config {
    fn limits_header(&self) -> usize {
        self.listen.limits.header_bytes
    }
}

#[test]
fn what_config_show_prints_is_the_same_configuration_again() {
    let (directory, config, _) = load(include_str!("tests/complete.yaml"));
    let mut shown = config.masked();
    // Shown as a list, because their order counts.
    shown["rates"].as_object_mut().unwrap().remove("tools");
    let again = directory.path().join("again.yaml");
    std::fs::write(&again, serde_json::to_string_pretty(&shown).unwrap()).unwrap();
    let (again, _) = Config::load(&again, &TestEnv).unwrap();
    assert_eq!(again.masked(), shown);
}

#[test]
fn a_secret_is_in_no_output_of_the_configuration() {
    let text = format!(
        "{SERVER}accounts: [{{tenant: acme, server: erp, credential: {{bearer: {{inline: hunter2}}}}}}]\n\
         state: {{sealing_key: {{command: [kms, --token, hunter2]}}}}\n"
    );
    let (_directory, config, warnings) = load(&text);
    let printed = format!("{config:?} {} {warnings:?}", config.masked());
    assert!(!printed.replace("\"kms\", \"--token\", \"hunter2\"", "").contains("hunter2"), "{printed}");
    assert_eq!(config.masked()["state"]["sealing_key"]["command"], json!(["kms", "…", "…"]));
}

#[test]
fn a_password_of_the_store_is_in_no_output_and_better_not_in_the_url() {
    let (_directory, config, warnings) = load(&format!(
        "{SERVER}state: {{url: 'rediss://gate:hunter2@cache:6380/1', prefix: eu, replicas: 1}}\n"
    ));
    let redis = config.state.redis.clone().unwrap();
    assert_eq!(redis.password.as_ref().unwrap().expose(), "hunter2");
    assert_eq!((redis.user.as_deref(), redis.database, redis.replicas), (Some("gate"), 1, 1));
    let shown = config.masked();
    assert_eq!(
        (&shown["state"]["url"], &shown["state"]["password"]),
        (&json!("rediss://cache:6380/1"), &json!("…"))
    );
    assert!(warnings[0].contains("state.url: has a password in it"), "{warnings:?}");
    assert!(!format!("{config:?} {shown} {warnings:?}").contains("hunter2"));
    let (_directory, config, warnings) =
        load(&format!("{SERVER}state: {{url: 'redis://cache', password: '${{PORT}}'}}\n"));
    assert_eq!(config.state.redis.unwrap().password.as_ref().unwrap().expose(), "8443");
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn variables_and_files_fill_texts_and_cannot_change_the_structure() {
    let (directory, file) = written("");
    std::fs::write(directory.path().join("tag.txt"), "erp\n").unwrap();
    std::fs::write(
        &file,
        "listen: [{address: '127.0.0.1:${PORT}'}]\n\
         servers: {erp: {url: 'http://127.0.0.1:${UNSET:-9101}/mcp', tags: ['file:tag.txt', '$${PORT}', '${EMPTY:-none}']}}\n",
    )
    .unwrap();
    let (config, _) = Config::load(&file, &TestEnv).unwrap();
    let erp = config.servers.values().next().unwrap();
    assert_eq!(config.listen.listeners[0].address.port(), 8443);
    assert_eq!(erp.url.to_string(), "http://127.0.0.1:9101/mcp");
    assert_eq!(erp.tags.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["erp", "${PORT}", "none"]);

    std::fs::write(&file, format!("{SERVER}origins: ['${{YAML}}']\n")).unwrap();
    let errors = Config::load(&file, &TestEnv).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].0.key, "origins[0]");
}

#[test]
fn run_makes_the_keys_for_their_owner_alone_and_check_makes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, file) = written(SERVER);
    Config::load(&file, &TestEnv).unwrap();
    assert!(!directory.path().join("state").exists());

    let (first, _) = Config::open(&file, &TestEnv).unwrap();
    for name in ["gate.key", "seal.key", "admin.token"] {
        let metadata = std::fs::metadata(directory.path().join("state").join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let (second, warnings) = Config::open(&file, &TestEnv).unwrap();
    assert_eq!(first.identity.gate_key.expose(), second.identity.gate_key.expose());
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn the_schema_is_of_draft_2020_12_and_every_key_is_described() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::meta::validate(&schema).unwrap();
    for (name, object) in objects(&schema) {
        for (key, property) in object["properties"].as_object().unwrap() {
            assert!(property.get("description").is_some(), "{name}.{key}");
        }
        assert_eq!(object["additionalProperties"], false, "{name}");
    }
}

#[test]
fn each_default_in_the_schema_is_what_an_empty_section_gives() {
    let schema = schema();
    let empty = serde_json::to_value(serde_json::from_value::<Raw>(json!({})).unwrap()).unwrap();
    let mut compared = 0;
    for (key, property) in schema["properties"].as_object().unwrap() {
        compared += same_default(key, property, &empty[key], &schema);
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn each_default_of_an_entry_is_what_an_entry_without_it_gives() {
    let schema = schema();
    let minimal = json!({
        "listen": [{"address": "127.0.0.1:0"}],
        "servers": {"erp": {"url": "https://erp.example"}},
        "accounts": [{"tenant": "acme", "server": "erp"}],
        "identity": {"jwt": [{"issuer": "https://idp.example", "audiences": ["a"], "jwks": {}, "tenant": {"claim": "/t"}}]},
    });
    let actual = serde_json::to_value(serde_json::from_value::<Raw>(minimal).unwrap()).unwrap();
    let entries = [
        ("RawListener", "/listen/0"),
        ("RawServer", "/servers/erp"),
        ("RawAccount", "/accounts/0"),
        ("RawIssuer", "/identity/jwt/0"),
    ];
    for (name, pointer) in entries {
        let (object, actual) = (&schema["$defs"][name], actual.pointer(pointer).unwrap());
        for (key, property) in object["properties"].as_object().unwrap() {
            if !object["required"].as_array().unwrap().contains(&json!(key)) {
                same_default(&format!("{name}.{key}"), property, &actual[key], &schema);
            }
        }
    }
}

/// Compares the default of a property, and of the properties below it, with what is there.
fn same_default(key: &str, property: &Value, actual: &Value, schema: &Value) -> usize {
    let expected = property.get("default").unwrap_or(&Value::Null);
    assert_eq!(expected, actual, "{key}");
    let target = property
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|name| schema.pointer(name.trim_start_matches('#')));
    let target = target.filter(|_| !actual.is_null());
    let below = target.and_then(|target| target.get("properties")?.as_object()).into_iter().flatten();
    1 + below
        .map(|(name, below)| same_default(&format!("{key}.{name}"), below, &actual[name], schema))
        .sum::<usize>()
}

fn objects(schema: &Value) -> Vec<(String, &Value)> {
    let definitions = schema["$defs"].as_object().unwrap().iter().map(|(name, it)| (name.clone(), it));
    let all = definitions.chain([("the root".to_owned(), schema)]);
    all.filter(|(_, it)| it.get("properties").is_some()).collect()
}

#[test]
fn a_huge_or_deep_file_is_refused_and_not_read_to_its_end() {
    for (levels, what) in
        [(40, "it is nested too deep"), (100_000, "this is not YAML: recursion limit exceeded")]
    {
        let (_directory, file) = written(&format!("servers: {}{}", "[".repeat(levels), "]".repeat(levels)));
        let errors = Config::load(&file, &TestEnv).unwrap_err();
        assert_eq!(errors[0].0.what, what);
    }
    let (_directory, file) = written(&"#".repeat(5 << 20));
    assert!(Config::load(&file, &TestEnv).unwrap_err()[0].0.what.ends_with("is larger than 4 MiB"));
}

#[test]
fn a_delivered_policy_is_shown_as_it_was_written_and_kept_in_the_state_directory() {
    let sources = [
        "git: {url: 'https://git.example/p.git', tag: v1, path: ours, every: 5m, signers: f, basic: {user: u, password: {file: f}}}",
        "git: {url: 'ssh://git@git.example/p.git', branch: live, ssh: {key: f, known_hosts: f}}",
        "git: {url: /srv/p.git}",
        "bundle: {url: 'https://b.example/b.tar.gz', every: 30s, long_poll: 20s, bearer: {file: f}, keys: {k1: {algorithm: ES256, file: f}}, scope: read}",
    ];
    for source in sources {
        let (directory, file) = written(&format!("{SERVER}policies: {{{source}, timeout: 50ms}}\n"));
        std::fs::write(directory.path().join("f"), "hunter2").unwrap();
        let (config, _) = Config::load(&file, &TestEnv).unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!(config.policy.directory, directory.path().join("state/policies/current/policy"));
        let shown = config.masked();
        assert!(!shown.to_string().contains("hunter2"));
        std::fs::write(directory.path().join("again.yaml"), shown.to_string()).unwrap();
        let (again, _) = Config::load(&directory.path().join("again.yaml"), &TestEnv).unwrap();
        assert_eq!((again.masked(), again.delivery), (shown, config.delivery));
    }
}
