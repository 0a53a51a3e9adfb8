//! A policy directory → its tests and cases, one by one: for whoever writes them.

use std::path::Path;
use std::time::Duration;

use crate::config::Policy;
use crate::decide::bundle::Bundle;
use crate::decide::engine::Tests;
use crate::decide::rego::{self, Coverage, Covered, Tested, Trial, Values};
use crate::decide::{Decide, PolicyProblem, Servers, cases, check};
use crate::name::Revision;

/// How long a case may take: a busy machine is no failure of policy.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which tests are run, and how.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The directory.
    pub directory: &'a Path,
    /// What a test's name must hold.
    pub filter: &'a str,
    /// Whether lines are counted.
    pub coverage: Coverage,
    /// The servers that cases may name.
    pub servers: &'a Servers,
    /// When cases are asked.
    pub now: jiff::Timestamp,
}

/// What the tests of a directory came to.
#[derive(Debug, Clone)]
pub struct Trials {
    /// The tests in the order of their files, and the cases after them.
    pub tested: Vec<Tested>,
    /// Which lines they came to; empty where that is not counted.
    pub covered: Vec<Covered>,
}

impl Decide {
    /// Runs tests and cases of a policy directory.
    ///
    /// # Errors
    /// The mistakes for which the policy could not be loaded even if every test passed, and those in case files.
    pub fn test(wanted: &Wanted<'_>) -> Result<Trials, Vec<PolicyProblem>> {
        let (bundle, mut problems) = Bundle::read(wanted.directory);
        let serving = rego::parse(&bundle.modules, &mut problems);
        let tests = rego::parse(&bundle.tests, &mut problems);
        if problems.is_empty() {
            problems = check::check(&bundle, &serving, &tests).1;
        }
        let cases = cases::read(&bundle.cases, wanted.servers).unwrap_or_else(|mut found| {
            problems.append(&mut found);
            Vec::new()
        });
        if !problems.is_empty() {
            problems.sort();
            return Err(problems);
        }
        let modules: Vec<_> = serving.iter().chain(&tests).collect();
        let values = Values::of(&bundle);
        let trial = values.and_then(|values| Trial::ready(&bundle, &values, wanted.coverage));
        let mut trial = trial.map_err(|problem| vec![problem])?;
        let mut tested = trial.run(&modules, |name| name.contains(wanted.filter));
        trial.explain(&mut tested);
        let directory = wanted.directory.to_owned();
        let decide = Self::assemble(&Policy { directory, timeout: PATIENCE, cache: 0 }, Tests::Elsewhere)?;
        let asked = cases.iter().filter(|case| case.name().contains(wanted.filter));
        tested.extend(asked.map(|case| case.run(&decide, wanted.now)));
        let covered = if wanted.coverage == Coverage::Counted { trial.covered() } else { Vec::new() };
        Ok(Trials { tested, covered })
    }

    /// What a watch on a directory compares; nothing where the directory cannot be read.
    #[must_use]
    pub fn fingerprint(directory: &Path) -> Option<Revision> {
        crate::decide::bundle::fingerprint(directory)
    }
}
