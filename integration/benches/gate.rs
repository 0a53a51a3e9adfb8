//! What the gate costs per call, beside a bare Pingora proxy and the server itself, in one run.
//!
//! Every target is a process of its own with one worker thread; the load and the server are others. CPU per call is the
//! target's own user and system time. Targets take turns within each round, so that a machine whose speed drifts slows
//! all of them; ratios are medians over rounds.
//!
//! `cargo bench --bench gate` (`-- --short` in under a minute; `-- --only call_300b` for one scenario).

mod gate {
    pub mod bare;
    pub mod fixture;
    pub mod large;
    pub mod load;
    pub mod mock;
    pub mod process;
    pub mod report;
    pub mod streams;
}

use std::time::Duration;

use gate::fixture::{Fixture, Kind, Scenario};
use gate::load::{self, Pace};
use gate::process::Target;
use gate::report::{Report, Sample};

/// As in the program; the bare proxy has it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long and how often is measured.
struct Plan {
    rounds: usize,
    burst: Duration,
    paced: Duration,
    streams: usize,
}

impl Plan {
    fn of(short: bool) -> Self {
        match short {
            true => Self {
                rounds: 3,
                burst: Duration::from_millis(700),
                paced: Duration::from_secs(1),
                streams: 1_000,
            },
            false => Self {
                rounds: 7,
                burst: Duration::from_secs(2),
                paced: Duration::from_secs(4),
                streams: 10_000,
            },
        }
    }
}

fn main() {
    if let Some(role) = gate::process::role() {
        return role.run();
    }
    let options = Options::read();
    let mut plan = Plan::of(options.short);
    // A stream takes two files of the gate: the caller's end and the server's.
    let files = usize::try_from(gate::process::raise_open_files()).unwrap_or(usize::MAX);
    plan.streams = plan.streams.min(files.saturating_sub(500) / 2);
    let fixture = Fixture::make();
    let server = Target::mock();
    let mut targets =
        vec![("direct", Target::at(server.address())), ("bare", Target::bare(server.address()))];
    for kind in [Kind::Warm, Kind::Cold, Kind::Synced] {
        targets.push((kind.name(), Target::gate(&fixture, kind, server.address())));
    }
    let mut report = Report::default();
    for round in 0..=plan.rounds {
        for scenario in Scenario::ALL.into_iter().filter(|scenario| options.measures(*scenario)) {
            for (name, target) in &targets {
                if !scenario.is_for(name) {
                    continue;
                }
                let sample = burst(target, &fixture, scenario, plan.burst, name.starts_with("gate"));
                // The first round warms caches, pools and the branch predictors.
                if round > 0 {
                    report.add(scenario.name(), name, sample);
                }
            }
        }
    }
    if options.only.is_some() {
        return report.table();
    }
    // Half of what the gate can do at most, offered to both alike.
    let rate = report.rate("call_300b", "gate warm") / 2.0;
    for _ in 0..plan.rounds {
        for (name, target) in targets.iter().filter(|(name, _)| Scenario::List.is_for(name)) {
            let sample = paced(target, &fixture, rate, plan.paced, name.starts_with("gate"));
            report.add("half_load", name, sample);
        }
    }
    let idle = gate::streams::bytes_per_stream(&targets[2].1, &fixture, plan.streams);
    let copies = gate::large::copies(&fixture, server.address());
    report.print(idle, plan.streams, copies);
}

/// The words after `--`.
struct Options {
    /// In under a minute.
    short: bool,
    /// This scenario alone, and only the table: for work on the gate's speed.
    only: Option<String>,
}

impl Options {
    fn read() -> Self {
        let words: Vec<String> = std::env::args().collect();
        let only = words.iter().position(|word| word == "--only").and_then(|at| words.get(at + 1).cloned());
        Self { short: words.iter().any(|word| word == "--short"), only }
    }

    fn measures(&self, scenario: Scenario) -> bool {
        self.only.as_ref().is_none_or(|only| only == scenario.name())
    }
}

fn burst(target: &Target, fixture: &Fixture, scenario: Scenario, time: Duration, gate: bool) -> Sample {
    let request = fixture.request(scenario, gate);
    let before = target.usage();
    let outcome = load::run(target.address(), &request, Pace::Burst { connections: 16 }, time);
    Sample::new(outcome, before, target.usage())
}

fn paced(target: &Target, fixture: &Fixture, rate: f64, time: Duration, gate: bool) -> Sample {
    let request = fixture.request(Scenario::Call300, gate);
    let before = target.usage();
    let outcome =
        load::run(target.address(), &request, Pace::Rate { connections: 16, per_second: rate }, time);
    Sample::new(outcome, before, target.usage())
}
