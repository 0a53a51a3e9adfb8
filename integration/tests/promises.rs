//! The promises of SECURITY.md, one test each, seen from outside: what came out, and what must not have happened.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_integration::agent::{Agent, rpc};
use portcullis_integration::fixture::{KEY_BOB, ROLES, Std, UPSTREAM_SECRET_A, UPSTREAM_SECRET_B};
use portcullis_integration::mcp::{respond, text};
use portcullis_integration::reply::Reply;
use portcullis_integration::wait;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn deny_is_the_default() {
    let std = Std::start();
    let stranger = std.agent(&std.token("nobodys-tenant", "mallory", |_| {}));
    let without_role = std.alice_as(&["no-such-role"], "EMEA");
    for agent in [stranger, without_role] {
        assert!(agent.calls("safe", json!({})).await.code().is_some());
        assert!(agent.modern("resources/read", json!({"uri": "file:///pub/a"})).await.code().is_some());
        assert!(agent.modern("prompts/get", json!({"name": "hello"})).await.code().is_some());
    }
    let alice = std.alice();
    assert_eq!(alice.modern("admin/reset", json!({})).await.code(), Some(-32601));
    let garbage = alice.send(alice.post().header("Content-Type", "application/json").body("{")).await;
    assert_eq!((garbage.status.as_u16(), garbage.code()), (400, Some(-32700)));
    for rpc in ["tools/call", "resources/read", "prompts/get", "admin/reset"] {
        assert!(std.upstream.received(rpc).is_empty(), "{rpc} reached the server");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_sees_exactly_the_bytes_that_were_judged() {
    let std = Std::start();
    let odd = "{ \"id\" : \"a\\u0062c\",\n \"params\":{\"arguments\":{\"marker\":\"\\u00e9\\/x\",\"big\":1.0e+2 , \"z\":[ ]},\"name\":\"sa\\u0066e\"},\"method\":\"tools/call\",\"jsonrpc\":\"2.0\"}\r\n ";
    let alice = std.alice().initialized().await;
    let request =
        alice.post().header("Content-Type", "application/json").header("MCP-Protocol-Version", "2025-11-25");
    let answer = alice.send(request.body(odd)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = std.upstream.received("tools/call").pop().expect("the call");
    assert_eq!(String::from_utf8(seen.body).expect("text").trim(), odd.trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn client_credentials_never_go_up() {
    let std = Std::start();
    let token = std.alice_token();
    let alice = std
        .agent(&token)
        .with("Cookie", "session=sesame")
        .with("X-Forwarded-User", "root")
        .with("Txn-Token", "forged");
    alice.sees().await;
    assert!(!alice.calls("safe", json!({})).await.is_error_result());
    let bytes = String::from_utf8_lossy(&std.upstream.bytes()).into_owned();
    for secret in [token.as_str(), "sesame", "forged", "X-Forwarded-User", "x-forwarded-user"] {
        assert!(!bytes.contains(secret), "`{secret}` went up");
    }
    let call = std.upstream.received("tools/call").pop().expect("the call");
    assert_eq!(call.header("authorization"), [format!("Bearer {UPSTREAM_SECRET_A}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_credentials_never_come_down_nor_into_any_record() {
    let std = Std::start();
    std.upstream.answers_calls(|e| {
        let echo = json!({"jsonrpc": "2.0", "id": e.message()["id"], "result": text(&e.header("authorization").join(" "))});
        let headers = [("Content-Type", "application/json"), ("Set-Cookie", "upstream=cookie"), ("X-Internal-Url", "http://10.0.0.7/")];
        Reply::new(200, &headers, echo.to_string().as_bytes())
    });
    let token = std.alice_token();
    let answer = std.agent(&token).calls("safe", json!({})).await;
    std.upstream
        .answers_calls(|_| Reply::new(401, &[("WWW-Authenticate", "Bearer realm=\"internal\"")], b"no"));
    let refused = std.agent(&token).calls("safe", json!({})).await;
    let bad = std.agent("not-a-token-4711").calls("safe", json!({})).await;
    assert_eq!(bad.status, 401);
    let (_, metrics) = std.gate.admin("/metrics").await;
    let (_, config) = std.gate.admin("/config").await;
    let everywhere =
        [answer.everything(), refused.everything(), std.gate.log(), std.gate.audit_text(), metrics, config]
            .join("\n");
    for secret in [
        UPSTREAM_SECRET_A,
        UPSTREAM_SECRET_B,
        "upstream=cookie",
        "10.0.0.7",
        &token,
        "not-a-token-4711",
        "realm=\"internal\"",
    ] {
        let at = everywhere.find(secret);
        assert!(
            at.is_none(),
            "`{secret}` shows: {:?}",
            at.map(|i| everywhere[i.saturating_sub(200)..].chars().take(400).collect::<String>())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_session_and_credential_cannot_be_reached_by_another() {
    let std = Std::start();
    let alice = std.alice().initialized().await;
    let mut thief = std.carol();
    thief.session.clone_from(&alice.session);
    std.upstream.forget();
    assert_eq!(thief.legacy("tools/call", json!({"name": "safe", "arguments": {}})).await.status, 404);
    assert!(std.upstream.received("tools/call").is_empty());
    let bob = std.agent(KEY_BOB);
    assert!(!bob.calls("safe", json!({})).await.is_error_result());
    let call = std.upstream.received("tools/call").pop().expect("the call");
    assert_eq!(call.header("authorization"), [format!("Bearer {UPSTREAM_SECRET_B}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_on_the_record_before_it_is_forwarded() {
    let std = Std::start();
    let alice = std.alice();
    alice.sees().await;
    std.upstream.answers_calls(|_| Reply(vec![portcullis_integration::reply::Step::Hang]));
    let calling = tokio::spawn(async move { alice.calls("safe", json!({})).await });
    wait::until("the call", async || std.upstream.received("tools/call").pop()).await;
    assert_eq!(std.gate.recorded("intent", "safe").len(), 1);
    calling.abort();
    wait::until("its outcome", async || {
        let intent = std.gate.recorded("intent", "safe").pop()?["invocation"].clone();
        std.gate.audit().into_iter().find(|l| l["kind"] == "outcome" && l["invocation"] == intent)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_proves_that_nobody_changed_it() {
    let mut std = Std::start();
    for n in 0..5 {
        std.alice().calls("safe", json!({"marker": n.to_string()})).await;
    }
    std.gate.terminate();
    assert!(std.gate.ended(), "{}", std.gate.log());
    let house = std.gate.house();
    assert!(house.command(&["audit", "verify", "audit"]).status.success());
    let segments = std::fs::read_dir(house.path("audit")).expect("the audit").flatten().map(|e| e.path());
    let segment = segments
        .filter(|p| p.is_file())
        .max_by_key(|p| p.metadata().expect("a file").len())
        .expect("a segment");
    let good = std::fs::read_to_string(&segment).expect("text");
    let lines: Vec<_> = good.lines().collect();
    let middle = lines.len() / 2;
    let without = |n: usize| {
        lines.iter().enumerate().filter(|(i, _)| *i != n).map(|(_, l)| format!("{l}\n")).collect::<String>()
    };
    let mut swapped = lines.clone();
    swapped.swap(middle, middle - 1);
    let bad = [
        good.replacen("safe", "sage", 1),
        without(middle),
        swapped.join("\n") + "\n",
        without(lines.len() - 1),
    ];
    for text in bad {
        std::fs::write(&segment, &text).expect("writable");
        let output = house.command(&["audit", "verify", "audit"]);
        assert!(!output.status.success(), "not found: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_and_results_are_never_stored() {
    let std = Std::start();
    let answer = std.alice().calls("safe", json!({"marker": "a-very-private-word"})).await;
    assert!(answer.everything().contains("a-very-private-word"));
    wait::until("the outcome", async || {
        std.gate.audit().iter().any(|l| l["kind"] == "outcome").then_some(())
    })
    .await;
    let (_, metrics) = std.gate.admin("/metrics").await;
    let stored = [std.gate.log(), std.gate.audit_text(), metrics, files(&std)].join("\n");
    assert!(!stored.contains("a-very-private-word"));
}

fn files(std: &Std) -> String {
    let directory = std.gate.house().path("state");
    let files = std::fs::read_dir(directory).expect("the state").flatten();
    files
        .filter_map(|f| std::fs::read(f.path()).ok())
        .map(|b| String::from_utf8_lossy(&b).into_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_policy_takes_effect_without_a_restart_and_without_a_dropped_request() {
    let std = Std::start();
    let alice = std.alice();
    let traffic = tokio::spawn({
        let alice = alice.clone();
        async move {
            let mut failed = 0;
            for _ in 0..300 {
                failed += u32::from(alice.calls("safe", json!({})).await.is_error_result());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            failed
        }
    });
    for round in 0..10 {
        let tools = if round % 2 == 0 { "[safe, danger]" } else { "[safe]" };
        std.gate.house().tenant("a", &ROLES.replace("[safe]", tools));
        let expected: &[&str] = if round % 2 == 0 { &["safe", "danger"] } else { &["safe"] };
        wait::until("the change", async || (alice.sees().await == expected).then_some(())).await;
    }
    assert_eq!(traffic.await.expect("it ends"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_can_verify_who_called() {
    let std = Std::start();
    std.alice().calls("safe", json!({"marker": "x"})).await;
    let call = std.upstream.received("tools/call").pop().expect("the call");
    let token = call.header("txn-token").pop().expect("a Txn-Token").to_owned();
    let part = |n: usize| -> Value {
        let text = token.split('.').nth(n).expect("three parts");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64")).expect("JSON")
    };
    let (head, claims) = (part(0), part(1));
    assert_eq!(head["typ"], "txntoken+jwt");
    assert_eq!(
        (&claims["tenant"], &claims["sub"], &claims["aud"]),
        (&json!("a"), &json!("alice"), &json!(std.upstream.url))
    );
    assert_eq!((&claims["tctx"]["tool"], &claims["tctx"]["method"]), (&json!("safe"), &json!("tools/call")));
    let life = claims["exp"].as_u64().expect("exp") - claims["iat"].as_u64().expect("iat");
    assert!(life <= 60);
    let jwks = Agent::new(&format!("{}/.well-known/jwks.json", std.gate.url), None);
    let keys = jwks.send(jwks.request(reqwest::Method::GET)).await;
    assert!(
        keys.body.windows(4).count() > 0
            && String::from_utf8_lossy(&keys.body).contains(head["kid"].as_str().expect("kid"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_asked_for_again_is_still_its_callers_own() {
    let std = Std::start();
    let listed = async |agent: &Agent, id: Value| {
        let mut asked = rpc("tools/list", json!({}));
        asked["id"] = id.clone();
        let answer = agent.send(agent.post().json(&asked)).await;
        assert_eq!(answer.message()["id"], id, "{answer:?}");
        answer.result()["tools"].clone()
    };
    let name = |tools: &Value| {
        tools.as_array().expect("tools").iter().map(|t| t["name"].clone()).collect::<Vec<_>>()
    };
    let alice = std.alice().initialized().await;
    let carol = std.carol().initialized().await;
    let emea = std.alice_as(&["regional"], "EMEA").initialized().await;
    let us = std.alice_as(&["regional"], "US").initialized().await;
    for id in [json!(1), json!("two"), json!(1), json!(30)] {
        assert_eq!(name(&listed(&alice, id.clone()).await), ["safe"]);
        assert_eq!(name(&listed(&carol, id.clone()).await), ["safe"]);
        for (agent, region) in [(&emea, "EMEA"), (&us, "US")] {
            let tools = listed(agent, id.clone()).await;
            assert_eq!(name(&tools), ["list_all_netsuite_invoices"]);
            assert_eq!(tools[0]["inputSchema"]["properties"]["region"]["const"], region, "{tools}");
        }
    }
    std.upstream.answers(|exchange| {
        let mut message = respond(&exchange.message(), exchange);
        message["result"]["tools"][0]["description"] = json!("edited");
        Reply::json(&message)
    });
    for id in [json!(1), json!(2)] {
        assert_eq!(listed(&alice, id).await[0]["description"], "edited");
    }
}
