//! Redis servers that belong to one test: alone, with replicas, under sentinels, in a cluster.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::Process;
use crate::wait::DEADLINE;

/// A running server. It is killed when it is dropped.
pub struct Redis {
    port: u16,
    directory: TempDir,
    arguments: Vec<String>,
    process: Option<Process>,
    /// What `redis-cli` needs to speak with it.
    speaks: Vec<String>,
}

/// The PEM files of a server with TLS.
pub struct Pem<'a> {
    /// The authority of both sides.
    pub authorities: &'a Path,
    /// The certificate.
    pub certificate: &'a Path,
    /// Its key.
    pub key: &'a Path,
}

impl Redis {
    /// A server that keeps nothing on disk.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A server with these settings more, as `["--appendonly", "yes"]`.
    #[must_use]
    pub fn with(settings: &[&str]) -> Self {
        let port = free_port();
        let own = ["--port", &port.to_string()].map(str::to_owned);
        Self::launch(
            port,
            own.into_iter().chain(settings.iter().map(|&s| s.to_owned())).collect(),
            Vec::new(),
        )
    }

    /// A server that speaks TLS alone, and wants a certificate.
    #[must_use]
    pub fn with_tls(pem: &Pem<'_>) -> Self {
        let (port, text) = (free_port(), |path: &Path| path.display().to_string());
        let files = [text(pem.authorities), text(pem.certificate), text(pem.key)];
        let [ca, certificate, key] = &files;
        let settings = [
            "--port",
            "0",
            "--tls-port",
            &port.to_string(),
            "--tls-ca-cert-file",
            ca,
            "--tls-cert-file",
            certificate,
            "--tls-key-file",
            key,
        ]
        .map(str::to_owned);
        let speaks = ["--tls", "--cacert", ca, "--cert", certificate, "--key", key].map(str::to_owned);
        Self::launch(port, settings.to_vec(), speaks.to_vec())
    }

    /// A replica of this one.
    #[must_use]
    pub fn replica(&self) -> Self {
        let port = self.port.to_string();
        let replica = Self::with(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
        replica.until(&["INFO", "replication"], "master_link_status:up");
        replica
    }

    /// A sentinel that watches this one as `name` and takes it for dead after 600 ms.
    #[must_use]
    pub fn sentinel(&self, name: &str, quorum: u8) -> Self {
        let (port, directory) = (free_port(), TempDir::new().expect("a directory"));
        let file = directory.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {name} 127.0.0.1 {} {quorum}\n\
             sentinel down-after-milliseconds {name} 600\nsentinel failover-timeout {name} 3000\n",
            self.port
        );
        fs::write(&file, text).expect("a writable directory");
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel").current_dir(directory.path());
        let process = Process::start("sentinel", command);
        let sentinel =
            Self { port, directory, arguments: Vec::new(), process: Some(process), speaks: Vec::new() };
        sentinel.until(&["PING"], "PONG");
        sentinel
    }

    /// A cluster of so many nodes, which share the slots; none has a replica.
    #[must_use]
    pub fn cluster(nodes: usize) -> Vec<Self> {
        let start = |_| {
            let bus = free_port().to_string();
            Self::with(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--cluster-node-timeout",
                "1000",
            ])
        };
        let nodes: Vec<_> = (0..nodes).map(start).collect();
        let share = 16384 / nodes.len();
        for (index, node) in nodes.iter().enumerate() {
            let last = if index + 1 == nodes.len() { 16383 } else { (index + 1) * share - 1 };
            node.cli(&["CLUSTER", "ADDSLOTSRANGE", &(index * share).to_string(), &last.to_string()]);
            if let Some(first) = nodes.first().filter(|first| first.port != node.port) {
                first.cli(&[
                    "CLUSTER",
                    "MEET",
                    "127.0.0.1",
                    &node.port.to_string(),
                    &node.setting("cluster-port"),
                ]);
            }
        }
        nodes.iter().for_each(|node| node.until(&["CLUSTER", "INFO"], "cluster_state:ok"));
        nodes
    }

    fn launch(port: u16, arguments: Vec<String>, speaks: Vec<String>) -> Self {
        let directory = TempDir::new().expect("a directory");
        let mut redis = Self { port, directory, arguments, process: None, speaks };
        redis.run();
        redis
    }

    /// Starts it (again), on the same port and with what it had on disk.
    pub fn run(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]).arg(self.directory.path());
        command.args(&self.arguments);
        let mut process = Process::start("redis-server", command);
        process.until("its readiness", |lines| {
            lines.iter().any(|line| line.contains("Ready to accept connections")).then_some(())
        });
        self.process = Some(process);
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("KILL");
            process.wait();
        }
    }

    /// Sends it a signal by name, as `STOP`.
    pub fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps what it keeps.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Runs a command on it.
    ///
    /// # Panics
    /// Where it is an error.
    pub fn cli(&self, command: &[&str]) -> String {
        let said = self.ask(command);
        assert!(!said.contains("ERR") && !said.contains("Could not connect"), "{command:?}: {said}");
        said
    }

    fn setting(&self, name: &str) -> String {
        self.cli(&["CONFIG", "GET", name]).lines().nth(1).unwrap_or_default().to_owned()
    }

    fn ask(&self, command: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]).args(&self.speaks).args(command);
        let output = cli.output().expect("redis-cli runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// Waits until the answer to a command has these words in it.
    pub fn until(&self, command: &[&str], words: &str) {
        let end = Instant::now() + DEADLINE;
        loop {
            let said = self.ask(command);
            if said.contains(words) {
                return;
            }
            assert!(Instant::now() < end, "{command:?} never says {words:?}: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A port that nobody has at this moment.
fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("an address").port()
}
