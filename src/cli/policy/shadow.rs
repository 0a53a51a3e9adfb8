//! `portcullis policy shadow`: what the candidate policy would change on live traffic, and how far it has come.

mod report;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;

use self::report::Reader;
use super::super::{ConfigFile, Console, Exit, Failure};
use super::rollout;
use crate::record::read;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ShadowCommand {
    /// What the candidate policy would have changed, from the audit: by rule, tool and role
    Report(ReportOf),
    /// Which policy serves, and how far the candidate has come
    Status(ConfigFile),
}

/// Which differences are told.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReportOf {
    #[command(flatten)]
    file: ConfigFile,
    /// The audit directory [default: as the configuration names it]
    #[arg(long, value_name = "DIR")]
    audit: Option<PathBuf>,
    /// Only what happened since: a time such as `2026-11-21T12:00:00Z`, or so long ago, such as `1h`
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// The candidate's revision [default: the newest in the audit]
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// So many invocations as examples of each difference
    #[arg(long, value_name = "N", default_value_t = 3)]
    examples: usize,
}

/// From when on.
#[derive(Debug, Clone, Copy)]
enum Since {
    Ago(std::time::Duration),
    At(jiff::Timestamp),
}

fn since(text: &str) -> Result<Since, String> {
    let ago = humantime::parse_duration(text).map(Since::Ago);
    ago.or_else(|_| text.parse().map(Since::At)).map_err(|_| {
        "it is no time: write when, such as `2026-11-21T12:00:00Z`, or how long ago, such as `1h`".to_owned()
    })
}

impl Since {
    fn time(self, now: jiff::Timestamp) -> Option<jiff::Timestamp> {
        match self {
            Self::At(time) => Some(time),
            Self::Ago(ago) => {
                jiff::SignedDuration::try_from(ago).ok().and_then(|ago| now.checked_sub(ago).ok())
            }
        }
    }
}

impl ShadowCommand {
    pub(in crate::cli) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Report(wanted) => wanted.run(console),
            Self::Status(file) => {
                let status = rollout::asked(console, &file, Method::GET, "/v1/policy", None)?;
                console.data(&status, &rollout::told(&status));
                Ok(Exit::Done)
            }
        }
    }
}

impl ReportOf {
    fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let directory = match self.audit {
            Some(directory) => directory,
            None => console.config(&self.file.config)?.audit.directory,
        };
        let since = self.since.and_then(|since| since.time(console.env.now()));
        let mut reader = Reader::new(since, self.examples);
        let hint = "name the directory that `audit.directory` names in the configuration";
        read::lines(&directory, |line| reader.take(line))
            .map_err(|error| Failure::new(error.to_string(), hint))?;
        let report = reader.report(self.revision.as_deref()).ok_or_else(|| {
            let what = match &self.revision {
                Some(revision) => {
                    format!("`{}` has nothing of a candidate `{revision}`", directory.display())
                }
                None => format!("`{}` has nothing of a candidate policy", directory.display()),
            };
            Failure::new(what, "name one in the configuration: `policies: {directory: DIR, candidate: DIR}`")
        })?;
        console.data(&report, &report);
        Ok(Exit::Done)
    }
}
