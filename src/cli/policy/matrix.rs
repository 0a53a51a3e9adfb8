//! `portcullis policy matrix`: who may do what, as a whole.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::invalid;
use crate::cli::{ConfigFile, Console, Exit, Failure, Output};
use crate::config::{Config, Policy};
use crate::decide::{Circumstances, Decide, Names, PolicyProblem, Written};
use crate::name::TenantId;
use crate::review::{Bench, Found, Matrix, Questions, Who, csv, markdown, page, table};

/// One decision may take so long here: nobody waits for it, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// Decisions kept while a matrix is made: a list asks what its call asks right after it.
const KEPT: usize = 1024;

/// What the matrix shows.
#[derive(Debug, Args)]
pub(in crate::cli) struct Ask {
    #[command(flatten)]
    pub(in crate::cli) file: ConfigFile,
    /// What the servers offer, as `portcullis catalogue pull` writes it; repeat for more. Without it only tools that are named exactly are asked about
    #[arg(long, value_name = "FILE")]
    catalogue: Vec<PathBuf>,
    /// Callers in a YAML list of {name, tenant, user, agent, roles, groups, attributes}, instead of every role
    #[arg(long, value_name = "FILE")]
    callers: Option<PathBuf>,
    /// This tenant only
    #[arg(long)]
    pub(in crate::cli) tenant: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct MatrixCommand {
    #[command(flatten)]
    ask: Ask,
    /// The form: a table for the terminal, Markdown, CSV with a line for each cell, JSON, or one HTML page
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    #[default]
    Table,
    Markdown,
    Csv,
    Json,
    Html,
}

/// Why there is nothing to show.
pub(in crate::cli) enum Stop {
    /// Something else than a policy.
    Failure(Failure),
    /// A policy, or a list beside it, has mistakes.
    Invalid(Vec<PolicyProblem>),
}

impl Stop {
    pub(in crate::cli) fn tell(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Failure(failure) => Err(failure),
            Self::Invalid(problems) => Ok(invalid(&problems, console)),
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Vec<PolicyProblem>> for Stop {
    fn from(problems: Vec<PolicyProblem>) -> Self {
        Self::Invalid(problems)
    }
}

impl MatrixCommand {
    pub(in crate::cli) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self.matrix(console) {
            Ok(matrix) => {
                self.show(&matrix, console);
                Ok(Exit::Done)
            }
            Err(stop) => stop.tell(console),
        }
    }

    fn matrix(&self, console: &mut Console<'_>) -> Result<Matrix, Stop> {
        let config = console.config(&self.ask.file.config)?;
        let bench = Bench::of(load(&config, &config.policy.directory)?);
        let names = Decide::names(&config.policy.directory)?;
        let questions = self.ask.questions(&config, &names, None, console)?;
        let now = Circumstances::imagined(console.env.now());
        Ok(ask(&bench, &questions, &now, console))
    }

    fn show(&self, matrix: &Matrix, console: &mut Console<'_>) {
        let format = match console.output {
            Output::Json => Format::Json,
            Output::Text => self.format,
        };
        let text = match format {
            Format::Table => table::table(matrix, width(console)),
            Format::Markdown => markdown::markdown(matrix),
            Format::Csv => csv::csv(matrix),
            Format::Json => serde_json::to_string_pretty(matrix).unwrap_or_default(),
            Format::Html => page::page(matrix),
        };
        console.say(text.trim_end_matches('\n'));
    }
}

impl Ask {
    /// Every question that there is; notes go to stderr. `offered`: the catalogue where no file is named.
    pub(in crate::cli) fn questions(
        &self,
        config: &Config,
        names: &Names,
        offered: Option<&str>,
        console: &mut Console<'_>,
    ) -> Result<Arc<Questions>, Stop> {
        let found = self.found(config, names, offered)?;
        found.notes.iter().for_each(|note| console.note(format_args!("note: {note}")));
        let who = match &self.callers {
            Some(file) => Who::named(&Written::read(file)?)?,
            None => Who::roles(config, names),
        };
        let tenant = self.tenant(&who)?;
        let (questions, without) = Questions::new(config, who, found.what, tenant.as_ref());
        for tenant in without {
            console.note(format_args!("note: tenant `{tenant}` has no account at a server: left out"));
        }
        match questions.is_empty() {
            false => Ok(Arc::new(questions)),
            true => Err(Failure::new(
                "there is nothing to ask: no caller's tenant has an account at a server with a known tool",
                "name a catalogue with --catalogue, and see `portcullis account list`",
            )
            .into()),
        }
    }

    /// Everything that some catalogue has: what is gone from the newest one may still be there.
    fn found(&self, config: &Config, names: &Names, offered: Option<&str>) -> Result<Found, Failure> {
        if self.catalogue.is_empty() {
            let Some(offered) = offered else { return Ok(Found::named(config, names)) };
            return Found::in_text(offered, config).map_err(|why| {
                Failure::new(format!("what the servers offer: {why}"), "name a catalogue with --catalogue")
            });
        }
        let mut all = Found::default();
        for file in &self.catalogue {
            let found = Found::in_catalogue(file, config).map_err(|why| {
                let what = format!("{}: {why}", file.display());
                Failure::new(what, "make one with `portcullis catalogue pull`")
            })?;
            all.what.extend(found.what);
            all.notes.extend(found.notes);
        }
        Ok(all)
    }

    /// Whether files say what the servers offer.
    pub(in crate::cli) fn has_catalogue(&self) -> bool {
        !self.catalogue.is_empty()
    }

    fn tenant(&self, who: &[Who]) -> Result<Option<TenantId>, Failure> {
        let Some(wanted) = &self.tenant else { return Ok(None) };
        let known: BTreeSet<&TenantId> = who.iter().map(|who| &who.caller.tenant).collect();
        match known.iter().find(|tenant| tenant.as_str() == wanted) {
            Some(tenant) => Ok(Some((*tenant).clone())),
            None => {
                let names: Vec<&str> = known.iter().map(|tenant| tenant.as_str()).collect();
                let hint = format!("there are: {}", names.join(", "));
                Err(Failure::new(format!("nobody here belongs to a tenant `{wanted}`"), hint))
            }
        }
    }
}

/// Loads a policy directory as the gate does.
pub(in crate::cli) fn load(config: &Config, directory: &Path) -> Result<Decide, Vec<PolicyProblem>> {
    let timeout = config.policy.timeout.max(PATIENCE);
    Decide::load(&Policy { directory: directory.to_owned(), timeout, cache: KEPT })
}

/// Asks everything, with a line of progress on a terminal.
pub(in crate::cli) fn ask(
    bench: &Bench,
    questions: &Arc<Questions>,
    circumstances: &Circumstances,
    console: &mut Console<'_>,
) -> Matrix {
    let all = questions.callers();
    let watched = std::io::stderr().is_terminal();
    let mut progress = |done: usize| {
        if watched {
            let _ = write!(console.err, "\r{}", bar(done, all)).and_then(|()| console.err.flush());
        }
    };
    progress(0);
    let matrix = Matrix::ask(bench, questions, circumstances, &mut progress);
    if watched {
        let _ = write!(console.err, "\r\u{1b}[K");
    }
    matrix
}

fn bar(done: usize, all: usize) -> String {
    const WIDE: usize = 30;
    let full = (done * WIDE).checked_div(all).unwrap_or(WIDE);
    format!("asking [{}{}] {done}/{all} callers", "#".repeat(full), " ".repeat(WIDE.saturating_sub(full)))
}

fn width(console: &Console<'_>) -> usize {
    console.env.variable("COLUMNS").and_then(|columns| columns.parse().ok()).unwrap_or(120)
}
