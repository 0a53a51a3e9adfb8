//! The stock policies and the examples' data load as the gate loads them, and their tests pass.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis::config::Policy;
use portcullis::decide::Decide;

fn load(directory: &str) -> Decide {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(directory);
    let policy = Policy { directory, timeout: Duration::from_secs(5), cache: 0 };
    Decide::load(&policy).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn the_stock_policies_load_and_their_tests_pass() {
    load("policies");
}

#[test]
fn the_examples_load_with_the_stock_policies_and_their_own_rates() {
    for (example, tenant) in [("netsuite", "acme"), ("sap", "acme"), ("construction", "construct")] {
        let decide = load(&format!("examples/{example}/policies"));
        let tenants: Vec<_> = decide.rates().map(|(tenant, _)| tenant.to_string()).collect();
        assert_eq!(tenants, [tenant], "{example}");
    }
}

#[test]
fn a_copy_of_the_stock_policies_with_the_sample_tenant_is_a_start() {
    let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let mine = tempfile::tempdir().expect("a directory");
    for file in std::fs::read_dir(&stock).expect("policies").map(|file| file.expect("a file").path()) {
        let name = file.file_name().expect("a name");
        if file.is_file() {
            std::fs::copy(&file, mine.path().join(name)).expect("a copy");
        }
    }
    let tenant: PathBuf = mine.path().join("tenants/acme");
    std::fs::create_dir_all(&tenant).expect("a tenant");
    std::fs::copy(stock.join("tenant.example.yaml"), tenant.join("data.yaml")).expect("a copy");
    let policy = Policy { directory: mine.path().into(), timeout: Duration::from_secs(5), cache: 0 };
    let decide = Decide::load(&policy).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(decide.rates().count(), 1);
}
