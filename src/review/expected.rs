//! What is meant to become allowed: a list that stands beside the policy and is reviewed with it.

use std::cell::Cell as Mark;

use globset::{Glob, GlobMatcher};
use serde::Deserialize;

use crate::decide::{PolicyProblem, Written};
use crate::review::Change;

/// One thing that may become allowed. In each text a `*` stands for any text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// As reports name them: `acme/clerk`.
    pub who: String,
    /// The server.
    pub server: String,
    /// The tool.
    pub tool: Option<String>,
    /// Or the resource.
    pub resource: Option<String>,
    /// Or the prompt.
    pub prompt: Option<String>,
}

/// Everything that is expected.
#[derive(Debug, Default)]
pub struct Expected(Vec<Ready>);

#[derive(Debug)]
struct Ready {
    said: String,
    who: GlobMatcher,
    server: GlobMatcher,
    kind: &'static str,
    name: GlobMatcher,
    met: Mark<bool>,
}

impl Expected {
    /// The expectations of a file.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn read(file: &Written) -> Result<Self, Vec<PolicyProblem>> {
        let (mut ready, mut problems) = (Vec::new(), Vec::new());
        for (index, one) in file.items::<Expectation>()?.into_iter().enumerate() {
            match Ready::new(&one) {
                Ok(one) => ready.push(one),
                Err(why) => problems.push(file.problem(index, why)),
            }
        }
        if problems.is_empty() { Ok(Self(ready)) } else { Err(problems) }
    }

    /// Whether the change is expected; what expects it is met.
    #[must_use]
    pub fn has(&self, change: &Change) -> bool {
        let what = (change.what.server.name.as_str(), change.what.kind(), change.what.name());
        self.covers(&[&change.who.name], what)
    }

    /// Whether this is expected of one who goes by one of these names: a server, a kind of thing, and its name. What
    /// expects it is met.
    #[must_use]
    pub fn covers(&self, who: &[&str], what: (&str, &str, &str)) -> bool {
        let fitting = self.0.iter().filter(|one| one.fits(who, what));
        fitting.fold(false, |_, one| {
            one.met.set(true);
            true
        })
    }

    /// What was expected and has not been met so far.
    pub fn unmet(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|one| !one.met.get()).map(|one| one.said.as_str())
    }
}

impl Ready {
    fn new(one: &Expectation) -> Result<Self, String> {
        let named = [("tool", &one.tool), ("resource", &one.resource), ("prompt", &one.prompt)];
        let mut named = named.into_iter().filter_map(|(kind, name)| Some((kind, name.as_deref()?)));
        let (Some((kind, name)), None) = (named.next(), named.next()) else {
            return Err("write one of `tool`, `resource` and `prompt`".to_owned());
        };
        Ok(Self {
            said: format!("{} {} {kind} {name}", one.who, one.server),
            who: glob(&one.who)?,
            server: glob(&one.server)?,
            kind,
            name: glob(name)?,
            met: Mark::new(false),
        })
    }

    fn fits(&self, who: &[&str], (server, kind, name): (&str, &str, &str)) -> bool {
        self.kind == kind
            && who.iter().any(|who| self.who.is_match(who))
            && self.server.is_match(server)
            && self.name.is_match(name)
    }
}

/// A matcher in which nothing but `*` is special.
fn glob(text: &str) -> Result<GlobMatcher, String> {
    let escaped: Vec<String> = text.split('*').map(globset::escape).collect();
    let glob = Glob::new(&escaped.join("*")).map_err(|why| format!("`{text}` cannot be read: {why}"))?;
    Ok(glob.compile_matcher())
}
