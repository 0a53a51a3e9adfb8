//! The processes under measurement: this same program, started again in another role.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::fixture::{Fixture, Kind};

const ROLE: &str = "PORTCULLIS_BENCH_ROLE";

/// What a process started by the benchmark does.
pub enum Role {
    Mock,
    Bare { listen: String, server: String },
    Gate { config: String },
}

/// The role of this process, if it was started for one.
pub fn role() -> Option<Role> {
    let role = std::env::var(ROLE).ok()?;
    let mut words = role.split('|').map(ToOwned::to_owned);
    match (words.next()?.as_str(), words.next(), words.next()) {
        ("mock", None, None) => Some(Role::Mock),
        ("bare", Some(listen), Some(server)) => Some(Role::Bare { listen, server }),
        ("gate", Some(config), None) => Some(Role::Gate { config }),
        _ => None,
    }
}

impl Role {
    pub fn run(self) {
        match self {
            Self::Mock => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(super::mock::main());
            }
            Self::Bare { listen, server } => super::bare::main(&listen, &server),
            Self::Gate { config } => {
                let (mut input, mut out, mut err) = (std::io::empty(), std::io::stdout(), std::io::stderr());
                let env = &portcullis::config::ProcessEnv;
                let console = portcullis::cli::Console::new(&mut input, &mut out, &mut err, env);
                let arguments = ["portcullis", "run", "--config", &config].map(Into::into);
                assert_eq!(portcullis::cli::main(arguments, console), portcullis::cli::Exit::Done);
            }
        }
    }
}

/// A process and where it listens. It ends when this is dropped.
pub struct Target {
    child: Option<Child>,
    address: SocketAddr,
}

/// What a process has used so far.
#[derive(Clone, Copy)]
pub struct Usage {
    /// User and system time of all its threads.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub rss: u64,
}

impl Target {
    pub fn mock() -> Self {
        let mut child = start("mock");
        let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
        let address = line.strip_prefix("ready ").unwrap().parse().unwrap();
        Self { child: Some(child), address }
    }

    /// Somebody else's process: the load goes straight to the server.
    pub fn at(address: SocketAddr) -> Self {
        Self { child: None, address }
    }

    pub fn bare(server: SocketAddr) -> Self {
        let address = free_address();
        let child = start(&format!("bare|{address}|{server}"));
        Self { child: Some(child), address }.ready()
    }

    pub fn gate(fixture: &Fixture, kind: Kind, server: SocketAddr) -> Self {
        let address = free_address();
        let config = fixture.config(kind, address, server);
        let child = start(&format!("gate|{}", config.display()));
        Self { child: Some(child), address }.ready()
    }

    /// Waits until it accepts connections.
    fn ready(mut self) -> Self {
        for _ in 0..500 {
            if std::net::TcpStream::connect(self.address).is_ok() {
                return self;
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                panic!("the process ended: {status}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{} does not listen", self.address);
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn usage(&self) -> Usage {
        let Some(child) = &self.child else { return Usage { cpu: Duration::ZERO, rss: 0 } };
        let root = format!("/proc/{}", child.id());
        let mut nanoseconds = 0;
        for task in std::fs::read_dir(format!("{root}/task")).unwrap().flatten() {
            // Time on the processor in nanoseconds is the first figure.
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            nanoseconds += text.split(' ').next().and_then(|figure| figure.parse::<u64>().ok()).unwrap_or(0);
        }
        let status = std::fs::read_to_string(format!("{root}/statm")).unwrap();
        let pages: u64 = status.split(' ').nth(1).unwrap().parse().unwrap();
        Usage { cpu: Duration::from_nanos(nanoseconds), rss: pages * 4096 }
    }

    /// Forgets the peak of resident memory.
    pub fn reset_peak(&self) {
        let child = self.child.as_ref().expect("a process of its own");
        std::fs::write(format!("/proc/{}/clear_refs", child.id()), "5").unwrap();
    }

    /// The most resident memory since the last reset, in bytes.
    pub fn peak(&self) -> u64 {
        let child = self.child.as_ref().expect("a process of its own");
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Raises the limit of open files as far as the system lets this process, for itself and for what it starts; says how
/// far that is.
pub fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const PLENTY: u64 = 32_768;
    let hard = getrlimit(Resource::Nofile).maximum;
    // Only the superuser may go beyond the hard limit.
    for limit in [hard.map(|hard| hard.max(PLENTY)), hard] {
        if setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn start(role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env(ROLE, role)
        .stdin(Stdio::null())
        .stdout(if role == "mock" { Stdio::piped() } else { Stdio::null() })
        .spawn()
        .unwrap()
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
