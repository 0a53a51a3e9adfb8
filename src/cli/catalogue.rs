//! `portcullis catalogue`: what servers offer, and what of it is pinned.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ConfigFile, Console, Exit, Failure};
use crate::catalogue::{Definition, Difference, Finding, Kind, Lock, Pinned, compare, scan};
use crate::config::Config;
use crate::name::{ServerName, ToolName};

mod ask;
mod show;

use ask::Asked;

#[derive(Debug, Subcommand)]
pub(super) enum CatalogueCommand {
    /// Read every server's tools, resources, templates and prompts
    Pull(Pull),
    /// Pin every tool as it is now, in a lock file for git; exit 2 where one is refused
    Pin(Pin),
    /// Compare the servers with the lock file; exit 2 where something changed
    Diff(Diff),
    /// Pin tools of one server as they are now, and leave everything else as it is
    Approve(Approve),
}

/// Whom to ask, and in whose name.
#[derive(Debug, Args)]
struct Whom {
    #[command(flatten)]
    file: ConfigFile,
    /// With this tenant's accounts only [default: every account]
    #[arg(long)]
    tenant: Option<String>,
}

/// What all servers offer now, as `catalogue pull` writes it, and whether each of them answered.
pub(super) fn offered(
    console: &mut Console<'_>,
    config: &Config,
    file: &ConfigFile,
    tenant: Option<&str>,
) -> Result<(Value, Exit), Failure> {
    let whom = Whom { file: file.clone(), tenant: tenant.map(str::to_owned) };
    let asked = Asked::of(console, config, &whom, &[])?;
    Ok((asked.pulled(), asked.exit()))
}

#[derive(Debug, Args)]
pub(super) struct Pull {
    #[command(flatten)]
    whom: Whom,
    /// Write to a file [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Pin {
    #[command(flatten)]
    whom: Whom,
    /// Only of this server; repeat for more
    #[arg(long = "server", value_name = "SERVER")]
    servers: Vec<String>,
    /// The lock file [default: what `pins.file` says, else portcullis.lock beside the configuration]
    #[arg(long, visible_alias = "lock", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also tools whose texts have hidden characters
    #[arg(long)]
    accept: bool,
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    #[command(flatten)]
    whom: Whom,
    /// Only of this server; repeat for more
    #[arg(long = "server", value_name = "SERVER")]
    servers: Vec<String>,
    /// The lock file [default: what `pins.file` says, else portcullis.lock beside the configuration]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Approve {
    #[command(flatten)]
    whom: Whom,
    /// The server
    server: String,
    /// The tools; one that the server does not have any more is taken out of the lock
    #[arg(required = true)]
    tools: Vec<String>,
    /// The lock file [default: what `pins.file` says, else portcullis.lock beside the configuration]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Also tools whose texts have hidden characters
    #[arg(long)]
    accept: bool,
}

/// The differences of one server from its pins.
struct Differs {
    server: ServerName,
    differences: Vec<Difference>,
}

impl CatalogueCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Pull(command) => command.run(console),
            Self::Pin(command) => command.run(console),
            Self::Diff(command) => command.run(console),
            Self::Approve(command) => command.run(console),
        }
    }
}

impl Pull {
    fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let config = console.config(&self.whom.file.config)?;
        let asked = Asked::of(console, &config, &self.whom, &[])?;
        let pulled = asked.pulled();
        let text = serde_json::to_string_pretty(&pulled).unwrap_or_default();
        match &self.out {
            None => console.data(&pulled, &text),
            Some(file) => {
                std::fs::write(file, text + "\n").map_err(|why| unwritten(file, &why))?;
                console.note(format_args!("written to {}", file.display()));
            }
        }
        Ok(asked.exit())
    }
}

impl Pin {
    fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let config = console.config(&self.whom.file.config)?;
        let file = lock_file(&config, &self.whom.file, self.out);
        let before = match Lock::load(&file) {
            Err(bad) if bad.missing => Lock::default(),
            other => {
                other.map_err(|bad| Failure::new(bad.to_string(), "or remove it, and pin everything anew"))?
            }
        };
        let asked = Asked::of(console, &config, &self.whom, &self.servers)?;
        let mut pinning =
            Pinning { lock: before, accept: self.accept, differs: Vec::new(), refused: Vec::new() };
        for (server, seen) in asked.tools() {
            pinning.server(server, seen, asked.is_whole(server), &|_| true);
        }
        pinning.end(console, &file, asked.exit())
    }
}

impl Approve {
    fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let config = console.config(&self.whom.file.config)?;
        let file = lock_file(&config, &self.whom.file, self.lock);
        let lock = Lock::load(&file).map_err(|bad| Failure::new(bad.to_string(), "pin everything first"))?;
        let asked = Asked::of(console, &config, &self.whom, std::slice::from_ref(&self.server))?;
        let mut pinning = Pinning { lock, accept: self.accept, differs: Vec::new(), refused: Vec::new() };
        for (server, seen) in asked.tools() {
            for tool in &self.tools {
                let name = ToolName::parse(tool).ok();
                let known = name.is_some_and(|name| {
                    seen.contains_key(&name) || !pinning.lock.pins(server, &name).is_empty()
                });
                if !known {
                    let what =
                        format!("`{server}` has no tool `{}`, and none is pinned", tool.escape_debug());
                    return Err(Failure::new(what, "see `portcullis catalogue diff`"));
                }
            }
            let wanted = |name: &ToolName| self.tools.iter().any(|tool| tool == name.as_str());
            pinning.server(server, seen, asked.is_whole(server), &wanted);
        }
        pinning.end(console, &file, asked.exit())
    }
}

impl Diff {
    fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let config = console.config(&self.whom.file.config)?;
        let file = lock_file(&config, &self.whom.file, self.lock);
        let lock = Lock::load(&file).map_err(|bad| Failure::new(bad.to_string(), "then commit it"))?;
        let asked = Asked::of(console, &config, &self.whom, &self.servers)?;
        let none = Pinned::new();
        let differs: Vec<Differs> = asked
            .tools()
            .map(|(server, seen)| {
                let pinned = lock.servers.get(server).unwrap_or(&none);
                Differs { server: server.clone(), differences: compare(pinned, seen, asked.is_whole(server)) }
            })
            .collect();
        let changed = differs.iter().any(|one| !one.differences.is_empty());
        let value = json!({"changed": changed, "servers": show::values(&differs)});
        let text = if changed { show::text(&differs) } else { "nothing changed".to_owned() };
        console.data(&value, &text);
        // What is known to have changed matters more than what could not be asked.
        Ok(if changed { Exit::Denied } else { asked.exit() })
    }
}

/// A lock that is being brought up to date.
struct Pinning {
    lock: Lock,
    accept: bool,
    differs: Vec<Differs>,
    refused: Vec<String>,
}

impl Pinning {
    /// Takes the tools of a server that are wanted as they are now. `whole`: what was not seen is gone.
    fn server(
        &mut self,
        server: &ServerName,
        seen: &Pinned,
        whole: bool,
        wanted: &dyn Fn(&ToolName) -> bool,
    ) {
        let pinned = self.lock.servers.entry(server.clone()).or_default();
        let mut differences = compare(pinned, seen, whole);
        differences.retain(|difference| wanted(difference.tool()));
        for difference in &differences {
            let name = difference.tool();
            match seen.get(name) {
                None => drop(pinned.remove(name)),
                Some(texts) => {
                    let hidden = texts.iter().any(|text| !self.accept && has_hidden(text));
                    match hidden {
                        true => {
                            self.refused.push(format!("`{}` of `{server}`", name.as_str().escape_debug()))
                        }
                        false => drop(pinned.insert(name.clone(), texts.clone())),
                    }
                }
            }
        }
        self.differs.push(Differs { server: server.clone(), differences });
    }

    fn end(self, console: &mut Console<'_>, file: &std::path::Path, asked: Exit) -> Result<Exit, Failure> {
        self.lock.save(file).map_err(|why| unwritten(file, &why))?;
        let pinned: usize = self.lock.servers.values().map(Pinned::len).sum();
        let value = json!({
            "file": file,
            "pinned": pinned,
            "refused": self.refused,
            "servers": show::values(&self.differs),
        });
        let text = format!("{}{pinned} tools are pinned in {}", show::text(&self.differs), file.display());
        console.data(&value, &text);
        for refused in &self.refused {
            console.note(format_args!("error: {refused} is not pinned: its texts have hidden characters"));
        }
        if self.refused.is_empty() {
            return Ok(asked);
        }
        console.note("hint: have the server mended, or pin it knowingly with `--accept`");
        Ok(Exit::Denied)
    }
}

fn has_hidden(tool: &Definition) -> bool {
    scan(tool).iter().any(|finding| finding.kind == Kind::HiddenCharacters)
}

fn lock_file(config: &Config, file: &ConfigFile, given: Option<PathBuf>) -> PathBuf {
    let configured = || config.pins.as_ref().map(|pins| pins.file.clone());
    given.or_else(configured).unwrap_or_else(|| file.config.with_file_name("portcullis.lock"))
}

fn unwritten(file: &std::path::Path, why: &std::io::Error) -> Failure {
    Failure::new(format!("`{}` cannot be written: {why}", file.display()), "name a file that can be written")
}

/// What is to be looked at in a tool's texts.
fn findings(tool: &Definition) -> Vec<Finding> {
    scan(tool)
}

/// A value in the words of a diff.
fn pretty(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}
