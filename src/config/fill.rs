//! Fills `${VAR}`, `${VAR:-default}` and `file:PATH` into the texts of a configuration that is parsed already, so that a
//! value can never change its structure.

use std::io::Read;
use std::path::Path;

use super::problem::Misfit;

/// No file that is referred to is larger; in bytes.
const LARGEST: u64 = 64 * 1024;

/// What the configuration takes from outside of its file.
pub trait Env {
    /// An environment variable; `None` where it is not set.
    fn variable(&self, name: &str) -> Option<String>;

    /// The time by which certificates and keys are judged.
    fn now(&self) -> jiff::Timestamp;
}

/// The environment of this process and the clock of this machine.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// The value that `text` stands for. A value that was filled in is not looked at again.
pub(super) fn fill(text: &str, env: &dyn Env, base: &Path) -> Result<String, Misfit> {
    match text.strip_prefix("file:") {
        Some(path) => content(&base.join(expand(path, env)?)),
        None => expand(text, env),
    }
}

fn expand(text: &str, env: &dyn Env) -> Result<String, Misfit> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, reference)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = reference;
            continue;
        }
        let Some((reference, after)) = reference.split_once('}') else {
            return Err(Misfit::new(
                "has `${` without `}`",
                "write `${VAR}`, or `$${` for the two characters themselves",
            ));
        };
        filled.push_str(before);
        filled.push_str(&variable(reference, env)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn variable(reference: &str, env: &dyn Env) -> Result<String, Misfit> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let what = format!("refers to `{name}`, which is not the name of an environment variable");
        return Err(Misfit::new(what, "write `${VAR}` or `${VAR:-default}`"));
    }
    match (env.variable(name).filter(|value| default.is_none() || !value.is_empty()), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Misfit::new(
            format!("needs the environment variable `{name}`, which is not set"),
            format!("set it, or write `${{{name}:-default}}`"),
        )),
    }
}

fn content(path: &Path) -> Result<String, Misfit> {
    let misfit = |why: &str| {
        Misfit::new(
            format!("refers to the file `{}`, which {why}", path.display()),
            "name a readable text file of at most 64 KiB",
        )
    };
    let file = std::fs::File::open(path).map_err(|error| misfit(&format!("cannot be read: {error}")))?;
    let mut text = String::new();
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(|error| misfit(&format!("cannot be read: {error}")))?;
    if text.len() as u64 > LARGEST {
        return Err(misfit("is too large"));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
