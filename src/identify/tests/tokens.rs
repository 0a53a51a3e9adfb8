//! JWT access tokens: what is taken and what is refused.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::identify::Proof;
use crate::identify::tests::fixture::{
    AUDIENCE, Gate, ISSUER, KeyServer, Signer, certificate, head, identity, jwks, unsigned,
};
use crate::refusal::Refusal;

async fn gate() -> (Gate, Signer) {
    let signer = Signer::es256("k1");
    let server = KeyServer::start(jwks(&[&signer])).await;
    (Gate::new(&identity(server.source())), signer)
}

async fn refused(claim: &str, value: Value) -> Refusal {
    let (gate, signer) = gate().await;
    let mut claims = gate.claims();
    claims[claim] = value;
    gate.bearer(&signer.token(&claims)).await.unwrap_err()
}

fn bad(why: &'static str) -> Refusal {
    Refusal::BadCredential(why)
}

const CLAIM: &str = "a claim of the token is missing or of the wrong type";

#[tokio::test]
async fn a_good_access_token_says_who_calls_and_how_they_proved_it() {
    let (gate, signer) = gate().await;
    let caller = gate.bearer(&signer.token(&gate.claims())).await.unwrap();
    assert_eq!(caller.tenant().as_str(), "a");
    assert_eq!(caller.user().unwrap().as_str(), "alice");
    assert_eq!(caller.agent().unwrap().as_str(), "desktop");
    assert_eq!(caller.roles().iter().map(|r| &**r).collect::<Vec<_>>(), ["reader", "clerk"]);
    assert_eq!(caller.groups().iter().map(|r| &**r).collect::<Vec<_>>(), ["g1", "g2"]);
    assert_eq!(caller.attributes()["region"], "EMEA");
    let proof = caller.authentication();
    assert_eq!((proof.kind, proof.issuer.as_deref()), (Proof::Jwt, Some(ISSUER)));
    assert_eq!(proof.scopes.iter().map(|s| &**s).collect::<Vec<_>>(), ["mcp", "extra"]);
    assert!(proof.at.is_some());
}

#[tokio::test]
async fn each_kind_of_key_checks_its_own_algorithm() {
    for algorithm in
        [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA]
    {
        let signer = Signer::new("k", algorithm);
        let server = KeyServer::start(jwks(&[&signer])).await;
        let gate = Gate::new(&identity(server.source()));
        gate.bearer(&signer.token(&gate.claims())).await.unwrap();
    }
}

/// AU-02.
#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let (gate, signer) = gate().await;
    for alg in ["none", "None", "NONE", ""] {
        let message = unsigned(&json!({"alg": alg, "kid": "k1", "typ": "at+jwt"}), &gate.claims());
        let algorithm = bad("the token's algorithm is not its key's");
        assert_eq!(gate.bearer(&format!("{message}.")).await.unwrap_err(), algorithm);
    }
    let good = signer.token(&gate.claims());
    let (message, _) = good.rsplit_once('.').unwrap();
    let signature = bad("the token's signature is wrong");
    assert_eq!(gate.bearer(&format!("{message}.")).await.unwrap_err(), signature);
}

/// AU-03.
#[tokio::test]
async fn an_hmac_under_the_public_key_is_refused() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let private = jsonwebtoken::EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
    let mut jwk =
        serde_json::to_value(jsonwebtoken::jwk::Jwk::from_encoding_key(&private, Algorithm::RS256).unwrap())
            .unwrap();
    jwk["kid"] = json!("k1");
    let server = KeyServer::start(json!({"keys": [jwk]}).to_string()).await;
    let gate = Gate::new(&identity(server.source()));
    for public in [pair.public_key_pem().into_bytes(), pair.public_key_raw().to_vec()] {
        let message = unsigned(&json!({"alg": "HS256", "kid": "k1", "typ": "at+jwt"}), &gate.claims());
        let key = jsonwebtoken::EncodingKey::from_secret(&public);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        let refusal = gate.bearer(&format!("{message}.{signature}")).await.unwrap_err();
        assert_eq!(refusal, bad("the token's algorithm is not its key's"));
    }
}

#[tokio::test]
async fn a_symmetric_key_in_the_document_is_never_used() {
    let document =
        json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "k1"}]}).to_string();
    let server = KeyServer::start(document).await;
    let gate = Gate::new(&identity(server.source()));
    let message = unsigned(&json!({"alg": "HS256", "kid": "k1", "typ": "at+jwt"}), &gate.claims());
    let key = jsonwebtoken::EncodingKey::from_secret(b"secret");
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    gate.bearer(&format!("{message}.{signature}")).await.unwrap_err();
}

#[tokio::test]
async fn a_key_is_used_with_the_algorithm_that_its_document_states_and_no_other() {
    let stated = Signer::new("k1", Algorithm::PS256);
    let server = KeyServer::start(jwks(&[&stated])).await;
    let gate = Gate::new(&identity(server.source()));
    let other = stated.misused(Algorithm::RS256);
    let refusal = gate.bearer(&other.token(&gate.claims())).await.unwrap_err();
    assert_eq!(refusal, bad("the token's algorithm is not its key's"));
}

/// AU-07.
#[tokio::test]
async fn a_token_for_another_audience_is_refused() {
    let audience = bad("the token was issued for another audience");
    for other in [json!("https://other.test"), json!(["x"]), json!([]), json!(""), json!(null), json!(7)] {
        assert_eq!(refused("aud", other).await, audience);
    }
    for near in ["https://gate.test/", "HTTPS://gate.test", "https://gate.test.evil.test"] {
        assert_eq!(refused("aud", json!(near)).await, audience);
    }
    assert_eq!(refused("aud", json!([AUDIENCE, 7])).await, bad(CLAIM));
}

/// AU-09 (CVE-2026-25537).
#[tokio::test]
async fn a_time_of_the_wrong_type_is_wrong_and_not_absent() {
    for (claim, value) in [
        ("exp", json!("99999999999")),
        ("exp", json!(null)),
        ("exp", json!([99_999_999_999_i64])),
        ("nbf", json!("99999999999")),
        ("nbf", json!("0")),
        ("nbf", json!(null)),
        ("iat", json!("1")),
        ("auth_time", json!("1")),
        ("sub", json!(7)),
    ] {
        assert_eq!(refused(claim, value.clone()).await, bad(CLAIM), "{claim}: {value}");
    }
    let (gate, signer) = gate().await;
    for missing in ["exp", "sub", "tid"] {
        let mut claims = gate.claims();
        claims.as_object_mut().unwrap().remove(missing);
        assert_eq!(gate.bearer(&signer.token(&claims)).await.unwrap_err(), bad(CLAIM), "{missing}");
    }
}

/// AU-10.
#[tokio::test]
async fn a_token_is_good_between_its_times_and_half_a_minute_of_skew() {
    let (gate, signer) = gate().await;
    let now = gate.clock.now().as_second();
    let with = |claim: &str, at: i64| {
        let mut claims = gate.claims();
        claims[claim] = json!(at);
        signer.token(&claims)
    };
    let (expired, early) = (bad("the token has expired"), bad("the token is not valid yet"));
    assert_eq!(gate.bearer(&with("exp", now - 120)).await.unwrap_err(), expired);
    assert_eq!(gate.bearer(&with("nbf", now + 120)).await.unwrap_err(), early);
    gate.bearer(&with("exp", now - 10)).await.unwrap();
    gate.bearer(&with("nbf", now + 10)).await.unwrap();
}

#[tokio::test]
async fn a_token_that_was_good_ends_when_it_says_though_it_is_remembered() {
    let (gate, signer) = gate().await;
    let mut claims = gate.claims();
    claims["exp"] = json!(gate.clock.now().as_second() + 10);
    let token = signer.token(&claims);
    gate.bearer(&token).await.unwrap();
    gate.clock.advance(std::time::Duration::from_secs(41));
    assert_eq!(gate.bearer(&token).await.unwrap_err(), bad("the token has expired"));
}

/// AU-12.
#[tokio::test]
async fn an_id_token_is_not_an_access_token() {
    let (gate, signer) = gate().await;
    let other = bad("the token is not an access token");
    for typ in
        [json!({"typ": "JWT"}), json!({}), json!({"typ": "txntoken+jwt"}), json!({"typ": "logout+jwt"})]
    {
        assert_eq!(gate.bearer(&signer.token_with(&typ, &gate.claims())).await.unwrap_err(), other);
    }
    assert_eq!(refused("at_hash", json!("x")).await, other);
    for typ in ["application/at+jwt", "AT+JWT"] {
        gate.bearer(&signer.token_with(&json!({"typ": typ}), &gate.claims())).await.unwrap();
    }
}

/// AU-12.
#[tokio::test]
async fn a_token_that_is_bound_to_a_key_needs_the_proof_of_it() {
    let bound = bad("the token is bound to a key that was not proved");
    let thumbprint = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"; // 32 times 7
    for cnf in
        [json!({"jkt": "x"}), json!({}), json!("x"), json!(null), json!({"x5t#S256": thumbprint, "jkt": "x"})]
    {
        assert_eq!(refused("cnf", cnf).await, bound);
    }
    let (gate, signer) = gate().await;
    let mut claims = gate.claims();
    claims["cnf"] = json!({"x5t#S256": thumbprint});
    let mut head = head(&[("authorization", &format!("Bearer {}", signer.token(&claims)))]);
    assert_eq!(gate.identify.caller(&head).await.unwrap_err(), bound);
    head.certificate = Some(certificate("agent-1", [7; 32]));
    gate.identify.caller(&head).await.unwrap();
    head.certificate = Some(certificate("agent-1", [8; 32]));
    assert_eq!(gate.identify.caller(&head).await.unwrap_err(), bound);
    claims["cnf"] = json!({"x5t#S256": thumbprint, "jkt": "x"});
    let text = format!("Bearer {}", signer.token(&claims));
    head.headers.insert("authorization", text.parse().unwrap());
    head.certificate = Some(certificate("agent-1", [7; 32]));
    assert_eq!(gate.identify.caller(&head).await.unwrap_err(), bound, "DPoP asks for a proof of its own");
}

#[tokio::test]
async fn a_critical_header_a_doubled_header_and_other_forms_of_token_are_refused() {
    let (gate, signer) = gate().await;
    let critical =
        signer.token_with(&json!({"typ": "at+jwt", "crit": ["b64"], "b64": false}), &gate.claims());
    let refusal = bad("the token has a critical header that is not understood");
    assert_eq!(gate.bearer(&critical).await.unwrap_err(), refusal);
    let good = signer.token(&gate.claims());
    let (_, rest) = good.split_once('.').unwrap();
    let doubled = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        br#"{"alg":"none","alg":"ES256","kid":"k1","typ":"at+jwt"}"#,
    );
    let malformed = bad("the token is not a signed JWT in compact form");
    for text in [
        format!("{doubled}.{rest}"),
        format!("{good}."),
        "a.b".into(),
        "a.b.c.d.e".into(),
        format!("{good}="),
    ] {
        let refusal = gate.bearer(&text).await.unwrap_err();
        assert!(refusal == malformed || refusal == bad("the token's signature is wrong"), "{text} {refusal}");
    }
}

#[tokio::test]
async fn a_changed_token_and_a_token_of_another_issuer_are_refused() {
    let (gate, signer) = gate().await;
    let mut claims = gate.claims();
    let good = signer.token(&claims);
    claims["tid"] = json!("b");
    let (header, payload) = good.split_once('.').unwrap();
    let (_, signature) = payload.split_once('.').unwrap();
    let forged = unsigned(&json!({}), &claims);
    let (_, forged) = forged.split_once('.').unwrap();
    let refusal = gate.bearer(&format!("{header}.{forged}.{signature}")).await.unwrap_err();
    assert_eq!(refusal, bad("the token's signature is wrong"));
    for issuer in
        [json!("https://idp.test/"), json!("https://evil.test"), json!(["https://idp.test"]), json!(null)]
    {
        assert_eq!(refused("iss", issuer).await, bad("the token's issuer is not trusted"));
    }
}

#[tokio::test]
async fn a_tenant_that_is_missing_or_no_name_is_a_bad_credential() {
    for tenant in [json!(""), json!(7), json!(["a"]), json!(null), json!("a\nb")] {
        assert_eq!(refused("tid", tenant).await, bad(CLAIM));
    }
    assert_eq!(refused("roles", json!([1])).await, bad(CLAIM));
    assert_eq!(refused("roles", json!({"a": 1})).await, bad(CLAIM));
}

#[tokio::test]
async fn a_token_with_too_small_a_scope_is_told_which_it_needs() {
    let needed = Refusal::InsufficientScope { scopes: vec!["mcp".into()] };
    assert_eq!(refused("scope", json!("other mcpx")).await, needed);
    let (gate, signer) = gate().await;
    let mut claims = gate.claims();
    claims.as_object_mut().unwrap().remove("scope");
    claims["scp"] = json!(["mcp"]);
    gate.bearer(&signer.token(&claims)).await.unwrap();
}
