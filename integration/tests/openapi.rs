//! The OpenAPI document of the admin API, held against the specification by a validator that is not ours, and against the
//! gate that serves it.

use portcullis_integration::api::Api;
use portcullis_integration::fixture::Std;
use portcullis_integration::sdk::python_module;
use reqwest::Method;
use serde_json::{Value, json};

fn operations(document: &Value) -> Vec<(Method, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().expect("methods").clone();
        let path = path.clone();
        methods.into_iter().map(move |(method, operation)| {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).expect("a method");
            (method, path.clone(), operation)
        })
    };
    paths.iter().flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_takes_the_document_and_the_gate_has_every_path_of_it() {
    let std = Std::start();
    let operator = Api::operator(&std.gate);
    let document = operator.ask(Method::GET, "/v1/openapi.json").await.done(200);
    let printed = std.gate.house().command(&["config", "openapi"]).stdout;
    let printed: Value = serde_json::from_slice(&printed).expect("JSON");
    assert_eq!(document, printed, "the command prints the same");
    let file = std.gate.house().write("openapi.json", &document.to_string());
    let valid = python_module("openapi_spec_validator").arg("--schema").arg("3.1").arg(&file).output();
    let valid = valid.expect("the validator runs");
    assert!(valid.status.success(), "{valid:?}");
    for (method, path, operation) in operations(&document) {
        let path = path.replace("{tenant}", "a").replace("{server}", "up").replace("{id}", "none");
        let nobody = Api::bearer(&std.gate.admin_url, "nobody").ask(method.clone(), &path).await;
        let open = operation["security"] == json!([]);
        assert_eq!(nobody.status == 401, !open, "{method} {path}: {}", nobody.status);
        let told = operator.send(method.clone(), &path, &[], None).await;
        assert!(told.status != 405, "{method} {path} is not served");
        assert_ne!(told.body["error"], "there is nothing at this path", "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_fits_the_document_is_taken_and_an_answer_has_what_it_says() {
    let std = Std::start();
    let operator = Api::operator(&std.gate);
    let document = operator.ask(Method::GET, "/v1/openapi.json").await.done(200);
    let required = |name: &str| {
        let schema = &document["components"]["schemas"][name];
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let known = schema["properties"].as_object().expect("properties").clone();
        (required.iter().map(|name| name.as_str().expect("a name").to_owned()).collect::<Vec<_>>(), known)
    };
    let made = [
        ("Tenant", "/v1/tenants", json!({"tenant": "new"})),
        (
            "Account",
            "/v1/accounts",
            json!({"tenant": "new", "server": "up", "credential": {"bearer": "sealed"}}),
        ),
        ("Key", "/v1/keys", json!({"tenant": "new", "agent": "batch", "roles": ["reader"]})),
        ("Error", "/v1/keys", json!({"tenant": "new", "expires_at": "yesterday"})),
    ];
    for (name, path, body) in made {
        let told = operator.post(path, body).await;
        let (required, known) = required(name);
        let members = told.body.as_object().expect("an object");
        assert!(required.iter().all(|name| members.contains_key(name)), "{name}: {}", told.body);
        let spoken = |key: &&String| !known.contains_key(*key) && !matches!(key.as_str(), "agent" | "roles");
        assert_eq!(members.keys().find(spoken), None, "{name}: {}", told.body);
    }
}
