//! `portcullis audit`: prove that the chain is whole, and read it.

use std::collections::HashSet;
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Console, Exit, Failure};
use crate::record::verify::Report;
use crate::record::{self, AuditKey, read};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Find a changed, missing, reordered or cut-off line, and say which
    Verify {
        /// The audit directory
        directory: PathBuf,
    },
    /// Print lines of the audit
    Show(Show),
}

/// Which lines are printed: those that fit everything that is given.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The audit directory
    pub(super) directory: PathBuf,
    /// Of one invocation
    #[arg(long, value_name = "ID")]
    pub(super) invocation: Option<String>,
    /// Of one tenant
    #[arg(long, value_name = "T")]
    pub(super) tenant: Option<String>,
    /// Of one tool
    #[arg(long, value_name = "T")]
    pub(super) tool: Option<String>,
    /// The last so many
    #[arg(long, value_name = "N")]
    pub(super) last: Option<NonZeroUsize>,
}

impl AuditCommand {
    pub(super) fn run(self, console: &mut Console<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Verify { directory } => {
                is_directory(&directory)?;
                verify(&directory, console)
            }
            Self::Show(wanted) => {
                is_directory(&wanted.directory)?;
                show(&wanted, console)
            }
        }
    }
}

fn is_directory(directory: &Path) -> Result<(), Failure> {
    match directory.is_dir() {
        true => Ok(()),
        false => Err(Failure::new(
            format!("there is no directory `{}`", directory.display()),
            "name the directory that `audit.directory` names in the configuration",
        )),
    }
}

/// Verifies the chain; `Exit::Failed` where it is broken.
fn verify(directory: &Path, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let hint = "name the directory that `audit.directory` names in the configuration";
    let report = AuditKey::read(&AuditKey::path(directory))
        .and_then(|key| record::verify::verify(directory, &key))
        .map_err(|error| Failure::new(error.to_string(), hint))?;
    console.data(&report, &verdict(&report));
    Ok(if report.is_whole() { Exit::Done } else { Exit::Failed })
}

/// What a report comes to, in words.
pub(super) fn verdict(report: &Report) -> String {
    let count = |n: u64, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
    let lines = count(report.lines, "line", "lines");
    let segments = count(report.segments as u64, "segment", "segments");
    if report.is_whole() {
        let open = if report.open { ", the last one still open" } else { "" };
        let unfinished = match report.unfinished {
            0 => String::new(),
            n => format!("; no outcome of {}", count(n as u64, "call", "calls")),
        };
        return format!("whole: {lines} in {segments}{open}{unfinished}");
    }
    let findings: String = report.findings.iter().map(|finding| format!("\n{finding}")).collect();
    format!("BROKEN: {lines} in {segments}{findings}")
}

/// Prints the lines that are wanted.
fn show(wanted: &Show, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut found = wanted.find()?;
    if let Some(last) = wanted.last {
        found.drain(..found.len().saturating_sub(last.get()));
    }
    let text: Vec<String> = found.iter().map(brief).collect();
    console.data(&found, &text.join("\n"));
    Ok(Exit::Done)
}

impl Show {
    fn find(&self) -> Result<Vec<Value>, Failure> {
        let mut found = Vec::new();
        // An outcome does not say its tool again: it belongs to the intent of its invocation.
        let mut calls = HashSet::new();
        read::lines(&self.directory, |line| {
            let Ok(line) = serde_json::from_str::<Value>(line) else { return };
            let is = |key: &str, wanted: &Option<String>| {
                wanted.is_none() || line.get(key).and_then(Value::as_str) == wanted.as_deref()
            };
            let invocation = line.get("invocation").and_then(Value::as_str).unwrap_or_default();
            let of_tool = is("tool", &self.tool) || calls.contains(invocation);
            if of_tool && is("invocation", &self.invocation) && is("tenant", &self.tenant) {
                calls.insert(invocation.to_owned());
                found.push(line);
            }
        })
        .map_err(|error| Failure::new(error.to_string(), "run this as the user that the gate runs as"))?;
        Ok(found)
    }
}

/// A line of the audit in short: when, what became of it, who, what, why.
pub(super) fn brief(line: &Value) -> String {
    let word = |key: &str| line.get(key).and_then(Value::as_str);
    let time = word("time").unwrap_or_default();
    let time = time.get(..23).unwrap_or(time);
    let seq = line.get("seq").map(ToString::to_string).unwrap_or_default();
    format!("{seq:>6} {time} {}", gist(line))
}

/// The same without its number and time.
pub(super) fn gist(line: &Value) -> String {
    let word = |key: &str| line.get(key).and_then(Value::as_str);
    let list = line.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rules: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    let mut text = format!("{:<8}", word("kind").unwrap_or("?"));
    let mut add = |part: Option<String>| {
        if let Some(part) = part {
            let _ = write!(text, " {part}");
        }
    };
    let who = [word("tenant"), word("user"), word("agent")].into_iter().flatten().collect::<Vec<_>>();
    add(Some(who.join("/")).filter(|who| !who.is_empty() && word("kind") != Some("outcome")));
    add(word("by").map(str::to_owned));
    add(word("method").map(str::to_owned));
    add(word("path").map(str::to_owned));
    let about = ["tool", "resource", "prompt", "task"].into_iter().find_map(word);
    add(about.map(str::to_owned));
    add(Some(rules.join(",")).filter(|rules| !rules.is_empty()).map(|rules| format!("by {rules}")));
    add(word("event").map(str::to_owned));
    add(word("candidate").map(|candidate| format!("(candidate {candidate})")));
    let changes = line.pointer("/candidate/changes").and_then(Value::as_array).map(Vec::as_slice);
    let changes: Vec<&str> = changes.unwrap_or_default().iter().filter_map(Value::as_str).collect();
    add((!changes.is_empty()).then(|| format!("(candidate: {})", changes.join(","))));
    add(word("status").map(str::to_owned));
    add(line.get("status").and_then(Value::as_u64).map(|status| status.to_string()));
    add(word("reason").map(str::to_owned));
    add(word("code").map(|code| format!("({code})")));
    add(word("argument").map(|argument| format!("({argument})")));
    text
}
