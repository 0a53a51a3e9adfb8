//! A policy directory → its modules and its data, placed as OPA places them.
//!
//! `*.rego` are modules; `data.yaml` and `data.json` are data, and the folder that they stand in is their path in
//! `data`. `*_test.rego` are loaded for tests only, and `*_cases.yaml` hold cases for them. Names that begin with a dot are left alone (`.git`, and the
//! `..data` that a Kubernetes volume is mounted through).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::decide::problem::{At, PolicyProblem, nearest};
use crate::decide::sources::{CopyError, Source, Sources};
use crate::decide::yaml::{Document, below};
use crate::decide::{cases, fit};
use crate::name::Revision;

/// How deep folders may be nested: a link that leads back to its parent ends here.
const DEPTH: usize = 16;

/// One policy directory, read.
#[derive(Debug)]
pub(in crate::decide) struct Bundle {
    /// Modules that serve.
    pub(in crate::decide) modules: Vec<Text>,
    /// Modules that only test.
    pub(in crate::decide) tests: Vec<Text>,
    /// Data files and the path in `data` that each fills.
    pub(in crate::decide) documents: Vec<Placed>,
    /// Files of cases.
    pub(in crate::decide) cases: Vec<Text>,
    /// What tenants' data may hold.
    pub(in crate::decide) schemas: Vec<Text>,
    /// All data merged.
    pub(in crate::decide) data: Value,
    /// The digest of every path and content.
    pub(in crate::decide) revision: Revision,
    /// Every file.
    pub(in crate::decide) sources: Sources,
}

/// One file's text.
#[derive(Debug, Clone)]
pub(in crate::decide) struct Text {
    /// The file, as the operator would open it.
    pub(in crate::decide) file: String,
    /// Its content.
    pub(in crate::decide) text: String,
}

/// A data file and where it goes.
#[derive(Debug)]
pub(in crate::decide) struct Placed {
    /// The file.
    pub(in crate::decide) file: String,
    /// The names of its folders.
    pub(in crate::decide) path: Vec<String>,
    /// What it says.
    pub(in crate::decide) document: Document,
}

impl Bundle {
    /// Reads a directory, as far as it can be read. Modules are not parsed here.
    pub(in crate::decide) fn read(directory: &Path) -> (Self, Vec<PolicyProblem>) {
        let (files, mut problems) = files(directory);
        let sources = sources(&files);
        let mut bundle = Self {
            modules: Vec::new(),
            tests: Vec::new(),
            documents: Vec::new(),
            cases: Vec::new(),
            schemas: Vec::new(),
            data: Value::Object(Map::new()),
            revision: sources.digest(),
            sources,
        };
        for file in files {
            if let Err(mut found) = bundle.take(file) {
                problems.append(&mut found);
            }
        }
        problems.extend(bundle.merge());
        problems.extend(fit::problems(&bundle));
        if bundle.modules.is_empty() && problems.is_empty() {
            problems.push(no_policy(directory));
        }
        (bundle, problems)
    }

    /// Whether a data file has a value at a path of `data`.
    pub(in crate::decide) fn defines<S: AsRef<str>>(&self, path: &[S]) -> bool {
        path.iter().try_fold(&self.data, |value, name| value.get(name.as_ref())).is_some()
    }

    fn take(&mut self, file: Found) -> Result<(), Vec<PolicyProblem>> {
        let name = file.relative.last().map_or("", String::as_str);
        if name.ends_with("_test.rego") {
            self.tests.push(file.text()?);
        } else if name.ends_with(".rego") {
            self.modules.push(file.text()?);
        } else if cases::is_case_file(name) {
            self.cases.push(file.text()?);
        } else if fit::is_schema(name) {
            self.schemas.push(file.text()?);
        } else if let Some(read) = reader(name) {
            let text = file.text()?;
            let document = read(&text.file, &text.text)?;
            let folders = file.relative.len().saturating_sub(1);
            let path = file.relative.into_iter().take(folders).collect();
            self.documents.push(Placed { file: text.file, path, document });
        } else {
            file.refuse_misnamed()?;
        }
        Ok(())
    }

    fn merge(&mut self) -> Vec<PolicyProblem> {
        let mut problems = Vec::new();
        for placed in &self.documents {
            let mut value = placed.document.value.clone();
            if value.is_null() {
                value = Value::Object(Map::new());
            }
            if !value.is_object() {
                let fix = "write a mapping: a file's folder is its path in `data`";
                problems.push(PolicyProblem::new(&placed.file, At::START, "data that is not a mapping", fix));
                continue;
            }
            for name in placed.path.iter().rev() {
                value = Value::Object(Map::from_iter([(name.clone(), value)]));
            }
            let mut clashes = Vec::new();
            join(&mut self.data, value, "", &mut clashes);
            problems.extend(clashes.into_iter().map(|pointer| placed.clash(&pointer)));
        }
        problems
    }
}

impl Placed {
    /// Where a member of `data` stands in this file, by its pointer in `data`; `None` if it is not in it.
    pub(in crate::decide) fn at(&self, pointer: &str) -> Option<At> {
        let prefix = self.path.iter().fold(String::new(), |pointer, name| below(&pointer, name));
        let inner = pointer.strip_prefix(&prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        self.document.value.pointer(inner).is_some().then(|| self.document.at(inner))
    }

    fn clash(&self, pointer: &str) -> PolicyProblem {
        let at = self.at(pointer).unwrap_or(At::START);
        let what = format!("`data{}` has a value from another file already", pointer.replace('/', "."));
        PolicyProblem::new(&self.file, at, what, "keep one of the two")
    }
}

/// Deep-merges; a path that holds a value on both sides, other than two mappings, is a clash.
fn join(into: &mut Value, from: Value, pointer: &str, clashes: &mut Vec<String>) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                let pointer = below(pointer, &name);
                match into.get_mut(&name) {
                    Some(there) => join(there, value, &pointer, clashes),
                    None => {
                        into.insert(name, value);
                    }
                }
            }
        }
        _ => clashes.push(pointer.to_owned()),
    }
}

type Read = fn(&str, &str) -> Result<Document, Vec<PolicyProblem>>;

fn reader(name: &str) -> Option<Read> {
    match name {
        "data.yaml" | "data.yml" => Some(Document::yaml),
        "data.json" => Some(Document::json),
        _ => None,
    }
}

/// A file of the directory.
struct Found {
    relative: Vec<String>,
    file: String,
    content: Arc<[u8]>,
}

impl Found {
    fn text(&self) -> Result<Text, Vec<PolicyProblem>> {
        match std::str::from_utf8(&self.content) {
            Ok(text) => Ok(Text { file: self.file.clone(), text: text.to_owned() }),
            Err(_) => {
                Err(vec![PolicyProblem::new(&self.file, At::START, "not UTF-8", "save the file as UTF-8")])
            }
        }
    }

    /// A data file that OPA would pass over because of a slip in its name.
    fn refuse_misnamed(&self) -> Result<(), Vec<PolicyProblem>> {
        let name = self.relative.last().map_or("", String::as_str);
        match nearest(name, ["data.yaml", "data.json"]).filter(|_| !name.ends_with(".md")) {
            Some(right) => {
                let what = format!("`{name}` is not loaded");
                Err(vec![PolicyProblem::new(&self.file, At::START, what, format!("call it `{right}`"))])
            }
            None => Ok(()),
        }
    }
}

/// The digest of a directory, where it can be read: what a watcher compares.
pub(in crate::decide) fn fingerprint(directory: &Path) -> Option<Revision> {
    let (files, problems) = files(directory);
    problems.is_empty().then(|| sources(&files).digest())
}

/// Writes what counts of a directory to another one, which is there as a whole or not at all.
pub(in crate::decide) fn copy(from: &Path, to: &Path) -> Result<Revision, CopyError> {
    let (files, problems) = files(from);
    if let Some(problem) = problems.into_iter().next() {
        return Err(CopyError::Read(problem));
    }
    let sources = sources(&files);
    sources.write(to)?;
    Ok(sources.digest())
}

/// The digest of every path and content.
pub(in crate::decide) fn digest(files: &[Source]) -> Revision {
    let mut hash = Sha256::new();
    for file in files {
        for part in [file.path.as_bytes(), &file.content] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    let text: String = hex::encode(hash.finalize()).chars().take(32).collect();
    Revision::from_digest(&text)
}

fn sources(files: &[Found]) -> Sources {
    let source = |file: &Found| Source { path: file.relative.join("/"), content: Arc::clone(&file.content) };
    Sources::new(files.iter().map(source).collect())
}

/// Every file that counts, sorted by its path.
fn files(directory: &Path) -> (Vec<Found>, Vec<PolicyProblem>) {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let mut open: Vec<(PathBuf, Vec<String>)> = vec![(directory.to_owned(), Vec::new())];
    while let Some((folder, relative)) = open.pop() {
        if let Err(problem) = list(&folder, &relative, &mut found, &mut open) {
            problems.push(problem);
        }
    }
    found.sort_by(|a, b| a.relative.cmp(&b.relative));
    (found, problems)
}

fn list(
    folder: &Path,
    relative: &[String],
    found: &mut Vec<Found>,
    open: &mut Vec<(PathBuf, Vec<String>)>,
) -> Result<(), PolicyProblem> {
    let unreadable = |path: &Path, e: std::io::Error| {
        let fix = "check that it is there and that the gate may read it";
        PolicyProblem::new(&path.display().to_string(), At::START, format!("it cannot be read: {e}"), fix)
    };
    if relative.len() > DEPTH {
        let what = format!("folders are nested deeper than {DEPTH}");
        return Err(PolicyProblem::new(
            &folder.display().to_string(),
            At::START,
            what,
            "look for a link that leads back",
        ));
    }
    for entry in fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
        let path = entry.map_err(|e| unreadable(folder, e))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with('.') {
            continue;
        }
        let inner: Vec<String> = relative.iter().cloned().chain([name.to_owned()]).collect();
        if path.is_dir() {
            open.push((path, inner));
        } else if counts(name) {
            let content = fs::read(&path).map_err(|e| unreadable(&path, e))?.into();
            found.push(Found { relative: inner, file: path.display().to_string(), content });
        }
    }
    Ok(())
}

fn counts(name: &str) -> bool {
    [".rego", ".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
}

fn no_policy(directory: &Path) -> PolicyProblem {
    let fix = "put a `.rego` file with `package mcp.authz` there";
    PolicyProblem::new(&directory.display().to_string(), At::START, "there is no policy here", fix)
}
