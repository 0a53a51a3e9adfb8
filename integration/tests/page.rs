//! The matrix as a page, in a real browser: what its search and its filters show, and what a tool's name cannot do to it.

use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_integration::gate::{House, minimal};
use portcullis_integration::process::Process;
use portcullis_integration::repository;
use serde_json::{Value, json};

const ACME: &str = r#"
roles:
  field:
    - {servers: [sap], tools: [list_purchase_orders]}
  office:
    - {servers: [sap], tools: ["*"]}
    - {servers: [netsuite], tools: ["list_*"], when: {region: caller.region}}
    - {servers: [netsuite], tools: ["*img*", "*script*"]}
"#;
const BETA: &str = "roles: {office: [{servers: [sap], tools: [create_purchase_order]}]}";
const INVOICES: &str = "list_all_netsuite_invoices";
const CREATE: &str = "create_purchase_order";
const LIST: &str = "list_purchase_orders";
const IMAGE: &str = "<img src=x onerror=\"document.title='owned'\">";
const SCRIPT: &str = "</script><script>document.title='owned'</script>";

/// The page of two tenants and two servers, beside what looks at it.
fn page() -> House {
    let mut config = minimal("sap", "http://127.0.0.1:1/mcp");
    config["servers"]["netsuite"] = json!({"url": "http://127.0.0.1:1/mcp"});
    config["identity"]["anonymous"] = json!({"tenant": "acme", "roles": ["field"]});
    let account = |tenant, server| json!({"tenant": tenant, "server": server, "credential": "none"});
    config["accounts"] = json!([account("acme", "sap"), account("acme", "netsuite"), account("beta", "sap")]);
    let house = House::new(&config, &[("acme", ACME), ("beta", BETA)]);
    let tool = |name: &&str| json!({"name": name, "description": SCRIPT, "inputSchema": {"type": "object", "properties": {"region": {"type": "string"}}}});
    let tools = |names: &[&str]| json!({"tools": names.iter().map(tool).collect::<Vec<_>>()});
    let catalogue =
        json!({"servers": {"sap": tools(&[CREATE, LIST]), "netsuite": tools(&[INVOICES, IMAGE, SCRIPT])}});
    house.write("catalogue.json", &catalogue.to_string());
    let made = house.command(&[
        "policy",
        "matrix",
        "--config",
        "portcullis.yaml",
        "--catalogue",
        "catalogue.json",
        "--format",
        "html",
    ]);
    assert!(made.status.success(), "{made:?}");
    house.write("matrix.html", &String::from_utf8(made.stdout).expect("UTF-8"));
    house.write("views.html", include_str!("page/views.html"));
    house
}

/// What the browser shows of the page in each of these views.
fn look(house: &House, views: &Value) -> Vec<Value> {
    let brought = Command::new(repository().join("integration/setup.sh")).arg("browser").status();
    assert!(brought.expect("setup.sh runs").success(), "integration/setup.sh failed");
    let mut browser = Command::new("chromium");
    browser.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-dev-shm-usage",
    ]);
    browser.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    browser.args(["--allow-file-access-from-files", "--virtual-time-budget=20000", "--dump-dom"]);
    browser.arg(format!("--user-data-dir={}", house.path("profile").display()));
    browser.arg(address(&house.path("views.html"), views)).env("HOME", house.path("."));
    let mut browser = Process::start("chromium", browser);
    browser.wait();
    let dump = browser.output();
    let (_, told) = dump.split_once("<pre id=\"told\">").unwrap_or_else(|| panic!("no page: {dump}"));
    let (told, _) = told.split_once('<').expect("the end of it");
    let sights = STANDARD.decode(told).unwrap_or_else(|why| panic!("{why}: {dump}"));
    serde_json::from_slice(&sights).unwrap_or_else(|why| panic!("{why}: {dump}"))
}

fn address(file: &Path, views: &Value) -> String {
    let hexadecimal: String = views.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("file://{}#{hexadecimal}", file.display())
}

#[test]
fn a_linked_view_of_the_matrix_shows_what_it_names_and_no_name_becomes_script() {
    let views = json!([
        {"at": ""},
        {"at": "search=PURCHASE"},
        {"at": "search=region"},
        {"at": "role=field"},
        {"at": "role=beta/office"},
        {"at": "server=netsuite"},
        {"at": "outcome=constrained"},
        {"at": "search=purchase&role=field&server=sap&outcome=allows"},
        {"at": "role=office"},
        {"at": "role=nobody&server=%3Cimg%20src=x%20onerror=%22document.title='owned'%22%3E"},
        {"at": "role=field", "type": "list_p"},
    ]);
    let seen = look(&page(), &views);
    let all = [CREATE, IMAGE, INVOICES, LIST, SCRIPT];
    let rows = |view: usize| sorted(&seen[view]["rows"]);
    let columns = |view: usize| seen[view]["columns"].as_array().map_or(0, Vec::len);
    assert_eq!((rows(0), seen[0]["count"].as_str()), (all.to_vec(), Some("5 of 5")));
    assert_eq!(rows(1), [CREATE, LIST], "by tool, whatever the case");
    assert_eq!(rows(2), [INVOICES], "by a constraint");
    assert_eq!((rows(3), columns(3)), (all.to_vec(), 1));
    assert_eq!(seen[3]["columns"], json!(["acme/field"]));
    assert_eq!((sorted(&seen[4]["columns"]), rows(4)), (vec!["beta/office"], vec![CREATE, LIST]));
    assert_eq!(rows(5), [IMAGE, INVOICES, SCRIPT]);
    assert_eq!((rows(6), &seen[6]["cells"]), (vec![INVOICES], &json!(["yes, if"])));
    assert_eq!((rows(7), &seen[7]["cells"]), (vec![LIST], &json!(["yes"])));
    assert_eq!(seen[8]["count"], "5 of 5; not here: role=office (which tenant's?)");
    assert!(
        seen[9]["count"].as_str().is_some_and(|said| said.contains("role=nobody") && said.contains("<img"))
    );
    assert_eq!((rows(10), &seen[10]["link"]), (vec![LIST], &json!("#search=list_p&role=acme%2Ffield")));
    for view in &seen {
        assert_eq!(view["title"], "What the policy lets whom do", "{view}");
        assert_eq!((&view["images"], &view["scripts"]), (&json!(0), &json!(2)), "{view}");
    }
}

fn sorted(list: &Value) -> Vec<&str> {
    let mut names: Vec<_> = list.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    names.sort_unstable_by_key(|name| name.trim_start_matches(['<', '/']));
    names
}
