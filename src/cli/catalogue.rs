//! `portcullis catalogue`: what servers offer, and what of it is pinned.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ConfigFile, Console, Exit, Failure};
use crate::catalogue::{Definition, Difference, Finding, Kind, Lock, Pinned, Thing, Things, compare, scan};
use crate::config::Config;
use crate::name::ServerName;

mod ask;
mod show;

use ask::Asked;

#[derive(Debug, Subcommand)]
pub(super) enum CatalogueCommand {
    /// Read every server's tools, resources, templates and prompts
    Pull(Pull),
    /// Pin every tool and prompt as it is now, in a lock file for git; exit 2 where one is refused
    Pin(Pin),
    /// Compare the servers with the lock file; exit 2 where something changed
    Diff(Diff),
    /// Pin tools, prompts or resources of one server as they are now, and leave everything else as it is
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
    /// Also what has hidden characters in its texts
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
    #[arg(required_unless_present_any = ["prompts", "resources", "templates"])]
    tools: Vec<String>,
    /// A prompt; repeat for more
    #[arg(long = "prompt", value_name = "NAME")]
    prompts: Vec<String>,
    /// A resource; repeat for more
    #[arg(long = "resource", value_name = "URI")]
    resources: Vec<String>,
    /// A resource template; repeat for more
    #[arg(long = "template", value_name = "TEMPLATE")]
    templates: Vec<String>,
    /// The lock file [default: what `pins.file` says, else portcullis.lock beside the configuration]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Also what has hidden characters in its texts
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
            Err(bad) if bad.missing => Lock::of([Thing::Tool]),
            other => {
                other.map_err(|bad| Failure::new(bad.to_string(), "or remove it, and pin everything anew"))?
            }
        };
        let asked = Asked::of(console, &config, &self.whom, &self.servers)?;
        let lock = speaking(before, wanted(&config));
        let mut pinning = Pinning { lock, accept: self.accept, differs: Vec::new(), refused: Vec::new() };
        for (server, seen) in asked.seen() {
            pinning.server(server, seen, &|thing| asked.is_whole(server, thing), &|_, _| true);
        }
        pinning.end(console, &file, asked.exit())
    }
}

/// The kinds that a configuration wants pinned; `None`: it says nothing of them.
fn wanted(config: &Config) -> Option<Things> {
    let also = config.pins.as_ref()?.also.as_ref()?;
    let kinds = also.iter().filter_map(|kind| Thing::of_plural(kind.as_str()));
    Some(kinds.chain([Thing::Tool]).collect())
}

/// The lock as it speaks of these kinds; where none are named, of those that it has, and of tools and prompts.
fn speaking(mut lock: Lock, wanted: Option<Things>) -> Lock {
    match wanted {
        None => lock.things.extend([Thing::Tool, Thing::Prompt]),
        Some(things) => lock.things = things,
    }
    for pinned in lock.servers.values_mut() {
        pinned.retain(|(thing, _), _| lock.things.contains(thing));
    }
    lock
}

impl Approve {
    fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let config = console.config(&self.whom.file.config)?;
        let file = lock_file(&config, &self.whom.file, self.lock.clone());
        let lock = Lock::load(&file).map_err(|bad| Failure::new(bad.to_string(), "pin everything first"))?;
        let asked = Asked::of(console, &config, &self.whom, std::slice::from_ref(&self.server))?;
        let mut pinning = Pinning { lock, accept: self.accept, differs: Vec::new(), refused: Vec::new() };
        for (server, seen) in asked.seen() {
            for named in self.named() {
                self.check(&pinning.lock, server, seen, named)?;
            }
            let wanted = |thing: Thing, name: &str| self.named().any(|named| named == (thing, name));
            pinning.server(server, seen, &|thing| asked.is_whole(server, thing), &wanted);
        }
        pinning.end(console, &file, asked.exit())
    }

    fn named(&self) -> impl Iterator<Item = (Thing, &str)> {
        let lists = [
            (Thing::Tool, &self.tools),
            (Thing::Prompt, &self.prompts),
            (Thing::Resource, &self.resources),
            (Thing::Template, &self.templates),
        ];
        lists.into_iter().flat_map(|(thing, names)| names.iter().map(move |name| (thing, name.as_str())))
    }

    fn check(
        &self,
        lock: &Lock,
        server: &ServerName,
        seen: &Pinned,
        (thing, name): (Thing, &str),
    ) -> Result<(), Failure> {
        if !lock.things.contains(&thing) {
            let what = format!("the lock does not pin {}", thing.plural());
            return Err(Failure::new(what, "pin them with `portcullis catalogue pin`, see `pins.also`"));
        }
        let offered = seen.keys().any(|(own, known)| *own == thing && known.as_str() == name);
        if offered || lock.has(server, thing, name) {
            return Ok(());
        }
        let (kind, name) = (thing.as_str(), name.escape_debug());
        let what = format!("`{server}` has no {kind} `{name}`, and none is pinned");
        Err(Failure::new(what, "see `portcullis catalogue diff`"))
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
            .seen()
            .map(|(server, seen)| {
                let pinned = lock.servers.get(server).unwrap_or(&none);
                let seen = of_kinds(seen, &lock.things);
                let differences = compare(pinned, &seen, &|thing| asked.is_whole(server, thing));
                Differs { server: server.clone(), differences }
            })
            .collect();
        if !lock.things.contains(&Thing::Prompt) && wanted(&config).is_none() {
            console.note("note: the lock does not pin prompts, so they are not compared: `portcullis catalogue pin` pins them");
        }
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
    /// Takes what is wanted of a server as it is now. `whole`: of which kinds what was not seen is gone.
    fn server(
        &mut self,
        server: &ServerName,
        seen: &Pinned,
        whole: &dyn Fn(Thing) -> bool,
        wanted: &dyn Fn(Thing, &str) -> bool,
    ) {
        let seen = of_kinds(seen, &self.lock.things);
        let pinned = self.lock.servers.entry(server.clone()).or_default();
        let mut differences = compare(pinned, &seen, whole);
        differences.retain(|difference| wanted(difference.thing(), difference.name().as_str()));
        for difference in &differences {
            let key = (difference.thing(), difference.name().clone());
            match seen.get(&key) {
                None => drop(pinned.remove(&key)),
                Some(texts) => {
                    let hidden = texts.iter().any(|text| !self.accept && has_hidden(text));
                    match hidden {
                        true => {
                            self.refused.push(format!("`{}` of `{server}`", key.1.as_str().escape_debug()))
                        }
                        false => drop(pinned.insert(key, texts.clone())),
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
        let counted: Vec<String> = self.lock.things.iter().filter_map(|thing| self.counted(*thing)).collect();
        let counted = if counted.is_empty() { "nothing".to_owned() } else { counted.join(", ") };
        let be = if pinned > 1 { "are" } else { "is" };
        let text = format!("{}{counted} {be} pinned in {}", show::text(&self.differs), file.display());
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

impl Pinning {
    /// How many are pinned of a kind: `10 tools`; `None`: none.
    fn counted(&self, thing: Thing) -> Option<String> {
        let of_kind = |pinned: &Pinned| pinned.keys().filter(|(kind, _)| *kind == thing).count();
        let count: usize = self.lock.servers.values().map(of_kind).sum();
        match count {
            0 => None,
            1 => Some(format!("1 {}", thing.as_str())),
            many => Some(format!("{many} {}", thing.plural())),
        }
    }
}

/// What a server offers of these kinds.
fn of_kinds(seen: &Pinned, things: &Things) -> Pinned {
    let wanted = seen.iter().filter(|((thing, _), _)| things.contains(thing));
    wanted.map(|(key, texts)| (key.clone(), texts.clone())).collect()
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

/// What is to be looked at in its texts.
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
