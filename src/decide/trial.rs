//! A policy directory → its tests, one by one: for whoever writes them.

use std::path::Path;

use crate::decide::bundle::Bundle;
use crate::decide::rego::{self, Tested};
use crate::decide::{Decide, PolicyProblem, check};

impl Decide {
    /// Runs the tests of a policy directory, in the order of its files.
    ///
    /// # Errors
    /// The mistakes for which the policy could not be loaded even if every test passed.
    pub fn test(directory: &Path) -> Result<Vec<Tested>, Vec<PolicyProblem>> {
        let (bundle, mut problems) = Bundle::read(directory);
        let serving = rego::parse(&bundle.modules, &mut problems);
        let tests = rego::parse(&bundle.tests, &mut problems);
        if problems.is_empty() {
            problems = check::check(&bundle, &serving, &tests).1;
        }
        if !problems.is_empty() {
            problems.sort();
            return Err(problems);
        }
        let modules: Vec<_> = serving.iter().chain(&tests).collect();
        rego::test(&bundle, &modules).map_err(|problem| vec![problem])
    }
}
