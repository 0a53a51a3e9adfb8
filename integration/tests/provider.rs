//! Callers' tokens by an identity provider that is not ours (npm `oidc-provider`).

use portcullis_integration::agent::{Agent, Answer};
use portcullis_integration::certificate::Authority;
use portcullis_integration::dpop::Holder;
use portcullis_integration::fixture::{AUDIENCE, Std};
use portcullis_integration::identity_provider::{GATE, IdentityProvider};
use portcullis_integration::wait::until;
use serde_json::{Value, json};

/// The entry of the configuration for a provider: its tokens are of tenant `a`, and it says where their roles are.
fn issuer(provider: &IdentityProvider) -> Value {
    json!({
        "issuer": provider.issuer, "audiences": [AUDIENCE], "tenant": {"fixed": "a"}, "scopes": ["mcp"], "leeway": "5s",
        "jwks": {"refresh": "1s", "max_stale": "24h"},
        "claims": {"roles": "/realm_access/roles", "attributes": {"region": "/org/regions/0"}},
    })
}

/// A gate that trusts this issuer; it can be another entry than [`issuer`] makes.
fn gate_with(issuer: Value) -> Std {
    Std::start_with(|config| config["identity"] = json!({"jwt": [issuer]}))
}

/// A provider whose tokens have the role that may call `safe`, and a gate.
async fn scene() -> (IdentityProvider, Std) {
    let provider = IdentityProvider::start();
    provider.set(json!({"claims": reader()})).await;
    let std = gate_with(issuer(&provider));
    (provider, std)
}

fn reader() -> Value {
    json!({"realm_access": {"roles": ["reader", "offline"]}, "org": {"regions": ["EMEA", "US"]}})
}

async fn call(std: &Std, token: &str) -> Answer {
    std.agent(token).calls("safe", json!({})).await
}

fn passes(answer: &Answer) -> bool {
    answer.status == 200 && answer.code().is_none() && !answer.is_error_result()
}

/// Why a token was refused, by the challenge.
fn told(answer: &Answer) -> String {
    assert_eq!(answer.status, 401, "{answer:?}");
    answer.headers["www-authenticate"].to_str().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_roles_and_attributes_wherever_the_provider_has_them() {
    let provider = IdentityProvider::start();
    provider.set(json!({"claims": reader()})).await;
    let mut entry = issuer(&provider);
    entry["claims"]["groups"] = json!("/https:~1~1acme.example~1groups");
    let policy = r#"
package mcp.authz

deny contains "not of finance" if {
	input.caller.user == "agent"
	not "finance" in input.caller.groups
}
"#;
    let std = Std::prepared(
        |config| config["identity"] = json!({"jwt": [entry]}),
        |house| drop(house.write("policies/finance.rego", policy.trim_start())),
    );
    let refused = call(&std, &provider.token().await).await;
    assert!(!passes(&refused), "of no group: {refused:?}");
    let mut claims = reader();
    claims["https://acme.example/groups"] = json!(["sales", "finance"]);
    claims["realm_access"]["roles"] = json!(["reader", "regional"]);
    provider.set(json!({"claims": claims})).await;
    let agent = std.agent(&provider.token().await);
    assert_eq!(agent.sees().await, ["safe", "list_all_netsuite_invoices"]);
    let region = async |region: &str| {
        agent.calls("list_all_netsuite_invoices", json!({"region": region})).await.is_error_result()
    };
    assert!(!region("EMEA").await, "the first of two regions is hers");
    assert!(region("US").await, "the other is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_several_issuers_and_none_speaks_for_another_tenant() {
    let (first, second, others) =
        (IdentityProvider::start(), IdentityProvider::start(), IdentityProvider::start());
    for (provider, tenant) in [(&first, "a"), (&second, "a"), (&others, "b")] {
        let mut claims = reader();
        claims["tid"] = json!(tenant);
        provider.set(json!({"claims": claims})).await;
    }
    let of = |provider: &IdentityProvider, tenants: &[&str]| {
        let mut entry = issuer(provider);
        entry["tenant"] = json!({"claim": "/tid"});
        entry["tenants"] = json!(tenants);
        entry
    };
    let entries = [of(&first, &["a"]), of(&second, &["a"]), of(&others, &["b", "c"])];
    let std = Std::start_with(|config| config["identity"] = json!({"jwt": entries}));
    for (provider, tenant) in [(&first, "a"), (&second, "a"), (&others, "b")] {
        assert!(passes(&call(&std, &provider.token().await).await), "{tenant}");
        let line = std.gate.recorded("intent", "safe").pop().expect("an intent");
        assert_eq!(line["tenant"], tenant);
    }
    std.upstream.forget();
    for (provider, tenant) in [(&first, "b"), (&others, "a")] {
        let mut claims = reader();
        claims["tid"] = json!(tenant);
        provider.set(json!({"claims": claims})).await;
        let refused = call(&std, &provider.token().await).await;
        assert!(told(&refused).contains("does not speak for the tenant"), "{refused:?}");
    }
    assert!(std.upstream.received("tools/call").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn its_keys_are_found_by_either_kind_of_metadata_also_under_a_path() {
    let settings = [
        json!({}),
        json!({"hides": "/.well-known/openid-configuration"}),
        json!({"path": "/realms/acme"}),
        json!({"path": "/realms/acme", "hides": "/realms/acme/.well-known/openid-configuration"}),
    ];
    for settings in settings {
        let provider = IdentityProvider::start_with(settings.clone(), reqwest::Client::builder());
        provider.set(json!({"claims": reader()})).await;
        let std = gate_with(issuer(&provider));
        let answer = call(&std, &provider.token().await).await;
        assert!(passes(&answer), "{settings}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_by_a_new_key_passes_at_once_with_one_fetch_and_the_retired_key_ends() {
    let provider = IdentityProvider::start();
    provider.set(json!({"claims": reader()})).await;
    let mut entry = issuer(&provider);
    entry["jwks"]["refresh"] = json!("1h");
    let std = gate_with(entry);
    let old = provider.token().await;
    assert!(passes(&call(&std, &old).await));
    provider.rotates(true).await;
    let mut tokens = Vec::new();
    for _ in 0..40 {
        tokens.push(provider.token().await);
    }
    let before = provider.asked("/jwks").await;
    let agents: Vec<Agent> = tokens.iter().map(|token| std.agent(token)).collect();
    let calls: Vec<_> = agents
        .into_iter()
        .map(|agent| tokio::spawn(async move { agent.calls("safe", json!({})).await }))
        .collect();
    for one in calls {
        let answer = one.await.expect("a call");
        assert!(passes(&answer), "{answer:?}");
    }
    assert_eq!(provider.asked("/jwks").await, before + 1, "forty callers at once cause one fetch");
    assert!(passes(&call(&std, &old).await), "the old key is published still");

    // Another gate looks at the keys each second: what they have lost, it loses.
    let std = gate_with(issuer(&provider));
    assert!(passes(&call(&std, &old).await));
    provider.rotates(false).await;
    until("the end of the retired key", async || {
        let answer = call(&std, &old).await;
        (!passes(&answer)).then(|| assert!(told(&answer).contains("unknown key"), "{answer:?}"))
    })
    .await;
    let newest = provider.token().await;
    until("the newest key", async || passes(&call(&std, &newest).await).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_issuer_or_for_another_audience_is_none() {
    let (provider, std) = scene().await;
    let another = IdentityProvider::start();
    another.set(json!({"claims": reader()})).await;
    let refused = call(&std, &another.token().await).await;
    assert!(told(&refused).contains("the token's issuer is not trusted"), "{refused:?}");
    for audience in ["http://elsewhere.test", "http://gw.test/", "http://gw.test/servers/up/mcp"] {
        let refused = call(&std, &provider.token_for(audience, "agent", None).await).await;
        assert!(told(&refused).contains("for another audience"), "{audience}: {refused:?}");
    }
    // Somebody else's provider says that it is the trusted one: the keys decide.
    let mut entry = issuer(&provider);
    entry["jwks"] = json!({"url": format!("{}/jwks", another.issuer)});
    let misled = gate_with(entry);
    let refused = call(&misled, &provider.token().await).await;
    assert!(told(&refused).contains("unknown key"), "{refused:?}");
    // And metadata that speak for another issuer are not followed.
    let port = provider.port();
    let mut entry = issuer(&provider);
    entry["issuer"] = json!(format!("http://localhost:{port}"));
    let mut std = gate_with(entry);
    let token = provider.token().await;
    assert!(told(&call(&std, &token).await).contains("issuer is not trusted"));
    let forged = std.token("a", "alice", |claims| {
        claims.insert("iss".into(), json!(format!("http://localhost:{port}")));
    });
    let refused = call(&std, &forged).await;
    assert_eq!(refused.status, 503, "there are no keys for it: {refused:?}");
    std.gate.logged(&["the metadata of the issuer are those of"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_by_less_than_the_leeway_does_no_harm() {
    let (provider, std) = scene().await;
    // The provider's clock is ahead: its tokens begin in the gate's future.
    for (skew, refusal) in [(3, None), (60, Some("not valid yet"))] {
        provider.set(json!({"skew": skew, "nbf": true})).await;
        let answer = call(&std, &provider.token().await).await;
        match refusal {
            None => assert!(passes(&answer), "{skew}: {answer:?}"),
            Some(why) => assert!(told(&answer).contains(why), "{skew}"),
        }
    }
    // It is behind: they end earlier than it thinks. The gate allows 5 s.
    provider.set(json!({"skew": -61, "ttl": 60})).await;
    let ended = provider.token().await;
    provider.set(json!({"skew": -120, "ttl": 60})).await;
    let long_ended = provider.token().await;
    let answer = call(&std, &long_ended).await;
    assert!(told(&answer).contains("expired"), "{answer:?}");
    assert!(passes(&call(&std, &ended).await), "it has ended by the clock, and not by the leeway");
    until("the end of the leeway", async || {
        let answer = call(&std, &ended).await;
        (!passes(&answer)).then(|| assert!(told(&answer).contains("expired"), "{answer:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn known_keys_serve_while_the_provider_is_down_and_a_cold_gate_says_so_and_recovers() {
    let (provider, std) = scene().await;
    let (token, port) = (provider.token().await, provider.port());
    let another = provider.token().await;
    assert!(passes(&call(&std, &token).await));
    let entry = issuer(&provider);
    let cold = gate_with(entry);
    provider.dies();
    until("a renewal that fails", async || {
        assert!(passes(&call(&std, &token).await), "what it knew serves");
        std.gate.log().contains("Issuer's keys were not renewed").then_some(())
    })
    .await;
    assert!(passes(&call(&std, &another).await), "also for a token that it never saw");
    let answer = call(&cold, &token).await;
    assert_eq!(
        (answer.status.as_u16(), answer.detail()["reason"].clone()),
        (503, json!("identity_unavailable"))
    );
    assert_eq!(answer.detail()["retryable"], true);
    assert!(answer.headers.contains_key("retry-after"));
    let provider = IdentityProvider::start_with(json!({"port": port}), reqwest::Client::builder());
    provider.set(json!({"claims": reader()})).await;
    let new = provider.token().await;
    until("the cold gate", async || passes(&call(&cold, &new).await).then_some(())).await;
    until("the warm one", async || passes(&call(&std, &new).await).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_is_introspected_and_a_revoked_one_ends_with_its_cache_time() {
    let provider = IdentityProvider::start();
    provider.set(json!({"claims": reader(), "format": "opaque"})).await;
    let mut entry = issuer(&provider);
    entry["introspection"] = json!({
        "url": format!("{}/token/introspection", provider.issuer), "client_id": GATE.0, "client_secret": "gate.secret",
    });
    let std = Std::prepared(
        |config| config["identity"] = json!({"jwt": [entry]}),
        |house| drop(house.write("gate.secret", GATE.1)),
    );
    let token = provider.token().await;
    assert!(!token.contains('.'), "it says nothing itself");
    for _ in 0..5 {
        let answer = call(&std, &token).await;
        assert!(passes(&answer), "{answer:?}");
    }
    assert_eq!(provider.asked("/token/introspection").await, 1, "the answer is remembered");
    let elsewhere = provider.token_for("http://elsewhere.test", "agent", None).await;
    assert!(told(&call(&std, &elsewhere).await).contains("another audience"));
    assert!(told(&call(&std, "made-up").await).contains("not active"));
    provider.revokes(&token).await;
    let before = std::time::Instant::now();
    until("its end", async || {
        let answer = call(&std, &token).await;
        (!passes(&answer)).then(|| assert!(told(&answer).contains("not active"), "{answer:?}"))
    })
    .await;
    assert!(before.elapsed().as_secs() < 20, "{:?}", before.elapsed());
}

/// A call by a token that is bound to a key, with this proof.
async fn bound_call(std: &Std, token: &str, proof: Option<&str>) -> Answer {
    let agent = Agent::new(&std.gate.server("up"), None).with("Authorization", &format!("DPoP {token}"));
    let agent = if let Some(proof) = proof { agent.with("DPoP", proof) } else { agent };
    agent.calls("safe", json!({})).await
}

/// The URL by which clients know the endpoint.
const ENDPOINT: &str = "http://gw.test/servers/up/mcp";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_provider_bound_to_a_key_passes_with_a_proof_of_that_key_alone() {
    let (provider, std) = scene().await;
    let (holder, thief) = (Holder::default(), Holder::default());
    let at_provider = holder.proof(&holder.claims(&provider.token_url(), None));
    let token = provider.token_for(AUDIENCE, "agent", Some(&at_provider)).await;
    let other = provider.token().await;
    let good = holder.claims(ENDPOINT, Some(&token));
    let proof = holder.proof(&good);
    let answer = bound_call(&std, &token, Some(&proof)).await;
    assert!(passes(&answer), "{answer:?}");
    let changed = |key: &str, value: Value| {
        let mut claims = holder.claims(ENDPOINT, Some(&token));
        claims[key] = value;
        holder.proof(&claims)
    };
    let cases = [
        ("it was used before", Some(proof)),
        ("exactly one `DPoP` header", None),
        (
            "is not the one that the token is bound to",
            Some(thief.proof(&thief.claims(ENDPOINT, Some(&token)))),
        ),
        ("its `htu` is not", Some(changed("htu", json!("http://gw.test/servers/other/mcp")))),
        ("its `htm` is not", Some(changed("htm", json!("GET")))),
        ("its `ath` is not", Some(holder.proof(&holder.claims(ENDPOINT, Some(&other))))),
        ("its `iat` is not", Some(changed("iat", json!(good["iat"].as_u64().expect("a time") - 120)))),
    ];
    for (why, proof) in cases {
        let refused = bound_call(&std, &token, proof.as_deref()).await;
        let told = told(&refused);
        assert!(told.starts_with("DPoP ") && told.contains("error=\"invalid_dpop_proof\""), "{told}");
        assert!(told.contains(why), "{why}: {told}");
    }
    let stolen = call(&std, &token).await;
    assert_eq!(stolen.status, 401, "the token alone is worth nothing: {stolen:?}");
    let free = bound_call(&std, &other, Some(&holder.proof(&holder.claims(ENDPOINT, Some(&other))))).await;
    assert_eq!(free.status, 401, "a token that is bound to nothing is no DPoP token: {free:?}");
    assert_eq!(std.upstream.received("tools/call").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nonces_are_demanded_a_proof_carries_one_that_the_gate_chose() {
    let provider = IdentityProvider::start();
    provider.set(json!({"claims": reader()})).await;
    let entry = issuer(&provider);
    let start =
        || Std::start_with(|config| config["identity"] = json!({"dpop_nonce": true, "jwt": [entry.clone()]}));
    let std = start();
    let holder = Holder::default();
    let at_provider = holder.proof(&holder.claims(&provider.token_url(), None));
    let token = provider.token_for(AUDIENCE, "agent", Some(&at_provider)).await;
    let with = |nonce: Option<&str>| {
        let mut claims = holder.claims(ENDPOINT, Some(&token));
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        holder.proof(&claims)
    };
    let asked = bound_call(&std, &token, Some(&with(None))).await;
    assert!(told(&asked).contains("error=\"use_dpop_nonce\""), "{asked:?}");
    let nonce = asked.headers["dpop-nonce"].to_str().expect("text").to_owned();
    let answer = bound_call(&std, &token, Some(&with(Some(&nonce)))).await;
    assert!(passes(&answer), "{answer:?}");
    let answer = bound_call(&std, &token, Some(&with(Some(&nonce)))).await;
    assert!(passes(&answer), "a nonce serves until it is too old: {answer:?}");
    let elsewhere = bound_call(&start(), &token, Some(&with(None))).await;
    let foreign = elsewhere.headers["dpop-nonce"].to_str().expect("text");
    for wrong in [foreign, "made-up", ""] {
        let refused = bound_call(&std, &token, Some(&with(Some(wrong)))).await;
        assert!(told(&refused).contains("use_dpop_nonce"), "{wrong}: {refused:?}");
        assert_ne!(refused.headers["dpop-nonce"], wrong);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_provider_bound_to_a_certificate_passes_over_that_certificates_connection() {
    let authority = Authority::new("the company");
    let identity = |name: &str, serial: u64| {
        let made = authority.client(name, serial);
        reqwest::Identity::from_pem(format!("{}{}", made.certificate, made.key).as_bytes()).expect("a pair")
    };
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("PEM");
    let client = || reqwest::Client::builder().tls_certs_only([root.clone()]).no_proxy();
    let (own, other) = (identity("own", 1), identity("other", 2));
    let server = authority.server("gw.test");
    let tls = json!({"cert": server.certificate, "key": server.key, "ca": authority.pem()});
    let provider = IdentityProvider::start_with(json!({"tls": tls}), client().identity(own.clone()));
    provider.set(json!({"claims": reader()})).await;
    let keys = client().build().expect("a client").get(format!("{}/jwks", provider.issuer)).send().await;
    let keys = keys.expect("it answers").text().await.expect("JSON");
    let mut entry = issuer(&provider);
    entry["jwks"] = json!({"file": "provider.json"});
    let std = Std::prepared(
        |config| {
            config["identity"] = json!({"jwt": [entry]});
            config["listen"][0]["tls"] = json!({"certificate": "gate.crt", "key": "gate.key",
                                                "client_authorities": "clients.pem", "client_required": true});
        },
        |house| {
            house.write("provider.json", &keys);
            house.write("clients.pem", &authority.pem());
            server.write(&house.path("."), "gate");
        },
    );
    let token = provider.token_for(AUDIENCE, "certified", None).await;
    let url = format!("https://localhost:{}/servers/up/mcp", std.gate.address().port());
    for (certificate, good) in [(own, true), (other, false)] {
        let mut agent = Agent::new(&url, Some(&token));
        agent.http = client().identity(certificate).build().expect("a client");
        let answer = agent.calls("safe", json!({})).await;
        match good {
            true => assert!(passes(&answer), "{answer:?}"),
            false => assert!(told(&answer).contains("bound to a key that was not proved"), "{answer:?}"),
        }
    }
    assert_eq!(std.upstream.received("tools/call").len(), 1);
}

const STEP_UP: &str = r#"
package mcp.authz

payment if {
	input.phase == "call"
	input.tool.name == "safe"
}

challenge := {"acr_values": ["mfa"], "max_age": 300}

deny contains {"message": "a second factor is needed", "challenge": challenge} if {
	payment
	not input.caller.authentication.acr == "mfa"
}

deny contains {"message": "a second factor is needed", "challenge": challenge} if {
	payment
	not "otp" in input.caller.authentication.amr
}

deny contains {"message": "you signed in too long ago", "challenge": challenge} if {
	payment
	input.caller.authentication.age_seconds > 300
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_comes_back_from_the_provider_with_what_the_challenge_asked_for() {
    let provider = IdentityProvider::start();
    provider.set(json!({"claims": reader(), "signed_in_ago": 900})).await;
    let entry = issuer(&provider);
    let std = Std::prepared(
        |config| config["identity"] = json!({"jwt": [entry]}),
        |house| drop(house.write("policies/step_up.rego", STEP_UP.trim_start())),
    );
    let mut person = provider.person();
    let token = person.signs_in(&[]).await;
    assert_eq!(std.agent(&token).sees().await, ["safe"]);
    let challenge = told(&call(&std, &token).await);
    assert!(challenge.contains("error=\"insufficient_user_authentication\""), "{challenge}");
    let asked = |name: &str| {
        let after = challenge.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("{challenge}")).1;
        after.split('"').next().expect("a value").to_owned()
    };
    // A better sign-in that is old does not do: the age is the provider's `auth_time`, not that of the token.
    let token = provider.person().signs_in(&[("acr_values", &asked("acr_values"))]).await;
    let refused = told(&call(&std, &token).await);
    assert!(
        refused.contains("you signed in too long ago") && refused.contains("max_age=\"300\""),
        "{refused}"
    );
    let more = [("acr_values", &*asked("acr_values")), ("max_age", &*asked("max_age"))];
    let token = person.signs_in(&more).await;
    let answer = call(&std, &token).await;
    assert!(passes(&answer), "{answer:?}");
    assert_eq!(std.upstream.received("tools/call").len(), 1);
}
