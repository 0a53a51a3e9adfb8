//! The red-team cases of integration/cases/redteam.json, played against a running gate.
//!
//! A case that is one request (or one run of bytes) is played from the file. A case with a `driver` needs more than one
//! request, and has a test of its own in a file of this directory. A case with `later` belongs to what is not built yet.

mod attacks;
mod case;
mod handed_back;
mod identity;
mod play;
mod records;
mod server;
mod setup;
mod streams;

use std::collections::BTreeMap;

use case::Case;
use play::Stage;

/// The cases that have a test of their own, by driver.
const DRIVEN: [(&str, &str); 29] = [
    ("two_tenants", "attacks"),
    ("noisy_neighbour", "attacks"),
    ("list_and_call_agree", "attacks"),
    ("slow_policy", "attacks"),
    ("broken_policy", "attacks"),
    ("two_lists", "attacks"),
    ("one_refresh", "attacks"),
    ("rug_pull", "attacks"),
    ("request_state", "handed_back"),
    ("event_ids", "handed_back"),
    ("unsigned_bundle", "attacks"),
    ("dead_urls", "identity"),
    ("foreign_certificate", "identity"),
    ("same_serial", "identity"),
    ("revoked_in_use", "identity"),
    ("withdrawn_key", "identity"),
    ("empty_list", "identity"),
    ("log_injection", "records"),
    ("audited_once", "records"),
    ("audit_full", "records"),
    ("audit_full_between", "records"),
    ("metric_labels", "records"),
    ("slow_header", "streams"),
    ("h2_flood", "streams"),
    ("h2_line_break", "streams"),
    ("listen", "streams"),
    ("pages", "streams"),
    ("engines", "../../engines"),
    ("fifty_at_once", "../usage"),
];

#[test]
fn every_case_is_played_or_says_why_not() {
    let mut later = Vec::new();
    for case in case::all() {
        match (&case.later, &case.driver, &case.request) {
            (Some(reason), ..) => later.push(format!("{}: {} ({reason})", case.id, case.title)),
            (None, Some(driver), _) => {
                assert!(DRIVEN.iter().any(|(name, _)| name == driver), "{}: no test for {driver}", case.id)
            }
            (None, None, request) => {
                assert!(request.is_some() && case.expect.is_some(), "{} has nothing to play", case.id)
            }
        }
    }
    println!("left for later:\n  {}", later.join("\n  "));
    assert!(later.is_empty(), "this list may only shrink");
}

/// Its test lies outside the workspace, so that the engine that is left out stays out of the gate that is tested.
#[test]
fn the_policy_engines_are_compared_in_every_whole_run() {
    let run = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/test.sh")).expect("test.sh");
    assert!(run.contains("engines=\"--manifest-path integration/engines/Cargo.toml\""));
    assert!(run.lines().any(|line| line.starts_with("cargo test $engines ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_single_request_gets_past_the_gate() {
    let mut by_setup: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in case::all().into_iter().filter(|c| c.request.is_some() && c.driver.is_none()) {
        by_setup.entry(case.config.clone().unwrap_or_default()).or_default().push(case);
    }
    let mut failures = Vec::new();
    for (setup, cases) in by_setup {
        let stage = Stage::set(&setup).await;
        for case in cases {
            if let Err(what) = stage.play(&case).await {
                failures.push(format!("{} {}: {what}", case.id, case.title));
            }
        }
    }
    assert!(failures.is_empty(), "{} cases fail:\n  {}", failures.len(), failures.join("\n  "));
}
