//! The official conformance suite: what passes without the gate passes through it, for servers and for clients of the
//! official SDKs, under a policy that allows everything.

mod suite;

use portcullis_integration::binary::portcullis;
use portcullis_integration::gate::{Gate, House, minimal};
use portcullis_integration::repository;
use portcullis_integration::sdk::{SdkServer, Server, free_port, node_24, python_program};
use serde_json::json;
use suite::{Checks, Release, scenarios};

const REVISIONS: [&str; 2] = ["2026-07-28", "2025-11-25"];

/// The one scenario that fails at the gate by design, and why.
///
/// 0.1 sends requests that say 2025-03-26 in a session that negotiated 2025-11-25, which 0.2 no longer does. A server may read
/// such a request by rules that the session does not have (batches), so the gate refuses it.
const OTHER_REVISION: &str = "server-sse-multiple-streams";

/// Scenarios for clients in which the server is one that demands tokens. Behind the gate that is the gate, with its own
/// metadata and its own challenges: tests of its own are about those.
fn is_about_tokens(scenario: &str) -> bool {
    scenario.starts_with("auth/")
}

/// A gate before this server that allows everything, at a port that its own configuration names.
fn gate(server: &SdkServer) -> (Gate, String) {
    let origin = format!("http://localhost:{}", free_port());
    let mut config = minimal("conforming", &server.url);
    config["listen"][0]["address"] = json!(origin.replace("http://localhost", "127.0.0.1"));
    config["public_url"] = json!(origin);
    config["origins"] = json!([origin]);
    let house = House::bare(&config.to_string());
    house.write("policies/all.rego", "package mcp.authz\n\nallow := true\n");
    (house.open(1), format!("{origin}/mcp"))
}

/// The server's URL by the name for which the suite tests DNS rebinding.
fn by_name(server: &SdkServer) -> String {
    server.url.replace("127.0.0.1", "localhost")
}

async fn passes_the_same(kind: Server) {
    let server = SdkServer::start(kind);
    let (_gate, through) = gate(&server);
    for revision in REVISIONS {
        let direct = Release::Current.plays_at(&by_name(&server), Some(revision)).await;
        let gated = Release::Current.plays_at(&through, Some(revision)).await;
        println!("{kind:?} {revision}: {} pass, {} through the gate", direct.passed(), gated.passed());
        let (required, _) = scenarios(revision, "server");
        assert_eq!(direct.failed(&required), [""; 0], "the server itself does not conform");
        assert_eq!(gated.failed(&required), [""; 0], "{kind:?} does not conform through the gate");
        assert_eq!(direct.lost(&gated), [], "{kind:?} {revision}: these are lost in the gate");
    }
    let direct = Release::Old.plays_at(&by_name(&server), None).await;
    let gated = Release::Old.plays_at(&through, None).await;
    let (expected, lost): (Vec<_>, Vec<_>) =
        direct.lost(&gated).into_iter().partition(|(scenario, _)| scenario == OTHER_REVISION);
    assert_eq!(lost, [], "{kind:?}, by the old suite: these are lost in the gate");
    assert!(!expected.is_empty(), "{OTHER_REVISION} passes: it is no exception any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_python_sdk_conforms_through_the_gate_as_without_it() {
    passes_the_same(Server::ConformingPython).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_typescript_sdk_conforms_through_the_gate_as_without_it() {
    passes_the_same(Server::ConformingTypeScript).await;
}

async fn conforms_the_same(client: &str) {
    let wrapper = repository().join("integration/clients/conformance/behind_gate.mjs");
    let gated = format!("{} {} {} {client}", node_24().display(), wrapper.display(), portcullis().display());
    for revision in REVISIONS {
        let (required, others) = scenarios(revision, "client");
        let (mut with, mut without) = (Checks::default(), Checks::default());
        for scenario in required.iter().chain(&others).filter(|scenario| !is_about_tokens(scenario)) {
            without = without.and(Release::Current.plays_with(client, scenario, revision).await);
            with = with.and(Release::Current.plays_with(&gated, scenario, revision).await);
        }
        println!("{client} {revision}: {} pass, {} through the gate", without.passed(), with.passed());
        assert_eq!(without.failed(&required), [""; 0], "the client itself does not conform");
        assert_eq!(without.lost(&with), [], "{client} {revision}: these are lost in the gate");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_python_sdk_conforms_through_the_gate_as_without_it() {
    let script = repository().join("integration/clients/conformance/python.py");
    conforms_the_same(&format!("{} {}", python_program().display(), script.display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_the_typescript_sdk_conforms_through_the_gate_as_without_it() {
    let script = repository().join("integration/clients/conformance/typescript.mjs");
    conforms_the_same(&format!("{} {}", node_24().display(), script.display())).await;
}
