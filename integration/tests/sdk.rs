//! Official agents through the gate to official servers, in every era that both speak.

use portcullis_integration::fixture::{KEY_BOB, Std};
use portcullis_integration::gate::{Gate, House, minimal};
use portcullis_integration::issuer::sha256_hex;
use portcullis_integration::sdk::{Client, Mode, SdkServer, Seen, Server};
use serde_json::{Value, json};

const ROLES: &str = r#"
roles:
  reader:
    - servers: [sample]
      tools: [safe, progress, whoami, secret_echo, "echo"]
      resources: ["file:///pub/*"]
      prompts: [hello]
    - servers: [sample]
      tools: [employees, payroll]
      redact: ["/employees/*/salary"]
    - servers: [sample]
      tools: [list_all_netsuite_invoices]
      when: {region: caller.region}
"#;

fn gate(server: &SdkServer, era: &str) -> Gate {
    let mut config = minimal("sample", &server.url);
    config["servers"]["sample"]["era"] = json!(era);
    config["identity"] = json!({"api_keys": [{"sha256": sha256_hex(KEY_BOB), "tenant": "a", "user": "bob", "roles": ["reader"], "attributes": {"region": "EMEA"}}]});
    config["accounts"] =
        json!([{"tenant": "a", "server": "sample", "credential": {"bearer": {"inline": "key-of-a"}}}]);
    House::new(&config, &[("a", ROLES)]).open(1)
}

fn steps() -> Value {
    json!([
        {"do": "list_tools"},
        {"do": "call_tool", "name": "safe", "arguments": {"marker": "m"}},
        {"do": "call_tool", "name": "danger"},
        {"do": "call_tool", "name": "list_all_netsuite_invoices", "arguments": {"region": "APAC"}},
        {"do": "call_tool", "name": "list_all_netsuite_invoices", "arguments": {"region": "EMEA"}},
        {"do": "call_tool", "name": "progress", "arguments": {"n": 3}},
        {"do": "call_tool", "name": "employees"},
        {"do": "call_tool", "name": "payroll"},
        {"do": "list_resources"},
        {"do": "read_resource", "uri": "file:///pub/a"},
        {"do": "read_resource", "uri": "file:///secret"},
        {"do": "list_prompts"},
        {"do": "get_prompt", "name": "hello", "arguments": {"name": "Ada"}},
        {"do": "get_prompt", "name": "root"},
        {"do": "complete", "prompt": "hello", "argument": {"name": "name", "value": "A"}},
        {"do": "complete", "prompt": "root", "argument": {"name": "name", "value": "A"}},
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_agent_works_with_the_python_server() {
    every_agent_works_with(Server::Python, "auto").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_agent_works_with_the_typescript_server() {
    every_agent_works_with(Server::TypeScript, "auto").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_agent_works_with_the_python_server_as_if_it_were_legacy() {
    every_agent_works_with(Server::Python, "legacy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_agent_works_with_the_typescript_server_as_if_it_were_legacy() {
    every_agent_works_with(Server::TypeScript, "legacy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_agent_works_with_the_python_server_as_if_it_were_modern() {
    every_agent_works_with(Server::Python, "modern").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_agent_works_with_the_typescript_server_as_if_it_were_modern() {
    every_agent_works_with(Server::TypeScript, "modern").await;
}

async fn every_agent_works_with(kind: Server, era: &str) {
    let server = SdkServer::start_with(kind, &[("EXPECTED_CREDENTIAL", "Authorization: Bearer key-of-a")]);
    let gate = gate(&server, era);
    let url = gate.server("sample");
    for (client, mode, seen) in Client::all_play(Client::ALL, &url, Some(KEY_BOB), steps()).await {
        println!("{client:?} {mode:?} through the gate to {kind:?}");
        check(mode, &seen);
    }
    for exchange in server.exchanges() {
        assert_eq!(exchange.header("authorization"), ["Bearer key-of-a"]);
        assert!(
            !exchange.message().to_string().contains("\"danger\""),
            "the refused call reached the server"
        );
    }
}

fn check(mode: Mode, seen: &Seen) {
    let names = |step: usize, list: &str, key: &str| -> Vec<String> {
        let all = seen.ok(step)[list].as_array().expect("a list").iter();
        all.map(|t| t[key].as_str().expect("text").to_owned()).collect()
    };
    let protocol = if mode == Mode::Legacy { "2025-11-25" } else { "2026-07-28" };
    assert_eq!(seen.ok(0)["protocol"], protocol);
    let tools = names(1, "tools", "name");
    assert!(
        tools.contains(&"safe".into()) && !tools.contains(&"danger".into()) && !tools.contains(&"big".into()),
        "{tools:?}"
    );
    let invoices = seen.ok(1)["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .find(|t| t["name"] == "list_all_netsuite_invoices");
    assert!(
        invoices.expect("it is shown")["inputSchema"].to_string().contains("EMEA"),
        "the schema is not narrowed"
    );
    assert_eq!(seen.ok(2)["content"][0]["text"], "safe m");
    assert_eq!(seen.error(3)["code"], -32602);
    assert!(seen.error(3)["message"].as_str().expect("text").contains("danger"));
    assert_eq!(seen.ok(4)["isError"], true);
    assert!(seen.ok(4)["content"][0]["text"].as_str().expect("text").contains("region"), "{}", seen.ok(4));
    assert!(seen.ok(5)["content"].to_string().contains("EMEA"));
    assert_eq!(seen.ok(6)["progress"].as_array().expect("progress").len(), 3);
    let salary = &seen.ok(7)["structuredContent"]["employees"][0]["salary"];
    assert!(salary != 100 && !seen.ok(7)["content"].to_string().contains("100"), "{}", seen.ok(7));
    // Its clients hold the result to the output schema of the list.
    assert_eq!(
        seen.ok(8)["structuredContent"]["employees"][0],
        json!({"name": "Ada", "salary": "[redacted]"}),
        "{}",
        seen.ok(8)
    );
    assert_eq!(names(9, "resources", "uri"), ["file:///pub/a"]);
    assert_eq!(seen.ok(10)["contents"][0]["text"], "public a");
    assert!(matches!(seen.error(11)["code"].as_i64(), Some(-32602 | -32002)));
    assert_eq!(names(12, "prompts", "name"), ["hello"]);
    assert!(seen.ok(13)["messages"][0].to_string().contains("Ada"));
    assert!(seen.error(14)["code"].is_i64());
    assert_eq!(seen.ok(15)["completion"]["values"], json!(["Ada", "Alan"]));
    assert!(seen.error(16)["code"].is_i64());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_everything_server_of_npm_is_narrowed_to_one_tool() {
    let server = SdkServer::start(Server::Everything);
    let gate = gate(&server, "auto");
    let steps = json!([
        {"do": "list_tools"},
        {"do": "call_tool", "name": "echo", "arguments": {"message": "hi"}},
        {"do": "call_tool", "name": "get-sum", "arguments": {"a": 1, "b": 2}},
    ]);
    let url = gate.server("sample");
    for (client, mode, seen) in
        Client::all_play(Client::of_the_legacy_era(), &url, Some(KEY_BOB), steps).await
    {
        let tools = seen.ok(1)["tools"].as_array().expect("tools");
        assert!(tools.len() == 1 && tools[0]["name"] == "echo", "{client:?} {mode:?}: {tools:?}");
        assert!(seen.ok(2)["content"].to_string().contains("hi"));
        assert_eq!(seen.error(3)["code"], -32602);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_a_credential_learns_that_it_needs_one() {
    let std = Std::start();
    let steps = json!([{"do": "call_tool", "name": "safe"}]);
    for (client, mode, seen) in Client::all_play(Client::ALL, &std.gate.server("up"), None, steps).await {
        assert!(
            seen.step(0).get("error").is_some() || seen.step(1).get("error").is_some(),
            "{client:?} {mode:?}: {seen:?}"
        );
    }
    assert!(std.upstream.received("tools/call").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_verify_the_gates_statement() {
    for kind in [Server::Python, Server::TypeScript] {
        // The server must know where the gate's keys are before the gate knows where the server is.
        let door =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let jwks = format!("http://{door}/.well-known/jwks.json");
        let environment =
            [("TXN_JWKS_URL", jwks.as_str()), ("EXPECTED_CREDENTIAL", "Authorization: Bearer key-of-a")];
        let server = SdkServer::start_with(kind, &environment);
        let mut config = minimal("sample", &server.url);
        config["listen"][0]["address"] = json!(door.to_string());
        config["accounts"][0]["credential"] = json!({"bearer": {"inline": "key-of-a"}});
        let gate = House::new(&config, &[("a", ROLES)]).open(1);
        let seen = Client::Python
            .plays(Mode::Modern, &gate.server("sample"), None, json!([{"do": "call_tool", "name": "whoami"}]))
            .await;
        let saw: Value =
            serde_json::from_str(seen.ok(1)["content"][0]["text"].as_str().expect("text")).expect("JSON");
        assert_eq!(saw["claims"]["tenant"], "a", "{saw}");
        assert_eq!(saw["claims"]["tctx"]["tool"], "whoami");
    }
}
