//! `portcullis policy pull`: what the policies' source gives now, verified and checked.

use std::path::PathBuf;

use serde_json::json;

use super::invalid;
use crate::cli::run::runtime;
use crate::cli::{ConfigFile, Console, Exit, Failure};
use crate::config::{Config, Delivery, Policy};
use crate::decide::Decide;
use crate::deliver::{Asked, Deliver, Fetched, Setback, Staged};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Pull {
    #[command(flatten)]
    file: ConfigFile,
    /// A directory that is made with the policies in it, for the other commands to look at
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

impl Pull {
    /// `Exit::Invalid` where what came is not signed as it should be, or is no policy.
    pub(in crate::cli) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let config = console.config(&self.file.config)?;
        let Some(delivery) = &config.delivery else {
            let what = "`policies` names a directory, from which nothing is pulled";
            return Err(Failure::new(what, "name `git` or `bundle` under `policies`"));
        };
        let scratch = tempfile::tempdir();
        let scratch = scratch.map_err(|error| failed(delivery, &error.to_string()))?;
        let fetched = Deliver::new(delivery, scratch.path().to_owned())
            .and_then(|deliver| runtime(1).map_err(|_| no_threads())?.block_on(fetch(&deliver)));
        let staged = match fetched {
            Ok(staged) => staged,
            Err(Setback::Refused(why)) => {
                console.note(format_args!("error: {}: {why}", delivery.place()));
                return Ok(Exit::Invalid);
            }
            Err(why) => return Err(failed(delivery, &why.to_string())),
        };
        if let Some(into) = &self.into {
            copy(&staged.directory(), into).map_err(|error| {
                Failure::new(format!("`{}` cannot be made: {error}", into.display()), "name a new directory")
            })?;
        }
        Ok(tell(&config, &staged, console))
    }
}

fn tell(config: &Config, staged: &Staged, console: &mut Console<'_>) -> Exit {
    let policy = Policy { directory: staged.directory(), ..config.policy.clone() };
    let decide = match Decide::load(&policy) {
        Ok(decide) => decide,
        Err(mut problems) => {
            let inside = format!("{}/", policy.directory.display());
            for problem in &mut problems {
                problem.file = problem.file.replace(&inside, "");
            }
            return invalid(&problems, console);
        }
    };
    let revision = match staged.revision(decide.revision()) {
        Ok(revision) => revision,
        Err(bad) => {
            console.note(format_args!("error: the bundle's revision is no name: {bad}"));
            return Exit::Invalid;
        }
    };
    let signed = staged
        .signer()
        .map_or("not signed, and none is asked for".to_owned(), |by| format!("signed by {by}"));
    let value = json!({"revision": revision, "digest": decide.revision(), "signed_by": staged.signer(), "valid": true});
    console.data(&value, &format!("{revision}\n{signed}\nvalid"));
    Exit::Done
}

async fn fetch(deliver: &Deliver) -> Result<Staged, Setback> {
    let missing = deliver.unready();
    if !missing.is_empty() {
        return Err(Setback::Unable(missing.join("; ")));
    }
    match deliver.fetch(None, Asked::AtOnce).await? {
        Fetched::New(staged) => Ok(staged),
        Fetched::Same => Err(Setback::Refused("it gives nothing".to_owned())),
    }
}

/// What `portcullis check` looks at where policies are delivered.
pub(in crate::cli) struct Kept {
    /// The policy directory, if one is known: of a kept revision, a copy that was verified again.
    pub(in crate::cli) policy: Option<Policy>,
    /// What the operator should know.
    pub(in crate::cli) notes: Vec<String>,
    _copy: Option<Staged>,
}

/// What is known of a configuration's policies without asking their source: the directory, or what was kept.
///
/// # Errors
/// Keys that are none, programs that are missing, a kept revision that is not signed any more.
pub(in crate::cli) fn kept(config: &Config) -> Result<Kept, Vec<String>> {
    let Some(delivery) = &config.delivery else {
        return Ok(Kept { policy: Some(config.policy.clone()), notes: Vec::new(), _copy: None });
    };
    let one = |why: Setback| vec![format!("{}: {why}", delivery.place())];
    let deliver = Deliver::new(delivery, config.state.policies()).map_err(one)?;
    let missing = deliver.unready();
    if !missing.is_empty() {
        return Err(missing);
    }
    let note = match deliver.last() {
        None => {
            let note =
                "the policy itself is not known until it is pulled: `portcullis policy pull` does so once";
            return Ok(Kept { policy: None, notes: vec![note.to_owned()], _copy: None });
        }
        Some(about) => {
            format!("checked is {}, fetched at {:.0}, which was kept last", about.revision, about.fetched_at)
        }
    };
    let again = runtime(1).map_err(|_| no_threads()).and_then(|runtime| runtime.block_on(deliver.again()));
    let copy = again.map_err(one)?;
    let policy = copy.as_ref().map(|copy| Policy { directory: copy.directory(), ..config.policy.clone() });
    Ok(Kept { policy, notes: vec![note], _copy: copy })
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

fn no_threads() -> Setback {
    Setback::Unable("the system gives no threads".to_owned())
}

fn failed(delivery: &Delivery, why: &str) -> Failure {
    Failure::new(
        format!("{}: {why}", delivery.place()),
        "check the source under `policies`, and that this machine reaches it",
    )
}
