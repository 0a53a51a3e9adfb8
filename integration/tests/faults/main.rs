//! What breaks around the gate, and what must hold while it does: the caller gets a well-formed answer with its own id or
//! a closed stream, in time; every forwarded call has an intent and an outcome; the other tenant notices nothing.
//!
//! The cases are those of integration/cases/faults.json. Each names the tests that play it, here or beside the code, or
//! says why there is none.

mod certificates;
mod crowd;
mod identity;
mod life;
mod record;
mod server;
mod slow_readers;

use std::collections::BTreeSet;

use portcullis_integration::agent::Answer;
use portcullis_integration::fixture::Std;
use portcullis_integration::mcp::respond;
use portcullis_integration::upstream::Exchange;
use portcullis_integration::{repository, wait};
use serde::Deserialize;
use serde_json::Value;

/// So many faults may be without a test.
const LATER: usize = 4;

/// One fault, and what must hold while it lasts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    title: String,
    holds: String,
    /// The tests that play it: `file::test`.
    #[serde(default)]
    drivers: Vec<String>,
    /// Why nothing plays it yet, or not all of it.
    later: Option<String>,
}

#[test]
fn every_fault_has_a_test_or_says_why_not() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../cases/faults.json")).expect("well-formed");
    let ids: BTreeSet<_> = cases.iter().map(|case| &case.id).collect();
    assert_eq!(ids.len(), cases.len(), "an id is there twice");
    for case in &cases {
        assert!(!case.title.is_empty() && !case.holds.is_empty(), "{} says too little", case.id);
        assert!(
            !case.drivers.is_empty() || case.later.is_some(),
            "{}: {} is not played",
            case.id,
            case.title
        );
        for driver in &case.drivers {
            let (file, test) = driver.rsplit_once("::").expect("file::test");
            let source = std::fs::read_to_string(repository().join(file)).unwrap_or_default();
            assert!(source.contains(&format!("fn {test}(")), "{}: there is no test {driver}", case.id);
        }
    }
    let later: Vec<_> = cases.iter().filter(|case| case.drivers.is_empty()).collect();
    for case in &later {
        println!(
            "left for later: {}: {} ({})",
            case.id,
            case.title,
            case.later.as_deref().unwrap_or_default()
        );
    }
    assert!(later.len() <= LATER, "this list may only shrink");
}

fn result(exchange: &Exchange) -> Value {
    respond(&exchange.message(), exchange)
}

/// The answer to a failed call: 200, the caller's own id, one of the codes, and `data` that says what to do.
fn is_refusal(answer: &Answer, codes: &[i64]) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let message = answer.message();
    assert_eq!(message["id"], 1, "{answer:?}");
    assert!(answer.code().is_some_and(|c| codes.contains(&c)), "{answer:?}");
    let data = &message["error"]["data"];
    assert!(
        data["reason"].is_string() && data["retryable"].is_boolean() && data["invocation"].is_string(),
        "{answer:?}"
    );
}

async fn outcome_of_the_last_call(std: &Std) -> Value {
    wait::until("the outcome", async || {
        let intent = std.gate.recorded("intent", "safe").pop()?["invocation"].clone();
        std.gate.audit().into_iter().find(|l| l["kind"] == "outcome" && l["invocation"] == intent)
    })
    .await
}
