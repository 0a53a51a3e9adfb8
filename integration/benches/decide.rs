//! What a decision of the stock policies costs, in CPU time of one thread: new, kept, and a list of 100 tools; and the same
//! with a candidate policy beside it; and how long a directory of 10,000 grants takes to load, and what questions that are
//! asked meanwhile notice of it.
//!
//! `cargo bench --bench decide`; the last line is JSON.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method};
use portcullis::catalogue::{Class, Tool};
use portcullis::config::{Config, Env as _, Policy, ProcessEnv};
use portcullis::decide::{
    Candidacy, Circumstances, Compared, Decide, Question, Rollout, Sight, Stage, Subject,
};
use portcullis::identify::url::ScopedUrls;
use portcullis::identify::{Caller, Identify, Records, Revocations};
use portcullis::inbound::{Head, Target};
use portcullis::name::{Invocation, ToolName};
use portcullis::store::Store;
use portcullis::store::file::FileStore;
use serde_json::json;

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 15;

/// What the tenant's file says.
#[derive(Clone, Copy)]
enum Shape {
    Exact,
    Names,
    Patterns,
}

impl Shape {
    const ALL: [Self; 3] = [Self::Exact, Self::Names, Self::Patterns];

    fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact_10x100",
            Self::Names => "names_10x1x100",
            Self::Patterns => "patterns_5",
        }
    }

    fn data(self) -> String {
        let mut data = String::from("roles:\n");
        let names = (0..100).map(|tool| format!("list_records_{tool}")).collect::<Vec<_>>();
        for role in 0..10 {
            writeln!(data, "  role-{role}:").unwrap();
            match self {
                Self::Exact => names.iter().for_each(|name| {
                    writeln!(data, "    - {{servers: [records], tools: [{name}]}}").unwrap();
                }),
                Self::Names => {
                    writeln!(data, "    - {{servers: [records], tools: [{}]}}", names.join(", ")).unwrap()
                }
                Self::Patterns => data.push_str(PATTERNS),
            }
        }
        data
    }
}

const PATTERNS: &str = r#"
    - {servers: [records], tools: ["list_*", "get_*"], methods: [read], when: {region: caller.region}, redact: ["/rows/*/margin"]}
    - {servers: ["tag:erp"], tools: ["*_invoice"], methods: [read]}
    - {servers: ["*"], tags: [invoices], methods: [read, approve]}
    - {servers: [records], tools: ["update_*"], when: {status: [open, paid]}}
    - {servers: [sap]}
"#;

/// The gate's rooms that a question needs.
struct Bench {
    directory: tempfile::TempDir,
    caller: Arc<Caller>,
    config: Config,
    circumstances: Circumstances,
}

impl Bench {
    fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = "listen: [{address: \"127.0.0.1:0\"}]\nadmin: off\nidentity:\n  anonymous: {tenant: acme, roles: [role-3], attributes: {region: EMEA}}\nservers:\n  records: {url: \"http://127.0.0.1:1/mcp\", tags: [erp]}\npolicies: policies\n";
        let file = directory.path().join("gate.yaml");
        fs::write(&file, text).unwrap();
        fs::create_dir(directory.path().join("policies")).unwrap();
        let (config, _) = Config::load(&file, &ProcessEnv).unwrap_or_else(|e| panic!("{e:?}"));
        let caller = caller(&config, directory.path());
        let circumstances = Circumstances {
            invocation: Invocation::new(),
            time: ProcessEnv.now(),
            source_ip: "127.0.0.1".parse().unwrap(),
            protocol: Some("2026-07-28"),
            client: Some(("bench".into(), Some("1".into()))),
            workflow: None,
            rate_remaining: Some(100),
            cost_this_month: None,
        };
        Self { directory, caller, config, circumstances }
    }

    fn load(&self, shape: Shape, cache: usize) -> Decide {
        self.load_with(shape, cache, "")
    }

    /// The policy with a candidate beside it, which says the same in another revision.
    fn beside(&self, shape: Shape, cache: usize) -> Rollout {
        let candidate =
            self.load_with(shape, cache, "  role-more:\n    - {servers: [records], tools: [other]}\n");
        let candidacy = Candidacy::new(Arc::new(candidate), Stage::Shadow);
        Rollout::new(Arc::new(self.load(shape, cache)), None, Some(Arc::new(candidacy)))
    }

    fn load_with(&self, shape: Shape, cache: usize, more: &str) -> Decide {
        let directory = self.directory.path().join(format!("{}{}", shape.name(), more.len()));
        write(&directory, &(shape.data() + more), |name| {
            name.ends_with(".rego") && !name.ends_with("_test.rego")
        });
        load(&policy(directory, cache))
    }

    fn question<'a>(&'a self, subject: &'a Subject) -> Question<'a> {
        Question {
            caller: &self.caller,
            server: self.config.servers.values().next().unwrap(),
            method: "tools/call",
            subject,
            arguments: None,
            circumstances: &self.circumstances,
        }
    }

    fn see(&self, decide: &Decide, subject: &Subject) -> Sight {
        decide.may_see(self.question(subject))
    }

    /// Asks both; whether they were compared.
    fn look(&self, rollout: &Rollout, subject: &Subject) -> bool {
        let (_, beside) = rollout.panel(self.caller.tenant()).look(&self.question(subject));
        match beside.map(|beside| beside.compared) {
            Some(Compared::Same | Compared::Differs(_)) => true,
            Some(Compared::LeftOut) | None => false,
        }
    }

    fn list(&self, decide: &Decide, tools: &[Subject]) -> usize {
        tools.iter().filter(|tool| matches!(self.see(decide, tool), Sight::Shown(_))).count()
    }
}

/// Writes the stock policies, as far as they are wanted, and what a tenant's file says.
fn write(directory: &Path, data: &str, wanted: impl Fn(&str) -> bool) {
    let tenant = directory.join("tenants/acme");
    fs::create_dir_all(&tenant).unwrap();
    let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    for file in fs::read_dir(stock).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        if wanted(&name) {
            fs::copy(file.path(), directory.join(name)).unwrap();
        }
    }
    fs::write(tenant.join("data.yaml"), data).unwrap();
}

fn policy(directory: std::path::PathBuf, cache: usize) -> Policy {
    Policy { directory, timeout: Duration::from_secs(5), cache }
}

fn load(policy: &Policy) -> Decide {
    Decide::load(policy).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn caller(config: &Config, directory: &Path) -> Arc<Caller> {
    let store: Arc<dyn Store> = Arc::new(FileStore::open(directory.join("store")).unwrap());
    let revocations = Revocations::unread(Arc::clone(&store));
    let records = Records::new(config, &store, Arc::default(), revocations);
    let urls = Arc::new(ScopedUrls::new(store, &config.identity.gate_key, false).unwrap());
    let identify = Identify::new(&config.identity, "http://localhost", urls, records).unwrap();
    let head = Head {
        method: Method::POST,
        target: Target::Server(config.servers.keys().next().unwrap().clone()),
        headers: HeaderMap::new(),
        peer: "127.0.0.1:1".parse().unwrap(),
        certificate: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(identify.caller(&head)).unwrap()
}

/// Best CPU time of one turn, in µs.
fn best(turns: usize, mut one: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = cpu();
        (0..turns).for_each(|_| one());
        best = best.min((cpu() - start) / turns as f64);
    }
    best
}

/// This thread's CPU time, in µs. The kernel brings its books up to date when a thread yields.
fn cpu() -> f64 {
    std::thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1000.0
}

fn tool(name: &str) -> Subject {
    Subject::Tool(Arc::new(Tool {
        name: ToolName::parse(name).unwrap(),
        operation: "list".into(),
        class: Class::Read,
        tags: Vec::new(),
        annotations: None,
        pinned: false,
        mirrored: Arc::default(),
    }))
}

fn main() {
    let bench = Bench::make();
    let tools: Vec<Subject> = (0..100).map(|n| tool(&format!("list_records_{n}"))).collect();
    let other = tool("delete_everything");
    let mut figures = serde_json::Map::new();
    println!(
        "{:<18}{:>10}{:>10}{:>10}{:>12}{:>12}",
        "CPU µs", "new", "refused", "kept", "list new", "list kept"
    );
    for shape in Shape::ALL {
        let (cold, warm) = (bench.load(shape, 0), bench.load(shape, 10_000));
        assert_eq!(bench.list(&warm, &tools), 100, "{}", shape.name());
        let new = best(200, || drop(black_box(bench.see(&cold, &tools[7]))));
        let refused = best(200, || drop(black_box(bench.see(&cold, &other))));
        let kept = best(20_000, || drop(black_box(bench.see(&warm, &tools[7]))));
        let list_new = best(3, || {
            black_box(bench.list(&cold, &tools));
        });
        let list_kept = best(200, || {
            black_box(bench.list(&warm, &tools));
        });
        println!(
            "{:<18}{new:>10.1}{refused:>10.1}{kept:>10.3}{list_new:>12.0}{list_kept:>12.1}",
            shape.name()
        );
        figures.insert(
            shape.name().into(),
            json!({ "new": new, "refused": refused, "kept": kept, "list_new": list_new, "list_kept": list_kept }),
        );
    }
    let shadow = shadow(&bench, &tools[7], &figures);
    let reload = reload(&bench, &tools[7]);
    println!("{}", json!({ "decide_cpu_us": figures, "shadow": shadow, "reload": reload }));
}

/// How long the whole stock directory with 10,000 grants takes to load, its tests included, and what new decisions that
/// another thread asks for take meanwhile.
fn reload(bench: &Bench, tool: &Subject) -> serde_json::Value {
    let directory = bench.directory.path().join("large");
    let mut data = String::from("roles:\n");
    for role in 0..100 {
        writeln!(data, "  role-{role}:").unwrap();
        (0..100).for_each(|name| {
            writeln!(data, "    - {{servers: [records], tools: [list_records_{name}]}}").unwrap();
        });
    }
    write(&directory, &data, |name| name.ends_with(".rego") || name == "tenant.schema.json");
    let policy = policy(directory, 0);
    let (wall, cpu) = (0..ROUNDS)
        .map(|_| {
            let (began, before) = (Instant::now(), cpu());
            drop(load(&policy));
            (began.elapsed().as_secs_f64() * 1000.0, (cpu() - before) / 1000.0)
        })
        .reduce(|best, one| if one.0 < best.0 { one } else { best })
        .unwrap();
    let serving = load(&policy);
    let quiet = p99(bench, &serving, tool, || std::thread::sleep(Duration::from_secs(1)));
    let meanwhile = p99(bench, &serving, tool, || (0..5).for_each(|_| drop(load(&policy))));
    println!("\nload of 10,000 grants: {wall:.0} ms, {cpu:.0} ms of CPU");
    println!("new decisions meanwhile: p99 {meanwhile:.0} µs, else {quiet:.0} µs");
    json!({ "wall_ms": wall, "cpu_ms": cpu, "p99_us": meanwhile, "p99_quiet_us": quiet })
}

/// The 99th of 100 decisions, in µs, while something else is done.
fn p99(bench: &Bench, decide: &Decide, tool: &Subject, something: impl FnOnce()) -> f64 {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut took = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let began = Instant::now();
                black_box(bench.see(decide, tool));
                took.push(began.elapsed().as_secs_f64() * 1e6);
            }
            took.sort_unstable_by(f64::total_cmp);
            took[took.len() * 99 / 100]
        });
        something();
        done.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    })
}

/// What a decision costs with a candidate beside it, and how often of the one alone; and which part was compared.
fn shadow(
    bench: &Bench,
    tool: &Subject,
    alone: &serde_json::Map<String, serde_json::Value>,
) -> serde_json::Map<String, serde_json::Value> {
    println!(
        "\n{:<18}{:>10}{:>10}{:>10}{:>10}{:>12}",
        "with candidate", "new", "ratio", "kept", "ratio", "compared"
    );
    let mut figures = serde_json::Map::new();
    for shape in Shape::ALL {
        let (cold, warm) = (bench.beside(shape, 0), bench.beside(shape, 10_000));
        let (mut asked, mut compared) = (0_u32, 0_u32);
        let new = best(200, || {
            asked += 1;
            compared += u32::from(black_box(bench.look(&cold, tool)));
        });
        let kept = best(20_000, || {
            black_box(bench.look(&warm, tool));
        });
        assert!(bench.look(&warm, tool), "a kept decision is always compared");
        let of = |key: &str, now: f64| now / alone[shape.name()][key].as_f64().unwrap();
        let (new_ratio, kept_ratio) = (of("new", new), of("kept", kept));
        let share = f64::from(compared) / f64::from(asked);
        println!(
            "{:<18}{new:>10.1}{new_ratio:>10.2}{kept:>10.3}{kept_ratio:>10.2}{:>11.0}%",
            shape.name(),
            share * 100.0
        );
        figures.insert(
            shape.name().into(),
            json!({ "new": new, "new_ratio": new_ratio, "kept": kept, "kept_ratio": kept_ratio, "compared": share }),
        );
    }
    figures
}
