//! The lock file: every pinned tool on a line of its own, in one order, with the texts that were approved.
//!
//! # Why the texts and not only their digests
//! A digest says that something changed. Whoever approves must see what, and the server shows only what it says now; so the
//! file keeps both, and a line whose text does not have its digest is refused. Characters that nobody can see are written
//! as `\u` escapes, so that a review of the file shows them.
//!
//! # Why a name may stand there twice
//! A server may describe a tool otherwise to one tenant's account than to another's. Each text that was approved is a pin.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::catalogue::definition::{Definition, Digest, MEMBERS};
use crate::catalogue::scan;
use crate::decode::reply;
use crate::name::{ServerName, ToolName};

/// No lock is larger; in bytes.
const LARGEST: u64 = 64 << 20;

/// How deep it may be nested.
const DEPTH: usize = 110;

/// What is pinned: for each server its tools, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lock {
    /// A server that is not here has no tool pinned.
    pub servers: BTreeMap<ServerName, Pinned>,
}

/// The pinned tools of a server.
pub type Pinned = BTreeMap<ToolName, Vec<Definition>>;

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
    servers: BTreeMap<String, Vec<Box<RawValue>>>,
}

const WRITE_IT: &str = "write it with `portcullis catalogue pin`, and see its diff before you commit it";
const REPAIR: &str = "take the file from git again, or approve the tool with `portcullis catalogue approve`";

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
        if file.version != 1 {
            return Err(format!("it is of version {}, and this gate reads version 1", file.version));
        }
        let mut lock = Self::default();
        for (name, tools) in &file.servers {
            let server = ServerName::parse(name).map_err(|why| format!("`{name}` is no server: {why}"))?;
            let pinned = lock.servers.entry(server).or_default();
            for line in tools {
                let definition = entry(name, line)?;
                pinned.entry(definition.name.clone()).or_default().push(definition);
            }
        }
        Ok(lock)
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::from("{\n  \"version\": 1,\n  \"servers\": {");
        for (at, (server, pinned)) in self.servers.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\n    {}: [", Value::from(server.as_str()));
            let lines: Vec<String> = pinned.values().flat_map(|tools| sorted(tools)).collect();
            for (at, line) in lines.iter().enumerate() {
                let comma = if at > 0 { "," } else { "" };
                let _ = write!(out, "{comma}\n      {line}");
            }
            out.push_str(if lines.is_empty() { "]" } else { "\n    ]" });
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

    /// What is pinned under a name.
    #[must_use]
    pub fn pins(&self, server: &ServerName, tool: &ToolName) -> &[Definition] {
        self.servers.get(server).and_then(|pinned| pinned.get(tool)).map(Vec::as_slice).unwrap_or_default()
    }
}

/// It is no secret, and belongs to whoever may read the repository.
fn readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

fn entry(server: &str, line: &RawValue) -> Result<Definition, String> {
    let value: Value = serde_json::from_str(line.get()).map_err(|why| why.to_string())?;
    let definition = Definition::of(&value).ok_or_else(|| format!("a tool of `{server}` has no name"))?;
    let name = definition.name.as_str().escape_debug().to_string();
    let known = |key: &str| key == "name" || key == "sha256" || MEMBERS.contains(&key);
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
    let mut out = format!("{{\"name\":{},\"sha256\":\"{digest}\"", Value::from(tool.name.as_str()));
    for member in MEMBERS {
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
        let mut lock = Lock::default();
        let pinned = lock.servers.entry(ServerName::parse("erp").unwrap()).or_default();
        for text in tools {
            let tool = Definition::of(&serde_json::from_str(text).unwrap()).unwrap();
            pinned.entry(tool.name.clone()).or_default().push(tool);
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
        assert_eq!(Lock::read(&Lock::default().text()).unwrap(), Lock::default());
    }

    #[test]
    fn a_line_that_was_edited_by_hand_is_refused_and_named() {
        let text = lock(&[r#"{"name":"pay","description":"Pays."}"#]).text();
        let told = Lock::read(&text.replace("Pays.", "Pays all.")).unwrap_err();
        assert!(told.contains("`pay` of `erp`") && told.contains("sha256"), "{told}");
        let twice = text.replace("\"version\": 1,", "\"version\": 1, \"version\": 1,");
        assert!(Lock::read(&twice).is_err());
        assert!(
            Lock::read(&text.replace("\"version\": 1", "\"version\": 2")).unwrap_err().contains("version 2")
        );
        assert!(Lock::read("<<<<<<< HEAD\n").unwrap_err().contains("line 1"));
    }

    #[test]
    fn what_nobody_can_see_is_seen_in_the_file() {
        let one = lock(&["{\"name\":\"a\",\"description\":\"Reads\u{200b}\u{e0041} it.\"}"]);
        assert!(one.text().contains("Reads\\u200b\\udb40\\udc41 it."), "{}", one.text());
        assert_eq!(Lock::read(&one.text()).unwrap(), one);
    }
}
