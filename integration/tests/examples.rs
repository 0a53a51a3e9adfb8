//! The examples, played as their files say: a real gate, their own servers, which verify the credential and the gate's
//! signed statement of who is calling, and every call of `calls.yaml`.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use portcullis_integration::agent::{Agent, Answer};
use portcullis_integration::gate::{Gate, House};
use portcullis_integration::process::Process;
use portcullis_integration::sdk;
use portcullis_integration::{repository, wait};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The gate's own addresses in the examples' files.
const DATA: &str = "127.0.0.1:8080";
const ADMIN: &str = "127.0.0.1:9901";

#[test]
fn every_example_passes_the_check() {
    let examples = std::fs::read_dir(repository().join("examples")).expect("examples").flatten();
    let configs: Vec<_> =
        examples.map(|e| e.path().join("portcullis.yaml")).filter(|f| f.is_file()).collect();
    assert!(configs.len() >= 3, "{configs:?}");
    for config in configs {
        let example = House::copied(config.parent().expect("a folder"));
        let text = config_in_place(&std::fs::read_to_string(&config).expect("text"), &example);
        example.write("portcullis.yaml", &text);
        let output = example.command(&["check", "--config", "portcullis.yaml"]);
        assert!(output.status.success(), "{}: {output:?}", config.display());
    }
}

/// The configuration for containers, with the places of its mounts.
fn config_in_place(text: &str, house: &House) -> String {
    let netsuite = repository().join("examples/netsuite").display().to_string();
    text.replace("/etc/portcullis/policies", &format!("{netsuite}/policies"))
        .replace("/run/secrets", &format!("{netsuite}/secrets"))
        .replace("/var/lib/portcullis", &house.path("state").display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn netsuite_answers_as_its_calls_say() {
    Example::open("netsuite").await.plays().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sap_answers_as_its_calls_say() {
    Example::open("sap").await.plays().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_construction_companys_six_systems_answer_as_its_calls_say() {
    Example::open("construction").await.plays().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_refuse_who_comes_past_the_gate() {
    let example = Example::open("netsuite").await;
    let (_, server) = example.servers.first().expect("a server");
    let url = format!("http://{server}/mcp");
    let past = |bearer| Agent::new(&url, Some(bearer)).with("Txn-Token", "a.b.c");
    let call = json!({"query": "select * from transaction"});
    assert_eq!(past("pck_sample_omar").calls("run_suiteql", call.clone()).await.status, 401);
    assert_eq!(past("sample-netsuite-token").calls("run_suiteql", call).await.status, 401);
}

/// A running example.
struct Example {
    name: &'static str,
    calls: Value,
    gate: Gate,
    servers: Vec<(String, SocketAddr)>,
    _processes: Vec<Process>,
}

impl Example {
    /// Starts the servers and the gate of `examples/<name>` in a copy of it, on free ports.
    async fn open(name: &'static str) -> Self {
        let folder = repository().join("examples").join(name);
        let calls = yaml(&folder.join("calls.yaml"));
        let mut config = std::fs::read_to_string(folder.join("portcullis.yaml")).expect("text");
        let door = free();
        let (mut servers, mut processes) = (Vec::new(), Vec::new());
        for (server, how) in calls["servers"].as_object().expect("servers") {
            let address = free();
            config = config.replace(&address_of(&config, server), &address.to_string());
            processes.push(start(&folder, how, address, door));
            servers.push((server.clone(), address));
        }
        for (server, address) in &servers {
            reached(server, *address).await;
        }
        let config = config.replace(DATA, &door.to_string()).replace(ADMIN, "127.0.0.1:0");
        // A busy machine may need longer than a gate in use should wait.
        let config = config.replace("policies: policies", "policies: {directory: policies, timeout: 5s}");
        let house = House::copied(&folder);
        house.write("portcullis.yaml", &config);
        Self { name, calls, gate: house.open(1), servers, _processes: processes }
    }

    async fn plays(&self) {
        let calls = self.calls["calls"].as_array().expect("calls");
        for call in calls {
            let says = format!("{}: {}", self.name, call["says"]);
            let key = self.calls["callers"][text(&call["caller"])].as_str().expect("a caller's key");
            let agent = Agent::new(&self.gate.server(text(&call["server"])), Some(key));
            let answer = ask(&agent, call).await;
            println!("{says}\n  {}", answer.message());
            check(&says, &call["expect"], &answer);
        }
        let intents = self.gate.audit().iter().filter(|line| line["kind"] == "intent").count();
        assert!(intents > 0, "nothing is on the record");
    }
}

async fn ask(agent: &Agent, call: &Value) -> Answer {
    match call["list"].as_str() {
        Some(list) => agent.modern(&format!("{list}/list"), json!({})).await,
        None => {
            let arguments = call.get("arguments").cloned().unwrap_or_else(|| json!({}));
            agent.calls(text(&call["tool"]), arguments).await
        }
    }
}

fn check(says: &str, expect: &Value, answer: &Answer) {
    for (what, wanted) in expect.as_object().expect("what is expected") {
        match what.as_str() {
            "tools" => assert_eq!(&tools(answer), wanted, "{says}"),
            "schema" => narrowed(says, wanted, answer),
            "result" => has(says, wanted, answer),
            "absent" => lacks(says, wanted, answer),
            "refused" => refused(says, text(wanted), answer),
            other => panic!("{says}: nobody knows what `{other}` expects"),
        }
    }
}

fn tools(answer: &Answer) -> Value {
    let result = answer.result();
    let mut names: Vec<_> =
        result["tools"].as_array().expect("tools").iter().map(|t| text(&t["name"]).to_owned()).collect();
    names.sort();
    json!(names)
}

fn narrowed(says: &str, wanted: &Value, answer: &Answer) {
    let result = answer.result();
    for (name, members) in wanted.as_object().expect("tools") {
        let listed = result["tools"].as_array().expect("tools").iter().find(|t| t["name"] == **name);
        let schema = &listed.unwrap_or_else(|| panic!("{says}: no {name}"))["inputSchema"];
        for (pointer, value) in members.as_object().expect("members") {
            assert_eq!(schema.pointer(pointer), Some(value), "{says}: {schema}");
        }
    }
}

fn has(says: &str, wanted: &Value, answer: &Answer) {
    assert!(!answer.is_error_result(), "{says}: {answer:?}");
    let structured = &answer.result()["structuredContent"];
    for (pointer, value) in wanted.as_object().expect("members") {
        assert_eq!(structured.pointer(pointer), Some(value), "{says}: {pointer} in {structured}");
    }
}

fn lacks(says: &str, wanted: &Value, answer: &Answer) {
    let structured = &answer.result()["structuredContent"];
    for pointer in wanted.as_array().expect("pointers") {
        let found = structured.pointer(text(pointer));
        assert!(found.is_none_or(|v| v == "[redacted]"), "{says}: {pointer} in {structured}");
    }
}

fn refused(says: &str, how: &str, answer: &Answer) {
    let reason = answer.detail()["reason"].clone();
    match how {
        "hidden" => assert_eq!((answer.code(), reason), (Some(-32602), json!("unknown_tool")), "{says}"),
        "constraint" => {
            assert!(
                answer.is_error_result() && answer.detail()["argument"].is_string(),
                "{says}: {answer:?}"
            );
        }
        other => assert_eq!(reason, other, "{says}: {answer:?}"),
    }
}

/// Starts the server of an example as its README does.
fn start(folder: &Path, how: &Value, address: SocketAddr, door: SocketAddr) -> Process {
    let mut command: Command = sdk::python(folder.join(text(&how["program"])));
    command.env("PORT", address.port().to_string());
    command.env("GATE_JWKS", format!("http://{door}/.well-known/jwks.json"));
    command.env("GATE_ISSUER", format!("http://{door}"));
    for (name, value) in how["environment"].as_object().into_iter().flatten() {
        command.env(name, text(value));
    }
    Process::start(text(&how["program"]), command)
}

/// Waits for a server; six interpreters that start at once may take longer than one.
async fn reached(server: &str, address: SocketAddr) {
    let end = Instant::now() + 3 * wait::DEADLINE;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < end, "waited in vain for the server {server}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The fixed address of a server in an example's configuration.
fn address_of(config: &str, server: &str) -> String {
    let section = config.split_once(&format!("\n  {server}:\n")).expect("the server's section").1;
    let url = section.split_once("url: http://").expect("its URL").1;
    url[..url.find("/mcp").expect("its path")].to_owned()
}

fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn yaml(file: &PathBuf) -> Value {
    let text = std::fs::read_to_string(file).expect("text");
    let documents = Yaml::load_from_str(&text).expect("YAML");
    as_json(documents.first().expect("a document"))
}

fn as_json(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Mapping(members) => {
            let members =
                members.iter().map(|(k, v)| (k.as_str().expect("a text key").to_owned(), as_json(v)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Yaml::Sequence(items) => items.iter().map(as_json).collect(),
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Value(Scalar::Integer(number)) => json!(number),
        Yaml::Value(Scalar::FloatingPoint(number)) => json!(number.into_inner()),
        Yaml::Value(Scalar::Boolean(flag)) => json!(flag),
        other => panic!("calls.yaml has no need of {other:?}"),
    }
}
