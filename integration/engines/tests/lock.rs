//! What is compared is what the gate is built with.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What only the virtual machine needs.
const ITS_OWN: [&str; 3] = ["postcard", "cobs", "embedded-io"];

/// Names and versions of a lock file.
fn locked(file: &str) -> BTreeSet<(String, String)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let value = |line: &str| line.split('"').nth(1).unwrap().to_owned();
    let lines: Vec<_> = text.lines().collect();
    let pairs = lines.windows(2).filter(|pair| pair[0].starts_with("name = "));
    pairs.map(|pair| (value(pair[0]), value(pair[1]))).collect()
}

#[test]
fn every_package_has_the_version_that_the_gate_is_built_with() {
    let gate = locked("../../Cargo.lock");
    let own = |name: &str| name == env!("CARGO_PKG_NAME") || ITS_OWN.contains(&name);
    let others: Vec<_> = locked("Cargo.lock").into_iter().filter(|package| !gate.contains(package)).collect();
    assert!(others.iter().all(|(name, _)| own(name)), "{others:?}: copy Cargo.lock here and build once");
}
