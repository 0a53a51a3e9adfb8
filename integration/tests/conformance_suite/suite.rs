//! The suite, run as its users run it, and what it wrote down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use portcullis_integration::sdk::{node_24, node_package};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// The releases of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// 0.2, which knows 2026-07-28.
    Current,
    /// 0.1, the last one that npm calls stable.
    Old,
}

/// Every check of a run: of which scenario, by which name, and how it went each time.
#[derive(Debug, Default)]
pub struct Checks(BTreeMap<(String, String), Vec<String>>);

impl Release {
    fn command(self) -> Command {
        let package = match self {
            Self::Current => "@modelcontextprotocol/conformance",
            Self::Old => "conformance-0.1",
        };
        let mut command = Command::new(node_24());
        command.arg(node_package(package).join("dist/index.js")).stdin(Stdio::null()).kill_on_drop(true);
        command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
        command
    }

    /// Plays all scenarios for servers, those of one revision where one is named. Whatever the revision requires passes.
    pub async fn plays_at(self, url: &str, requirements: Option<&str>) -> Checks {
        let results = TempDir::new().expect("a directory");
        let mut command = self.command();
        command.args(["server", "--url", url, "-o"]).arg(results.path());
        command.args(requirements.iter().flat_map(|revision| ["--requirements", revision]));
        let output = command.output().await.expect("the suite runs");
        let checks = Checks::read(results.path(), "server-");
        assert!(!checks.0.is_empty(), "no results: {}", String::from_utf8_lossy(&output.stderr));
        checks
    }

    /// Plays a scenario for clients with this command.
    pub async fn plays_with(self, client: &str, scenario: &str, revision: &str) -> Checks {
        let results = TempDir::new().expect("a directory");
        let mut command = self.command();
        command.args([
            "client",
            "--command",
            client,
            "--scenario",
            scenario,
            "--spec-version",
            revision,
            "-o",
        ]);
        let output = command.arg(results.path()).output().await.expect("the suite runs");
        let checks = Checks::read(results.path(), "");
        assert!(!checks.0.is_empty(), "{scenario}: {}", String::from_utf8_lossy(&output.stderr));
        checks
    }
}

impl Checks {
    /// One folder for each scenario: `<scenario>-<time>`.
    fn read(results: &Path, prefix: &str) -> Self {
        let mut all = Self::default();
        for folder in std::fs::read_dir(results).expect("results").flatten() {
            let name = folder.file_name().into_string().expect("text");
            let scenario = &name[prefix.len()..name.len() - "-2026-11-22T03-42-00-360Z".len()];
            let text = std::fs::read_to_string(folder.path().join("checks.json")).expect("checks");
            for check in serde_json::from_str::<Vec<Value>>(&text).expect("a list of checks") {
                let status = check["status"].as_str().expect("a status");
                let key = (scenario.to_owned(), check["id"].as_str().expect("an id").to_owned());
                if status != "INFO" {
                    all.0.entry(key).or_default().push(status.to_owned());
                }
            }
        }
        all
    }

    /// The checks of another run as well.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// How many passed.
    pub fn passed(&self) -> usize {
        self.0.values().flatten().filter(|status| *status == "SUCCESS").count()
    }

    /// The checks of these scenarios that did not pass.
    pub fn failed(&self, scenarios: &[String]) -> Vec<String> {
        let failed = |(scenario, _): &(String, String), how: &[String]| {
            scenarios.contains(scenario) && how.iter().any(|status| status == "FAILURE")
        };
        self.0
            .iter()
            .filter(|(key, how)| failed(key, how))
            .map(|((s, check), _)| format!("{s}: {check}"))
            .collect()
    }

    /// What passes here and does not pass there.
    pub fn lost(&self, there: &Self) -> Vec<(String, String)> {
        let passes = |how: &[String]| how.iter().filter(|status| *status == "SUCCESS").count();
        let kept = |key, how: &[String]| there.0.get(key).is_some_and(|now| passes(now) >= passes(how));
        self.0.iter().filter(|(key, how)| !kept(key, how)).map(|(key, _)| key.clone()).collect()
    }
}

/// The scenarios that a revision lists, by `server` or `client`: those that it requires, and those that are not scored.
pub fn scenarios(revision: &str, leg: &str) -> (Vec<String>, Vec<String>) {
    let file: PathBuf =
        node_package("@modelcontextprotocol/conformance").join(format!("requirements/{revision}.yaml"));
    let text = std::fs::read_to_string(file).expect("the requirements");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    let text = |yaml: &Yaml<'_>| yaml.as_str().expect("text").to_owned();
    let required = documents[0][leg].as_vec().expect("a list").iter().map(text).collect();
    let others = documents[0]["not_scored"].as_vec().expect("a list").iter();
    let others =
        others.filter(|it| it["leg"].as_str() == Some(leg)).map(|it| text(&it["scenario"])).collect();
    (required, others)
}
