//! Tokens that are bound to a key: DPoP (RFC 9449).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::identify::tests::fixture::{AUDIENCE, Gate, KeyServer, Signer, head, identity, jwks};
use crate::inbound::Head;
use crate::refusal::Refusal;

/// A gate, an agent with a key of its own, and a token that is bound to that key.
struct Scene {
    gate: Gate,
    agent: Signer,
    token: String,
}

impl Scene {
    async fn new(algorithm: Algorithm) -> Self {
        let (issuer, agent) = (Signer::es256("k1"), Signer::new("agent", algorithm));
        let server = KeyServer::start(jwks(&[&issuer])).await;
        let mut identity = identity(server.source());
        identity.issuers[0].sender_constrained = true;
        let gate = Gate::new(&identity);
        let jwk: Jwk = serde_json::from_value(agent.jwk()).unwrap();
        let mut claims = gate.claims();
        claims["cnf"] = json!({"jkt": jwk.thumbprint(ThumbprintHash::SHA256).unwrap()});
        Self { token: issuer.token(&claims), gate, agent }
    }

    fn claims(&self, id: &str) -> Value {
        json!({
            "jti": id,
            "htm": "POST",
            "htu": format!("{AUDIENCE}/servers/erp/mcp"),
            "iat": self.gate.clock.now().as_second(),
            "ath": URL_SAFE_NO_PAD.encode(Sha256::digest(&self.token)),
        })
    }

    fn header(&self) -> Value {
        json!({"typ": "dpop+jwt", "jwk": self.agent.jwk()})
    }

    fn proof(&self, header: &Value, claims: &Value) -> String {
        self.agent.token_with(header, claims)
    }

    async fn sends(&self, proofs: &[&str]) -> Result<(), Refusal> {
        let bearer = format!("DPoP {}", self.token);
        let mut fields = vec![("authorization", bearer.as_str())];
        fields.extend(proofs.iter().map(|proof| ("dpop", *proof)));
        self.passes(&head(&fields)).await
    }

    async fn passes(&self, head: &Head) -> Result<(), Refusal> {
        self.gate.identify.caller(head).await.map(drop)
    }
}

#[tokio::test]
async fn a_bound_token_passes_with_a_proof_of_its_key_and_each_proof_once() {
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::PS256, Algorithm::RS256] {
        let scene = Scene::new(algorithm).await;
        let proof = scene.proof(&scene.header(), &scene.claims("1"));
        assert_eq!(scene.sends(&[&proof]).await, Ok(()), "{algorithm:?}");
        assert_eq!(scene.sends(&[&proof]).await, Err(Refusal::BadDpopProof("it was used before")));
        let another = scene.proof(&scene.header(), &scene.claims("2"));
        assert_eq!(scene.sends(&[&another]).await, Ok(()), "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_proof_is_for_one_method_url_token_and_minute() {
    let scene = Scene::new(Algorithm::ES256).await;
    let now = scene.gate.clock.now().as_second();
    let changes = [
        ("htm", json!("GET")),
        ("htu", json!(format!("{AUDIENCE}/servers/crm/mcp"))),
        ("htu", json!("https://evil.test/servers/erp/mcp")),
        ("htu", json!("http://gate.test/servers/erp/mcp")),
        ("ath", json!(URL_SAFE_NO_PAD.encode(Sha256::digest("another token")))),
        ("ath", Value::Null),
        ("iat", json!(now - 61)),
        ("iat", json!(now + 61)),
        ("iat", json!(now.to_string())),
        ("jti", json!("")),
        ("jti", Value::Null),
    ];
    for (number, (name, value)) in changes.into_iter().enumerate() {
        let mut claims = scene.claims(&number.to_string());
        claims[name] = value.clone();
        let sent = scene.sends(&[&scene.proof(&scene.header(), &claims)]).await;
        assert!(matches!(sent, Err(Refusal::BadDpopProof(_))), "{name} {value}: {sent:?}");
    }
    let mut same = scene.claims("same");
    same["htu"] = json!("HTTPS://GATE.test:443/servers/erp/mcp?x=1#y");
    assert_eq!(scene.sends(&[&scene.proof(&scene.header(), &same)]).await, Ok(()), "the same URL");
}

#[tokio::test]
async fn a_proof_of_another_key_or_of_another_form_is_none() {
    let scene = Scene::new(Algorithm::ES256).await;
    let other = Signer::es256("other");
    let headers = [
        json!({"typ": "dpop+jwt", "jwk": other.jwk()}),
        json!({"typ": "JWT", "jwk": scene.agent.jwk()}),
        json!({"typ": "dpop+jwt"}),
        json!({"typ": "dpop+jwt", "jwk": scene.agent.jwk(), "crit": ["exp"]}),
        json!({"typ": "dpop+jwt", "jwk": scene.agent.jwk(), "alg": "none"}),
        json!({"typ": "dpop+jwt", "jwk": scene.agent.jwk(), "alg": "HS256"}),
        json!({"typ": "dpop+jwt", "jwk": {"kty": "oct", "k": "c2VjcmV0"}, "alg": "HS256"}),
    ];
    for (number, header) in headers.iter().enumerate() {
        let sent = scene.sends(&[&scene.proof(header, &scene.claims(&number.to_string()))]).await;
        assert!(matches!(sent, Err(Refusal::BadDpopProof(_))), "{header}: {sent:?}");
    }
    let mut private = scene.agent.jwk();
    private["d"] = json!("c2VjcmV0");
    let told = json!({"typ": "dpop+jwt", "jwk": private});
    let sent = scene.sends(&[&scene.proof(&told, &scene.claims("private"))]).await;
    assert!(matches!(sent, Err(Refusal::BadDpopProof(_))), "a private key was shown: {sent:?}");
    let stolen = other.token_with(&json!({"typ": "dpop+jwt", "jwk": other.jwk()}), &scene.claims("stolen"));
    let why = "its key is not the one that the token is bound to";
    assert_eq!(scene.sends(&[&stolen]).await, Err(Refusal::BadDpopProof(why)));
    let signed_by_another = other.token_with(&scene.header(), &scene.claims("signed"));
    assert_eq!(
        scene.sends(&[&signed_by_another]).await,
        Err(Refusal::BadDpopProof("its signature is wrong"))
    );
}

#[tokio::test]
async fn without_exactly_one_proof_a_bound_token_is_worth_nothing() {
    let scene = Scene::new(Algorithm::ES256).await;
    let proof = |id: &str| scene.proof(&scene.header(), &scene.claims(id));
    for proofs in [vec![], vec!["x"], vec!["a.b.c"]] {
        assert!(matches!(scene.sends(&proofs).await, Err(Refusal::BadDpopProof(_))), "{proofs:?}");
    }
    let (one, two) = (proof("one"), proof("two"));
    assert!(matches!(scene.sends(&[&one, &two]).await, Err(Refusal::BadDpopProof(_))));
    let bearer = format!("Bearer {}", scene.token);
    let as_bearer = head(&[("authorization", &bearer), ("dpop", &one)]);
    assert!(matches!(scene.passes(&as_bearer).await, Err(Refusal::BadDpopProof(_))), "by another scheme");
    let mut get = head(&[("authorization", &format!("DPoP {}", scene.token)), ("dpop", &one)]);
    get.method = Method::GET;
    assert!(matches!(scene.passes(&get).await, Err(Refusal::BadDpopProof(_))), "by another method");
}

#[tokio::test]
async fn a_gate_that_takes_bound_tokens_only_refuses_the_others() {
    let issuer = Signer::es256("k1");
    let server = KeyServer::start(jwks(&[&issuer])).await;
    let mut identity = identity(server.source());
    identity.issuers[0].sender_constrained = true;
    let gate = Gate::new(&identity);
    let why = "the token is bound to no key, and this gate takes only tokens that are";
    let token = issuer.token(&gate.claims());
    assert_eq!(gate.bearer(&token).await.unwrap_err(), Refusal::BadCredential(why));
}
