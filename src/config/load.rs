//! Loads a configuration file, and makes what a gate needs before its first start.

use std::path::{Path, PathBuf};

use super::fill::{self, Env};
use super::problem::{At, BadConfig, Warning};
use super::raw::Raw;
use super::report::Report;
use super::source::{self, Node, Slip};
use super::{Config, SealingKey, keys, parse, schema, structure, yaml};

impl Config {
    /// The configuration in `file`, and what its operator should know. Nothing is written: a key of the gate's that does
    /// not exist yet is a new one in memory.
    ///
    /// # Errors
    /// Every mistake in it, in the order of the file.
    pub fn load(file: &Path, env: &dyn Env) -> Result<(Self, Vec<Warning>), Vec<BadConfig>> {
        let mut report = Report::new(file, env);
        let config = match text(file) {
            Ok(text) => read(&text, file, &mut report).and_then(|raw| parse::config(raw, &mut report)),
            Err(why) => {
                report.whole(why, "name a readable YAML file");
                None
            }
        };
        match config {
            Some(config) if !report.has_errors() => Ok((config, report.into_warnings())),
            Some(_) | None => Err(report.into_errors()),
        }
    }

    /// As [`Config::load`], for a gate that starts: makes the directories of state and audit, the gate's key, the sealing key
    /// and the admin token where they are missing, for their owner alone.
    ///
    /// # Errors
    /// Every mistake in it; or what could not be made.
    pub fn open(file: &Path, env: &dyn Env) -> Result<(Self, Vec<Warning>), Vec<BadConfig>> {
        let (config, _) = Self::load(file, env)?;
        let mut report = Report::new(file, env);
        for (path, made) in config.make() {
            if let Err(error) = made {
                let what = format!("`{}` cannot be made: {error}", path.display());
                report.whole(what, "let the gate write there, or name another path");
            }
        }
        if report.has_errors() {
            return Err(report.into_errors());
        }
        Self::load(file, env)
    }

    fn make(&self) -> Vec<(PathBuf, std::io::Result<()>)> {
        let directories = [&self.state.directory, &self.audit.directory];
        let mut files = vec![self.identity.gate_key_file.clone(), self.admin_token()];
        if let SealingKey::File(file) = &self.state.sealing_key {
            files.push(file.clone());
        }
        let directories = directories.into_iter().map(|path| (path.clone(), keys::make_directory(path)));
        let mut made: Vec<_> = directories.collect();
        made.extend(files.into_iter().map(|path| (path.clone(), keys::make(&path))));
        made
    }

    /// The file with the token of the admin API.
    #[must_use]
    pub fn admin_token(&self) -> PathBuf {
        self.state.directory.join("admin.token")
    }

    /// The file in which a running gate says where its admin listener is: with port 0 nobody else knows.
    #[must_use]
    pub fn admin_address(&self) -> PathBuf {
        self.state.directory.join("admin.address")
    }
}

fn text(file: &Path) -> Result<String, String> {
    let name = || format!("the configuration `{}`", file.display());
    let bytes = std::fs::read(file).map_err(|error| format!("{} cannot be read: {error}", name()))?;
    if bytes.len() > source::LARGEST {
        return Err(format!("{} is larger than 4 MiB", name()));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is not text in UTF-8", name()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// What is written, without what is wrong in it; `report` knows what that was.
fn read(text: &str, file: &Path, report: &mut Report<'_>) -> Option<Raw> {
    let (tree, slips) = yaml::read(text);
    report.slips(slips);
    let mut tree = tree?;
    let unfilled = filled(&mut tree, file, report);
    // From the last to the first, so that the indices of a list stay right.
    for slip in unfilled.iter().rev() {
        tree.cut(&slip.at);
    }
    report.slips(unfilled);
    tree.cut_nulls();
    let servers = tree.find(&At::default().key("servers"));
    report.server_names =
        servers.map(Node::keys).unwrap_or_default().into_iter().map(str::to_owned).collect();
    let unfit = structure::fit(&mut tree, &schema());
    report.slips(unfit);
    let raw = serde_json::from_value(tree.value());
    report.reads(tree);
    if raw.is_err() && !report.has_errors() {
        report.whole("the configuration does not fit its schema", "compare with `portcullis config schema`");
    }
    raw.ok()
}

fn filled(tree: &mut Node, file: &Path, report: &Report<'_>) -> Vec<Slip> {
    let base = file.parent().unwrap_or(Path::new(""));
    let mut wrong = Vec::new();
    tree.each_text(&At::default(), &mut |at, text| match fill::fill(text, report.env, base) {
        Ok(value) => *text = value,
        Err(misfit) => wrong.push((at.clone(), misfit)),
    });
    let slip = |(at, misfit)| Slip { place: tree.locate(&at).0, at, misfit };
    wrong.into_iter().map(slip).collect()
}
