//! Secrets that are fetched and keys that stay elsewhere: AWS as moto has it, beside a real gate.

use std::fs;

use portcullis_integration::agent::Answer;
use portcullis_integration::aws::{Aws, REGION};
use portcullis_integration::fixture::Std;
use portcullis_integration::mcp;
use portcullis_integration::reply::Reply;
use portcullis_integration::wait::until;
use serde_json::{Value, json};

const SECRET: &str = "acme's own token";

async fn call(std: &Std) -> Answer {
    std.alice().calls("safe", json!({})).await
}

/// What the gate authenticated with at the server, the last time.
fn sent(std: &Std) -> String {
    let call = std.upstream.received("tools/call").pop().expect("a call");
    (*call.header("authorization").first().expect("a token")).to_owned()
}

async fn sends(std: &Std, secret: &str) {
    let answer = call(std).await;
    assert!(!answer.is_error_result() && answer.code().is_none(), "{answer:?}");
    assert_eq!(sent(std), format!("Bearer {secret}"));
}

/// A gate whose account has its secret in AWS Secrets Manager, with the secret access key in its directory.
fn fetching(aws: &Aws, keep: &str, stale: &str) -> Std {
    let url = aws.url.clone();
    Std::prepared(
        |config| {
            config["secrets"] = json!({"amazon": {
                "aws": {"region": REGION, "url": url, "name": "mcp/{tenant}/{server}", "identity": Aws::written_identity()},
                "keep": keep, "stale": stale,
            }});
            config["accounts"][0]["credential"] =
                json!({"bearer": {"fetched": {"from": "amazon", "field": "token"}}});
        },
        |house| drop(Aws::identity(house)),
    )
}

fn put(aws: &Aws, secret: &Value) {
    aws.run(&["put-secret", "mcp/a/up", &secret.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_fetched_from_aws_and_a_new_one_is_used_soon() {
    let aws = Aws::start();
    put(&aws, &json!({"token": SECRET, "note": "x"}));
    let std = fetching(&aws, "200ms", "5m");
    sends(&std, SECRET).await;
    put(&aws, &json!({"token": "another token"}));
    until("the new secret", async || {
        call(&std).await;
        (sent(&std) == "Bearer another token").then_some(())
    })
    .await;
    let seen = format!("{}{}{}", std.gate.log(), std.gate.audit_text(), std.gate.admin("/metrics").await.1);
    for secret in [SECRET, "another token", "the secret access key"] {
        assert!(!seen.contains(secret), "{secret} is to be seen");
    }
    let stored = std.gate.kill();
    let store = fs::read(stored.path("state/portcullis.redb")).expect("the store");
    assert!(!store.windows(13).any(|bytes| bytes == b"another token"), "it is stored nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_service_does_not_answer_the_secret_serves_for_the_stated_time_and_no_longer() {
    let aws = Aws::start();
    put(&aws, &json!({"token": SECRET}));
    let std = fetching(&aws, "100ms", "15s");
    sends(&std, SECRET).await;
    aws.signal("STOP");
    until("a fetch that failed", async || {
        sends(&std, SECRET).await;
        std.gate.log().contains("cannot be fetched").then_some(())
    })
    .await;
    sends(&std, SECRET).await;
    until("the end of the stated time", async || call(&std).await.code().filter(|code| *code == -31503))
        .await;
    aws.signal("CONT");
    until("a secret again", async || call(&std).await.code().is_none().then_some(())).await;
    assert_eq!(sent(&std), format!("Bearer {SECRET}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_or_a_member_that_is_not_there_is_told_to_the_operator_alone() {
    let aws = Aws::start();
    let std = fetching(&aws, "100ms", "5m");
    let answer = call(&std).await;
    assert_eq!(answer.code(), Some(-31503), "{answer:?}");
    let told = format!("{answer:?}");
    assert!(!told.contains("mcp/a/up") && !told.contains("127.0.0.1"), "{told}");
    assert!(
        std.gate
            .log()
            .contains("secret `mcp/a/up` of AWS Secrets Manager: it said ResourceNotFoundException")
    );
    put(&aws, &json!({"password": SECRET}));
    until("a secret without the member", async || {
        assert_eq!(call(&std).await.code(), Some(-31503));
        std.gate.log().contains("its `token` is no text, or there is none").then_some(())
    })
    .await;
    assert!(!std.gate.log().contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_rejects_the_secret_has_the_new_one_fetched_and_the_call_made_again() {
    let aws = Aws::start();
    put(&aws, &json!({"token": SECRET}));
    let std = fetching(&aws, "1h", "1h");
    sends(&std, SECRET).await;
    put(&aws, &json!({"token": "another token"}));
    std.upstream.answers_calls(|exchange| {
        match exchange.header("authorization").contains(&"Bearer another token") {
            true => mcp::answer(exchange),
            false => Reply::empty(401),
        }
    });
    sends(&std, "another token").await;
}

fn key(aws: &Aws) -> String {
    aws.run(&["create-key"])
}

fn wrapped_by(aws: &Aws, key: &str) -> Value {
    json!({"aws_kms": {"region": REGION, "url": aws.url, "key": key, "identity": Aws::written_identity()}})
}

fn sealed(state: Value) -> impl FnOnce(&mut Value) {
    move |config: &mut Value| {
        config["accounts"][0]["credential"] = json!({"bearer": "sealed"});
        config["state"] = state;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sealing_key_stays_in_aws_and_a_gate_that_cannot_ask_for_it_opens_nothing_until_it_can() {
    let aws = Aws::start();
    let key = key(&aws);
    let state = json!({"directory": "state", "sealing_key": wrapped_by(&aws, &key)});
    let std = Std::prepared(sealed(state), |house| drop(Aws::identity(house)));
    std.gate.seal("a", "up", SECRET).await;
    sends(&std, SECRET).await;
    assert!(!std.gate.house().path("state/seal.key").exists());
    let std = std.restarted();
    sends(&std, SECRET).await;
    aws.signal("STOP");
    let mut std = std.restarted();
    assert_eq!(call(&std).await.code(), Some(-31503));
    assert_eq!(std.gate.admin("/readyz").await.0, 503);
    std.gate.logged(&["AWS KMS key", &key]);
    aws.signal("CONT");
    until("the key again", async || call(&std).await.code().is_none().then_some(())).await;
    sends(&std, SECRET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_keys_go_from_a_file_to_aws_and_another_key_there_opens_none() {
    let aws = Aws::start();
    let (right, wrong) = (key(&aws), key(&aws));
    let std = Std::prepared(sealed(json!({"directory": "state"})), |house| drop(Aws::identity(house)));
    std.gate.seal("a", "up", SECRET).await;
    let configure = |std: &Std, state: Value| {
        let file = std.gate.house().path("portcullis.yaml");
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&file).expect("it")).expect("JSON");
        config["state"] = state;
        fs::write(file, config.to_string()).expect("writable");
    };
    configure(
        &std,
        json!({"directory": "state", "sealing_key": wrapped_by(&aws, &right),
        "retired_sealing_keys": [{"file": "state/seal.key"}]}),
    );
    let std = std.restarted();
    let done = std.gate.house().json(&["vault", "rekey"]);
    assert_eq!((&done["rewrapped"], &done["failed"]), (&json!(2), &json!(0)), "{done}");
    configure(&std, json!({"directory": "state", "sealing_key": wrapped_by(&aws, &right)}));
    let std = std.restarted();
    sends(&std, SECRET).await;
    configure(&std, json!({"directory": "state", "sealing_key": wrapped_by(&aws, &wrong)}));
    let Std { gate, .. } = std;
    let house = gate.kill();
    let mut process = house.run();
    let said = process.until("why it does not start", |lines| {
        lines.iter().find(|line| line.contains("another sealing key")).cloned()
    });
    assert!(!said.contains(SECRET), "{said}");
}
