//! What a directory of the operator's says of callers: users and groups as SCIM has them.

use portcullis_integration::agent::Agent;
use portcullis_integration::fixture::{KEY_BOB, Std};
use portcullis_integration::wait::until;
use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn people() -> Value {
    let user = |id: &str, name: &str| json!({"schemas": [USER, ENTERPRISE], "id": id, "userName": name, "active": true});
    let group = |id: &str, name: &str, members: &[&str]| {
        let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
        json!({"schemas": [GROUP], "id": id, "displayName": name, "members": members})
    };
    let mut alice = user("u1", "Alice");
    alice[ENTERPRISE] = json!({"department": "Sales", "costCenter": "EMEA"});
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": 5,
        "Resources": [
            alice, user("u2", "bob"), user("u3", "dora"),
            group("g1", "Sales EMEA", &["u1"]),
            // A group within a group, and around again.
            group("g2", "Sales", &["g1", "g3"]), group("g3", "Everybody", &["g2"]),
        ],
    })
}

/// What an agent is shown; nothing where policy lets it list nothing.
async fn sees(agent: &Agent) -> Vec<String> {
    let message = agent.modern("tools/list", json!({})).await.message();
    let tools = message["result"]["tools"].as_array().into_iter().flatten();
    tools.map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

/// A gate whose tokens say nothing of roles.
fn gate(also: impl FnOnce(&mut Value)) -> Std {
    Std::prepared(
        |config| {
            config["identity"]["jwt"][0]["claims"]["roles"] = json!("/nothing");
            config["identity"]["jwt"][0]["claims"]["groups"] = json!("/groups");
            config["identity"]["directories"] = json!([{
                "file": "people.json",
                "tenant": "a",
                "roles": {"Sales": ["regional"], "Everybody": ["reader"], "Auditors": ["people"]},
                "attributes": {"region": format!("/{ENTERPRISE}/costCenter")},
            }]);
            also(config);
        },
        |house| drop(house.write("people.json", &people().to_string())),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_attributes_come_from_groups_also_within_groups() {
    let std = gate(|_| {});
    let alice = std.alice();
    assert_eq!(sees(&alice).await, ["safe", "list_all_netsuite_invoices"]);
    let called = alice.calls("list_all_netsuite_invoices", json!({"region": "EMEA"})).await;
    assert!(!called.is_error_result(), "her region is the directory's: {called:?}");
    assert!(alice.calls("list_all_netsuite_invoices", json!({"region": "US"})).await.is_error_result());
    let dora = std.agent(&std.token("a", "dora", |_| {}));
    assert_eq!(sees(&dora).await, [""; 0], "she is in no group");
    let by_group =
        std.agent(&std.token("a", "zoe", |claims| drop(claims.insert("groups".into(), json!(["g3"])))));
    assert_eq!(sees(&by_group).await, ["safe"], "the token names a group by its id");
    assert_eq!(sees(&std.carol()).await, [""; 0], "it is about tenant `a` alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_file_counts_without_a_restart_and_a_broken_one_changes_nothing() {
    let mut std = gate(|_| {});
    let alice = std.alice();
    assert_eq!(sees(&alice).await.len(), 2);
    let mut changed = people();
    changed["Resources"][3]["members"] = json!([{"value": "u3"}]);
    std.gate.house().write("people.json", &changed.to_string());
    until("the change", async || sees(&alice).await.is_empty().then_some(())).await;
    let dora = std.agent(&std.token("a", "dora", |_| {}));
    assert_eq!(sees(&dora).await, ["safe"], "she has no region");
    std.gate.house().write("people.json", r#"{"Resources": [{"schemas": ["x"]"#);
    until("the look at the broken file", async || {
        assert_eq!(sees(&dora).await, ["safe"]);
        std.gate.log().contains("Directory was not taken").then_some(())
    })
    .await;
    std.gate.logged(&["Directory was not taken"]);
    assert_eq!(sees(&dora).await, ["safe"]);
    std.gate.house().write("people.json", &people().to_string());
    until("the file again", async || (sees(&alice).await.len() == 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_is_refused_by_whatever_they_come_with() {
    let std = gate(|config| {
        config["identity"]["directories"][0].as_object_mut().expect("an object").remove("tenant");
        config["identity"]["directories"][0]["refuse_unknown"] = json!(true);
    });
    let wanted = json!({"tenant": "a", "server": "up", "user": "alice", "roles": ["reader"]});
    let (_, path) = std.gate.create_url(&wanted).await;
    let holder = Agent::new(&format!("{}{path}", std.gate.url), None);
    let agents = [std.alice(), std.agent(KEY_BOB), holder];
    for agent in &agents {
        assert_eq!(agent.calls("safe", json!({})).await.status, 200);
    }
    let stranger = std.agent(&std.token("a", "stranger", |_| {})).calls("safe", json!({})).await;
    assert_eq!(stranger.status, 401, "{stranger:?}");
    let mut left = people();
    left["Resources"][0]["active"] = json!(false);
    left["Resources"][1]["active"] = json!(false);
    std.gate.house().write("people.json", &left.to_string());
    for agent in &agents {
        let refused = until("the refusal", async || {
            let answer = agent.calls("safe", json!({})).await;
            (answer.status == 401).then_some(answer)
        })
        .await;
        let told = refused.headers["www-authenticate"].to_str().expect("text");
        assert!(told.contains("not active in the directory"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_read_is_named_with_its_place() {
    let house = portcullis_integration::gate::House::bare(
        "servers: {up: {url: http://127.0.0.1:9/mcp}}\nidentity:\n  directories:\n    - file: people.json\n",
    );
    house.stock("policies");
    for text in [None, Some("{"), Some("{\"users\": []}")] {
        if let Some(text) = text {
            house.write("people.json", text);
        }
        let checked = house.command(&["check"]);
        assert_eq!(checked.status.code(), Some(3), "{checked:?}");
        let told =
            String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
        assert!(told.contains("portcullis.yaml:4:13: identity.directories[0].file"), "{told}");
    }
}
