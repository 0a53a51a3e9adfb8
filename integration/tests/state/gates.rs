//! Two gates on one Redis are one gate to their users.

use std::time::{Duration, Instant};

use portcullis_integration::agent::Agent;
use portcullis_integration::fixture::{ROLES, Std};
use portcullis_integration::gate::House;
use portcullis_integration::redis::Redis;
use portcullis_integration::sdk::{Client, Mode};
use portcullis_integration::wait::until;
use serde_json::{Value, json};

/// Gates on this Redis. They share the gate's key and the sealing key, as the gates of a deployment must.
pub fn gates<const N: usize>(redis: &Redis, also: impl Fn(&mut Value)) -> [Std; N] {
    gates_in(redis, also, |_| {})
}

/// The same, with something more in each gate's directory.
fn gates_in<const N: usize>(redis: &Redis, also: impl Fn(&mut Value), prepare: impl Fn(&House)) -> [Std; N] {
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let mut keys: Option<std::path::PathBuf> = None;
    std::array::from_fn(|_| {
        let change = |config: &mut Value| {
            config["state"] = json!({"directory": "state", "url": url, "prefix": "two"});
            also(config);
        };
        let std = Std::prepared(change, |house| {
            share_keys(keys.as_deref(), house);
            prepare(house);
        });
        keys.get_or_insert_with(|| std.gate.house().path("state"));
        std
    })
}

fn share_keys(from: Option<&std::path::Path>, house: &House) {
    let Some(from) = from else { return };
    std::fs::create_dir_all(house.path("state")).unwrap();
    for key in ["gate.key", "seal.key"] {
        std::fs::copy(from.join(key), house.path("state").join(key)).unwrap();
    }
}

const URL: [&str; 8] = ["url", "create", "--tenant", "a", "--server", "up", "--role", "reader"];

/// A scoped URL that was made on this gate: its id and its path.
pub async fn scoped_url(on: &Std) -> (String, String) {
    on.gate.create_url(&json!({"tenant": "a", "server": "up", "roles": ["reader"]})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_of_one_gate_works_on_the_other_and_ends_on_both_in_less_than_a_second() {
    let redis = Redis::start();
    let [one, two] = gates(&redis, |_| {});
    let (id, path) = scoped_url(&one).await;
    let urls = [&one, &two].map(|std| format!("{}{path}", std.gate.url));
    let steps =
        json!([{"do": "list_tools"}, {"do": "call_tool", "name": "safe", "arguments": {"marker": "two"}}]);
    for url in &urls {
        let seen = Client::Python.plays(Mode::Modern, url, None, steps.clone()).await;
        assert_eq!(seen.ok(2)["content"][0]["text"], "safe two");
    }
    let held = Agent::new(&urls[1], None);
    for _ in 0..20 {
        assert_eq!(held.calls("safe", json!({})).await.status, 200, "the other gate has it in mind");
    }
    let begun = Instant::now();
    one.gate.revoke_url("a", &id).await;
    let acknowledged = begun.elapsed();
    assert_eq!(Agent::new(&urls[0], None).calls("safe", json!({})).await.status, 404);
    until("its end on the other gate", async || {
        (held.calls("safe", json!({})).await.status == 404).then_some(())
    })
    .await;
    let ended = begun.elapsed();
    println!(
        "revoked in {acknowledged:?}, refused on the other gate {:?} after that",
        ended.saturating_sub(acknowledged)
    );
    assert!(ended < Duration::from_secs(1), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_on_one_gate_is_refused_on_the_other_in_less_than_a_second() {
    let redis = Redis::start();
    let [one, two] = gates(&redis, |_| {});
    // Both trust the issuer of the first.
    two.gate.house().write("jwks.json", &one.issuer.jwks().to_string());
    let held = two.agent(&one.alice_token());
    until("the issuer's keys", async || (held.calls("safe", json!({})).await.status == 200).then_some(()))
        .await;
    assert_eq!(one.alice().calls("safe", json!({})).await.status, 200);
    let begun = Instant::now();
    let operator = portcullis_integration::api::Api::operator(&one.gate);
    let about = json!({"tenant": "a", "issuer": one.issuer.url, "by": "subject", "value": "alice"});
    operator.post("/v1/revocations", about).await.done(201);
    assert_eq!(one.alice().calls("safe", json!({})).await.status, 401);
    until("its end on the other gate", async || {
        (held.calls("safe", json!({})).await.status == 401).then_some(())
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_works_on_the_shared_store_though_its_own_gate_does_not_run() {
    let redis = Redis::start();
    let [one, two] = gates(&redis, |_| {});
    let stopped = one.gate.kill();
    let made = stopped.json(&URL);
    let path = made["url"].as_str().unwrap().split_once("/mcp/").unwrap().1.to_owned();
    let url = format!("{}/mcp/{path}", two.gate.url);
    assert_eq!(Agent::new(&url, None).calls("safe", json!({})).await.status, 200);
    stopped.json(&["url", "revoke", made["id"].as_str().unwrap(), "--tenant", "a"]);
    let agent = Agent::new(&url, None);
    until("its end", async || (agent.calls("safe", json!({})).await.status == 404).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_ends_by_itself_ends_on_both_gates() {
    let redis = Redis::start();
    let [one, two] = gates(&redis, |_| {});
    let end = jiff::Timestamp::now() + Duration::from_secs(5);
    let wanted = json!({"tenant": "a", "server": "up", "roles": ["reader"], "expires_at": end.to_string()});
    let (_, path) = one.gate.create_url(&wanted).await;
    let agents = [&one, &two].map(|std| Agent::new(&format!("{}{path}", std.gate.url), None));
    for agent in &agents {
        assert_eq!(agent.calls("safe", json!({})).await.status, 200);
    }
    for agent in &agents {
        until("its end", async || (agent.calls("safe", json!({})).await.status == 404).then_some(())).await;
        assert!(jiff::Timestamp::now() >= end);
    }
    assert!(
        !redis.cli(&["--scan", "--pattern", "*:e:urls:*"]).contains("urls"),
        "it is gone from the store as well"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn both_gates_sign_with_the_same_keys_and_publish_them() {
    let redis = Redis::start();
    let [one, two] = gates(&redis, |_| {});
    let keys = async |std: &Std| -> Value {
        let url = format!("{}/.well-known/jwks.json", std.gate.url);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(url).header("host", "gw.test").send().await.unwrap().json().await.unwrap()
    };
    let (first, second) = (keys(&one).await, keys(&two).await);
    assert!(first["keys"].as_array().is_some_and(|keys| !keys.is_empty()), "{first}");
    assert_eq!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_budget_is_one_for_both_gates() {
    let redis = Redis::start();
    let [one, two] = gates_in(
        &redis,
        |_| {},
        |house| {
            house.tenant("a", &format!("budget: {{per_month: 10}}\n{ROLES}"));
            house.write(
                "policies/usage.rego",
                "package mcp.authz\n\ncost := 1 if input.method == \"tools/call\"\n",
            );
        },
    );
    let passes = async |std: &Std| !std.alice().calls("safe", json!({})).await.is_error_result();
    let spends = async |std: &Std, calls: u32| {
        for _ in 0..calls {
            assert!(passes(std).await);
        }
        let kept = "portcullis_spending_waiting 0";
        until(kept, async || std.gate.admin("/metrics").await.1.contains(kept).then_some(())).await;
    };
    spends(&one, 6).await;
    spends(&two, 1).await;
    spends(&two, 3).await;
    assert!(!passes(&two).await, "ten were spent, six of them through the other gate");
    spends(&one, 1).await;
    assert!(
        !passes(&one).await,
        "and the other knows since it last spent: one too many at most, a second apart"
    );
}
