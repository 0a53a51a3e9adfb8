//! Scoped URLs, as a tenant's admin uses them: made and revoked on the command line.

use portcullis_integration::agent::Agent;
use portcullis_integration::fixture::{KEY_BOB, Std};
use portcullis_integration::sdk::{Client, Mode};
use serde_json::{Value, json};

fn create(std: &Std, more: &[&str]) -> (String, String) {
    let made = std
        .gate
        .house()
        .json(&[&["url", "create", "--tenant", "a", "--server", "up", "--role", "reader"], more].concat());
    let text = |key: &str| made[key].as_str().unwrap_or_else(|| panic!("no {key}: {made}")).to_owned();
    let url = text("url");
    let path = url[url.find("/mcp/").expect("a path")..].to_owned();
    (text("id"), format!("{}{path}", std.gate.url))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_works_until_it_is_revoked() {
    let std = Std::start();
    let (id, url) = create(&std, &[]);
    for (client, mode) in [(Client::Python, Mode::Modern), (Client::TypeScript1, Mode::Legacy)] {
        let steps = json!([{"do": "list_tools"}, {"do": "call_tool", "name": "safe", "arguments": {"marker": "by-url"}}]);
        let seen = client.plays(mode, &url, None, steps).await;
        assert_eq!(seen.ok(2)["content"][0]["text"], "safe by-url");
    }
    let listed = std.gate.house().json(&["url", "list", "--tenant", "a"]);
    assert!(listed.to_string().contains(&id), "{listed}");
    std.gate.house().json(&["url", "revoke", &id, "--tenant", "a"]);
    std.upstream.forget();
    let answer = Agent::new(&url, None).calls("safe", json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.message()["id"].clone()), (404, Value::Null));
    assert!(std.upstream.received("tools/call").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_tries_many_urls_is_told_to_wait() {
    let std = Std::start_with(|c| c["limits"] = json!({"unknown_urls": 5}));
    let (_, url) = create(&std, &[]);
    let guess = |number: u8| format!("{}/mcp/{}", std.gate.url, format!("{number:02}").repeat(21) + "x");
    let mut statuses = Vec::new();
    for number in 0..8 {
        statuses.push(Agent::new(&guess(number), None).calls("safe", json!({})).await.status.as_u16());
    }
    assert_eq!(statuses, [404, 404, 404, 404, 404, 404, 503, 503]);
    let held = Agent::new(&url, None).calls("safe", json!({})).await;
    assert_eq!(held.status, 503, "nothing is looked up for it meanwhile");
    assert!(
        !std.alice().calls("safe", json!({})).await.is_error_result(),
        "who comes by a token is not held up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn its_token_is_nowhere_but_with_its_holder() {
    let std = Std::start();
    let (_, url) = create(&std, &[]);
    let token = url.rsplit('/').next().expect("a token").to_owned();
    assert!(token.len() >= 43, "256 bits are 43 letters of base64: {token}");
    assert_eq!(Agent::new(&url, None).calls("safe", json!({})).await.status, 200);
    let state = std::fs::read_dir(std.gate.house().path("state")).expect("the state").flatten();
    let stored: String = state
        .filter_map(|f| std::fs::read(f.path()).ok())
        .map(|b| String::from_utf8_lossy(&b).into_owned())
        .collect();
    let (_, metrics) = std.gate.admin("/metrics").await;
    let upstream = String::from_utf8_lossy(&std.upstream.bytes()).into_owned();
    for (place, text) in [
        ("state", stored),
        ("log", std.gate.log()),
        ("audit", std.gate.audit_text()),
        ("metrics", metrics),
        ("server", upstream),
    ] {
        assert!(!text.contains(&token), "the token is in the {place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_narrowed_by_methods() {
    let std =
        Std::start_with(|c| c["servers"]["up"]["tools"] = json!([{"name": "safe", "operation": "create"}]));
    // The one tool writes, so that a URL that only reads would lead nowhere.
    let create_reading =
        ["url", "create", "--tenant", "a", "--server", "up", "--role", "reader", "--method", "read"];
    assert!(!std.gate.house().command(&create_reading).status.success());
    let (_, writing) = create(&std, &["--method", "write"]);
    assert!(Agent::new(&writing, None).calls("safe", json!({})).await.code().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_would_leave_no_tool_is_not_made() {
    let std = Std::start();
    std.alice().sees().await;
    let house = std.gate.house();
    let output = house.command(&[
        "url",
        "create",
        "--tenant",
        "a",
        "--server",
        "up",
        "--tag",
        "no-such-tag",
        "--config",
        "portcullis.yaml",
    ]);
    assert!(!output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("tool"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_must_be_of_the_same_tenant() {
    let std = Std::start();
    let (_, url) = create(&std, &["--second-factor"]);
    let with = |bearer: Option<&str>| Agent::new(&url, bearer);
    assert_eq!(with(None).calls("safe", json!({})).await.status, 401);
    assert_eq!(with(Some(&std.alice_token())).calls("safe", json!({})).await.status, 200);
    assert!(matches!(with(Some(KEY_BOB)).calls("safe", json!({})).await.status.as_u16(), 401 | 403 | 404));
    assert_eq!(with(Some("not-a-token")).calls("safe", json!({})).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_made_by_a_gate_that_was_killed_still_works() {
    let std = Std::start();
    let (_, url) = create(&std, &[]);
    let path = url[url.find("/mcp/").expect("a path")..].to_owned();
    let Std { gate, upstream, issuer: _issuer } = std;
    let gate = gate.kill().open(1);
    let answer = Agent::new(&format!("{}{path}", gate.url), None).calls("safe", json!({})).await;
    assert!(answer.code().is_none(), "{answer:?}");
    assert_eq!(upstream.received("tools/call").len(), 1);
}
