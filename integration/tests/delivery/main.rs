//! Policies that are delivered: from git and as OPA bundles, signed, kept, and never worse than what served before.

mod bundle;
mod git;

use portcullis_integration::fixture::{Std, config};
use portcullis_integration::gate::{Gate, House};
use portcullis_integration::issuer::Issuer;
use portcullis_integration::upstream::Upstream;
use portcullis_integration::wait;
use serde_json::{Value, json};

/// Where the usual gate stands, with its policies from this source.
pub fn house(upstream: &Upstream, issuer: &Issuer, source: Value) -> House {
    let mut config = config(&upstream.url);
    let mut policies = json!({"timeout": "5s"});
    for (key, value) in source.as_object().expect("a source") {
        policies[key] = value.clone();
    }
    config["policies"] = policies;
    let house = House::bare(&serde_json::to_string_pretty(&config).expect("JSON is YAML"));
    house.write("jwks.json", &issuer.jwks().to_string());
    house
}

/// The usual gate, with its policies from this source and these files beside its configuration.
pub fn gate(source: Value, files: &[(&str, &str)]) -> Std {
    let (upstream, issuer) = (Upstream::start(), Issuer::new("https://idp.test", "key-1"));
    let house = house(&upstream, &issuer, source);
    for (name, text) in files {
        house.write(name, text);
    }
    Std { gate: house.open(1), upstream, issuer }
}

/// The same gate after a crash and a new start.
pub fn again(std: Std) -> Std {
    let Std { gate, upstream, issuer } = std;
    Std { gate: gate.kill().open(1), upstream, issuer }
}

/// Waits until alice sees just these tools.
pub async fn sees(std: &Std, tools: &[&str]) {
    wait::until("the new policy", async || (std.alice().sees().await == tools).then_some(())).await;
}

/// The policy's revision in the last audit line of a call.
pub async fn decided_by(std: &Std) -> String {
    assert!(!std.alice().calls("safe", json!({})).await.is_error_result());
    let line = std.gate.recorded("intent", "safe").pop().expect("a line");
    line["revision"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// Why the gate does not serve the newest, as it tells an operator who asks whether it is ready.
pub async fn note(gate: &Gate, word: &str) -> String {
    wait::until(&format!("a note of `{word}`"), async || {
        let (status, body) = gate.admin("/readyz").await;
        assert_eq!(status, 200, "the gate serves what was good: {body}");
        body.contains(word).then_some(body)
    })
    .await
}
