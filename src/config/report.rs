//! What was found in one configuration, collected.

use std::path::{Path, PathBuf};

use super::fill::Env;
use super::problem::{At, BadConfig, Finding, Misfit, Place, Warning};
use super::source::{Node, Slip};

/// What was found in one configuration so far, and what it takes to look for more.
pub(super) struct Report<'a> {
    file: &'a Path,
    tree: Node,
    /// The sections of which something was cut out: what refers to them is not looked at.
    broken: Vec<String>,
    /// Names under `servers`, broken ones included.
    pub(super) server_names: Vec<String>,
    pub(super) env: &'a dyn Env,
    errors: Vec<BadConfig>,
    warnings: Vec<Warning>,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a Path, env: &'a dyn Env) -> Self {
        let tree = Node { place: Place { line: 0, column: 0 }, data: super::source::Data::Map(Vec::new()) };
        Self {
            file,
            tree,
            broken: Vec::new(),
            server_names: Vec::new(),
            env,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// From here on, keys are looked up in `tree`.
    pub(super) fn reads(&mut self, tree: Node) {
        self.tree = tree;
    }

    pub(super) fn slips(&mut self, slips: Vec<Slip>) {
        for slip in slips {
            self.broken.extend(slip.at.steps().first().map(|step| match step {
                super::problem::Step::Key(key) => key.clone(),
                super::problem::Step::Item(item) => item.to_string(),
            }));
            let finding = self.finding(slip.place, &slip.at, slip.misfit);
            self.errors.push(BadConfig(finding));
        }
    }

    /// A mistake in the file as a whole.
    pub(super) fn whole(&mut self, what: impl Into<String>, fix: impl Into<String>) {
        let nowhere = Place { line: 0, column: 0 };
        let finding = self.finding(nowhere, &At::default(), Misfit::new(what, fix));
        self.errors.push(BadConfig(finding));
    }

    pub(super) fn error(&mut self, at: &At, what: impl Into<String>, fix: impl Into<String>) {
        let (place, written) = self.tree.locate(at);
        let finding = self.finding(place, &written, Misfit::new(what, fix));
        self.errors.push(BadConfig(finding));
    }

    pub(super) fn warn(&mut self, at: &At, what: impl Into<String>, fix: impl Into<String>) {
        let (place, written) = self.tree.locate(at);
        let finding = self.finding(place, &written, Misfit::new(what, fix));
        self.warnings.push(Warning(finding));
    }

    /// Whether the operator wrote this key.
    pub(super) fn is_written(&self, at: &At) -> bool {
        self.tree.find(at).is_some()
    }

    /// Keys of a map in the order in which they are written.
    pub(super) fn written_keys(&self, at: &At) -> Vec<String> {
        self.tree
            .find(at)
            .map(|node| node.keys().into_iter().map(str::to_owned).collect())
            .unwrap_or_default()
    }

    /// Whether a part of this section was cut out, so that nothing may be concluded from what is not there.
    pub(super) fn is_broken(&self, section: &str) -> bool {
        self.broken.iter().any(|broken| broken == section)
    }

    /// The path as the process reaches it: relative ones are relative to the configuration file.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    pub(super) fn into_errors(mut self) -> Vec<BadConfig> {
        self.errors.sort_by_key(|error| (error.0.line, error.0.column));
        self.errors
    }

    pub(super) fn into_warnings(mut self) -> Vec<Warning> {
        self.warnings.sort_by_key(|warning| (warning.0.line, warning.0.column));
        self.warnings
    }

    fn finding(&self, place: Place, at: &At, misfit: Misfit) -> Finding {
        Finding {
            file: self.file.to_owned(),
            line: place.line,
            column: place.column,
            key: at.to_string(),
            what: misfit.what,
            fix: misfit.fix,
        }
    }
}
