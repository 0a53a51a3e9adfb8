//! `portcullis policy replay`: recorded decisions, judged again by another policy.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::super::{ConfigFile, Console, Exit, Failure, Output};
use super::invalid;
use crate::config::Policy;
use crate::decide::{Decide, PolicyProblem, Written, conditions};
use crate::name::TenantId;
use crate::record::{AuditKey, verify};
use crate::review::Expected;
use crate::run::replay::{Form, Replay, Report, Span};

#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayCommand {
    /// The audit directory
    audit: PathBuf,
    /// The policies that judge
    #[arg(long, value_name = "DIR")]
    against: PathBuf,
    #[command(flatten)]
    file: ConfigFile,
    /// Lines from this time on: `2026-11-01T00:00:00Z`
    #[arg(long, value_name = "TIME")]
    since: Option<jiff::Timestamp>,
    /// Lines before this time
    #[arg(long, value_name = "TIME")]
    until: Option<jiff::Timestamp>,
    /// Lines of one tenant
    #[arg(long, value_name = "T", value_parser = tenant)]
    tenant: Option<TenantId>,
    /// What may become allowed: a YAML list of {who, server, tool} as for `diff`; who is a role, `acme/clerk`, or a user, `acme/alice`
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,
    /// The form: text, JSON, or Markdown for a pull request
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    Markdown,
}

fn tenant(text: &str) -> Result<TenantId, String> {
    TenantId::parse(text).map_err(|why| format!("it cannot be the name of a tenant: {why}"))
}

impl ReplayCommand {
    /// `Exit::Denied` where something is newly allowed that nobody expects.
    pub(in crate::cli) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let config = console.config(&self.file.config)?;
        let policy = Policy { directory: self.against.clone(), ..config.policy.clone() };
        let decide = match Decide::load(&policy) {
            Ok(decide) => decide,
            Err(problems) => return Ok(invalid(&problems, console)),
        };
        let expected = match self.expected() {
            Ok(expected) => expected,
            Err(problems) => return Ok(invalid(&problems, console)),
        };
        let findings = self.findings(console)?;
        let span = Span { since: self.since, until: self.until, tenant: self.tenant.clone() };
        let replay = Replay::new(&decide, &config, conditions(&self.against)).expecting(expected);
        let report = replay.of(&self.audit, &span).map_err(|error| unreadable(&error))?;
        let report = report.with_findings(findings);
        self.show(&report, console);
        for unmet in replay.unmet() {
            console.note(format_args!("note: expected, and not so: {unmet}"));
        }
        Ok(match report.unexpected_count() {
            0 => Exit::Done,
            many => {
                console.note(format_args!("{many} newly allowed that nobody expects"));
                Exit::Denied
            }
        })
    }

    fn expected(&self) -> Result<Expected, Vec<PolicyProblem>> {
        self.expected
            .as_ref()
            .map_or_else(|| Ok(Expected::default()), |file| Expected::read(&Written::read(file)?))
    }

    /// What is wrong with the chain: whoever changed it may have changed what was decided.
    fn findings(&self, console: &mut Console<'_>) -> Result<Vec<String>, Failure> {
        let key = AuditKey::read(&AuditKey::path(&self.audit)).map_err(|error| unreadable(&error))?;
        let report = verify::verify(&self.audit, &key).map_err(|error| unreadable(&error))?;
        if !report.is_whole() {
            console.note("warning: the audit chain is not whole: see `portcullis audit verify`");
        }
        Ok(report.findings.iter().map(ToString::to_string).collect())
    }

    fn show(&self, report: &Report, console: &mut Console<'_>) {
        let format = match console.output {
            Output::Json => Format::Json,
            Output::Text => self.format,
        };
        match format {
            Format::Text => console.say(report.told(Form::Text)),
            Format::Markdown => console.say(report.told(Form::Markdown)),
            Format::Json => console.json(report),
        }
    }
}

fn unreadable(error: &crate::record::RecordError) -> Failure {
    Failure::new(error.to_string(), "name the directory that `audit.directory` names in the configuration")
}
