//! The stock policies as the gate has them: packages that read data only are worked out beforehand.

use std::fs;
use std::path::Path;

use regorus::{Engine, Value};
use serde_json::{Value as Json, json};

use crate::Both;
use crate::chance::Chance;
use crate::hoist::hoisted;

/// What the gate reads.
pub const KEYS: [&str; 5] = [
    "data.mcp.authz.allow",
    "data.mcp.authz.constraints",
    "data.mcp.authz.deny",
    "data.mcp.authz.redact",
    "data.mcp.authz.rules",
];

const PATTERNS: [&str; 9] =
    ["list_*", "get_invoice", "*_delete_*", "*", "*_invoice", "list_invoices", "get_*_by_*", "", "delete_*"];
const TOOLS: [&str; 6] =
    ["list_invoices", "get_invoice", "ns_delete_record", "approve_invoice", "get_rows_by_id", "run"];
const TAGS: [&str; 3] = ["invoices", "hr", "erp"];
const METHODS: [&str; 5] = ["read", "write", "list", "approve", "custom"];
const ROLES: [&str; 5] = ["manager", "finance", "developer", "suspended", "scoped-url"];
const SERVERS: [&str; 5] = ["netsuite", "sap", "*", "tag:erp", "tag:hr"];
const URIS: [&str; 5] = ["file:///pub/a", "file:///pub/../b", "memo://one", "file:///pub/%2E%2e/b", "x"];

/// The policies' files, without their tests.
pub fn modules() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut modules: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
        .filter(|(name, _)| name.ends_with(".rego") && !name.ends_with("_test.rego"))
        .map(|(name, path)| (name, fs::read_to_string(path).unwrap()))
        .collect();
    modules.sort();
    modules
}

/// The rules that are left for each question.
pub fn open() -> Vec<(String, String)> {
    let mut rest = modules();
    rest.retain(|(name, _)| !settled(name));
    rest
}

/// The same in words that the virtual machine's compiler takes, in both engines.
pub fn both() -> Both {
    let rest: Vec<_> = open().into_iter().map(|(name, text)| (name, hoisted(&text))).collect();
    Both::compile(&rest, &KEYS).unwrap_or_else(|e| panic!("{e}"))
}

fn settled(name: &str) -> bool {
    ["index.rego", "methods.rego"].contains(&name)
}

/// The tenants' data as it is written.
pub fn plain(tenants: &Json) -> Value {
    value(&json!({ "tenants": tenants }))
}

/// The data with what the settled packages come to.
pub fn data(tenants: &Json) -> Value {
    let mut engine = Engine::new();
    for (name, text) in modules().into_iter().filter(|(name, _)| settled(name)) {
        engine.add_policy(name, text).unwrap();
    }
    engine.add_data(plain(tenants)).unwrap();
    let mcp = engine.eval_query("data.mcp".to_owned(), false).unwrap().result[0].expressions[0].value.clone();
    let mut data = plain(tenants);
    data.as_object_mut().unwrap().insert("mcp".into(), mcp);
    data
}

/// JSON as the engines have it.
pub fn value(json: &Json) -> Value {
    Value::from_json_str(&json.to_string()).unwrap()
}

/// A tenant's file.
pub fn tenants(chance: &mut Chance) -> Json {
    let mut roles = serde_json::Map::new();
    for role in chance.some(&ROLES) {
        let grants: Vec<Json> = (0..1 + chance.below(4)).map(|_| grant(chance)).collect();
        roles.insert(role.to_owned(), grants.into());
    }
    let deny: Vec<Json> = (0..chance.below(3)).map(|_| rule(chance)).collect();
    match chance.once_in(4) {
        true => json!({ "acme": { "roles": roles } }),
        false => json!({ "acme": { "roles": roles, "deny": deny }, "other": { "roles": {} } }),
    }
}

fn grant(chance: &mut Chance) -> Json {
    let mut grant = json!({ "servers": chance.some(&SERVERS) });
    let mut say = |chance: &mut Chance, key: &str, of: &[&str]| {
        if chance.once_in(2) {
            grant[key] = json!(chance.some(of));
        }
    };
    say(chance, "tools", &PATTERNS);
    say(chance, "tags", &TAGS);
    say(chance, "methods", &METHODS);
    if chance.once_in(3) {
        say(chance, "resources", &["file:///pub/*", "memo://one", "*"]);
        say(chance, "prompts", &["hello*", "root"]);
    }
    say(chance, "redact", &["/rows/*/margin", "/x"]);
    if chance.once_in(3) {
        grant["when"] = condition(chance);
    }
    if chance.once_in(25) {
        grant["tool"] = json!("a word that is not known");
    }
    grant
}

fn condition(chance: &mut Chance) -> Json {
    let all = [
        ("region", json!("caller.region")),
        ("owner", json!("caller.user")),
        ("agent", json!("caller.agent")),
        ("status", json!(["open", "paid"])),
        ("limit", json!({ "maximum": 50 })),
        ("fixed", json!(7)),
    ];
    let chosen = chance.some(&all).into_iter().map(|(name, value)| (name.to_owned(), value));
    Json::Object(chosen.collect())
}

fn rule(chance: &mut Chance) -> Json {
    let mut rule = json!({});
    let lists: [(&str, &[&str]); 8] = [
        ("servers", &SERVERS),
        ("tools", &PATTERNS),
        ("tags", &TAGS),
        ("methods", &METHODS),
        ("roles", &ROLES),
        ("unless_roles", &ROLES),
        ("resources", &["file:///pub/*", "x"]),
        ("prompts", &["hello*"]),
    ];
    for (key, of) in lists {
        if chance.once_in(3) {
            rule[key] = json!(chance.some(of));
        }
    }
    let texts =
        [("message", json!("no")), ("code", json!("c")), ("tools", json!("x")), ("message", json!(5))];
    for (key, text) in
        chance.some(&texts[..2]).into_iter().chain(chance.once_in(20).then(|| chance.one(&texts).clone()))
    {
        rule[key] = text;
    }
    rule
}

/// A question.
pub fn input(chance: &mut Chance) -> Json {
    let mut input = json!({ "phase": "call", "caller": caller(chance), "server": server(chance) });
    let method = match chance.below(6) {
        0..3 => {
            input["tool"] = json!({ "name": chance.one(&TOOLS), "operation": chance.one(&["list", "approve", "delete"]),
                "class": chance.one(&["read", "write", "custom"]), "tags": chance.some(&TAGS), "pinned": true });
            "tools/call"
        }
        3 => {
            input["resource"] = json!({ "uri": chance.one(&URIS) });
            "resources/read"
        }
        4 => {
            input["prompt"] = json!({ "name": chance.one(&["hello", "root"]) });
            "prompts/get"
        }
        _ => *chance.one(&["ping", "tools/list", "tasks/get", "sampling/createMessage", ""]),
    };
    input["method"] = json!(method);
    if chance.once_in(8) {
        input["method"] = json!(chance.one(&["completion/complete", "tools/list", "unknown"]));
    }
    if chance.once_in(3) {
        input["scope"] = json!({ "id": "su_1" });
        if chance.once_in(2) {
            input["scope"]["methods"] = json!(chance.some(&METHODS));
        }
        if chance.once_in(2) {
            input["scope"]["tags"] = json!(chance.some(&TAGS));
        }
    }
    input
}

fn caller(chance: &mut Chance) -> Json {
    let mut caller = json!({ "tenant": chance.one(&["acme", "acme", "acme", "acme", "other", "none"]),
        "roles": chance.some(&ROLES), "groups": [], "attributes": {},
        "authentication": { "kind": chance.one(&["jwt", "scoped_url"]) } });
    if chance.once_in(2) {
        caller["user"] = json!("alice");
    }
    let regions = [json!("EMEA"), json!(["EMEA", "US"]), Json::Null, json!(false)];
    if !chance.once_in(3) {
        caller["attributes"]["region"] = chance.one(&regions).clone();
    }
    caller
}

fn server(chance: &mut Chance) -> Json {
    json!({ "name": chance.one(&["netsuite", "sap", "crm"]), "tags": chance.some(&["erp", "hr"]) })
}
