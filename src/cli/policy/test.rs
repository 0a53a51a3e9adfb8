//! `portcullis policy test`: the tests and cases of a policy directory, run and reported.

mod junit;
mod report;

use std::path::PathBuf;
use std::sync::mpsc::channel;

use clap::{Args, ValueEnum};

use self::report::Report;
use super::super::{Console, Exit, Failure, Output};
use super::invalid;
use crate::decide::watch::Watch;
use crate::decide::{Coverage, Decide, Servers, Wanted};
use crate::name::Revision;

/// Which tests are run, and how they are told.
#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// The policies
    directory: PathBuf,
    /// Only tests and cases whose name holds this
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// Say which lines of the policies no test comes to
    #[arg(long)]
    coverage: bool,
    /// Fail where tests come to less than this share of the policies' lines
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    threshold: Option<f64>,
    /// The form of the report [default: as --output says]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Run again whenever the directory changes, until interrupted
    #[arg(long)]
    watch: bool,
    /// The configuration whose servers and tools cases may name
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For CI servers.
    Junit,
}

impl Test {
    pub(in crate::cli) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let servers = match &self.config {
            Some(file) => console.config(file)?.servers,
            None => Servers::new(),
        };
        if !self.watch {
            return Ok(self.once(&servers, console));
        }
        let (tell, told) = channel();
        let serving = Decide::fingerprint(&self.directory);
        let serving = serving.unwrap_or_else(|| Revision::from_digest("unread"));
        let _watch = Watch::start(&self.directory, serving, move || {
            // Whoever listened has ended.
            let _ = tell.send(());
        });
        let mut exit = self.once(&servers, console);
        while told.recv().is_ok() {
            console.say(format_args!("\n--- {} ---", console.env.now()));
            exit = self.once(&servers, console);
        }
        Ok(exit)
    }

    /// Runs once; `Exit::Failed` where a test fails or too little is covered, `Exit::Invalid` where the policies cannot be
    /// loaded at all.
    fn once(&self, servers: &Servers, console: &mut Console<'_>) -> Exit {
        let counted = self.coverage || self.threshold.is_some();
        let tested = Decide::test(&Wanted {
            directory: &self.directory,
            filter: &self.filter,
            coverage: if counted { Coverage::Counted } else { Coverage::Uncounted },
            servers,
            now: console.env.now(),
        });
        let report = match tested {
            Ok(trials) => Report::of(trials, self.threshold.filter(|_| counted)),
            Err(problems) => return invalid(&problems, console),
        };
        match (self.format, console.output) {
            (Some(Format::Junit), _) => console.say(junit::write(&report)),
            (Some(Format::Json), _) | (None, Output::Json) => console.json(&report.json()),
            (Some(Format::Text), _) | (None, Output::Text) => console.say(report.text()),
        }
        if report.is_good() { Exit::Done } else { Exit::Failed }
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        Ok(_) | Err(_) => Err("write a number from 0 to 100".to_owned()),
    }
}
