//! The lock file: everything that is pinned on a line of its own, in one order, with the texts that were approved.
//!
//! # Why the texts and not only their digests
//! A digest says that something changed. Whoever approves must see what, and the server shows only what it says now; so the
//! file keeps both, and a line whose text does not have its digest is refused. Characters that nobody can see are written
//! as `\u` escapes, so that a review of the file shows them.
//!
//! # Why a name may stand there twice
//! A server may describe a tool otherwise to one tenant's account than to another's. Each text that was approved is a pin.

//!
//! # Why it says what it pins
//! A file of version 1 had tools alone. Read as one that knows no prompts, it would take every prompt away when a gate is
//! renewed. What a file does not speak of is not compared, until somebody pins it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::catalogue::definition::{Definition, Digest, ItemName};
use crate::catalogue::scan;
use crate::catalogue::thing::{Thing, Things};
use crate::decode::reply;
use crate::name::ServerName;

/// No lock is larger; in bytes.
const LARGEST: u64 = 64 << 20;

/// How deep it may be nested.
const DEPTH: usize = 110;

/// What is pinned: for each server its tools, prompts, resources and templates, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Lock {
    /// The kinds that it speaks of.
    pub things: Things,
    /// A server that is not here has nothing pinned.
    pub servers: BTreeMap<ServerName, Pinned>,
}

/// What is pinned of a server.
pub type Pinned = BTreeMap<(Thing, ItemName), Vec<Definition>>;

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {what}; {fix}", path = .file.display())]
pub struct BadLock {
    /// The file.
    pub file: PathBuf,
    /// What is wrong, with line and column where it has one.
    pub what: String,
    /// What to do.
    pub fix: &'static str,
    /// Whether it is not there at all.
    pub missing: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default)]
    pins: Option<Vec<String>>,
    #[serde(default)]
    servers: BTreeMap<String, Box<RawValue>>,
}

/// The newest version of the file. Version 1 had a list of tools for each server, and nothing else.
const VERSION: u32 = 2;

type Lists = BTreeMap<String, Vec<Box<RawValue>>>;

const WRITE_IT: &str = "write it with `portcullis catalogue pin`, and see its diff before you commit it";
const REPAIR: &str = "take the file from git again, or approve it with `portcullis catalogue approve`";

impl Lock {
    /// The lock in `file`.
    ///
    /// # Errors
    /// It is missing, or not as the gate writes it.
    pub fn load(file: &Path) -> Result<Self, BadLock> {
        let bad = |what: String, fix| BadLock { file: file.to_owned(), what, fix, missing: false };
        let size = std::fs::metadata(file).map_or(0, |data| data.len());
        if size > LARGEST {
            return Err(bad("it is larger than 64 MiB".to_owned(), WRITE_IT));
        }
        let text = std::fs::read_to_string(file).map_err(|why| BadLock {
            missing: why.kind() == std::io::ErrorKind::NotFound,
            ..bad(format!("the lock cannot be read: {why}"), WRITE_IT)
        })?;
        Self::read(&text).map_err(|what| bad(what, REPAIR))
    }

    /// The lock in a text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let whole: &RawValue = serde_json::from_str(text).map_err(|why| format!("it is not JSON: {why}"))?;
        reply::strict(whole, DEPTH).map_err(|why| why.to_string())?;
        let file: File = serde_json::from_str(text).map_err(|why| format!("it is no lock: {why}"))?;
        let mut lock = Self::of(file.things()?);
        for (name, lists) in &file.servers {
            let server = ServerName::parse(name).map_err(|why| format!("`{name}` is no server: {why}"))?;
            let pinned = lock.servers.entry(server).or_default();
            for (thing, line) in file.lines(name, lists)? {
                if !lock.things.contains(&thing) {
                    return Err(format!("`{name}` has {}, which are not in `pins`", thing.plural()));
                }
                let definition = entry(name, thing, &line)?;
                pinned.entry((thing, definition.name.clone())).or_default().push(definition);
            }
        }
        Ok(lock)
    }

    /// An empty lock that speaks of these kinds.
    #[must_use]
    pub fn of(things: impl IntoIterator<Item = Thing>) -> Self {
        Self { things: things.into_iter().collect(), servers: BTreeMap::new() }
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let kinds: Vec<&str> = self.things.iter().map(|thing| thing.plural()).collect();
        let kinds = Value::from(kinds);
        let mut out = format!("{{\n  \"version\": {VERSION},\n  \"pins\": {kinds},\n  \"servers\": {{");
        for (at, (server, pinned)) in self.servers.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\n    {}: {{", Value::from(server.as_str()));
            let lists: Vec<String> = self.things.iter().filter_map(|thing| list(*thing, pinned)).collect();
            let _ = write!(out, "{}", lists.join(","));
            out.push_str(if lists.is_empty() { "}" } else { "\n    }" });
        }
        out.push_str(if self.servers.is_empty() { "}\n}\n" } else { "\n  }\n}\n" });
        out
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// The system's reason.
    pub fn save(&self, file: &Path) -> std::io::Result<()> {
        let directory =
            file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut new = tempfile::Builder::new().prefix(".portcullis-lock").tempfile_in(directory)?;
        std::io::Write::write_all(&mut new, self.text().as_bytes())?;
        new.as_file().sync_all()?;
        readable(new.as_file())?;
        new.persist(file).map(drop).map_err(|error| error.error)
    }

    /// Whether something is pinned under a name.
    #[must_use]
    pub fn has(&self, server: &ServerName, thing: Thing, name: &str) -> bool {
        let same = |(kind, own): &(Thing, ItemName)| *kind == thing && own.as_str() == name;
        self.servers.get(server).is_some_and(|pinned| pinned.keys().any(same))
    }
}

impl File {
    fn things(&self) -> Result<Things, String> {
        match (self.version, &self.pins) {
            (1, None) => Ok(Things::from([Thing::Tool])),
            (VERSION, Some(kinds)) => {
                let thing = |kind: &String| {
                    Thing::of_plural(kind)
                        .ok_or_else(|| format!("`pins` has `{kind}`, which nothing is called"))
                };
                let things: Things = kinds.iter().map(thing).collect::<Result<_, _>>()?;
                match things.contains(&Thing::Tool) {
                    true => Ok(things),
                    false => Err("`pins` does not have `tools`, which every lock pins".to_owned()),
                }
            }
            (VERSION, None) => Err("it does not say what it pins: `pins` is missing".to_owned()),
            (1, Some(_)) => Err("a file of version 1 has no `pins`".to_owned()),
            (other, _) => {
                Err(format!("it is of version {other}, and this gate reads versions 1 and {VERSION}"))
            }
        }
    }

    fn lines(&self, server: &str, lists: &RawValue) -> Result<Vec<(Thing, Box<RawValue>)>, String> {
        let bad = |why: serde_json::Error| format!("`{server}`: it is no lock: {why}");
        if self.version == 1 {
            let tools: Vec<Box<RawValue>> = serde_json::from_str(lists.get()).map_err(bad)?;
            return Ok(tools.into_iter().map(|line| (Thing::Tool, line)).collect());
        }
        let lists: Lists = serde_json::from_str(lists.get()).map_err(bad)?;
        let mut lines = Vec::new();
        for (kind, list) in lists {
            let thing = Thing::of_plural(&kind)
                .ok_or_else(|| format!("`{server}` has the key `{kind}`, which a lock does not have"))?;
            lines.extend(list.into_iter().map(|line| (thing, line)));
        }
        Ok(lines)
    }
}

/// The list of one kind; `None`: there is none of it.
fn list(thing: Thing, pinned: &Pinned) -> Option<String> {
    let of_kind = pinned.iter().filter(|((kind, _), _)| *kind == thing);
    let lines: Vec<String> = of_kind.flat_map(|(_, texts)| sorted(texts)).collect();
    let lines = (!lines.is_empty()).then(|| lines.join(",\n        "))?;
    Some(format!("\n      \"{}\": [\n        {lines}\n      ]", thing.plural()))
}

/// It is no secret, and belongs to whoever may read the repository.
fn readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

fn entry(server: &str, thing: Thing, line: &RawValue) -> Result<Definition, String> {
    let value: Value = serde_json::from_str(line.get()).map_err(|why| why.to_string())?;
    let definition = Definition::of(thing, &value)
        .ok_or_else(|| format!("a {} of `{server}` has no `{}`", thing.as_str(), thing.key()))?;
    let name = definition.name.as_str().escape_debug().to_string();
    let known = |key: &str| key == thing.key() || key == "sha256" || thing.members().contains(&key);
    let keys = value.as_object().into_iter().flat_map(|object| object.keys());
    if let Some(key) = keys.into_iter().find(|key| !known(key)) {
        return Err(format!("`{name}` of `{server}` has the key `{key}`, which a lock does not have"));
    }
    let written = value.get("sha256").and_then(Value::as_str).and_then(Digest::parse);
    match written {
        Some(digest) if digest == definition.digest() => Ok(definition),
        Some(_) => Err(format!("`{name}` of `{server}` does not have its `sha256`: the line was edited")),
        None => Err(format!("`{name}` of `{server}` has no `sha256`")),
    }
}

fn sorted(tools: &[Definition]) -> Vec<String> {
    let mut lines: Vec<_> = tools.iter().map(|tool| (tool.digest(), tool)).collect();
    lines.sort_by_key(|(digest, _)| *digest);
    lines.dedup_by_key(|(digest, _)| *digest);
    lines.into_iter().map(|(digest, tool)| line(digest, tool)).collect()
}

fn line(digest: Digest, tool: &Definition) -> String {
    let (key, name) = (tool.thing.key(), Value::from(tool.name.as_str()));
    let mut out = format!("{{\"{key}\":{name},\"sha256\":\"{digest}\"");
    for member in tool.thing.members() {
        if let Some(value) = tool.members.get(member) {
            let _ = write!(out, ",\"{member}\":{value}");
        }
    }
    out.push('}');
    scan::escaped(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(tools: &[&str]) -> Lock {
        let mut lock = Lock::of([Thing::Tool]);
        let pinned = lock.servers.entry(ServerName::parse("erp").unwrap()).or_default();
        for text in tools {
            let tool = Definition::of(Thing::Tool, &serde_json::from_str(text).unwrap()).unwrap();
            pinned.entry((Thing::Tool, tool.name.clone())).or_default().push(tool);
        }
        lock
    }

    #[test]
    fn a_lock_is_read_as_it_was_written_with_one_tool_a_line_in_one_order() {
        let one =
            lock(&[r#"{"name":"b","description":"B"}"#, r#"{"name":"a","inputSchema":{"type":"object"}}"#]);
        let other =
            lock(&[r#"{"name":"a","inputSchema":{"type":"object"}}"#, r#"{"name":"b","description":"B"}"#]);
        assert_eq!(one.text(), other.text());
        assert_eq!(Lock::read(&one.text()).unwrap(), one);
        let tools: Vec<_> =
            one.text().lines().filter(|line| line.contains("\"name\"")).map(str::to_owned).collect();
        assert!(tools.len() == 2 && tools[0].contains("\"a\"") && tools[1].contains("\"B\""), "{tools:?}");
        let none = Lock::of([Thing::Tool]);
        assert_eq!(Lock::read(&none.text()).unwrap(), none);
    }

    #[test]
    fn a_line_that_was_edited_by_hand_is_refused_and_named() {
        let text = lock(&[r#"{"name":"pay","description":"Pays."}"#]).text();
        let told = Lock::read(&text.replace("Pays.", "Pays all.")).unwrap_err();
        assert!(told.contains("`pay` of `erp`") && told.contains("sha256"), "{told}");
        let twice = text.replace("\"version\": 2,", "\"version\": 2, \"version\": 2,");
        assert!(Lock::read(&twice).is_err());
        assert!(
            Lock::read(&text.replace("\"version\": 2", "\"version\": 3")).unwrap_err().contains("version 3")
        );
        assert!(Lock::read("<<<<<<< HEAD\n").unwrap_err().contains("line 1"));
    }

    #[test]
    fn what_nobody_can_see_is_seen_in_the_file() {
        let one = lock(&["{\"name\":\"a\",\"description\":\"Reads\u{200b}\u{e0041} it.\"}"]);
        assert!(one.text().contains("Reads\\u200b\\udb40\\udc41 it."), "{}", one.text());
        assert_eq!(Lock::read(&one.text()).unwrap(), one);
    }

    #[test]
    fn a_lock_of_version_1_still_pins_its_tools_and_says_nothing_of_prompts() {
        let tool = lock(&[r#"{"name":"pay","description":"Pays."}"#]);
        let line = tool.text().lines().find(|line| line.contains("sha256")).unwrap().trim().to_owned();
        let old = format!("{{\"version\": 1, \"servers\": {{\"erp\": [{line}]}}}}");
        let read = Lock::read(&old).unwrap();
        assert_eq!(read, tool);
        assert!(read.things == Things::from([Thing::Tool]) && read.text().contains("\"version\": 2"));
    }

    #[test]
    fn every_kind_is_read_as_it_was_written_and_what_the_lock_does_not_speak_of_is_refused() {
        let mut all = Lock::of(Thing::ALL);
        let pinned = all.servers.entry(ServerName::parse("erp").unwrap()).or_default();
        for (thing, text) in [
            (Thing::Prompt, r#"{"name":"greet","arguments":[{"name":"who"}]}"#),
            (Thing::Resource, r#"{"uri":"a:b","name":"B","mimeType":"text/plain"}"#),
            (Thing::Template, r#"{"uriTemplate":"a:{x}","name":"A"}"#),
        ] {
            let one = Definition::of(thing, &serde_json::from_str(text).unwrap()).unwrap();
            pinned.entry((thing, one.name.clone())).or_default().push(one);
        }
        assert_eq!(Lock::read(&all.text()).unwrap(), all);
        let less = all.text().replace("\"tools\",\"prompts\",", "\"tools\",");
        assert!(Lock::read(&less).unwrap_err().contains("has prompts, which are not in `pins`"), "{less}");
    }
}
