//! The order of proofs, API keys, client certificates, and mistakes in the configuration.

use std::sync::Arc;
use std::time::Duration;

use globset::Glob;

use crate::config::{CertificateRule, Certificates, Identity, KeySource};
use crate::identify::Proof;
use crate::identify::clock::Clock;
use crate::identify::tests::fixture::{
    Gate, KeyServer, Memory, Signer, api_key, certificate, head, identity, jwks, no_identity, who,
};
use crate::identify::url::ScopedUrls;
use crate::identify::{Identify, problem::IdentityProblem};
use crate::refusal::Refusal;
use crate::secret::Key;

fn rule(common_name: &str) -> CertificateRule {
    let common_name = Some(Glob::new(common_name).unwrap().compile_matcher());
    CertificateRule { common_name, alternative_name: None, sha256: None, who: who("a", "") }
}

/// AU-01.
#[tokio::test]
async fn a_request_without_any_proof_is_not_authenticated() {
    let gate = Gate::new(&no_identity());
    assert_eq!(gate.identify.caller(&head(&[])).await.unwrap_err(), Refusal::NotAuthenticated);
}

#[tokio::test]
async fn nobody_in_particular_calls_only_where_no_proof_was_tried() {
    let rules = vec![rule("agent-*")];
    let certificates = Some(Certificates { rules });
    let gate = Gate::new(&Identity { anonymous: Some(who("local", "")), certificates, ..no_identity() });
    let caller = gate.identify.caller(&head(&[])).await.unwrap();
    assert_eq!(caller.authentication().kind, Proof::Anonymous);
    for failed in ["Bearer a.b.c", "Bearer pck_x", "Basic YTpi", "Bearer", ""] {
        let refusal = gate.identify.caller(&head(&[("authorization", failed)])).await.unwrap_err();
        assert!(matches!(refusal, Refusal::BadCredential(_)), "{failed}");
    }
    let mut stranger = head(&[]);
    stranger.certificate = Some(certificate("printer", [1; 32]));
    let refusal = gate.identify.caller(&stranger).await.unwrap_err();
    assert_eq!(refusal, Refusal::BadCredential("the client certificate stands for nobody here"));
}

#[tokio::test]
async fn a_failed_token_never_falls_through_to_a_good_certificate() {
    let certificates = Some(Certificates { rules: vec![rule("agent-*")] });
    let gate = Gate::new(&Identity { certificates, ..no_identity() });
    let mut head = head(&[("authorization", "Bearer a.b.c")]);
    head.certificate = Some(certificate("agent-1", [1; 32]));
    assert!(matches!(gate.identify.caller(&head).await.unwrap_err(), Refusal::BadCredential(_)));
    head.headers.clear();
    assert_eq!(gate.identify.caller(&head).await.unwrap().authentication().kind, Proof::Certificate);
}

#[tokio::test]
async fn an_api_key_works_in_either_header_until_its_end() {
    let (secret, mut key) = api_key("a", "alice");
    assert!(secret.expose().starts_with("pck_") && secret.expose().len() == 47, "{}", secret.expose());
    key.expires_at = Some(jiff::Timestamp::now() + Duration::from_secs(3600));
    let gate = Gate::new(&Identity { api_keys: vec![key], ..no_identity() });
    let bearer = format!("Bearer {}", secret.expose());
    for fields in [[("authorization", bearer.as_str())], [("x-api-key", secret.expose())]] {
        let caller = gate.identify.caller(&head(&fields)).await.unwrap();
        assert_eq!((caller.tenant().as_str(), caller.authentication().kind), ("a", Proof::ApiKey));
    }
    let unknown = Refusal::BadCredential("the API key is not known");
    assert_eq!(gate.bearer("pck_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await.unwrap_err(), unknown);
    gate.clock.advance(Duration::from_secs(3601));
    let expired = Refusal::BadCredential("the API key has expired");
    assert_eq!(gate.bearer(secret.expose()).await.unwrap_err(), expired);
}

#[tokio::test]
async fn two_good_credentials_at_once_are_refused() {
    let (secret, key) = api_key("a", "alice");
    let gate = Gate::new(&Identity { api_keys: vec![key], ..no_identity() });
    let bearer = format!("Bearer {}", secret.expose());
    let both = [("authorization", bearer.as_str()), ("x-api-key", secret.expose())];
    let refusal = gate.identify.caller(&head(&both)).await.unwrap_err();
    assert_eq!(refusal, Refusal::BadCredential("more than one credential was sent"));
}

#[tokio::test]
async fn a_certificate_needs_all_conditions_of_a_rule_and_the_first_rule_counts() {
    let exact = CertificateRule { sha256: Some([9; 32]), ..rule("agent-*") };
    let named = CertificateRule {
        alternative_name: Some(Glob::new("*.agents.test").unwrap().compile_matcher()),
        who: who("b", "batch"),
        ..rule("agent-*")
    };
    let gate = Gate::new(&Identity {
        certificates: Some(Certificates { rules: vec![exact, named] }),
        ..no_identity()
    });
    let mut head = head(&[]);
    head.certificate = Some(certificate("agent-1", [1; 32]));
    assert_eq!(gate.identify.caller(&head).await.unwrap().tenant().as_str(), "b");
    head.certificate = Some(certificate("agent-1", [9; 32]));
    assert_eq!(gate.identify.caller(&head).await.unwrap().tenant().as_str(), "a");
}

#[tokio::test]
async fn two_certificates_under_one_rule_are_two_principals() {
    let gate = Gate::new(&Identity {
        certificates: Some(Certificates { rules: vec![rule("agent-*")] }),
        ..no_identity()
    });
    let mut head = head(&[]);
    head.certificate = Some(certificate("agent-1", [1; 32]));
    let one = gate.identify.caller(&head).await.unwrap();
    head.certificate = Some(certificate("agent-2", [2; 32]));
    let two = gate.identify.caller(&head).await.unwrap();
    assert_eq!(one.agent().unwrap().as_str(), "agent-1");
    assert_ne!(one.principal(), two.principal());
}

/// AU-21.
#[tokio::test]
async fn every_mistake_is_reported_at_once_and_an_empty_list_is_one() {
    let signer = Signer::es256("k1");
    let server = KeyServer::start(jwks(&[&signer])).await;
    let mut wrong = identity(server.source());
    wrong.gate_key = Key::new(vec![1; 16]);
    wrong.certificates = Some(Certificates { rules: Vec::new() });
    let (_, key) = api_key("a", "alice");
    wrong.api_keys = vec![key.clone(), key];
    let issuer = &mut wrong.issuers[0];
    issuer.audiences.clear();
    issuer.leeway = Duration::from_secs(61);
    issuer.scopes = vec!["a b".into()];
    issuer.claims.user = Some("sub".into());
    let mut missing = wrong.issuers[0].clone();
    missing.keys = KeySource::File("does/not/exist.json".into());
    wrong.issuers.push(missing);
    let problems = problems(&wrong);
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    for path in [
        "identity.gate_key",
        "identity.certificates",
        "identity.api_keys[1].sha256",
        "identity.jwt[0].audiences",
        "identity.jwt[0].leeway",
        "identity.jwt[0].scopes",
        "identity.jwt[0].claims.user",
        "identity.jwt[1].issuer",
        "identity.jwt[1].jwks",
    ] {
        assert!(paths.contains(&path), "{path} is not in {paths:?}");
    }
}

fn problems(identity: &Identity) -> Vec<IdentityProblem> {
    let store = Arc::new(Memory::default());
    let records = super::fixture::records(&store);
    let urls = ScopedUrls::with_clock(store, &identity.gate_key, false, Clock::standing()).unwrap();
    Identify::new(identity, "https://gate.test", Arc::new(urls), records).unwrap_err()
}
