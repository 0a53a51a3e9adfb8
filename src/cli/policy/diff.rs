//! `portcullis policy diff`: what a change of policy lets whom do.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::matrix::{Ask, Stop, ask, load};
use super::running::Running;
use crate::cli::{Console, Exit, Failure, Output, catalogue};
use crate::config::Config;
use crate::decide::{Circumstances, Decide, Names, PolicyProblem, Written};
use crate::name::TenantId;
use crate::review::git::{BadRevision, Checkout};
use crate::review::report::Report;
use crate::review::{Bench, Expected, changes};

#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    /// The policies before: a directory, a git revision of the configured policy directory (`git:REV` is never a directory), or `gate:`, what the running gate serves
    #[arg(required_unless_present = "running", conflicts_with = "running")]
    before: Option<String>,
    /// The policies after: likewise
    #[arg(required_unless_present = "running", conflicts_with = "running")]
    after: Option<String>,
    /// From what the running gate serves, as `gate:`
    #[arg(long, requires = "against")]
    running: bool,
    /// To these policies, with --running
    #[arg(long, value_name = "DIR|REV", requires = "running")]
    against: Option<String>,
    #[command(flatten)]
    ask: Ask,
    /// The configuration before, where servers, tags, tools, accounts or the policies' directory change as well
    #[arg(long, value_name = "FILE")]
    before_config: Option<PathBuf>,
    /// What may become allowed: a YAML list of {who, server, tool}, where `*` stands for any text
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

/// What the running gate serves, as a side.
const GATE: &str = "gate:";

/// One side: a policy, ready to be asked.
struct Side {
    name: String,
    bench: Bench,
    names: Names,
}

/// What came of it, and whether every server said what it offers.
struct Told {
    report: Report,
    asked: Exit,
}

/// Where one side's files are.
enum Place {
    Directory(PathBuf),
    Revision(Checkout),
}

impl Diff {
    /// `Exit::Denied` where something is newly allowed that nobody expects.
    pub(in crate::cli) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self.report(console) {
            Ok(told) => Ok(self.show(&told, console)),
            Err(stop) => stop.tell(console),
        }
    }

    fn report(&self, console: &mut Console<'_>) -> Result<Told, Stop> {
        let config = console.config(&self.ask.file.config)?;
        let other = self.before_config.as_ref().map(|file| console.config(file)).transpose()?;
        let expected = match &self.expected {
            Some(file) => Expected::read(&Written::read(file)?)?,
            None => Expected::default(),
        };
        let before = Side::load(self.sides().0, other.as_ref().unwrap_or(&config), console)?;
        let after = Side::load(self.sides().1, &config, console)?;
        let names = before.names.and(after.names);
        let (offered, asked) = self.offered(&config, console)?;
        let questions = self.ask.questions(&config, &names, offered.as_deref(), console)?;
        let asked_before = match &other {
            Some(config) => self.ask.questions(config, &names, offered.as_deref(), console)?,
            None => Arc::clone(&questions),
        };
        let now = Circumstances::imagined(console.env.now());
        let was = ask(&before.bench, &asked_before, &now, console);
        let is = ask(&after.bench, &questions, &now, console);
        let report = Report::new((&before.name, &after.name), &questions, changes(&was, &is), &expected);
        Ok(Told { report, asked })
    }

    /// The two sides as they were written.
    fn sides(&self) -> (&str, &str) {
        match &self.against {
            Some(against) => (GATE, against),
            None => (self.before.as_deref().unwrap_or_default(), self.after.as_deref().unwrap_or_default()),
        }
    }

    /// What the servers offer through the running gate, where it is a side and no file says what they offer.
    fn offered(&self, config: &Config, console: &mut Console<'_>) -> Result<(Option<String>, Exit), Stop> {
        let (before, after) = self.sides();
        if self.ask.has_catalogue() || (before != GATE && after != GATE) {
            return Ok((None, Exit::Done));
        }
        let tenant = self.ask.tenant.as_deref();
        let (offered, asked) = catalogue::offered(console, config, &self.ask.file, tenant)?;
        Ok((Some(offered.to_string()), asked))
    }

    fn show(&self, told: &Told, console: &mut Console<'_>) -> Exit {
        let report = &told.report;
        let format = match console.output {
            Output::Json => Format::Json,
            Output::Text => self.format,
        };
        match format {
            Format::Text => console.say(report.text()),
            Format::Markdown => console.say(report.markdown()),
            Format::Json => {
                console.say(serde_json::to_string_pretty(&report.json()).unwrap_or_default());
            }
        }
        for unmet in report.unmet() {
            console.note(format_args!("note: expected, and not so: {unmet}"));
        }
        match report.unexpected() {
            0 => told.asked,
            cells => {
                console.note(format_args!("{cells} newly allowed that nobody expects"));
                Exit::Denied
            }
        }
    }
}

impl Side {
    fn load(written: &str, config: &Config, console: &mut Console<'_>) -> Result<Self, Stop> {
        if written == GATE {
            return Self::running(&Running::must(config, console)?, config, console);
        }
        let place = Place::find(written, &config.policy.directory)?;
        let told = |problems: Vec<PolicyProblem>| place.told(written, problems);
        Ok(Self {
            name: place.name(written),
            bench: Bench::of(load(config, place.path()).map_err(told)?),
            names: Decide::names(place.path()).map_err(told)?,
        })
    }

    fn running(running: &Running, config: &Config, console: &mut Console<'_>) -> Result<Self, Stop> {
        if let Some((candidate, tenants)) = running.canary() {
            let tenants: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
            let whom = tenants.join(", ");
            console
                .note(format_args!("note: candidate {candidate} decides for {whom}, and is asked for them"));
        }
        let (bench, names) = running.bench(config)?;
        Ok(Self { name: format!("running gate ({})", running.revision()), bench, names })
    }
}

impl Place {
    fn find(written: &str, policies: &Path) -> Result<Self, Failure> {
        let (revision, only) = match written.strip_prefix("git:") {
            Some(revision) => (revision, true),
            None => (written, false),
        };
        let directory = Path::new(written);
        if !only && directory.is_dir() {
            // Whoever may add a directory must not thereby stand in for a revision of the same name.
            let plain = directory.components().all(|part| matches!(part, Component::Normal(_)));
            return match plain && Checkout::of(revision, policies).is_ok() {
                false => Ok(Self::Directory(directory.to_owned())),
                true => Err(Failure::new(
                    format!("`{written}` is a directory, and a git revision too"),
                    format!("write `./{written}` for the one, `git:{written}` for the other"),
                )),
            };
        }
        let checkout = Checkout::of(revision, policies).map_err(|why| {
            let hint = match &why {
                BadRevision::NoGit(_) => "install git, or name two directories",
                BadRevision::NoRepository { .. } => "keep the policies in git, or name two directories",
                BadRevision::Unknown(_) => {
                    "name a directory, a branch, a tag or a commit; a shallow clone has few of them: `git fetch` first"
                }
                BadRevision::NotThere { .. } => "name a revision in which the policies stand where they stand now",
                BadRevision::Astray(_) => "let links lead to what is in the repository",
                BadRevision::Submodule(_) => "name a directory in which the submodule is checked out",
                BadRevision::Failed(_) | BadRevision::Unwritable(_) => "name two directories instead",
            };
            Failure::new(why.to_string(), hint)
        })?;
        Ok(Self::Revision(checkout))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Directory(path) => path,
            Self::Revision(checkout) => checkout.path(),
        }
    }

    fn name(&self, written: &str) -> String {
        match self {
            Self::Directory(_) => written.to_owned(),
            Self::Revision(checkout) => {
                let written = written.trim_start_matches("git:");
                let short: String = checkout.commit().chars().take(12).collect();
                if checkout.commit().starts_with(written) { short } else { format!("{written} ({short})") }
            }
        }
    }

    /// Problems with the places that the reader knows, and not those of the copy.
    fn told(&self, written: &str, problems: Vec<PolicyProblem>) -> Vec<PolicyProblem> {
        let copy = format!("{}/", self.path().display());
        let told = |mut problem: PolicyProblem| {
            if let (Self::Revision(_), Some(inner)) = (self, problem.file.strip_prefix(&copy)) {
                problem.file = format!("{written}:{inner}");
            }
            problem
        };
        problems.into_iter().map(told).collect()
    }
}
