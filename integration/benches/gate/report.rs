//! The figures: a table for people, one line of JSON for machines.

use std::collections::BTreeMap;

use super::load::Outcome;
use super::process::Usage;

/// One burst on one target.
pub struct Sample {
    cpu_us: f64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    rss_mib: f64,
}

impl Sample {
    pub fn new(outcome: Outcome, before: Usage, after: Usage) -> Self {
        let at = |quantile: f64| {
            let index = (outcome.latencies.len() as f64 * quantile) as usize;
            f64::from(outcome.latencies[index.min(outcome.latencies.len() - 1)])
        };
        Self {
            cpu_us: (after.cpu - before.cpu).as_secs_f64() * 1e6 / outcome.calls as f64,
            per_second: outcome.calls as f64 / outcome.wall.as_secs_f64(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            rss_mib: after.rss as f64 / 1024.0 / 1024.0,
        }
    }
}

/// All samples by scenario and target, in the order of rounds.
#[derive(Default)]
pub struct Report {
    samples: BTreeMap<(&'static str, &'static str), Vec<Sample>>,
}

impl Report {
    pub fn add(&mut self, scenario: &'static str, target: &'static str, sample: Sample) {
        self.samples.entry((scenario, target)).or_default().push(sample);
    }

    /// The median calls per second.
    pub fn rate(&self, scenario: &'static str, target: &'static str) -> f64 {
        self.median(scenario, target, |sample| sample.per_second)
    }

    fn median(&self, scenario: &'static str, target: &'static str, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples[&(scenario, target)].iter().map(figure).collect())
    }

    /// The median over rounds of this target's CPU per call by the bare proxy's in the same round.
    fn ratio(&self, scenario: &'static str, target: &'static str) -> f64 {
        let bare = &self.samples[&(scenario, "bare")];
        let pairs = self.samples[&(scenario, target)].iter().zip(bare);
        median(pairs.map(|(this, bare)| this.cpu_us / bare.cpu_us).collect())
    }

    /// Prints the medians.
    pub fn table(&self) {
        println!(
            "{:<16} {:<12} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8}",
            "scenario", "target", "CPU µs", "by bare", "req/s", "p50 µs", "p99 µs", "RSS MiB"
        );
        for (scenario, target) in self.samples.keys() {
            let figure = |of: fn(&Sample) -> f64| self.median(scenario, target, of);
            println!(
                "{scenario:<16} {target:<12} {:>9.1} {:>9.2} {:>8.0} {:>8.0} {:>8.0} {:>8.1}",
                figure(|s| s.cpu_us),
                self.ratio(scenario, target),
                figure(|s| s.per_second),
                figure(|s| s.p50_us),
                figure(|s| s.p99_us),
                figure(|s| s.rss_mib),
            );
        }
    }

    /// Prints the medians, and last the line of JSON.
    pub fn print(&self, idle_stream_bytes: f64, streams: usize, large_call_copies: f64) {
        self.table();
        println!("idle streams: {streams} open, {:.0} bytes of resident memory each", idle_stream_bytes);
        println!("a call of 4 MiB: the gate's memory grows by {large_call_copies:.2} times its size at most");
        let p99 = |target| self.median("half_load", target, |sample| sample.p99_us);
        let line = serde_json::json!({
            "call_300b_warm": round(self.ratio("call_300b", "gate warm")),
            "call_300b_cold": round(self.ratio("call_300b", "gate cold")),
            "call_10k_warm": round(self.ratio("call_10k", "gate warm")),
            "list_100_tools": round(self.ratio("list_100_tools", "gate warm")),
            "p99_added_ms": round((p99("gate warm") - p99("bare")) / 1000.0),
            "idle_stream_bytes": idle_stream_bytes.round(),
            "large_call_copies": round(large_call_copies),
        });
        println!("{line}");
    }
}

fn round(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
