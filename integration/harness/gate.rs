//! The gate, as its user runs it: a binary, a configuration file, a directory of policies, two sockets.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::portcullis;
use crate::process::Process;

/// A directory with a configuration and policies, before a gate runs on it.
pub struct House {
    directory: TempDir,
}

/// A running gate; it is stopped when it is dropped.
pub struct Gate {
    /// The first data listener, as a URL without a path.
    pub url: String,
    /// Every data listener.
    pub addresses: Vec<SocketAddr>,
    /// The admin listener, as a URL without a path.
    pub admin_url: String,
    house: House,
    process: Process,
}

impl House {
    /// A directory with this configuration, the stock policies, and the given data of tenants.
    #[must_use]
    pub fn new(config: &Value, tenants: &[(&str, &str)]) -> Self {
        let house = Self::bare(&serde_json::to_string_pretty(config).expect("JSON is YAML"));
        house.stock("policies");
        for (tenant, data) in tenants {
            house.tenant(tenant, data);
        }
        house
    }

    /// A directory with this configuration and nothing else.
    #[must_use]
    pub fn bare(config: &str) -> Self {
        let house = Self { directory: TempDir::new().expect("a directory") };
        house.write("portcullis.yaml", config);
        house
    }

    /// A copy of this directory, without what an earlier run has left there.
    #[must_use]
    pub fn copied(from: &Path) -> Self {
        let house = Self { directory: TempDir::new().expect("a directory") };
        copy(from, house.directory.path());
        drop(fs::remove_dir_all(house.path(".state")));
        house
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file as an editor does: beside it first, then in its place.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a writable directory");
        let new = path.with_extension("new~");
        fs::write(&new, text).expect("a writable directory");
        fs::rename(&new, &path).expect("a writable directory");
        path
    }

    /// Puts the stock policies there, without any tenant.
    pub fn stock(&self, folder: &str) {
        copy(&crate::repository().join("policies"), &self.path(folder));
        drop(fs::remove_dir_all(self.path(folder).join("tenants")));
    }

    /// Writes a tenant's data.
    pub fn tenant(&self, tenant: &str, data: &str) -> PathBuf {
        self.write(&format!("policies/tenants/{tenant}/data.yaml"), data)
    }

    /// Runs a command of the gate in it.
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(portcullis())
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .expect("the binary runs")
    }

    /// Runs a command of the gate in it, with `--config`, and takes its JSON.
    ///
    /// # Panics
    /// Where the command fails.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output =
            self.command(&[arguments, &["--output", "json", "--config", "portcullis.yaml"]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON on standard output")
    }

    /// Every line of the audit chain so far, oldest first.
    #[must_use]
    pub fn audit(&self) -> Vec<Value> {
        let places = ["audit", ".state/audit"];
        let mut files: Vec<_> = places.iter().flat_map(|place| files(&self.path(place))).collect();
        files.retain(|f| !f.file_name().is_some_and(|n| n.to_string_lossy().starts_with("HEAD")));
        files.sort();
        let text: String = files.iter().filter_map(|f| fs::read_to_string(f).ok()).collect();
        text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
    }

    /// Starts the gate with a folder on a disk of its own, of this size (as `mount -o size=` has it), and waits until it
    /// listens; `None` where the system lets nobody mount one. Others see the disk under `/proc/<pid>/root`.
    #[must_use]
    pub fn open_on_a_small_disk(self, folder: &str, size: &str) -> Option<Gate> {
        fs::create_dir_all(self.path(folder)).expect("a writable directory");
        let mount = format!("mount -t tmpfs -o size={size} disk '{}'", self.path(folder).display());
        let apart = |then: &str| {
            let mut command = Command::new("unshare");
            command.args(["-rm", "sh", "-c", &format!("{mount} && {then}")]);
            command
        };
        apart("true").output().ok().filter(|output| output.status.success())?;
        let process = self.run_by(apart("exec \"$0\" \"$@\""));
        Some(self.listens(process, 1))
    }

    /// Starts the gate and waits until it listens on so many addresses.
    #[must_use]
    pub fn open(self, listeners: usize) -> Gate {
        let process = self.run();
        self.listens(process, listeners)
    }

    fn listens(self, mut process: Process, listeners: usize) -> Gate {
        let (addresses, admin) = process.until("its addresses", |lines| listening(lines, listeners));
        let (url, admin_url) = (format!("http://{}", addresses[0]), format!("http://{admin}"));
        Gate { url, addresses, admin_url, house: self, process }
    }

    /// Starts the gate and waits for nothing: it may well refuse to run.
    #[must_use]
    pub fn run(&self) -> Process {
        // A file that may not grow is an error to the gate, as a full disk is, and not its death.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
        self.run_by(command)
    }

    fn run_by(&self, mut command: Command) -> Process {
        command.arg(portcullis()).arg("run");
        command.arg("--config").arg(self.path("portcullis.yaml")).current_dir(self.directory.path());
        command.env("RUST_BACKTRACE", "1").env("NO_COLOR", "1");
        Process::start("portcullis", command)
    }
}

impl Gate {
    /// A gate with one listener on this configuration, the stock policies, and the given data of tenants.
    #[must_use]
    pub fn start(config: &Value, tenants: &[(&str, &str)]) -> Self {
        House::new(config, tenants).open(1)
    }

    /// Its directory.
    #[must_use]
    pub fn house(&self) -> &House {
        &self.house
    }

    /// The first data listener's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The endpoint of a server.
    #[must_use]
    pub fn server(&self, name: &str) -> String {
        format!("{}/servers/{name}/mcp", self.url)
    }

    /// Every line of the audit chain so far, oldest first.
    #[must_use]
    pub fn audit(&self) -> Vec<Value> {
        self.house.audit()
    }

    /// The lines of this kind (`intent`, `outcome`, `refused`) and tool.
    #[must_use]
    pub fn recorded(&self, kind: &str, tool: &str) -> Vec<Value> {
        self.audit().into_iter().filter(|l| l["kind"] == kind && l["tool"] == tool).collect()
    }

    /// The audit as text: what a leak would show in.
    #[must_use]
    pub fn audit_text(&self) -> String {
        self.audit().iter().map(|line| format!("{line}\n")).collect()
    }

    /// Everything that it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// Waits until it has logged a line with all these words.
    pub fn logged(&mut self, words: &[&str]) -> String {
        let what = format!("a log line with {words:?}");
        let fits = |l: &&String| words.iter().all(|w| l.to_lowercase().contains(&w.to_lowercase()));
        self.process.until(&what, |lines| lines.iter().rev().find(fits).cloned())
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its memory now, in bytes; the peak is counted anew from here.
    #[must_use]
    pub fn memory(&self) -> u64 {
        fs::write(format!("/proc/{}/clear_refs", self.id()), "5").expect("own process");
        self.status("VmRSS:")
    }

    /// The most memory that it has used since [`Gate::memory`] was asked last, in bytes.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = text.lines().find_map(|l| l.strip_prefix(key)).expect("the key");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Changes a limit of the running process, as `prlimit` writes it: `--nofile=256`.
    pub fn limit(&self, limit: &str) {
        let set = Command::new("prlimit").args(["--pid", &self.id().to_string(), limit]).status();
        assert!(set.expect("prlimit runs").success());
    }

    /// Asks it to stop (SIGTERM).
    pub fn terminate(&self) {
        self.process.signal("TERM");
    }

    /// Kills it as a crash would, and gives its directory back.
    #[must_use]
    pub fn kill(mut self) -> House {
        self.process.signal("KILL");
        self.process.wait();
        let Self { house, process, .. } = self;
        drop(process);
        house
    }

    /// Waits for its end; whether it ended well.
    pub fn ended(&mut self) -> bool {
        self.process.wait().success()
    }

    /// GET on the admin listener: status and body.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let answer = client()
            .get(format!("{}{path}", self.admin_url))
            .send()
            .await
            .expect("the admin listener answers");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    /// Why a message ended as it did, as the admin interface tells it.
    ///
    /// # Panics
    /// Where it tells nothing.
    pub async fn explain(&self, invocation: &str) -> Value {
        let url = format!("{}/v1/explain?invocation={invocation}", self.admin_url);
        let answer = client().get(url).bearer_auth(self.admin_token()).send().await;
        let answer = answer.expect("the admin listener answers");
        assert!(answer.status().is_success(), "not explained: {}", answer.status());
        answer.json().await.expect("JSON")
    }

    /// Makes a scoped URL through the admin interface: its id and its path.
    pub async fn create_url(&self, wanted: &Value) -> (String, String) {
        let request =
            client().post(format!("{}/v1/urls", self.admin_url)).bearer_auth(self.admin_token()).json(wanted);
        let answer = request.send().await.expect("the admin listener answers");
        let status = answer.status();
        let body: Value = answer.json().await.expect("JSON");
        assert!(status.is_success(), "no scoped URL: {status} {body}");
        let text = |key: &str| body[key].as_str().unwrap_or_else(|| panic!("no {key}: {body}")).to_owned();
        let url = text("url");
        (text("id"), url[url.find("/mcp/").expect("a path")..].to_owned())
    }

    /// Seals a secret for an account through the admin interface.
    pub async fn seal(&self, tenant: &str, server: &str, secret: &str) {
        let body = json!({"tenant": tenant, "server": server, "secret": secret});
        let url = format!("{}/v1/secrets", self.admin_url);
        let answer = client().post(url).bearer_auth(self.admin_token()).json(&body).send().await;
        let status = answer.expect("the admin listener answers").status();
        assert!(status.is_success(), "not sealed: {status}");
    }

    /// Revokes a scoped URL.
    pub async fn revoke_url(&self, tenant: &str, id: &str) {
        let url = format!("{}/v1/urls/{id}?tenant={tenant}", self.admin_url);
        let answer = client().delete(url).bearer_auth(self.admin_token()).send().await;
        let status = answer.expect("the admin listener answers").status();
        assert!(status.is_success(), "not revoked: {status}");
    }

    /// The text of the admin token.
    #[must_use]
    pub fn admin_token(&self) -> String {
        fs::read_to_string(self.house.path("state/admin.token")).expect("the admin token").trim().to_owned()
    }
}

/// Everything of a configuration that a gate needs, with ports 0 and one server; a test adds what it is about.
#[must_use]
pub fn minimal(server: &str, upstream: &str) -> Value {
    json!({
        "listen": [{"address": "127.0.0.1:0"}],
        "admin": {"address": "127.0.0.1:0"},
        "public_url": "http://gw.test",
        "identity": {"anonymous": {"tenant": "a", "roles": ["reader"]}},
        "servers": {server: {"url": upstream}},
        "accounts": [{"tenant": "a", "server": server, "credential": "none"}],
        // A busy machine may need longer than a gate in use should wait.
        "policies": {"directory": "policies", "timeout": "5s"},
        "audit": {"directory": "audit"},
        "state": {"directory": "state"},
        "drain": "5s",
        "threads": 2,
    })
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

fn listening(lines: &[String], count: usize) -> Option<(Vec<SocketAddr>, SocketAddr)> {
    let ready = |admin: bool| {
        let lines =
            lines.iter().filter(move |l| l.contains("listening") && l.contains("admin listening") == admin);
        lines.flat_map(|l| addresses(l)).collect::<Vec<_>>()
    };
    let data = ready(false);
    Some((data, *ready(true).first()?)).filter(|(data, _)| data.len() >= count)
}

fn addresses(line: &str) -> Vec<SocketAddr> {
    let words = line.split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']')));
    words.filter_map(|w| w.parse().ok()).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a writable directory");
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a writable directory");
        }
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_file())
        .collect()
}
