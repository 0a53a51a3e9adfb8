//! What tests came to, for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::decide::{Covered, Stop, Tested, Trials};

/// Tests that were run, and how much of the policies they came to.
pub(super) struct Report {
    pub(super) tested: Vec<Tested>,
    covered: Vec<Covered>,
    threshold: Option<f64>,
}

impl Report {
    pub(super) fn of(trials: Trials, threshold: Option<f64>) -> Self {
        Self { tested: trials.tested, covered: trials.covered, threshold }
    }

    pub(super) fn failed(&self) -> usize {
        self.tested.iter().filter(|test| test.problem.is_some()).count()
    }

    pub(super) fn is_good(&self) -> bool {
        self.failed() == 0 && self.reached()
    }

    fn reached(&self) -> bool {
        self.threshold.is_none_or(|threshold| share(&self.covered) >= threshold)
    }

    pub(super) fn json(&self) -> Value {
        let failed = self.failed();
        let mut value = json!({
            "passed": self.tested.len() - failed,
            "failed": failed,
            "tests": self.tested.iter().map(test).collect::<Vec<_>>(),
        });
        if let Value::Object(members) = &mut value
            && !self.covered.is_empty()
        {
            let coverage = json!({
                "percent": share(&self.covered),
                "threshold": self.threshold,
                "files": self.covered.iter().map(covered).collect::<Vec<_>>(),
            });
            members.insert("coverage".to_owned(), coverage);
        }
        value
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for test in &self.tested {
            let word = if test.problem.is_none() { "pass" } else { "FAIL" };
            let _ = writeln!(text, "{word}  {} ({:.1} ms)", test.name, milliseconds(test));
            reasons(test).iter().for_each(|line| {
                let _ = writeln!(text, "      {line}");
            });
        }
        if !self.covered.is_empty() {
            text.push_str(&self.coverage());
        }
        let failed = self.failed();
        let _ = write!(text, "{} passed, {failed} failed", self.tested.len() - failed);
        text
    }

    fn coverage(&self) -> String {
        let mut text = String::from("\ncoverage of the lines that serve\n");
        for file in &self.covered {
            let one = std::slice::from_ref(file);
            let missed = if file.missed.is_empty() {
                String::new()
            } else {
                format!("  not: {}", ranges(&file.missed))
            };
            let _ = writeln!(text, "{:5.1} %  {}{missed}", share(one), file.file);
        }
        let under = match self.threshold {
            Some(threshold) if !self.reached() => format!(", under the threshold of {threshold} %"),
            Some(_) | None => String::new(),
        };
        let _ = writeln!(text, "{:5.1} %  in all{under}\n", share(&self.covered));
        text
    }
}

fn test(test: &Tested) -> Value {
    let mut value = json!({
        "file": test.file,
        "line": test.line,
        "name": test.name,
        "passed": test.problem.is_none(),
        "milliseconds": milliseconds(test),
    });
    if let (Value::Object(members), Some(problem)) = (&mut value, &test.problem) {
        members.insert("problem".to_owned(), json!(problem.what));
        members.insert("stops".to_owned(), json!(test.stops));
        members.insert("details".to_owned(), json!(test.details));
    }
    value
}

fn covered(file: &Covered) -> Value {
    let percent = share(std::slice::from_ref(file));
    json!({"file": file.file, "percent": percent, "covered": file.covered, "missed": file.missed})
}

pub(super) fn milliseconds(test: &Tested) -> f64 {
    (test.took.as_secs_f64() * 1e6).round() / 1e3
}

/// Why a test fails, line by line; nothing where it passes.
pub(super) fn reasons(test: &Tested) -> Vec<String> {
    let mut lines: Vec<String> = test.problem.iter().map(ToString::to_string).collect();
    test.stops.iter().for_each(|stop| stopped(stop, &mut lines));
    lines.extend(test.details.iter().cloned());
    if test.problem.is_some() {
        lines.extend(test.prints.iter().map(|print| format!("print {print}")));
    }
    lines
}

fn stopped(stop: &Stop, lines: &mut Vec<String>) {
    lines.push(stop.to_string());
    lines.extend(stop.values.iter().map(|(text, value)| format!("  {text} = {value}")));
}

/// The share of lines that tests came to, in percent; of nothing, all.
fn share(files: &[Covered]) -> f64 {
    let count = |lines: fn(&Covered) -> usize| files.iter().map(lines).sum::<usize>();
    let (covered, missed) = (count(|file| file.covered.len()), count(|file| file.missed.len()));
    let number = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    if covered + missed == 0 { 100.0 } else { number(covered) * 100.0 / number(covered + missed) }
}

/// Line numbers in short: `3-5, 9`.
fn ranges(lines: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for line in lines {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *line => *last = *line,
            Some(_) | None => ranges.push((*line, *line)),
        }
    }
    let range = |(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}
